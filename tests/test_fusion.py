"""Fusion of evicted templates, and the variants of the learned update."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import stremn
from stremn.errors import InputError
from stremn.memory import MemoryBuffer, MemoryState, Policy, Template, Trace, make_policy, write
from stremn.memory.fusion import STRATEGIES, Fusion
from stremn.models.checkpoints import load_model, save_model
from stremn.models.fusion import FusionCell, align
from stremn.models.registry import build_model
from stremn.models.stremn import STReMN
from stremn.tasks.vos import Rollout, rollout, segmentation_loss

H, W, CK, CV, CU = 2, 3, 3, 4, 5
FIELDS = {"backbone": "tiny", "key_dim": 8, "value_dim": 8, "update_dim": 8, "decoder_dims": (8, 8, 8)}


def template(frame: int, *, objects: int = 2, groups: int | None = None, seed: int = 0) -> Template:
    g = torch.Generator().manual_seed(seed * 10_000 + frame)
    return Template(
        torch.randn(1, groups or objects, CK, H, W, generator=g),
        torch.randn(1, objects, CV, H, W, generator=g),
        torch.randn(1, objects, CU, H, W, generator=g),
        torch.randn(1, CU, H, W, generator=g),
        frame,
        torch.ones(1, objects, dtype=torch.bool),
        torch.full((1, objects), frame == 0),
    )


def marked(leaving: Tensor, staying: Tensor, size: tuple[int, int]) -> Tensor:
    """A cell that leaves its trace in the values: what it takes over is plain to see."""
    return torch.cat([staying[..., :CK], staying[..., CK : CK + CV] + 100, staying[..., CK + CV :]], -1)


def network(**fields: object) -> STReMN:
    torch.manual_seed(0)
    return STReMN(**{**FIELDS, **fields}).eval()  # type: ignore[arg-type]


def clip(frames: int = 9, height: int = 32, width: int = 48) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    images = torch.rand(1, frames, 3, height, width, generator=g)
    masks = torch.zeros(1, frames, height, width, dtype=torch.long)
    masks[:, :, 4:20, 4:20] = 1
    masks[:, 3:, 22:32, 22:40] = 2  # appears late
    return images, masks


def run(model: STReMN, policy: Policy, trace: Trace | None = None) -> Rollout:
    images, masks = clip()
    with torch.no_grad():
        return rollout(model, images, masks, 2, policy, trace=trace)


# --- the cell


def test_the_cell_is_equations_6_to_12() -> None:
    torch.manual_seed(0)
    channels = 8
    cell = FusionCell(channels)
    x_i, x_j = torch.randn(2, 2, H * W, channels).unbind(0)
    found = cell(x_i, x_j, (H, W))

    def fam(to: Tensor, source: Tensor) -> Tensor:  # Eq. 7, position by position
        rows = []
        for p in to:
            weights = torch.stack([(p @ q / math.sqrt(channels)).exp() for q in source])
            rows.append(sum(w * q for w, q in zip(weights / weights.sum(), source, strict=True)))
        return torch.stack(rows)  # type: ignore[arg-type]

    def convolved(gate: torch.nn.Module, a: Tensor, b: Tensor) -> Tensor:
        narrow, _, layer = gate.children()
        inner = torch.einsum("nc,oc->no", torch.cat([a, b], -1), narrow.weight[..., 0, 0]) + narrow.bias
        maps = inner.relu().reshape(H, W, -1)
        bordered = F.pad(maps, (0, 0, 1, 1, 1, 1))
        rows = []
        for y in range(H):
            for x in range(W):
                window = bordered[y : y + 3, x : x + 3]  # (3, 3, inner)
                rows.append(torch.einsum("yxc,ocyx->o", window, layer.weight) + layer.bias)
        return torch.stack(rows)

    for p in range(2):
        i, j = x_i[p], x_j[p]
        r = torch.sigmoid(convolved(cell.filter, i, fam(i, j)))
        here = fam(j, r * i)
        z = torch.sigmoid(convolved(cell.update, here, j))
        expected = (1 - z) * j + z * torch.tanh(convolved(cell.candidate, here, j))
        torch.testing.assert_close(found[p], expected, atol=1e-5, rtol=1e-5)


def test_a_moved_object_is_aligned_with_itself() -> None:
    source = 20 * torch.eye(6)[None]  # six positions that know each other apart
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    torch.testing.assert_close(align(source[:, order], source), source[:, order], atol=1e-3, rtol=0)


def test_a_new_cell_hardly_changes_a_template() -> None:
    torch.manual_seed(0)
    x_i, x_j = torch.randn(2, 1, H * W, 8).unbind(0)
    with torch.no_grad():
        assert float((FusionCell(8)(x_i, x_j, (H, W)) - x_j).abs().max()) < 0.3


# --- which templates take over


def reference_targets(
    strategy: str, held: list[int], gone: int, keys: Callable[[int], Tensor], protect: bool
) -> list[int]:
    """Frames that take over what ``gone`` knew, on plain lists."""
    others = [f for f in held if f != gone and not (protect and f == 0)]
    if strategy == "all_others" or not others:
        return others
    score = {}
    for f in others:
        a, b = F.normalize(keys(gone), dim=-1), F.normalize(keys(f), dim=-1)
        score[f] = sum(max(float(p @ q) for q in b) for p in a)
    pick = max if strategy == "most_similar" else min
    return [pick(others, key=lambda f: score[f])]


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("protect", [True, False])
def test_strategies_against_the_reference(strategy: str, protect: bool) -> None:
    policy = make_policy("random_drop", slots=4, protect_first=protect)
    state, g = MemoryState.empty(), torch.Generator().manual_seed(0)
    fused: set[int] = set()
    for t in range(25):
        new = replace(template(t, objects=1), fusion=Fusion(marked, strategy))
        before, state = state, write(state, new, policy, generator=g)
        if t < 4:
            assert not fused
            continue
        held, now = before.frame_index[0, 0].tolist(), state.frame_index[0, 0].tolist()
        (gone,) = set(held) - set(now)
        keys = {f: before.keys[0, 0, held.index(f)] for f in held}
        expected = reference_targets(strategy, held, gone, keys.__getitem__, protect)
        changed = [
            f
            for f in held
            if f != gone
            and not torch.equal(before.values[0, 0, held.index(f)], state.values[0, 0, now.index(f)])
        ]
        assert changed == expected, (t, held, gone)
        fused |= set(changed)
        stored = state.values[0, 0, now.index(t)]
        assert torch.equal(stored, new.value[0, 0].flatten(-2).T)  # the incoming template is as it came
    assert fused and (0 in fused) == (not protect)


def test_a_template_is_fused_only_for_the_objects_that_it_holds() -> None:
    policy = make_policy("oldest", slots=3)
    state = MemoryState.empty()
    for t in range(4):  # frame 1 leaves; the second object came in frame 2
        new = replace(template(t), fusion=Fusion(marked, "all_others"))
        new.present[:, 1] = t >= 2
        before, state = state, write(state, new, policy)
    held = before.frame_index[0, 0].tolist()
    assert held == [0, 1, 2]
    gaps = (state.values - before.values)[0].abs().amax((-1, -2))
    assert float(gaps[0, 2]) > 90 and float(gaps[1, 2]) == 0 and float(gaps[:, 0].max()) == 0


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("per_object", [False, True])
@pytest.mark.parametrize("groups", [1, 2])
def test_the_buffer_fuses_as_the_value_does(strategy: str, per_object: bool, groups: int) -> None:
    torch.manual_seed(0)
    cell = FusionCell(CK + CV + CU)
    torch.nn.init.zeros_(cell.update[-1].bias)  # type: ignore[arg-type]
    fusion = Fusion(cell, strategy, keys=groups == 2)
    policy = make_policy("learned", slots=4, per_object=per_object)
    value, buffer, plain = MemoryState.empty(), MemoryBuffer(policy), MemoryState.empty()
    with torch.no_grad():
        for t in range(14):
            new = replace(template(t, groups=groups), fusion=fusion)
            new.present[:, 1] = t >= 3
            value = write(value, new, policy)
            buffer.write(new)
            plain = write(plain, replace(new, fusion=None), policy)
            for name, tensor in value.tensors().items():
                found = buffer.state.tensors()[name]
                if name in ("values", "update_keys"):
                    hidden = ~value.valid[..., None, None]
                    tensor, found = tensor.masked_fill(hidden, 0), found.masked_fill(hidden, 0)
                assert torch.equal(tensor, found), (t, name)
    assert not torch.equal(plain.values, value.values)
    norms = value.update_keys.norm(dim=-1)[value.valid]
    torch.testing.assert_close(norms, torch.ones_like(norms))
    if groups == 1:  # keys of the image stay as they came, for every object and rule
        came = {tuple(template(t, groups=1).key[0, 0].flatten(-2).T.flatten().tolist()) for t in range(14)}
        assert {tuple(k.flatten().tolist()) for k in value.keys[0].flatten(0, 1)} <= came


# --- in the network


@pytest.mark.parametrize("keys", ["memory", "image"])
def test_gradients_reach_every_gate(keys: str) -> None:
    model = network(keys=keys, fusion="all_others").train()
    images, masks = clip()
    policy = make_policy("learned", slots=4)
    result = rollout(model, images, masks, 2, policy, noise=True, generator=torch.Generator())
    segmentation_loss(result, masks).backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None or float(p.grad.abs().sum()) == 0]
    assert silent == []


def test_with_and_without_on_the_same_weights(tmp_path: Path) -> None:
    model = network(fusion="least_similar")
    assert model.fusion_cell is not None
    torch.nn.init.constant_(model.fusion_cell.update[-1].bias, 3.0)  # type: ignore[arg-type]
    save_model(
        tmp_path / "fused", model, {"system": "stremn", "fields": {**FIELDS, "fusion": "least_similar"}}
    )
    loaded, meta = load_model(tmp_path / "fused")
    assert meta["fields"]["fusion"] == "least_similar"
    values = {
        switch: run(loaded, make_policy("oldest", slots=4, fusion=switch)).state.values  # type: ignore[arg-type,union-attr]
        for switch in ("network", "none", *STRATEGIES)
    }
    assert torch.equal(values["network"], values["least_similar"])
    bare = build_model("stremn", FIELDS).eval()
    bare.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith("fusion_cell")})
    assert torch.equal(values["none"], run(bare, make_policy("oldest", slots=4)).state.values)  # type: ignore[arg-type,union-attr]
    for switch in STRATEGIES:
        assert not torch.equal(values[switch], values["none"])
    frame = torch.zeros(32, 32, 3, dtype=torch.uint8).numpy()
    mask = torch.zeros(32, 32, dtype=torch.long).numpy()
    mask[4:20, 4:20] = 1
    with_and_without = [
        stremn.open_stream(checkpoint=tmp_path / "fused", slots=3, fusion=f) for f in ("network", "none")
    ]
    for t in range(6):
        a, b = (s.step(frame, mask if t == 0 else None) for s in with_and_without)
    assert not torch.equal(a, b)


def test_the_value_and_the_buffer_give_the_same_masks() -> None:
    model, (images, masks) = network(fusion="most_similar"), clip()
    policy = make_policy("learned", slots=4)
    slow, fast = rollout(model, images, masks, 2, policy), run(model, policy)
    for a, b in zip(slow.logits, fast.logits, strict=True):
        torch.testing.assert_close(a.detach(), b, atol=1e-4, rtol=1e-4)


def test_off_costs_nothing() -> None:
    def never(leaving: Tensor, staying: Tensor, size: tuple[int, int]) -> Tensor:
        raise AssertionError("the cell is not to be called")

    policy = make_policy("oldest", slots=3, fusion="none")
    state, buffer = MemoryState.empty(), MemoryBuffer(policy)
    for t in range(6):
        new = replace(template(t), fusion=Fusion(never, "all_others"))
        state = write(state, new, policy)
        buffer.write(new)
    assert torch.equal(state.values, buffer.state.values)


def test_fusion_refuses_what_does_not_fit() -> None:
    with pytest.raises(InputError, match="fusion strategy"):
        network(fusion="nearest")
    with pytest.raises(InputError, match="fusion as one of"):
        make_policy("learned", fusion="off")
    with pytest.raises(InputError, match="no whole templates"):
        make_policy("lfu", fusion="all_others")
    with pytest.raises(InputError, match="with a fusion module"):
        run(network(), make_policy("learned", fusion="all_others"))


def test_similar_pair_removes_the_older_of_the_most_similar_pair() -> None:
    policy = make_policy("similar_pair", slots=5)
    state = MemoryState.empty()
    kept: list[int] = []
    for t in range(25):
        if len(kept) == 5:
            score = {}
            for f in kept[1:]:
                a = F.normalize(template(f, groups=1).key[0, 0].flatten(-2).T, dim=-1)
                for newer in (n for n in kept if n > f):
                    b = F.normalize(template(newer, groups=1).key[0, 0].flatten(-2).T, dim=-1)
                    score[f, newer] = float((a @ b.T).amax(1).mean())
            kept.remove(max(score, key=lambda pair: score[pair])[0])
        kept.append(t)
        state = write(state, template(t, groups=1), policy)
        assert sorted(state.frame_index[0, 0].tolist()) == kept


# --- variants of the learned update


def test_defaults_are_the_papers_mechanism() -> None:
    plain, named = network(), network(update_from="image", update_age=False, fusion=None)
    assert plain.state_dict().keys() == named.state_dict().keys()
    assert not [n for n in plain.state_dict() if n.startswith(("age_score", "fusion"))]
    trace, other = Trace(), Trace()
    policy = make_policy("learned", slots=4)
    a, b = run(plain, policy, trace), run(network(update_age=True), policy, other)  # starts equal
    assert trace == other and all(torch.equal(x, y) for x, y in zip(a.logits, b.logits, strict=True))


@pytest.mark.parametrize("fields", [{"update_from": "mask"}, {"update_age": True}])
def test_gradients_reach_the_variants(fields: dict[str, object]) -> None:
    model = network(**fields).train()
    images, masks = clip()
    policy = make_policy("learned", slots=3)
    result = rollout(model, images, masks, 2, policy, noise=True, generator=torch.Generator())
    segmentation_loss(result, masks).backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None or float(p.grad.abs().sum()) == 0]
    assert silent == []
    if "update_age" in fields:
        assert model.age_score is not None and bool((model.age_score.weight.grad != 0).all())


@pytest.mark.parametrize(("weight", "rule"), [(1000.0, "oldest"), (-1000.0, "newest")])
def test_age_can_turn_the_learned_rule_into_a_queue_or_a_stack(weight: float, rule: str) -> None:
    model = network(update_age=True)
    assert model.age_score is not None
    with torch.no_grad():
        model.age_score.weight[0] = weight
    trace = Trace()
    aged = run(model, make_policy("learned", slots=4), trace)
    same = run(model, make_policy(rule, slots=4), Trace())
    assert torch.equal(aged.state.frame_index, same.state.frame_index)
    last = trace.steps[-1]
    assert last.scores is not None  # the trace tells what the choice was made from
    best = max((s, -i) for i, s in enumerate(last.scores) if last.evictable[i])
    assert last.evicted_slot == -best[1]


def test_scores_may_be_read_from_frame_and_mask() -> None:
    """Eq. 1 between the update keys of two templates: the same frame scores 1 with the same mask alone."""
    model, (images, _) = network(update_from="mask"), clip()
    assert not [n for n, _ in model.named_parameters() if n.startswith("query_update")]
    box, other = torch.zeros(2, 1, 1, 32, 48)
    box[..., 4:20, 4:20], other[..., 8:30, 20:44] = 1, 1
    policy, trace, there = make_policy("learned", slots=3), Trace(), torch.ones(1, 1, dtype=torch.bool)
    with torch.no_grad():
        for weights in model.memory_encoder.parameters():  # a new encoder is blind to its mask
            weights += 0.2 * torch.randn(weights.shape, generator=torch.Generator().manual_seed(1))
        query, state = model.encode_query(images[:, 0]), MemoryState.empty()
        for t, masks in enumerate((box, other, other * 0.5, box)):
            new = model.memorise(query, masks, t, there, there & (t == 0))
            state = write(state, new, policy, trace=trace)
        stored = model.encode_memory(query, other)[2]
    scores = trace.steps[-1].scores
    assert scores is not None and scores[0] == pytest.approx(1, abs=1e-5) and max(scores[1:]) < 1 - 1e-5
    incoming, slot = (F.normalize(k[0, 0].flatten(1).T, dim=-1) for k in (new.update_key, stored))
    assert scores[1] == pytest.approx(float((incoming @ slot.T).amax(1).mean()), abs=1e-5)


def test_update_from_and_per_object_go_together() -> None:
    model = network(update_from="mask", update_age=True, learn_logit_scale=True, fusion="most_similar")
    result = run(model, make_policy("learned", slots=3, per_object=True))
    assert result.state.slots == 3
    assert run(model, make_policy("learned_features", slots=2, every=1)).state.slots == 2
    with pytest.raises(InputError, match="update_from"):
        network(update_from="masks")
