"""RMem and READMem, each against a short reference of itself."""

import math

import numpy as np
import pytest
import torch

from stremn.memory import MemoryState, Template, make_policy, write
from stremn.memory.rivals import foreground_shares, similarities

H, W = 2, 3


def template(frame: int, *, objects: int = 2, groups: int = 1, seed: int = 0, like: float = 0.0) -> Template:
    """A random template; ``like``: how much all of them have in common."""
    g = torch.Generator().manual_seed(seed * 10_000 + frame)
    common = like * torch.ones(1, groups, 3, H, W)
    foreground = torch.rand(1, objects, H, W, generator=g)
    return Template(
        torch.randn(1, groups, 3, H, W, generator=g) + common,
        torch.zeros(1, objects, 1, H, W),
        torch.zeros(1, objects, 1, H, W),
        torch.zeros(1, 1, H, W),
        frame,
        torch.ones(1, objects, dtype=torch.bool),
        torch.full((1, objects), frame == 0),
        foreground=foreground,
    )


def rows(frame: int, **options: float) -> np.ndarray:
    """Keys (N, C) of a template."""
    return template(frame, **options).key[0, 0].flatten(1).T.double().numpy()  # type: ignore[arg-type]


def held_after(name: str, frames: int, like: float = 0.0, **settings: int) -> list[list[int]]:
    policy, state, out = make_policy(name, **settings), MemoryState.empty(), []
    for t in range(frames):
        state = write(state, template(t, like=like), policy)
        out.append(sorted(state.frame_index[0, 0].tolist()))
    return out


def shares(t: int, held: list[int], like: float) -> dict[int, float]:
    """Share of the read of frame t on each frame held, weighted by its objects; mean over these."""
    query, keys = rows(t, like=like), [rows(f, like=like) for f in held]
    weights = np.exp(np.stack([query @ key.T for key in keys]) / math.sqrt(3)).sum(2)  # (K, N)
    mass = template(t, like=like).foreground[0].flatten(1).double().numpy() @ (weights / weights.sum(0)).T
    return dict(zip(held, (mass / mass.sum(1, keepdims=True)).mean(0), strict=True))


def rmem(t: int, held: list[int], slots: int, every: int, like: float) -> int:
    """Which frame goes, by the words of RMem."""
    *long_term, latest = held
    if latest % every:
        return latest
    share = shares(t, held, like)
    total = sum(share[f] for f in long_term)
    n = {f: slots if f == 0 else (t - f) // every for f in held}
    bound = {
        f: share[f] / total + 1.5 * math.sqrt(math.log(sum(n.values())) / (n[f] + 8)) for f in long_term[1:]
    }
    return min(bound, key=lambda f: bound[f])


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Of two maps, after each position of the first took its best match in the second."""
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b)]
    b = b[(unit[0] @ unit[1].T).argmax(1)]
    return float((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b))


def readmem(t: int, held: list[int], slots: int, every: int, like: float) -> int:
    """Which frame goes, by the words of READMem."""
    *long_term, latest = held
    keys = {f: rows(f, like=like) for f in held}

    def differ(frames: list[int]) -> float:
        return abs(np.linalg.det([[cosine(keys[a], keys[b]) for b in frames] for a in frames]))

    if latest % every or cosine(keys[latest], keys[0]) < 0.5:
        return latest
    exchanged = {f: differ([latest if x == f else x for x in long_term]) for f in long_term if f}
    gone = max(exchanged, key=lambda f: exchanged[f])
    return gone if exchanged[gone] > differ(long_term) else latest


@pytest.mark.parametrize(("slots", "every"), [(4, 1), (5, 3), (3, 2)])
@pytest.mark.parametrize("like", [0.3, 2.0])
@pytest.mark.parametrize("rule", [rmem, readmem])
def test_rivals_against_the_reference(rule: type, slots: int, every: int, like: float) -> None:
    held: list[int] = []
    expected = []
    for t in range(30):
        if len(held) == slots:
            held.remove(rule(t, held, slots, every, like))  # type: ignore[call-arg]
        held.append(t)
        expected.append(list(held))
    assert held_after(rule.__name__, 30, like, slots=slots, every=every) == expected
    if like == 2.0 or rule is rmem:  # frames were accepted, so that the test has seen more than the latest go
        assert len({f for now in expected for f in now if f != now[-1]}) > slots


def test_shares_sum_to_one_and_see_the_objects_alone() -> None:
    policy, state = make_policy("rmem", slots=3), MemoryState.empty()
    for t in range(3):
        state = write(state, template(t), policy)
    found = foreground_shares(state, template(3))
    assert found.shape == (1, 2, 3) and torch.allclose(found.sum(-1), torch.ones(1, 2))
    assert not torch.allclose(found[0, 0], found[0, 1])  # two objects, two places
    everywhere = foreground_shares(state, template(3, groups=2))
    assert everywhere.shape == (1, 2, 3)


def test_a_map_is_like_itself_wherever_its_parts_are() -> None:
    policy, state = make_policy("readmem", slots=3), MemoryState.empty()
    for t in range(2):
        state = write(state, template(t), policy)
    new = template(0)
    moved = Template(
        new.key.flip(-1), new.value, new.update_key, new.update_query, 2, new.present, ~new.given
    )
    gram = similarities(write(state, moved, policy))[0, 0]
    assert torch.allclose(gram.diagonal(), torch.ones(3))
    assert gram[0, 2] == pytest.approx(1, abs=1e-5) and gram[0, 1] < 0.99
