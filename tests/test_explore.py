"""The explorer without a browser: looking back, what if, races, trace files, what the widget is told."""

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stremn.cli import main
from stremn.data.clips import write_clip, write_mask
from stremn.data.video import open_frames
from stremn.errors import InputError
from stremn.explore import packing
from stremn.explore.heat import heat_maps
from stremn.explore.masks import Masks, first_seen
from stremn.explore.page import OneKernel, page
from stremn.explore.pictures import ArrayPictures, pictures
from stremn.explore.prediction import Predictions
from stremn.explore.session import Session
from stremn.explore.tracefile import find_trace, open_trace, whole
from stremn.explore.widget import Explorer, script
from stremn.generate.procedural import ClipSettings, make_clip
from stremn.inference.settings import StreamSettings
from stremn.inference.stream import Stream
from stremn.memory import POLICIES, MemoryState, Trace, TraceStep, make_policy
from stremn.models.checkpoints import save_model
from stremn.models.predictor import VideoPredictor
from stremn.models.stremn import STReMN
from stremn.ops.attention import augmented
from stremn.segmenting.segment_video import segment_video
from stremn.segmenting.video_writer import VideoWriter

FIELDS: dict[str, Any] = {
    "backbone": "tiny",
    "key_dim": 8,
    "value_dim": 8,
    "update_dim": 8,
    "decoder_dims": (8, 8, 8),
}
META = {"system": "stremn", "fields": FIELDS}
LENGTH = 14


@pytest.fixture(scope="module")
def network() -> STReMN:
    torch.manual_seed(0)
    return STReMN(**FIELDS).eval()


@pytest.fixture(scope="module")
def clip() -> tuple[np.ndarray, np.ndarray]:
    """Frames 40 × 56 and ids of two objects; the second appears in frame 4."""
    made = make_clip(ClipSettings(length=LENGTH, size=64, objects=2), "test", 4)
    masks = np.minimum(made.masks[:, 10:50, :56], 2)
    masks[:4][masks[:4] == 2] = 0
    masks[4, 3:8, 3:9] = 2
    masks[0, 20:30, 20:30] = 1
    return np.ascontiguousarray(made.frames[:, 10:50, :56]), masks


def session(
    network: STReMN, clip: tuple[np.ndarray, np.ndarray], rule: str = "learned", **options: Any
) -> Session:
    slots = options.pop("slots", 3)
    return Session(
        network, clip[0], make_policy(rule, slots=slots, every=3), truth=clip[1], meta=META, **options
    )


def same(one: Any, other: Any) -> bool:
    equal = all((one.masks[t] == other.masks[t]).all() for t in range(LENGTH))
    return equal and one.trace.steps == other.trace.steps


# --- a run


@pytest.mark.parametrize("rule", ["learned", "random_drop", "every_n"])
@pytest.mark.parametrize("size", [None, 32])
def test_a_run_is_the_stream(network: STReMN, clip: Any, rule: str, size: int | None) -> None:
    run = session(network, clip, rule, size=size).run()
    stream = Stream(network, make_policy(rule, slots=3, every=3), META, StreamSettings(size=size))
    given = first_seen(clip[1])
    assert sorted(given) == [0, 4]
    for t, frame in enumerate(clip[0]):
        assert (stream.ids(stream.step(frame, given.get(t))) == run.masks[t]).all()
    assert stream.trace is not None and stream.trace.steps == run.trace.steps


def test_j_is_the_overlap_with_the_truth(network: STReMN, clip: Any) -> None:
    run = session(network, clip).run()
    assert run.j[0][0] == pytest.approx(1.0) and np.isnan(run.j[0][1])  # given; not there yet
    ids, truth = run.masks[9] == 1, clip[1][9] == 1
    assert run.j[9][0] == pytest.approx((ids & truth).sum() / (ids | truth).sum())
    assert run.mean_j() == pytest.approx(np.nanmean(np.array(run.j)[1:]))


def test_packed_masks_come_back() -> None:
    masks = Masks()
    ids = np.random.default_rng(0).integers(0, 5, (3, 7, 9))
    for one in ids:
        masks.append(one)
    assert all((masks[t] == ids[t]).all() for t in range(3)) and len(masks.until(2)) == 2


# --- where a pixel reads


@pytest.mark.parametrize("rule", ["learned", "every_n", "lfu"])
def test_heat_of_all_positions_is_the_read_mass(network: STReMN, clip: Any, rule: str) -> None:
    looked = session(network, clip, rule)
    run = looked.run()
    for frame in (3, 9, LENGTH - 1):
        key = looked.engine.key(frame)[0].flatten(1).T
        memory, _ = looked.memory(run, frame)
        top_k = network.top_k
        maps = heat_maps(memory.state, key, affinity=network.affinity, top_k=top_k)
        step = run.step(frame)
        assert maps.slots == step.held_before
        assert maps.share == pytest.approx(step.read_mass, abs=2e-5)


def test_heat_of_a_pixel_is_its_attention(network: STReMN, clip: Any) -> None:
    looked = session(network, clip)
    run = looked.run()
    heat = looked.heat(run, 9, x=30, y=20)
    assert heat.maps.sum().item() == pytest.approx(1, abs=1e-5)
    memory, _ = looked.memory(run, 9)
    state = memory.state
    assert isinstance(state, MemoryState) and bool(state.valid.all(1)[0].any())
    key = looked.engine.key(9)[0]
    row, column = looked.engine.geometry.position(30, 20, (key.shape[1], key.shape[2]))
    expected = []
    for o in range(2):
        keys = state.keys[0, min(o, state.keys.shape[1] - 1)]
        query, keys = augmented(
            key[:, row, column][None, None], keys.flatten(0, 1)[None, None], network.affinity
        )
        scores = (keys[0, 0] @ query[0, 0]).view(state.slots, -1)
        scores[~state.valid[0, o]] = -torch.inf
        expected.append(scores.flatten().softmax(0))
    wanted = torch.stack(expected).mean(0).view_as(heat.maps)
    assert torch.allclose(heat.maps, wanted, atol=1e-6)
    assert looked.heat(run, 9, x=3, y=35).share != heat.share


def test_only_the_best_are_read_with_top_k() -> None:
    torch.manual_seed(0)
    shape = (1, 1, 2, 6, 4)
    state = MemoryState(
        torch.randn(shape), torch.randn(shape), torch.randn(shape), torch.tensor([[[0, 3]]]),
        torch.zeros(1, 1, 2, dtype=torch.bool), size=(2, 3),
    )  # fmt: skip
    heat = heat_maps(state, torch.randn(1, 4), top_k=3)
    assert int((heat.maps > 0).sum()) == 3 and heat.maps.sum().item() == pytest.approx(1)


def test_heat_of_the_whole_object_is_a_mean(network: STReMN, clip: Any) -> None:
    looked = session(network, clip)
    run = looked.run()
    run.masks._packed[8] = run.masks._packed[0]  # type: ignore[union-attr]
    one, many = looked.heat(run, 8, 25, 25), looked.heat(run, 8, 25, 25, whole=True)
    assert one.positions == 1 < many.positions and many.maps.sum().item() == pytest.approx(1, abs=1e-5)


# --- what if


@pytest.mark.parametrize("rule", ["learned", "random_select", "lfu"])
@pytest.mark.parametrize("budget", [2**30, 1])
def test_without_a_change_nothing_changes(network: STReMN, clip: Any, rule: str, budget: int) -> None:
    looked = session(network, clip, rule, budget=budget)
    run = looked.run()
    assert (run.history.spacing > 1) == (budget == 1)  # type: ignore[union-attr]
    for frame in (0, 5, 11):
        assert same(run, looked.what_if(run, frame))
    again = looked.what_if(looked.what_if(run, 6), 9)
    assert same(run, again)
    assert looked.heat(run, 7, 5, 5).share == pytest.approx(looked.heat(again, 7, 5, 5).share, abs=1e-6)


def test_a_change_leaves_the_past_and_the_original(network: STReMN, clip: Any) -> None:
    looked = session(network, clip)
    run = looked.run()
    before = [run.masks[t].copy() for t in range(LENGTH)]
    other = looked.what_if(run, 8, drop=1)
    assert all((other.masks[t] == before[t]).all() for t in range(8))
    assert all((run.masks[t] == before[t]).all() for t in range(LENGTH))
    held = run.step(8).held_before
    assert other.step(8).held_before == [f for f in held if f != held[1]]
    assert other.step(9).held_before[-1] == 8  # the free slot
    assert looked.runs == [run, other]


@pytest.mark.parametrize(
    "rule", ["learned", "oldest", "newest", "random_drop", "previous", "first_and_previous", "every_n"]
)
def test_a_frozen_slot_is_never_evicted(network: STReMN, clip: Any, rule: str) -> None:
    looked = session(network, clip, rule, slots=4)
    run = looked.run()
    held = run.step(7).held_before
    slot = held.index(max(held))
    other = looked.what_if(run, 7, freeze=slot)
    for step in other.trace.steps[7:]:
        assert held[slot] in step.held
        assert not step.evictable[step.held_before.index(held[slot])]
    assert other.step(LENGTH - 1).held != [held[slot]]  # something else is kept too
    assert any(held[slot] not in step.held for step in run.trace.steps[7:]) or rule not in (
        "oldest",
        "previous",
    )


def test_all_slots_frozen_stores_nothing_more(network: STReMN, clip: Any) -> None:
    looked = session(network, clip, "oldest")
    run = looked.run()
    with pytest.raises(InputError, match="equal in every mask"):  # the first frame is protected anyway
        looked.what_if(run, 7, freeze=0)
    for slot in (1, 2):
        run = looked.what_if(run, 7, freeze=slot)
    assert {tuple(step.held) for step in run.trace.steps[7:]} == {tuple(run.step(7).held_before)}
    assert {step.action for step in run.trace.steps[7:]} == {"skip"}


def test_a_swapped_slot_holds_that_frame(network: STReMN, clip: Any) -> None:
    looked = session(network, clip, "oldest")
    run = looked.run()
    held = run.step(10).held_before
    assert 6 not in held
    other = looked.what_if(run, 10, swap=(1, 6))
    assert other.step(10).held_before == [held[0], 6, held[2]]
    memory, _ = looked.memory(run, 7)  # frame 6 has just been written
    there = memory.state.frame_index[0, 0].tolist().index(6)
    swapped, _ = looked.memory(other, 10)
    for name in ("keys", "values"):
        assert torch.equal(memory.state.tensors()[name][:, :, there], swapped.state.tensors()[name][:, :, 1])
    early = looked.what_if(run, 10, swap=(1, 2))  # written before the second object came: encoded again
    assert early.step(10).held_before[1] == 2


def test_another_rule_and_other_slots(network: STReMN, clip: Any) -> None:
    looked = session(network, clip)
    run = looked.run()
    other = looked.what_if(run, 8, rule="oldest", slots=2)
    assert len(other.step(8).held_before) == 2 and 0 in other.step(8).held_before
    assert all(len(step.held) <= 2 for step in other.trace.steps[8:])
    more = looked.what_if(run, 8, slots=5)
    assert len(more.step(LENGTH - 1).held) == 5
    plain = session(network, clip, "oldest", slots=2).run()
    assert same(plain, looked.what_if(run, 0, rule="oldest", slots=2))


def test_a_change_between_any_two_kinds_of_rules_runs_or_says_why(clip: Any) -> None:
    torch.manual_seed(0)
    looked = session(STReMN(**FIELDS, judge=True).eval(), (clip[0][:4], clip[1][:4]), size=32)
    kinds = {(e.unit, e.sees_objects, e.judged, e.update_keys): name for name, e in POLICIES.items()}
    needs = {"redundancy", "learned_redundancy", "learned_features"}
    for one in kinds.values():
        run = looked.run(policy=make_policy(one, slots=2, every=2))
        for other in set(kinds.values()) - {one}:
            try:
                assert looked.what_if(run, 2, rule=other).done == 4
            except InputError as told:
                units = {POLICIES[name].unit for name in (one, other)}
                assert "change it at frame 0" in str(told) and (len(units) == 2 or other in needs)


def test_a_template_that_lacks_what_its_rule_compares_is_not_swapped_in(network: STReMN, clip: Any) -> None:
    looked = session(network, (clip[0][:6], clip[1][:6]), "redundancy", slots=2)
    run = looked.run()
    gone = min({1, 2, 3} - set(run.step(5).held_before))  # encoded again
    with pytest.raises(InputError, match="that a slot holds"):
        looked.what_if(run, 5, swap=(1, gone))


def test_a_race_runs_every_rule(network: STReMN, clip: Any) -> None:
    looked = session(network, clip)
    runs = looked.race(["oldest", "previous", "lfu"], slots=4)
    assert [r.policy.name for r in runs] == ["oldest", "previous", "lfu"]  # type: ignore[union-attr]
    assert [len(r.kept()) for r in runs[:2]] == [4, 1] and all(r.milliseconds() > 0 for r in runs)
    assert same(runs[0], session(network, clip, "oldest", slots=4).run())


@pytest.mark.parametrize(
    ("work", "words"),
    [
        (lambda s, r: s.heat(r, 0, 1, 1), "frame of 1 to"),
        (lambda s, r: s.heat(r, 99, 1, 1), "frame of 1 to"),
        (lambda s, r: s.what_if(r, 5, drop=7), "slot of 0 to"),
        (lambda s, r: s.what_if(r, 5, freeze=-1), "slot of 0 to"),
        (lambda s, r: s.what_if(r, 5, swap=(0, 5)), "earlier frame"),
        (lambda s, r: s.what_if(r, 5, rule="lfu"), "same kind"),
        (lambda s, r: s.what_if(r, 5, rule="oldset"), "did you mean"),
        (lambda s, r: s.what_if(r, 1, drop=0), "another slot"),
        (lambda s, r: s.give({0: np.zeros((40, 56), np.uint8)}), "at least one object"),
        (lambda s, r: s.give({0: np.ones((4, 5), np.uint8)}), "frames' size"),
    ],
)
def test_bad_wishes_are_told_in_one_line(network: STReMN, clip: Any, work: Any, words: str) -> None:
    looked = session(network, clip)
    run = looked.run()
    with pytest.raises(InputError, match=words):
        work(looked, run)
    assert looked.runs == [run]


# --- pictures and traces


def test_any_frame_of_a_video_file(tmp_path: Path, clip: Any) -> None:
    with VideoWriter(tmp_path / "v.mp4", 10) as video:
        for frame in clip[0]:
            video.write(frame)
    wanted = [frame for _, frame in open_frames(tmp_path / "v.mp4")]
    shown = pictures(tmp_path / "v.mp4")
    assert len(shown) == LENGTH and shown.size == (40, 56)
    for t in (9, 2, 3, LENGTH - 1, 0):
        assert (shown[t] == wanted[t]).all()
    with pytest.raises(InputError, match="frame of 0 to"):
        shown[LENGTH]
    with pytest.raises(InputError, match="nothing there"):
        pictures(tmp_path / "none.mp4")


def test_a_trace_of_segment_opens_with_its_masks(network: STReMN, clip: Any, tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "v.mp4", 10) as video:
        for frame in clip[0]:
            video.write(frame)
    save_model(tmp_path / "weights", network, META)
    first = first_seen(clip[1])[0]
    segment_video(tmp_path / "v.mp4", first, tmp_path / "out", checkpoint=tmp_path / "weights", slots=3)
    steps = Trace.load(tmp_path / "out" / "trace.json").steps
    opened = open_trace(tmp_path / "out", tmp_path / "v.mp4")
    (run,) = opened.runs
    assert len(steps) == LENGTH and run.trace.steps == steps
    assert run.masks is not None and run.masks[5].shape == (40, 56) and not opened.can_run
    assert open_trace(tmp_path / "out").runs[0].masks is None  # the overlay video has them drawn in
    with pytest.raises(InputError, match="only its trace"):
        opened.heat(run, 3, 1, 1)
    with pytest.raises(InputError, match="only its trace"):
        opened.what_if(run, 3, drop=0)


def test_a_trace_of_a_part_shows_the_frames_of_that_part(network: STReMN, clip: Any, tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "v.mp4", 10) as video:
        for frame in clip[0]:
            video.write(frame)
    save_model(tmp_path / "weights", network, META)
    given = {2: first_seen(clip[1])[0]}
    segment_video(
        tmp_path / "v.mp4", given, tmp_path / "out", start=2, checkpoint=tmp_path / "weights", slots=3
    )
    shown = open_trace(tmp_path / "out", tmp_path / "v.mp4").pictures
    whole = pictures(tmp_path / "v.mp4")
    assert len(shown) == LENGTH - 2
    for number in (0, 3, len(shown) - 1):
        np.testing.assert_array_equal(shown.again()[number], whole[number + 2])


def test_a_trace_of_the_pipeline_finds_clip_truth_and_masks(
    network: STReMN, clip: Any, tmp_path: Path
) -> None:
    made = make_clip(ClipSettings(length=LENGTH, size=64), "test", 4)
    write_clip(tmp_path / "data/prepared/demo/vos/test", made)
    run = Session(network, made.frames, make_policy("oldest", slots=3), truth=made.masks, meta=META).run()
    predicted = tmp_path / "data/runs/demo/evaluate_vos/predictions/oldest" / made.name
    predicted.mkdir(parents=True)
    for t in range(LENGTH):
        write_mask(predicted / f"{t:05d}.png", run.masks[t])  # type: ignore[index]
    path = tmp_path / "data/runs/demo/memory/traces/oldest" / f"{made.name}.json"
    path.parent.mkdir(parents=True)
    run.trace.save(path)
    opened = open_trace(path)
    assert opened.truth is not None and len(opened.pictures) == LENGTH
    assert opened.runs[0].mean_j() == pytest.approx(run.mean_j())


def test_an_artifact_of_a_run_is_found(tmp_path: Path) -> None:
    path = tmp_path / "mlartifacts/abc/artifacts/traces/t.json"
    path.parent.mkdir(parents=True)
    step = TraceStep(0, 0, 0, "append", [], [0], [0], None, [], None, None, None)
    Trace([step]).save(path)
    assert find_trace("runs:/abc/traces/t.json", tmp_path) == path
    opened = open_trace("runs:/abc/traces/t.json", root=tmp_path)
    assert len(opened.pictures) == 1 and opened.pictures[0].std() == 0  # a grey picture
    with pytest.raises(InputError, match="found none"):
        find_trace("runs:/abd/t.json", tmp_path)


def test_gaps_of_a_trace_are_filled() -> None:
    steps = [TraceStep(0, 0, t, "append", list(range(n)), list(range(n + 1)), [], None, [], None, None, None)
             for n, t in enumerate((1, 4))]  # fmt: skip
    full = whole(Trace(steps))
    assert [s.frame for s in full] == list(range(5)) and [len(s.held) for s in full] == [0, 1, 1, 1, 2]
    with pytest.raises(InputError, match="at least one frame"):
        whole(Trace([]))


class Watched(ArrayPictures):
    """Pictures that remember which of them were read."""

    read: list[int]

    def __getitem__(self, number: int) -> np.ndarray:
        self.read.append(number)
        return super().__getitem__(0)

    def __len__(self) -> int:
        return 10_000


def test_a_long_trace_reads_only_what_is_seen(tmp_path: Path) -> None:
    held = [0, 1, 2, 3, 4, 5]
    steps = []
    for t in range(10_000):
        before = held[: min(t, 6)]
        slot = 1 + t % 5 if t >= 6 else None
        held = [t if k == slot else f for k, f in enumerate(held)]
        kind = "append" if slot is None else "evict"
        gone = None if slot is None else before[slot]
        after = held[: min(t + 1, 6)]
        mass = [1 / len(before)] * len(before) if before else None
        steps.append(
            TraceStep(
                0,
                0,
                t,
                kind,
                before,
                after,
                [t - f for f in after],
                None,
                [True] * len(before),
                mass,
                slot,
                gone,
            )
        )
    Trace(steps, {"frames": 10_000}).save(tmp_path / "long.json")
    watched = Watched(np.zeros((1, 48, 64, 3), np.uint8))
    watched.read = []
    opened = open_trace(tmp_path / "long.json", into=Session(None, watched))
    fields, buffers = packing.whole_run(opened.runs[0])
    assert fields["done"] == 10_000 and fields["slots"] == 6 and watched.read == []
    assert sum(map(len, buffers)) < 1_000_000 and len(json.dumps(fields)) < 1000
    shown = Explorer(opened)
    shown.send = lambda content, buffers=None: None  # type: ignore[method-assign]
    shown._asked(None, {"ask": "view", "frame": 7000, "runs": [0]}, [])
    shown._asked(None, {"ask": "thumbs", "run": 0, "frames": [6999, 0]}, [])
    assert sorted(watched.read) == [0, 6999, 7000]


# --- what the browser is told


class Asker:
    """Asks the widget as the browser does."""

    def __init__(self, widget: Explorer) -> None:
        self.widget, self.told = widget, []
        widget.send = lambda content, buffers=None: self.told.append((content, buffers or []))  # type: ignore[method-assign]

    def __call__(self, what: str, buffers: Any = (), **content: Any) -> tuple[dict[str, Any], list[bytes]]:
        self.told.clear()
        self.widget._asked(None, {"ask": what, "number": 7, "view": "v", **content}, list(buffers))
        (answer,) = [(c, b) for c, b in self.told if c.get("answer") == 7]
        json.dumps(answer[0], allow_nan=False)
        return answer


@pytest.fixture
def asker(network: STReMN, clip: Any) -> Asker:
    widget = Explorer(session(network, clip))
    widget.wait()
    return Asker(widget)


def test_the_widget_shows_a_frame_its_slots_and_heat(asker: Asker) -> None:
    hello, (table,) = asker("hello")
    assert hello["frames"] == LENGTH and hello["truth"] and len(table) == 768 and len(hello["runs"]) == 1
    view, (picture, outline, mask, heat) = asker(
        "view", frame=9, runs=[0], truth=True, pixel={"x": 30, "y": 20}
    )
    assert picture[:2] == b"\xff\xd8" and outline[:4] == mask[:4] == b"\x89PNG"
    (part,) = view["parts"]
    run = asker.widget.session.runs[0]
    assert [s["frame"] for s in part["step"]["slots"]] == run.step(9).held_before
    assert sum(s["next"] for s in part["step"]["slots"]) == 1
    assert np.frombuffer(heat, np.float32).sum() == pytest.approx(1, abs=1e-5)
    _, (lives, mass, curves, evicted) = asker("run", run=0)
    assert (
        len(mass) == LENGTH * 3 and len(curves) == LENGTH * 3 * 4 and len(lives) % 12 == len(evicted) % 8 == 0
    )
    assert asker("mask", run=0, frame=3)[1][0] == run.masks[3].tobytes()  # type: ignore[index]


def test_the_widget_changes_races_and_segments(asker: Asker, clip: Any) -> None:
    made, _ = asker("change", run=0, frame=8, drop=1)
    asker.widget.wait()
    assert made["made"] == 1 and asker("runs")[0]["runs"][1]["done"] == LENGTH
    race, _ = asker("race", rules=["oldest", "previous"], slots=4)
    asker.widget.wait()
    assert race["made"] == [2, 3] and all(r["done"] == LENGTH for r in asker("runs")[0]["runs"])
    drawn = np.zeros((40, 56), np.uint8)
    drawn[5:20, 5:25] = 1
    new, _ = asker("segment", [drawn.tobytes()], frames=[0])
    asker.widget.wait()
    run = asker.widget.session.runs[new["made"]]
    assert (run.masks[0] == drawn).all() and run.done == LENGTH  # type: ignore[index]
    assert "problem" not in asker("change", run=0, frame=8, drop=1)[0]  # though of another first mask
    assert "problem" in asker("change", run=new["made"], frame=8, rule="nothing")[0]


def test_a_run_can_be_stopped(network: STReMN, clip: Any) -> None:
    widget = Explorer(Session(network, np.tile(clip[0], (40, 1, 1, 1)), make_policy("oldest", slots=3),
                              given={0: clip[1][0]}, meta=META))  # fmt: skip
    ask = Asker(widget)
    ask("stop")
    widget.wait()
    assert widget.session.runs[0].done < 40 * LENGTH
    assert widget.session.runs[0].done == len(widget.session.runs[0].trace.steps)


def test_the_widget_without_a_mask_waits_for_one(network: STReMN, clip: Any) -> None:
    ask = Asker(Explorer(Session(network, clip[0], make_policy("learned", slots=3), meta=META)))
    hello, _ = ask("hello")
    assert hello["runs"] == [] and not hello["can_run"] and hello["has_weights"]
    view, (picture, *_) = ask("view", frame=0, runs=[])
    assert picture[:2] == b"\xff\xd8" and view["parts"] == []
    assert "problem" in ask("segment", [bytes(40 * 56)], frames=[0])[0]
    ask("segment", [clip[1][0].tobytes()], frames=[0])
    ask.widget.wait()
    assert ask.widget.session.runs[0].done == LENGTH


def test_predictions_are_shown_with_their_slots(clip: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    fields = {"base_width": 8, "max_width": 16, "blocks": 2, "halvings": 2, "key_dim": 8, "value_dim": 8}
    path = tmp_path / "predict.safetensors"
    meta = {"system": "stremn", "task": "prediction", "fields": fields, "default_size": 32}
    save_model(path, VideoPredictor(**fields), meta)  # type: ignore[arg-type]
    shown = Predictions(ArrayPictures(clip[0]), path, observed=8, predicted=8)
    first, _ = shown.answer({"at": 0})
    assert first["shown"] == ["truth"] and first["slots"] == [] and first["errors"][0] is None
    later, pictures_of = shown.answer({"at": 12})
    assert later["shown"] == ["truth", "predicted", "error"] and later["observed"] == 8
    assert len(pictures_of) == 3 + len(later["slots"]) and later["slots"]
    assert {len(p) for p in pictures_of} == {later["side"] ** 2}
    assert shown.answer({})[0]["at"] == 8  # the first that is not observed
    assert shown.answer({"at": 99})[0]["shown"] == ["predicted"]  # after the end of the video
    frames = shown.frames()
    assert frames[12].error == pytest.approx(np.abs(frames[12].predicted - frames[12].truth))
    assert later["errors"][12] == pytest.approx(
        float(np.mean((frames[12].predicted - frames[12].truth) ** 2))
    )
    assert later["errors"][15] is None and frames[15].truth is None
    for n, slot in enumerate(later["slots"]):  # the memory from which frame 12 was predicted, as 11 found it
        held = frames[slot["frame"]]
        assert slot["age"] == 11 - held.frame >= 1 and held.observed == slot["observed"] == (held.frame < 8)
        kept = np.frombuffer(pictures_of[3 + n], np.uint8).reshape(32, 32)
        shown_there = held.truth if held.observed else held.predicted
        assert np.abs(kept / 255 - shown_there).max() < 0.003
    assert sum(slot["mass"] for slot in later["slots"]) == pytest.approx(1, abs=1e-4)
    with pytest.raises(InputError, match="frames to watch"):
        Predictions(ArrayPictures(clip[0]), path, observed=20)


def test_void_in_the_first_mask_is_no_object(network: STReMN, clip: Any, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_model(path, network, META)
    mask = clip[1][0].copy()
    mask[0] = 255
    opened = Session.open(clip[0], mask, checkpoint=path)
    assert np.unique(opened.given.masks[0]).tolist() == [0, 1]


def test_an_unknown_rule_is_told_before_the_page(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("stremn.explore.page.serve", lambda *settings, **more: None)
    assert main(["explore", "--policy", "nope"]) == 2
    error = capsys.readouterr().err
    assert "'nope'" in error and error.count("\n") == 1


def test_the_page_is_one_call() -> None:
    (cell,) = page({"video": "a b.mp4", "mask": None, "slots": 4}).cells
    assert "    shown = explorer(video='a b.mp4', slots=4)\n" in cell.source
    compile(cell.source, "page", "exec")


def test_all_tabs_have_one_kernel_which_ends_when_none_is_left() -> None:
    async def two_tabs() -> None:
        manager = OneKernel(cull_idle_timeout=1, cull_interval=1)
        first, second = await asyncio.gather(*(manager.start_kernel(kernel_name="python3") for _ in range(2)))
        assert first == second and manager.list_kernel_ids() == [first]
        manager.notify_connect(first)
        await asyncio.sleep(3)
        assert manager.list_kernel_ids() == [first]  # a tab is open
        manager.notify_disconnect(first)
        for _ in range(300):
            if not manager.list_kernel_ids():
                break
            await asyncio.sleep(0.1)
        assert manager.list_kernel_ids() == []
        assert await manager.start_kernel(kernel_name="python3") == first  # a later tab starts anew
        await manager.shutdown_all()

    asyncio.run(two_tabs())


def test_the_script_loads_nothing() -> None:
    text = script()
    assert "export default" in text and "import " not in text and "http" not in text
