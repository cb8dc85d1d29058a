"""Oracles: Belady's rule against ten lines of it, and the greedy one on a clip where a choice decides."""

import numpy as np
import pytest
import torch
from torch import Tensor

from stremn.data.appearances import Truth
from stremn.errors import InputError
from stremn.inference.greedy import greedy
from stremn.inference.oracle import belady
from stremn.memory import MemoryState, Policy, Template, Trace, make_policy, write
from stremn.models.vos import Query, VOSNetwork
from stremn.tasks.vos import rollout

SIDE, COLOURS = 6, 5
NEAR, FAR = (1, 1), (3, 3)  # corners of an object of 2 × 2 pixels


class ByColour(VOSNetwork):
    """Knows a pixel again by its colour, and where no template has that colour by its place."""

    stride = 1

    def encode_query(self, frames_B3HW: Tensor) -> Query:
        colour = torch.nn.functional.one_hot((frames_B3HW[:, 0] * 10).round().long(), COLOURS)
        place = torch.eye(SIDE * SIDE).unflatten(0, (SIDE, SIDE)).expand(len(frames_B3HW), -1, -1, -1)
        key = torch.cat([40.0 * colour, 12.0 * place], -1).permute(0, 3, 1, 2)
        return Query(frames_B3HW, key, key, key[:, :1], key[:, :0])

    def encode_memory(self, query: Query, masks_BOHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return query.key[:, None], masks_BOHW[:, :, None], masks_BOHW[:, :, None]

    def decode(self, query: Query, read_BOChw: Tensor) -> Tensor:
        return read_BOChw[:, :, 0].clamp(0.001, 0.999)


def clip(colours: list[int], places: list[tuple[int, int]]) -> tuple[Tensor, Tensor]:
    """Frames (T, 3, S, S) and masks (T, S, S) of one object of these colours in these places; 0: out of sight."""
    masks = torch.zeros(len(colours), SIDE, SIDE, dtype=torch.long)
    frames = torch.zeros(len(colours), 3, SIDE, SIDE)
    for t, (colour, (y, x)) in enumerate(zip(colours, places, strict=True)):
        if colour:
            masks[t, y : y + 2, x : x + 2] = 1
            frames[t, :, y : y + 2, x : x + 2] = colour / 10
    return frames, masks


# The colours 1, 2, 3 in one place; the object is gone; it comes back elsewhere in colour 2. Three slots, the first
# holds frame 0 for ever: who keeps the two latest frames besides, or the first two, has forgotten colour 2.
COLOUR = [1, 1, 2, 2, 3, 3, 0, 2, 2]
PLACE = [NEAR] * 7 + [FAR] * 2
SHOWN = np.array([[colour - 1] for colour in COLOUR])


def mean_j(ids: Tensor, masks: Tensor) -> float:
    union = ((ids > 0) | (masks > 0)).flatten(1).sum(1)
    both = ((ids > 0) & (masks > 0)).flatten(1).sum(1)
    return float(torch.where(union > 0, both / union.clamp_min(1), 1.0)[1:].mean())


def rolled(policy: Policy, frames: Tensor, masks: Tensor) -> tuple[float, list[list[int]]]:
    trace = Trace()
    with torch.no_grad():
        ids = rollout(ByColour(), frames[None], masks[None], 1, policy, trace=trace).ids()[0]
    return mean_j(ids, masks), [step.held for step in trace.steps]


def test_oldest_and_newest_forget_the_colour_and_belady_holds_it() -> None:
    frames, masks = clip(COLOUR, PLACE)
    for rule, kept in (("oldest", [0, 4, 5]), ("newest", [0, 1, 5])):
        j, held = rolled(make_policy(rule, slots=3), frames, masks)
        assert j == pytest.approx(6 / 8) and sorted(held[5]) == kept
    j, held = rolled(belady([Truth(SHOWN, SHOWN < 0)], 3), frames, masks)
    assert j == 1.0 and {2, 3} & set(held[5]) and {2, 3} & set(held[6])


@pytest.mark.parametrize("rule", ["oldest", "newest", "most_similar"])
def test_greedy_is_never_worse_than_the_rule_that_it_branches_from(rule: str) -> None:
    frames, masks = clip(COLOUR, PLACE)
    policy = make_policy(rule, slots=3)
    j, _ = rolled(policy, frames, masks)
    found = greedy(ByColour(), frames, masks, 1, policy, horizon=6)
    assert mean_j(found.ids, masks) >= j
    if rule == "newest":  # the one that leaves all slots but the chosen one as they are
        assert mean_j(found.ids, masks) == 1.0 and {2, 3} & set(found.held[6])


def test_a_horizon_that_ends_before_the_return_sees_nothing() -> None:
    frames, masks = clip(COLOUR, PLACE)
    policy = make_policy("newest", slots=3)
    short = greedy(ByColour(), frames, masks, 1, policy, horizon=2)
    _, held = rolled(policy, frames, masks)
    assert short.held == held and not short.changed
    assert mean_j(short.ids, masks) == pytest.approx(6 / 8)


def test_greedy_says_where_it_left_the_rule_and_refuses_what_it_cannot_do() -> None:
    frames, masks = clip(COLOUR, PLACE)
    found = greedy(ByColour(), frames, masks, 1, make_policy("newest", slots=3), horizon=6)
    assert found.changed == [3]
    with pytest.raises(InputError, match="horizon"):
        greedy(ByColour(), frames, masks, 1, make_policy("oldest", slots=3), horizon=0)


def template(frame: int, clips: int, objects: int) -> Template:
    some = torch.zeros(clips, objects, 1, 1, 1)
    present = torch.ones(clips, objects, dtype=torch.bool)
    return Template(some, some, some, some[:, 0], frame, present, present & (frame == 0))


def reference(shown: np.ndarray, worthless: np.ndarray, slots: int) -> list[list[int]]:
    """Belady's rule on lists of frames, one object."""
    held: list[int] = [0]
    out = [[0]]
    for t in range(1, len(shown)):
        held.append(t)
        if len(held) > slots:

            def late(f: int) -> float:
                if worthless[f]:
                    return 1e9
                if any(not worthless[g] and shown[g] == shown[f] for g in held if g != f):
                    return 1e8
                again = np.flatnonzero(shown[t + 1 :] == shown[f])  # noqa: B023
                return float(again[0]) if len(again) else 1e7

            held.remove(max(held[1:-1], key=late))  # the oldest of equals
        out.append(sorted(held))
    return out


def test_belady_against_the_reference() -> None:
    rng = np.random.default_rng(0)
    shown = np.stack([np.repeat(rng.integers(0, 5, 30), 4) for _ in range(3)])
    worthless = rng.random(shown.shape) < 0.2
    worthless[:, 0] = False
    policy = belady([Truth(s[:, None], w[:, None]) for s, w in zip(shown, worthless, strict=True)], 5)
    expected = [reference(s, w, 5) for s, w in zip(shown, worthless, strict=True)]
    state = MemoryState.empty()
    for t in range(shown.shape[1]):
        state = write(state, template(t, 3, 1), policy)
        for one in range(3):
            assert sorted(state.frame_index[one, 0].tolist()) == expected[one][t]


def test_a_slot_that_one_object_needs_stays_and_a_clip_without_truth_is_refused() -> None:
    # object 1 shows the same all the time, object 2 needs frame 1 again at the end
    shown = np.array([[0, 0], [0, 1], [0, 2], [0, 2], [0, 2], [0, 1]])
    policy = belady([Truth(shown, np.zeros(shown.shape, bool))], 3)
    state = MemoryState.empty()
    for t in range(5):
        state = write(state, template(t, 1, 2), policy)
    assert sorted(state.frame_index[0, 0].tolist()) == [0, 1, 4]
    with pytest.raises(InputError, match="shown in each"):
        write(state, template(5, 1, 2), belady([], 3))
