"""Trace statistics against plain loops, and every figure drawn once without a warning."""

from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from stremn.evaluation import traces
from stremn.evaluation.distinctness import distinctness, kept_distinctness, thumbnails
from stremn.figures import cost_figures, memory_figures, memory_strips, prediction_figures, style, vos_figures


def make_trace(slots: int, frames: int, seed: int, scored: bool = True, clip: int = 0) -> dict[str, Any]:
    """A memory that evicts at random, slot 0 excepted, in the plain form of a trace."""
    generator = np.random.default_rng(seed)
    steps: list[dict[str, Any]] = []
    held: list[int] = []
    for frame in range(frames):
        before, chosen = list(held), None
        if len(held) < slots:
            held = [*held, frame]
        else:
            chosen = int(generator.integers(1, slots))
            held = [frame if slot == chosen else kept for slot, kept in enumerate(held)]
        steps.append(
            {
                "clip": clip,
                "row": 0,
                "frame": frame,
                "action": "append" if chosen is None else "evict",
                "held_before": before,
                "held": held,
                "ages": [frame - kept for kept in held],
                "scores": generator.random(slots).tolist() if scored and chosen is not None else None,
                "evictable": [slot > 0 for slot in range(len(before))],
                "read_mass": generator.dirichlet(np.ones(len(before))).tolist() if before else None,
                "evicted_slot": chosen,
                "evicted_frame": None if chosen is None else before[chosen],
            }
        )
    return {"format": "stremn-trace", "version": 1, "about": {}, "steps": steps}


# Counting


@pytest.mark.parametrize("slots", [3, 5, 7])
def test_distance_share_against_a_loop(slots: int) -> None:
    given = [make_trace(slots, 40, seed) for seed in range(3)]
    counted: Counter[int] = Counter()
    for trace in given:
        for query in range(1, 40):
            for frame in trace["steps"][query - 1]["held"]:
                if frame != 0 and frame != query - 1:
                    counted[query - frame] += 1
    share = traces.distance_share(given)
    assert share.sum() == pytest.approx(1.0)
    assert share[0] == share[1] == 0
    for distance, count in counted.items():
        assert share[distance] == pytest.approx(count / counted.total())
    assert len(share) == max(counted) + 1


def test_distance_share_by_hand() -> None:
    """Memory {0, 17, 18, 29, 32, 67} at query 68, the paper's example."""
    steps = [
        {"frame": 0, "held_before": [], "held": [0]},
        {"frame": 68, "held_before": [0, 17, 18, 29, 32, 67], "held": [0, 17, 18, 29, 32, 68]},
    ]
    share = traces.distance_share([steps])
    assert np.flatnonzero(share).tolist() == [68 - 32, 68 - 29, 68 - 18, 68 - 17]
    assert set(share[share > 0].tolist()) == {0.25}


def test_distance_share_without_anything_to_count() -> None:
    assert len(traces.distance_share([make_trace(2, 2, 0)])) == 0
    assert traces.distance_share([make_trace(4, 30, 0)], full_only=True).sum() == pytest.approx(1)


def test_clips_of_a_batch_are_kept_apart() -> None:
    one, two = make_trace(4, 20, 1), make_trace(4, 20, 2, clip=1)
    mixed = {"steps": [step for pair in zip(one["steps"], two["steps"], strict=True) for step in pair]}
    assert traces.distance_share([mixed]).tolist() == traces.distance_share([one, two]).tolist()


def test_evictions() -> None:
    given = [make_trace(4, 30, seed) for seed in range(4)]
    by_slot, by_age = traces.evictions_by_slot(given), traces.evictions_by_age(given)
    evicted = [step for trace in given for step in trace["steps"] if step["evicted_slot"] is not None]
    assert by_slot.sum() == by_age.sum() == len(evicted) == 4 * 26
    assert by_slot[0] == 0 and by_age[0] == 0
    assert by_slot[2] == sum(step["evicted_slot"] == 2 for step in evicted)
    assert by_age[1] == sum(step["frame"] - step["evicted_frame"] == 1 for step in evicted)


def test_lifetimes_fill_every_slot() -> None:
    trace = make_trace(5, 30, 3)
    lives = traces.lifetimes(trace)
    assert [life.frame for life in lives] == list(range(30)), "every frame was stored once"
    assert sorted(life.frame for life in lives if life.end is None) == traces.kept_at_end(trace)
    for step in trace["steps"]:
        alive = {
            life.slot: life.frame
            for life in lives
            if life.frame <= step["frame"] and (life.end is None or step["frame"] < life.end)
        }
        assert [alive[slot] for slot in sorted(alive)] == step["held"]


def test_slot_matrix_and_roles() -> None:
    trace = make_trace(4, 12, 5)
    frames, mass = traces.slot_matrix(trace, "read_mass")
    assert frames.tolist() == list(range(12)) and mass.shape == (12, 4)
    assert np.isnan(mass[0]).all() and np.isnan(mass[2, 2:]).all()
    assert np.nansum(mass[1:], axis=1) == pytest.approx(np.ones(11))
    roles = traces.mass_by_role([trace])
    assert sum(roles.values()) == pytest.approx(1.0)
    assert roles["first frame"] == pytest.approx(mass[3:, 0].mean())
    assert not traces.evictable_matrix(trace)[:, 0].any()


def test_real_traces_have_this_form() -> None:
    """The names this room reads are those that the memory writes."""
    from dataclasses import MISSING, fields

    from stremn.memory.trace import TraceStep

    assert set(make_trace(3, 5, 0)["steps"][0]) == {
        field.name for field in fields(TraceStep) if field.default is MISSING
    }


# Distinctness


def test_distinctness_by_hand() -> None:
    assert distinctness(np.array([[1.0, 0], [5, 0], [2, 0]])) == pytest.approx(0)
    assert distinctness(np.eye(4)) == pytest.approx(1)
    assert distinctness(np.array([[1.0, 0], [-3, 0]])) == pytest.approx(2)
    assert distinctness(np.array([[1.0, 0], [0, 1], [1, 1]])) == pytest.approx((1 + 2 * (1 - 0.5**0.5)) / 3)
    assert np.isnan(distinctness(np.ones((1, 3))))


def test_distinctness_against_a_loop() -> None:
    vectors = np.random.default_rng(0).normal(size=(6, 5))
    pairs = [
        1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        for i, a in enumerate(vectors)
        for b in vectors[i + 1 :]
    ]
    assert distinctness(vectors) == pytest.approx(np.mean(pairs))


def test_thumbnails_average_their_cells() -> None:
    frames = np.random.default_rng(1).integers(0, 256, (4, 13, 18, 3), np.uint8)
    cells = thumbnails(frames, 4)
    assert cells.shape == (4, 4 * 4 * 3) and cells.mean(axis=0) == pytest.approx(np.zeros(48))
    corner = frames[:, :3, :4].mean(axis=(1, 2))
    assert cells[:, :3] == pytest.approx(corner - corner.mean(axis=0))
    values = kept_distinctness({"a": [[0, 1], [2]]}, [cells, cells])
    assert values["a"][0] == pytest.approx(distinctness(cells[:2])) and np.isnan(values["a"][1])


def test_mean_over_time() -> None:
    frames, mean, count = vos_figures.mean_over_time(
        [(np.array([1, 2, 3]), np.array([1.0, 0.5, 0.0])), (np.array([3, 4]), np.array([1.0, 0.25]))]
    )
    assert frames.tolist() == [1, 2, 3, 4] and count.tolist() == [1, 1, 2, 1]
    assert mean.tolist() == [1.0, 0.5, 0.5, 0.25]


def test_overlay_colours_only_the_objects() -> None:
    frame = np.full((6, 8, 3), 100, np.uint8)
    ids = np.zeros((6, 8), np.uint8)
    assert (style.overlay(frame, ids) == frame).all() and (style.overlay(frame, None) == frame).all()
    ids[2:5, 2:6] = 2
    changed = (style.overlay(frame, ids) != frame).any(axis=-1)
    assert changed[3, 3] and not changed[0].any() and not changed[:, 7].any()


# Figures


def every_figure() -> dict[str, Figure]:
    few, grown, plain = make_trace(5, 40, 0), make_trace(30, 30, 1), make_trace(4, 15, 2, scored=False)
    frames = np.random.default_rng(0).integers(0, 256, (40, 24, 32, 3), np.uint8)
    ids = np.zeros((40, 24, 32), np.uint8)
    ids[:, 4:12, 6:15] = 1
    spreads = {"learned": (0.7, 0.6, 0.8), "oldest": (0.6, 0.5, 0.7), "none": (0.2, 0.1, 0.3)}
    curves = {
        "learned": [(np.arange(1, 20), np.linspace(1, 0.5, 19))],
        "oldest": [(np.arange(3, 9), np.ones(6))],
    }
    values = np.linspace(20, 10, 20)
    costs = {"frames": [10, 100, 1000], "seconds_per_frame": [0.01, 0.02, 0.03], "slots": [2, 20, 200]}
    return {
        "distance": memory_figures.distance_figure({"K = 5": traces.distance_share([few])}),
        "lifetime": memory_figures.lifetime_figure(few),
        "lifetime grown": memory_figures.lifetime_figure(grown),
        "eviction": memory_figures.eviction_figure([few]),
        "eviction none": memory_figures.eviction_figure([grown]),
        "scores": memory_figures.score_figure(few),
        "scores none": memory_figures.score_figure(plain),
        "mass": memory_figures.read_mass_figure(few),
        "mass grown": memory_figures.read_mass_figure(grown),
        "distinctness": memory_figures.distinctness_figure({"a": np.array([0.1, 0.2]), "b": np.array([0.3])}),
        "kept": memory_strips.kept_strip(frames, ids, traces.kept_at_end(few), query=39),
        "around": memory_strips.around_strip(frames, None, traces.kept_at_end(few)),
        "cost": cost_figures.cost_figure({"a": costs, "b": {**costs, "peak_bytes": [1e8, 2e8, 3e8]}}),
        "steps": cost_figures.step_time_figure({"a": np.ones(10)}),
        "rules": vos_figures.rules_figure(spreads, highlight="learned", baselines=("none",)),
        "difference": vos_figures.difference_figure({"a": (0.1, -0.1, 0.2), "b": (-0.2, -0.3, -0.1)}),
        "slots": vos_figures.slots_figure(
            {3: (0.5, 0.4, 0.6), 4: (0.6, 0.5, 0.7)}, paper={3: 0.763, 5: 0.778}
        ),
        "time": vos_figures.time_figure(curves, smooth=3),
        "masks": vos_figures.segmentation_strip(frames, {"true": ids, "ours": ids}, at=[0, 10, 39]),
        "curves": prediction_figures.curves_figure(
            {"PSNR": {"a": values}, "other": {"a": values}}, observed=10
        ),
        "strip": prediction_figures.prediction_strip(
            frames[:5, ..., 0], frames[5:9, ..., 0], {"a": frames[5:9, ..., 0]}
        ),
    }


@pytest.mark.filterwarnings("error")
def test_every_figure_draws_with_title_and_caption(tmp_path: Path) -> None:
    for name, figure in every_figure().items():
        assert figure.get_suptitle(), name
        assert any(text.get_text().endswith(".") for text in figure.texts), name
        path = style.save(figure, tmp_path / f"{name}.png", dots=40)
        assert path.stat().st_size > 1000, name
    assert not list(tmp_path.glob(".*"))


def test_a_score_of_a_protected_slot_is_not_shown() -> None:
    figure = memory_figures.score_figure(make_trace(4, 20, 0))
    shown = figure.axes[0].collections[0].get_array()
    assert np.ma.getmaskarray(shown)[0].all() and not np.ma.getmaskarray(shown)[1, -1]


@pytest.mark.parametrize("observed_shown", [1, 4])
def test_long_labels_of_a_prediction_strip_stay_in_their_rows(observed_shown: int) -> None:
    frames = np.zeros((8, 32, 32), np.uint8)
    names = ["STReMN with its memory read as zeros", "PredRNN++ with highway connections", "short"]
    figure = prediction_figures.prediction_strip(
        frames, frames, dict.fromkeys(names, frames), observed_shown=observed_shown
    )
    figure.draw_without_rendering()
    texts = [text for axes in figure.axes for text in axes.texts]
    assert [" ".join(text.get_text().split()) for text in texts] == names
    boxes = [text.get_window_extent() for text in texts]
    assert all(above.y0 > below.y1 for above, below in pairwise(boxes))
    pictures = [axes.get_window_extent() for axes in figure.axes if axes.images]
    for box in boxes:
        beside = min(one.x0 for one in pictures if one.y0 < box.y0 and box.y1 < one.y1)
        assert 0 < box.x0 < box.x1 < beside
