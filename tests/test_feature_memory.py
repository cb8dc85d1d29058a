"""A memory of single features (AMM) against lists and loops."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

import stremn
from stremn.errors import InputError
from stremn.memory import (
    FeatureMemory,
    MemoryState,
    Template,
    Trace,
    make_memory,
    make_policy,
    read,
    write,
)
from stremn.models.checkpoints import save_model
from stremn.models.stremn import STReMN
from stremn.tasks.vos import rollout

H, W, KEY = 2, 3, 4
N = H * W
FIELDS = {"backbone": "tiny", "key_dim": 8, "value_dim": 8, "update_dim": 8, "decoder_dims": (8, 8, 8)}


def template(
    frame: int, *, groups: int = 1, objects: int = 2, present: list[bool] | None = None, batch: int = 1
) -> Template:
    g = torch.Generator().manual_seed(frame)
    here = torch.tensor(present or [True] * objects).expand(batch, objects)
    return Template(
        torch.randn(batch, groups, KEY, H, W, generator=g),
        torch.randn(batch, objects, 5, H, W, generator=g),
        torch.randn(batch, objects, 3, H, W, generator=g),
        torch.randn(batch, 3, H, W, generator=g),
        frame,
        here,
        torch.full((batch, objects), frame == 0),
    )


def query(frame: int, batch: int = 1) -> Tensor:
    return torch.randn(batch, KEY, H, W, generator=torch.Generator().manual_seed(1000 + frame))


class Reference:
    """LFU on a list of entries: (frame, position, keys of each group, objects that see it, index)."""

    def __init__(self, slots: int, top_k: int, index: str, protect_first: bool, distance: str) -> None:
        self.capacity, self.top_k, self.index = slots * N, top_k, index
        self.protect_first, self.distance = protect_first, distance
        self.entries: list[dict] = []

    def affinity(self, key: list[float], wanted: list[float]) -> float:
        if self.distance == "dot":
            return sum(a * b for a, b in zip(key, wanted, strict=True)) / KEY**0.5
        return -sum((a - b) ** 2 for a, b in zip(key, wanted, strict=True)) / KEY**0.5

    def read(self, wanted_CN: Tensor) -> None:
        groups = len(self.entries[0]["keys"])
        for group in range(groups):
            seen = [e for e in self.entries if groups == 1 or group in e["objects"]]
            for place in range(N):
                wanted = wanted_CN[:, place].tolist()
                ranked = sorted(seen, key=lambda e: -self.affinity(e["keys"][group], wanted))
                best = ranked[: self.top_k]
                powers = [np.exp(self.affinity(e["keys"][group], wanted)) for e in best]
                for entry, power in zip(best, powers, strict=True):
                    entry["index"] += 1 if self.index == "top_k" else power / sum(powers)

    def write(self, new: Template, every: int) -> None:
        if new.frame % every and not bool((new.given & new.present).any()):
            return
        while len(self.entries) > self.capacity - N:
            oldest = min(e["frame"] for e in self.entries)
            self.entries.remove(
                min(
                    self.entries,
                    key=lambda e: (
                        self.protect_first and e["given"],
                        self.protect_first and e["given"] and e["frame"] == oldest,
                        e["index"] / (new.frame - e["frame"]),
                        e["frame"],
                        e["position"],
                    ),
                )
            )
        for place in range(N):
            self.entries.append(
                {
                    "frame": new.frame,
                    "position": place,
                    "keys": new.key[0].flatten(2)[:, :, place].tolist(),
                    "objects": {o for o, here in enumerate(new.present[0].tolist()) if here},
                    "given": bool((new.given & new.present)[0].any()),
                    "index": 0.0,
                }
            )

    def survivors(self) -> list[tuple[int, int, float]]:
        return sorted((e["frame"], e["position"], round(e["index"], 3)) for e in self.entries)


def survivors(memory: FeatureMemory) -> list[tuple[int, int, float]]:
    state = memory.state
    columns = (state.frame_index[0, 0], state.position[0, 0], state.index[0, 0])
    return sorted((f, p, round(i, 3)) for f, p, i in zip(*(c.tolist() for c in columns), strict=True))


@pytest.mark.parametrize("index", ["top_k", "softmax"])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(
    ("slots", "top_k", "protect_first", "distance"), [(2, 3, False, "l2"), (3, 5, True, "dot")]
)
def test_the_same_entries_survive_as_in_the_reference(
    index: str, groups: int, slots: int, top_k: int, protect_first: bool, distance: str
) -> None:
    policy = make_policy("lfu", slots=slots, every=2, index=index, protect_first=protect_first)  # type: ignore[arg-type]
    memory = FeatureMemory(policy)
    expected = Reference(slots, top_k, index, protect_first, distance)
    for t in range(31):
        if t:
            memory.read(query(t), affinity=distance, top_k=top_k)  # type: ignore[arg-type]
            expected.read(query(t)[0].flatten(1))
        new = template(t, groups=groups, present=[True, t >= 7])  # the second object appears late
        new.given[:, 1] = t == 7
        memory.write(new)
        expected.write(new, 2)
        assert survivors(memory) == expected.survivors(), t
        assert memory.state.frame_index.shape[2] <= slots * N
    assert len(expected.entries) == slots * N
    assert not protect_first or sum(frame == 0 for frame, _, _ in survivors(memory)) == N


@pytest.mark.parametrize("rule", ["lfu", "lfu_softmax", "learned_features", "similar_features"])
def test_capacity_and_bytes_stay_over_200_frames(rule: str) -> None:
    memory = make_memory(make_policy(rule, slots=3, every=3))
    sizes = []
    for t in range(200):
        if t:
            assert memory.read(query(t)).isfinite().all()
        memory.write(template(t))
        assert memory.state.frame_index.shape[2] <= 3 * N and memory.slots <= 3
        sizes.append(memory.state.bytes())
    assert memory.slots == 3 and set(sizes[9:]) == {sizes[-1]}
    newest = memory.state.frame_index == 198
    assert int(newest.sum()) == N and sorted(memory.state.position[newest].tolist()) == list(range(N))  # type: ignore[union-attr]


def test_equal_scores_remove_the_older_frame_then_the_first_position() -> None:
    memory = FeatureMemory(make_policy("lfu", slots=2, every=1))
    for t in range(3):  # nothing is ever read, so all scores are 0
        memory.write(template(t))
    assert {f for f, _, _ in survivors(memory)} == {1, 2}
    state = memory.state
    state.index.copy_(
        torch.where(state.position >= 2, (3 - state.frame_index) * 2.0, 0.0)
    )  # both used evenly
    memory.write(template(3))
    assert [(f, p) for f, p, _ in survivors(memory) if f < 3] == [
        (1, 4),
        (1, 5),
        (2, 2),
        (2, 3),
        (2, 4),
        (2, 5),
    ]


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("affinity", ["dot", "l2"])
@pytest.mark.parametrize("top_k", [None, 4, 500])
def test_reads_as_the_slots_do_while_nothing_is_removed(
    groups: int, affinity: str, top_k: int | None
) -> None:
    features = make_memory(make_policy("lfu", slots=6, every=1))
    state = MemoryState.empty()
    for t in range(6):
        new = template(t, groups=groups, present=[True, t >= 3], batch=2)
        new.given[:, 1] = t == 3
        features.write(new)
        state = write(state, new, make_policy("oldest", slots=6))
        settings = {"affinity": affinity, "top_k": top_k}
        expected = read(state, query(t, 2), **settings)  # type: ignore[arg-type]
        found = features.read(query(t, 2), **settings)  # type: ignore[arg-type]
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
        with torch.no_grad():
            torch.testing.assert_close(read(state, query(t, 2), **settings), expected)  # type: ignore[arg-type]
        if t < 3:
            assert float(found[:, 1].abs().max()) == 0


def test_counters_of_a_shared_key_count_once_and_those_of_own_keys_for_every_object() -> None:
    for groups, late, times in ((1, False, 1), (1, True, 1), (2, False, 2), (2, True, 1)):
        memory = FeatureMemory(make_policy("lfu", slots=4, every=1))
        memory.write(template(0, groups=groups, present=[True, not late]))
        memory.read(query(1), top_k=2)
        assert float(memory.state.index.sum()) == times * 2 * N, (groups, late)
    memory.write(template(1, groups=2))
    memory.read(query(2), top_k=8)  # the first object sees 12 entries, the second 6
    assert float(memory.state.index.sum()) == 2 * N + (8 + 6) * N


def test_an_object_added_later_sees_only_its_own_frames() -> None:
    memory = FeatureMemory(make_policy("lfu", slots=4, every=1))
    memory.write(template(0, objects=1))
    memory.add_objects(1)
    assert float(memory.read(query(1))[:, 1].abs().max()) == 0
    new = template(1, groups=2)
    memory.write(new)
    own, values = new.key[0, 1].flatten(1), new.value[0, 1].flatten(1)
    weights = (query(2)[0].flatten(1).T @ own / KEY**0.5).softmax(-1)
    found = memory.read(query(2))[0, 1].flatten(1)
    torch.testing.assert_close(found, (weights @ values.T).T)


def test_clips_side_by_side_do_not_change_each_other() -> None:
    policy = make_policy("lfu", slots=2, every=3)
    both, single = FeatureMemory(policy), [FeatureMemory(policy), FeatureMemory(policy)]
    for t in range(20):
        if t:
            together = both.read(query(t, 2), affinity="l2", top_k=3)
        pair = template(t, batch=2)
        pair.given[1] |= t == 4  # the second clip is written out of turn
        for row, memory in enumerate(single):
            if t:
                alone = memory.read(query(t, 2)[row : row + 1], affinity="l2", top_k=3)
                torch.testing.assert_close(alone, together[row : row + 1])
            fields = [x[row : row + 1] for x in (pair.key, pair.value, pair.update_key, pair.update_query)]
            memory.write(Template(*fields, t, pair.present[row : row + 1], pair.given[row : row + 1]))
        both.write(pair)
    held = both.state.frame_index[:, 0].sort(-1).values
    assert all(torch.equal(held[i], m.state.frame_index[0, 0].sort().values) for i, m in enumerate(single))


@pytest.mark.parametrize(("rule", "name"), [("similar_features", "key"), ("learned_features", "update_key")])
def test_features_that_the_new_frame_repeats_go_first(rule: str, name: str) -> None:
    memory = FeatureMemory(make_policy(rule, slots=2, every=1, protect_first=False))
    old, new = [template(t, objects=1) for t in range(2)], template(2, objects=1)
    for each in old:
        memory.write(each)
    seen = new.key[:, 0] if name == "key" else new.update_query
    seen[:, :, 0] = getattr(old[1], name)[:, 0, :, 1]  # positions 3 to 5 of frame 1 come again
    seen[:, :, 1] = getattr(old[0], name)[:, 0, :, 0]  # and 0 to 2 of frame 0
    memory.write(new)
    assert [(f, p) for f, p, _ in survivors(memory) if f < 2] == [
        (0, 3),
        (0, 4),
        (0, 5),
        (1, 0),
        (1, 1),
        (1, 2),
    ]


def test_more_given_masks_than_room_still_keep_the_oldest() -> None:
    memory = FeatureMemory(make_policy("lfu", slots=2, every=1, protect_first=True))
    for t in range(6):
        new = template(t)
        new.given[:] = True
        memory.write(new)
        assert sum(f == 0 for f, _, _ in survivors(memory)) == N


def test_trace_tells_how_much_of_each_frame_is_left(tmp_path: Path) -> None:
    memory, trace = FeatureMemory(make_policy("lfu", slots=2, every=2)), Trace()
    for t in range(9):
        if t:
            memory.read(query(t), top_k=3, trace=trace)
        if memory.due(t, torch.zeros(1, 2, dtype=torch.bool)):
            memory.write(template(t), trace=trace)
        else:
            memory.skip(t, trace)
        step = trace.steps[-1]
        held = memory.state.frame_index[0, 0].tolist()
        assert step.counts is not None and step.removed is not None
        assert dict(zip(step.held, step.counts, strict=True)) == {f: held.count(f) for f in set(held)}
        assert step.action == ("skip" if t % 2 else "append" if t < 4 else "evict")
        assert sum(step.removed) == (N if step.action == "evict" else 0)
        assert (step.read_mass is None) if t == 0 else sum(step.read_mass or []) == pytest.approx(1, abs=1e-5)
    trace.save(tmp_path / "trace.json")
    assert Trace.load(tmp_path / "trace.json") == trace
    plain = trace.to_dict()
    for step in plain["steps"]:  # a file from before these fields
        del step["counts"], step["removed"]
    assert Trace.from_dict(plain).steps[0].counts is None


def test_gradients_and_odd_settings_are_refused_in_one_line() -> None:
    with pytest.raises(InputError, match=r"found 'lfu'.*no_grad"):
        write(MemoryState.empty(), template(0), make_policy("lfu"))
    for settings, words in (({"index": "mean"}, "softmax"), ({"per_object": True}, "all objects")):
        with pytest.raises(InputError, match=words):
            make_policy("lfu", **settings)  # type: ignore[arg-type]


def as_frame(image_3HW: Tensor) -> NDArray[np.uint8]:
    return (image_3HW.permute(1, 2, 0) * 255).round().byte().numpy()


def clip(frames: int = 12) -> tuple[Tensor, Tensor]:
    images = torch.rand(1, frames, 3, 36, 44, generator=torch.Generator().manual_seed(0))
    masks = torch.zeros(1, frames, 36, 44, dtype=torch.long)
    masks[:, :, 4:20, 4:20] = 1
    masks[:, 4:, 22:32, 22:40] = 2  # appears late
    return (images * 255).round() / 255, masks


def tiny(path: Path, keys: str, top_k: int | None) -> Path:
    torch.manual_seed(0)
    fields = {**FIELDS, "keys": keys, "affinity": "l2", "top_k": top_k}
    save_model(path / "weights", STReMN(**fields), {"system": "stremn", "fields": fields})  # type: ignore[arg-type]
    return path / "weights"


@pytest.mark.parametrize("rule", ["lfu", "lfu_softmax", "learned_features"])
@pytest.mark.parametrize(("keys", "top_k"), [("image", 3), ("memory", None)])
def test_a_saved_stream_goes_on_bit_for_bit(rule: str, keys: str, top_k: int | None, tmp_path: Path) -> None:
    images, masks = clip()
    checkpoint = tiny(tmp_path, keys, top_k)
    whole, stopped = (
        stremn.open_stream(checkpoint=checkpoint, policy=rule, slots=2, every=2) for _ in range(2)
    )
    sizes = set()
    for t in range(12):
        given = masks[0, t].numpy() if t == 0 else np.where(masks[0, t] == 2, 2, 0) if t == 4 else None
        if t in (3, 7):
            stopped.save(tmp_path / "stream")
            stopped = stremn.resume_stream(tmp_path / "stream")
        a, b = (s.step(as_frame(images[0, t]), given) for s in (whole, stopped))
        assert torch.equal(a, b)
        if t > 4:
            sizes.add(whole.memory.bytes())
    assert whole.trace == stopped.trace and whole.memory.slots == 2 and len(sizes) == 1


@pytest.mark.parametrize(("keys", "top_k"), [("image", 3), ("memory", None)])
def test_a_stream_equals_the_rollout_and_encodes_only_what_is_stored(
    keys: str, top_k: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, masks = clip()
    stream = stremn.open_stream(checkpoint=tiny(tmp_path, keys, top_k), policy="lfu", slots=2, every=5)
    with torch.no_grad():
        expected = rollout(stream.network, images, masks, 2, stream.policy)
    encoded, encode = [], stream.network.encode_memory
    monkeypatch.setattr(
        stream.network, "encode_memory", lambda q, m: encoded.append(stream.frame) or encode(q, m)
    )
    for t in range(12):
        given = masks[0, t].numpy() if t == 0 else np.where(masks[0, t] == 2, 2, 0) if t == 4 else None
        p = stream.step(as_frame(images[0, t]), given)
        torch.testing.assert_close(p, expected.logits[t].softmax(1)[0, : len(p)], atol=1e-4, rtol=1e-3)
    assert encoded == [0, 4, 5, 10]
    for name, tensor in expected.state.tensors().items():
        assert tensor.shape == stream.memory.tensors()[name].shape


def test_training_with_it_is_refused(tmp_path: Path) -> None:
    images, masks = clip(3)
    stream = stremn.open_stream(checkpoint=tiny(tmp_path, "image", 3), policy="lfu")
    with pytest.raises(InputError, match="passes no gradient"):
        rollout(stream.network, images, masks, 2, stream.policy)
