"""Slots, rules, trace, files: each rule against a short reference of itself."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch

from stremn.errors import InputError
from stremn.memory import (
    POLICIES,
    MemoryBuffer,
    MemoryState,
    Template,
    Trace,
    make_policy,
    read,
    write,
)
from stremn.memory.trace_file import unpack
from stremn.models.update import Judge

H = W = 2
SLOT_RULES = [name for name, entry in POLICIES.items() if entry.unit == "slot"]

JUDGE = Judge(3)


def template(
    frame: int, *, objects: int = 2, batch: int = 1, given: bool | None = None, seed: int = 0, groups: int = 0
) -> Template:
    g = torch.Generator().manual_seed(seed * 10_000 + frame)
    is_given = frame == 0 if given is None else given
    return Template(
        torch.randn(batch, groups or objects, 3, H, W, generator=g),
        torch.randn(batch, objects, 4, H, W, generator=g),
        torch.randn(batch, objects, 5, H, W, generator=g),
        torch.randn(batch, 5, H, W, generator=g),
        frame,
        torch.ones(batch, objects, dtype=torch.bool),
        torch.full((batch, objects), is_given),
        judge=JUDGE,
    )


def held_after(name: str, frames: int, seed: int = 0, **settings: object) -> list[list[int]]:
    """Frame indices after each write, as the memory does it."""
    policy = make_policy(name, **settings)  # type: ignore[arg-type]
    state, out = MemoryState.empty(), []
    g = torch.Generator().manual_seed(seed)
    for t in range(frames):
        state = write(state, template(t, seed=seed), policy, generator=g)
        out.append(sorted(state.frame_index[0, 0].tolist()))
    return out


def reference(name: str, frames: int, slots: int, protect_previous: bool, every: int) -> list[list[int]]:
    """The deterministic rules on plain lists of frame numbers."""
    held: list[int] = []
    out = []
    for t in range(frames):
        free = [f for f in held if f != 0 and not (protect_previous and f == t - 1)]
        if name == "oldest" and len(held) == slots:
            held.remove(min(free))
        if name == "newest" and len(held) == slots:
            held.remove(max(free))
        if name == "first_and_previous":
            held = held[:1]
        if name == "previous":
            held = []
        if name == "every_n":
            held = [f for f in held if f % every == 0]
        if name != "first" or t == 0:
            held.append(t)
        out.append(sorted(held))
    return out


@pytest.mark.parametrize("name", ["oldest", "newest", "first_and_previous", "previous", "first", "every_n"])
@pytest.mark.parametrize(("slots", "protect_previous", "every"), [(3, False, 5), (5, True, 3), (4, True, 1)])
def test_deterministic_rules_against_the_reference(
    name: str, slots: int, protect_previous: bool, every: int
) -> None:
    settings = {"slots": slots, "protect_previous": protect_previous, "every": every}
    assert held_after(name, 23, **settings) == reference(name, 23, slots, protect_previous, every)


@pytest.mark.parametrize("name", ["learned", "most_similar"])
@pytest.mark.parametrize("protect_previous", [False, True])
def test_similarity_rules_against_the_reference(name: str, protect_previous: bool) -> None:
    slots, frames = 4, 25
    kept: list[int] = []
    expected = []
    for t in range(frames):
        new = template(t)
        if len(kept) == slots:
            score = {}
            for f in [f for f in kept if f != 0 and not (protect_previous and f == t - 1)]:
                old = template(f)
                pairs = [(new.update_query[0], old.update_key[0, o]) for o in range(2)]
                if name == "most_similar":
                    pairs = [(new.key[0, o], old.key[0, o]) for o in range(2)]
                score[f] = sum(
                    torch.stack(
                        [
                            torch.cosine_similarity(a[:, p, None], b.flatten(1), dim=0).max()
                            for p in range(H * W)
                        ]
                    ).mean()
                    for a, b in ((x.flatten(1), y) for x, y in pairs)
                )
            kept.remove(max(score, key=lambda f: float(score[f])))
        kept.append(t)
        expected.append(sorted(kept))
    assert held_after(name, frames, slots=slots, protect_previous=protect_previous) == expected


def test_random_drop_is_uniform_over_evictable_slots() -> None:
    gone = [({*range(4)} - {*held_after("random_drop", 5, seed=s, slots=4)[-1]}).pop() for s in range(600)]
    assert 0 not in gone
    assert all(abs(gone.count(f) / 600 - 1 / 3) < 0.07 for f in (1, 2, 3))


def test_random_select_keeps_every_past_frame_equally_often() -> None:
    kept = [held_after("random_select", 12, seed=s, slots=5)[-1] for s in range(800)]
    assert all(held[0] == 0 and held[-1] == 11 for held in kept)
    share = [sum(f in held for held in kept) / 800 for f in range(1, 11)]
    assert all(abs(s - 3 / 10) < 0.06 for s in share), share


def test_slot_count_stays_constant_over_500_frames_and_first_and_newest_stay() -> None:
    for name in [n for n in SLOT_RULES if POLICIES[n].fixed]:
        for t, held in enumerate(held_after(name, 500, slots=4)):
            assert len(held) == min(t + 1, 4) and held[0] == 0 and held[-1] == t


def test_only_the_chosen_slot_changes() -> None:
    policy = make_policy("learned", slots=3)
    state = MemoryState.empty()
    for t in range(8):
        before, state = state, write(state, template(t), policy)
        for slot in range(before.slots):
            same = torch.equal(before.values[:, :, slot], state.values[:, :, slot])
            assert same == (before.frame_index[0, 0, slot] == state.frame_index[0, 0, slot])
        at = int((state.frame_index[0, 0] == t).nonzero())
        expected = template(t).value.flatten(-2).transpose(-1, -2)
        assert torch.equal(state.values[:, :, at], expected)


def test_gradient_reaches_the_update_keys() -> None:
    templates = []
    for t in range(4):
        new = template(t)
        templates.append(
            Template(
                new.key,
                new.value,
                new.update_key.requires_grad_(),
                new.update_query.requires_grad_(),
                t,
                new.present,
                new.given,
            )
        )
    policy = make_policy("learned", slots=3)
    state = MemoryState.empty()
    for new in templates:
        state = write(state, new, policy, noise=True, generator=torch.Generator().manual_seed(1))
    read(state, torch.randn(1, 3, H, W)).square().sum().backward()
    assert (
        templates[3].update_query.grad is not None and float(templates[3].update_query.grad.abs().sum()) > 0
    )
    assert templates[1].update_key.grad is not None and float(templates[1].update_key.grad.abs().sum()) > 0
    assert templates[0].update_key.grad is None or float(templates[0].update_key.grad.abs().sum()) == 0


@pytest.mark.parametrize("name", SLOT_RULES)
@pytest.mark.parametrize("per_object", [False, True])
@pytest.mark.parametrize("groups", [1, 2])
def test_buffer_equals_the_value(name: str, per_object: bool, groups: int) -> None:
    policy = make_policy(name, slots=3, every=3, per_object=per_object)
    value, buffer = MemoryState.empty(), MemoryBuffer(policy)
    first, second = torch.Generator().manual_seed(2), torch.Generator().manual_seed(2)
    for t in range(14):
        new = template(t, groups=groups)
        if t < 4:  # the second object appears late
            new.present[:, 1] = False
        new.given[:, 1] = t == 4
        value = write(value, new, policy, generator=first)
        buffer.write(new, generator=second)
        for key, tensor in value.tensors().items():
            found = buffer.state.tensors()[key]
            hidden = ~value.valid if key in ("values", "update_keys") else None
            if hidden is not None:
                tensor, found = (
                    tensor.masked_fill(hidden[..., None, None], 0),
                    found.masked_fill(hidden[..., None, None], 0),
                )
            assert torch.equal(tensor, found), (t, key)


@pytest.mark.parametrize("groups", [1, 0])
def test_a_buffer_that_meets_its_second_object_late_keeps_the_keys_of_both(groups: int) -> None:
    policy = make_policy("oldest", slots=3)
    value, buffer = MemoryState.empty(), MemoryBuffer(policy)
    for t in range(6):
        both = template(t, groups=groups)
        both.present[:, 1], both.given[:, 1] = t >= 2, t == 2
        value = write(value, both, policy)
        if t == 2:
            buffer.add_objects(1)
        seen = slice(0, 2 if t >= 2 else 1)
        alone = [x[:, seen] for x in (both.key, both.value, both.update_key, both.present, both.given)]
        buffer.write(Template(*alone[:3], both.update_query, t, *alone[3:]))
    query = torch.randn(1, 3, H, W)
    assert torch.equal(read(value, query), buffer.read(query))


def test_skipping_frames_that_are_not_due_equals_writing_them() -> None:
    policy = make_policy("every_n", every=3, keep_latest=False)
    traces, state, buffer = (Trace(), Trace()), MemoryState.empty(), MemoryBuffer(policy)
    skipped = []
    for t in range(10):
        new = template(t, given=t in (0, 5))
        state = write(state, new, policy, trace=traces[0])
        if buffer.due(t, new.given):
            buffer.write(new, trace=traces[1])
        else:
            skipped.append(t)
            buffer.skip(t, traces[1])
    assert skipped == [1, 2, 4, 7, 8] and traces[0] == traces[1]
    assert all(torch.equal(x, buffer.state.tensors()[k]) for k, x in state.tensors().items())
    assert MemoryBuffer(make_policy("every_n", every=3)).due(1, torch.zeros(1, 2, dtype=torch.bool))


def test_a_late_object_reads_nothing_before_and_keeps_its_given_mask() -> None:
    policy = make_policy("learned", slots=4)
    state = MemoryState.empty()
    for t in range(20):
        new = template(t)
        new.present[:, 1] = t >= 6
        new.given[:, 1] = t == 6
        state = write(state, new, policy)
        if t == 5:
            assert float(read(state, torch.randn(1, 3, H, W))[:, 1].abs().max()) == 0
    assert {0, 6, 19} <= set(state.frame_index[0, 0].tolist())
    assert state.frame_index[0, 1].min() >= -1 and 0 not in state.frame_index[0, 1].tolist()
    assert state.slots == 4


def test_more_late_objects_than_slots_never_exceed_the_slots() -> None:
    policy = make_policy("learned", slots=3)
    state = MemoryState.empty()
    for t in range(9):
        state = write(state, template(t, given=True), policy)
        assert (
            state.slots <= 3
            and 0 in state.frame_index[0, 0].tolist()
            and t in state.frame_index[0, 0].tolist()
        )


def test_objects_may_decide_for_themselves() -> None:
    shared = make_policy("learned", slots=3)
    own = make_policy("learned", slots=3, per_object=True)
    states = []
    for policy in (shared, own):
        state = MemoryState.empty()
        for t in range(30):
            state = write(state, template(t), policy)
        states.append(state)
    assert torch.equal(states[0].frame_index[0, 0], states[0].frame_index[0, 1])
    assert not torch.equal(states[1].frame_index[0, 0], states[1].frame_index[0, 1])


def test_trace_tells_what_happened() -> None:
    policy = make_policy("learned", slots=3)
    trace, state = Trace(), MemoryState.empty()
    for t in range(7):
        if t:
            read(state, torch.randn(1, 3, H, W), trace=trace)
        before = state
        state = write(state, template(t), policy, trace=trace)
        step = trace.steps[-1]
        assert step.frame == t and step.held == state.frame_index[0, 0].tolist()
        assert step.held_before == (before.frame_index[0, 0].tolist() if t else [])
        assert step.ages == [t - f for f in step.held]
        assert (step.read_mass is None) == (t == 0)
        if step.read_mass is not None:
            assert sum(step.read_mass) == pytest.approx(1, abs=1e-5) and len(step.read_mass) == len(
                step.held_before
            )
        if t >= 3:
            assert step.action == "evict" and step.scores is not None
            best = max((s, -i) for i, s in enumerate(step.scores) if step.evictable[i])
            assert step.evicted_slot == -best[1] and step.evicted_frame == step.held_before[step.evicted_slot]


def test_trace_file_round_trip_and_refusal(tmp_path: Path) -> None:
    trace = Trace(about={"rule": "learned"})
    write(MemoryState.empty(), template(0), make_policy("oldest"), trace=trace)
    trace.save(tmp_path / "trace.json")
    assert Trace.load(tmp_path / "trace.json") == trace
    (tmp_path / "other.json").write_text("[1]")
    with pytest.raises(InputError, match="stremn-trace"):
        Trace.load(tmp_path / "other.json")


@pytest.mark.parametrize("every", [1, 3])
def test_a_trace_of_a_memory_that_grows_is_linear_in_its_length(tmp_path: Path, every: int) -> None:
    policy = make_policy("every_n", every=every)
    trace, state, size = Trace(), MemoryState.empty(), {}
    for t in range(401):
        if t:
            read(state, torch.randn(1, 3, H, W), trace=trace)
        state = write(state, template(t, objects=1), policy, trace=trace)
        if t in (200, 300, 400):
            trace.save(tmp_path / "trace.json")
            size[t] = (tmp_path / "trace.json").stat().st_size
    assert size[400] - size[300] < 1.2 * (size[300] - size[200])
    assert size[400] < 401 * 2500  # bytes
    again = Trace.load(tmp_path / "trace.json")
    assert again == trace
    step = again.steps[-1]
    assert step.held == state.frame_index[0, 0].tolist() and len(step.held) > 400 // every
    shown = sorted(step.read_mass or [])[-32:]  # the explorer shows 24 slots of a frame
    assert len(step.read_mass or []) == len(step.held_before) and shown[0] > 0


def test_a_fixed_memory_of_many_slots_keeps_its_scores(tmp_path: Path) -> None:
    policy, trace, state = make_policy("learned", slots=70), Trace(), MemoryState.empty()
    for t in range(80):
        if t:
            read(state, torch.randn(1, 3, H, W), trace=trace)
        state = write(state, template(t, objects=1), policy, trace=trace)
    trace.save(tmp_path / "trace.json")
    again = Trace.load(tmp_path / "trace.json")
    assert again == trace
    step = again.steps[-1]
    assert step.action == "evict" and len(step.scores or []) == len(step.evictable) == 70


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("read_mass", {"of": 10**12, "shares": {}}),
        ("read_mass", {"of": 3, "shares": {"7": 0.5}}),
        ("read_mass", {"of": -5, "shares": {}}),
        ("evictable", {"runs": [[True, 10**12]]}),
        ("held_before", None),
        ("held", None),
    ],
)
def test_a_packed_step_that_fits_nothing_is_one_line(part: str, value: object) -> None:
    trace = Trace()
    write(MemoryState.empty(), template(0), make_policy("oldest"), trace=trace)
    form = {**trace.to_dict(), "version": 2}
    form["steps"][0] |= {"action": "evict", "evicted_slot": 9} | {part: value}
    with pytest.raises(InputError, match="complete steps in here"):
        Trace.from_dict(form, "here")


def test_a_long_trace_is_read_as_far_as_there_is_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def long() -> list[dict[str, Any]]:
        """Steps of a memory of 60,000 slots that stays as it is."""
        own = {"action": "skip", "held": None, "read_mass": None, "evictable": {"runs": []}}
        return [{**own, "held_before": None if t else [0] * 60_000} for t in range(1000)]

    steps = long()
    unpack(steps)
    assert len(steps[-1]["held"]) == 60_000
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=10**9))
    with pytest.raises(ValueError, match="than this machine has memory for"):
        unpack(long())
    step = {**long()[0], "evictable": {"runs": [[True, -(10**6)], [False, 10**6]]}}
    with pytest.raises(ValueError, match="than this machine has memory for"):
        unpack([step])


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("lerned", {}, "did you mean 'learned'"),
        ("learned", {"slots": 0}, "at least 2"),
        ("every_n", {"every": 0}, "every"),
    ],
)
def test_bad_settings_are_named(name: str, settings: dict[str, int], words: str) -> None:
    with pytest.raises(InputError, match=words):
        make_policy(name, **settings)  # type: ignore[arg-type]
