"""Confidence without truth: what a rating is, when an object may be lost, and what a run writes of it."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import stremn
from stremn.cli import main
from stremn.errors import InputError
from stremn.figures.confidence import confidence_figure
from stremn.inference.confidence import LOST, PATIENCE, Rating, Watch, lost_from, read_ratings, save_ratings
from test_segment import FIRST, HEIGHT, LENGTH, WIDTH, ids_of, pictures, place, weights

__all__ = ["place", "weights"]  # fixtures
RED, GREEN, BLUE = (250, 0, 0), (0, 250, 0), (0, 0, 250)
BOX = ids_of((1, 10, 10, 20, 20))


def scene(ids: np.ndarray, colour: tuple[int, int, int] = RED) -> np.ndarray:
    """A green frame with a box of another colour."""
    return np.where(ids[..., None] > 0, colour, GREEN).astype(np.uint8)


def sure(ids: np.ndarray, of_mask: float = 1.0) -> np.ndarray:
    """Probabilities of background and object 1."""
    likely = of_mask * (ids == 1)
    return np.stack([1 - likely, likely])


def rated(ids: np.ndarray, frame: np.ndarray, likely: np.ndarray) -> Rating:
    """The second frame's rating, after a red box was given in ``BOX``."""
    watch = Watch()
    (given,) = watch.rate(scene(BOX), BOX, sure(BOX), [1], [1])
    assert given.confidence == 1 and given.frame == 0 and given.area == 100
    (found,) = watch.rate(frame, ids, likely, [1])
    return found


def test_an_object_that_stays_as_it_was_is_trusted() -> None:
    assert rated(BOX, scene(BOX), sure(BOX)) == Rating(1, 1, 1.0, 100, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0)


def test_each_sign_is_what_it_says() -> None:
    soft = rated(BOX, scene(BOX), sure(BOX, 0.75))
    assert soft.certainty == 0.75 == soft.confidence
    assert soft.entropy == pytest.approx(-0.75 * np.log2(0.75) - 0.25 * np.log2(0.25), abs=1e-4)
    on_grass = rated(BOX, scene(BOX, BLUE), sure(BOX))
    assert on_grass.colours == 0 == on_grass.confidence and on_grass.certainty == 1
    half = ids_of((1, 10, 10, 20, 15))
    halved = rated(half, scene(BOX), sure(half))
    assert (halved.size, halved.overlap, halved.area) == (0.5, 0.5, 50) and halved.shift == 0.25
    # half of it on the grass, half on the box: Bhattacharyya coefficient of (1, 0) and (1/2, 1/2)
    beside = ids_of((1, 10, 15, 20, 25))
    assert rated(beside, scene(BOX), sure(beside)).colours == pytest.approx(np.sqrt(0.5), abs=1e-4)
    gone = rated(BOX * 0, scene(BOX), sure(BOX * 0))
    assert gone.confidence == 0 == gone.area


def test_a_correction_is_trusted_and_what_is_removed_is_not_rated() -> None:
    watch = Watch(start=7)
    watch.rate(scene(BOX), BOX, sure(BOX), [1], [1])
    (wrong,) = watch.rate(scene(BOX, BLUE), BOX, sure(BOX), [1])
    (corrected,) = watch.rate(scene(BOX, BLUE), BOX, sure(BOX), [1], [1])
    (after,) = watch.rate(scene(BOX, BLUE), BOX, sure(BOX), [1])
    assert [r.confidence for r in (wrong, corrected, after)] == [0, 1, 1] and after.frame == 10
    watch.forget([1])
    assert watch.rate(scene(BOX), BOX * 0, sure(BOX * 0), [1]) == []


def test_large_frames_are_rated_on_a_grid_as_small_ones() -> None:
    def large(pixels: np.ndarray, axes: tuple[int, int] = (0, 1)) -> np.ndarray:
        return pixels.repeat(12, axes[0]).repeat(12, axes[1])

    beside = ids_of((1, 10, 15, 20, 25))
    small, big = Watch(), Watch()
    for ids in (BOX, beside):
        given = [1] if ids is BOX else []
        (one,) = small.rate(scene(BOX), ids, sure(ids), [1], given)
        (other,) = big.rate(large(scene(BOX)), large(ids), large(sure(ids), (1, 2)), [1], given)
    assert replace(other, area=one.area) == one and other.area == 144 * one.area


def test_a_small_object_of_a_large_frame_is_rated() -> None:
    ids, watch = np.zeros((9 * 240, 20), np.uint8).repeat(110, 1), Watch()
    ids[10:17, 10:17] = 1  # between two points of the grid
    watch.rate(scene(ids), ids, sure(ids), [1], [1])
    (found,) = watch.rate(scene(ids), ids, sure(ids), [1])
    assert found.area == 49 and found.confidence == found.size == found.overlap == 1


def test_an_object_is_lost_where_it_stays_low() -> None:
    def course(number: int, *values: float) -> list[Rating]:
        return [Rating(t, number, value, 1, 1, 0, 1, 1, 1, 0) for t, value in enumerate(values)]

    low, high = [LOST - 0.01] * PATIENCE, [LOST]
    rows = course(1, *high, *low, *high) + course(2, *high, *low) + course(3, *high, *low[1:])
    assert lost_from(rows) == {2: 1}
    assert lost_from(rows, [2]) == {}


# --- of a run


def test_a_run_writes_its_ratings_and_tells_what_may_be_lost(
    place: Path, weights: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stremn.inference.confidence.LOST", 1.1)  # whatever comes is low
    monkeypatch.setattr("stremn.inference.confidence.PATIENCE", 3)
    given = ["--mask", f"1:{place / 'first.png'}", "--start", "1", "--remove", "4:2"]
    words = ["segment", str(place / "in"), *given, "--out", str(place / "out"), "--checkpoint", str(weights)]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "object 5 may be lost from frame 1 on" in told and "object 2" not in told
    rows = list(csv.DictReader((place / "out" / "confidence.csv").open()))
    seen = [(int(row["frame"]), int(row["object"])) for row in rows]
    assert seen == [(t, n) for t in range(1, LENGTH) for n in (2, 5) if n == 5 or t < 4]
    assert (place / "out" / "confidence.png").stat().st_size > 5000


def test_python_gets_the_same_as_the_file(place: Path, weights: Path) -> None:
    done = stremn.segment_video(place / "in", place / "first.png", place / "out", checkpoint=weights)
    assert done.ratings == read_ratings(place / "out" / "confidence.csv")
    assert isinstance(done.lost, dict) and len(done.ratings) == 2 * LENGTH
    stream, watch, found = stremn.open_stream(checkpoint=weights), Watch(), []
    for t, frame in enumerate(pictures()):
        likely = stream.step(frame, FIRST if t == 0 else None)
        given = (2, 5) if t == 0 else ()
        found += watch.rate(frame, stream.ids(likely), likely.numpy(), stream.object_ids, given)
    assert found == done.ratings


def test_another_file_is_one_line(tmp_path: Path) -> None:
    save_ratings(tmp_path / "good.csv", [])
    assert read_ratings(tmp_path / "good.csv") == []
    (tmp_path / "bad.csv").write_text("frame,object\n1,dog\n")
    with pytest.raises(InputError, match=r"confidence of each frame in .*bad\.csv"):
        read_ratings(tmp_path / "bad.csv")


def test_the_curve_marks_where_an_object_is_lost() -> None:
    rows = [Rating(t, 1, 0.9 if t < 5 else 0.1, 1, 1, 0, 1, 1, 1, 0) for t in range(20)]
    (axes,) = confidence_figure(rows).axes
    assert not [line for line in confidence_figure(rows, [1]).axes[0].lines if line.get_marker() == "x"]
    assert len(confidence_figure([]).axes[0].lines) == 1
    crosses = [line for line in axes.lines if line.get_marker() == "x"]
    assert [line.get_xdata()[0] for line in crosses] == [5] and FIRST.shape == (HEIGHT, WIDTH)
