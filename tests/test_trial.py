"""A size that fits: small objects are named with a better size; ``stremn segment --try`` and its advice."""

import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stremn.cli import main
from stremn.data.clips import read_mask, write_mask
from stremn.errors import InputError
from stremn.inference import confidence
from stremn.inference.object_size import NARROW, size_for, small_objects, widths
from stremn.inference.settings import StreamSettings
from stremn.segmenting import trial
from stremn.segmenting.outputs import PAGE
from stremn.segmenting.segment_video import segment_video
from stremn.segmenting.sources import Webcam
from stremn.segmenting.trial import duration, sizes_to_try, try_settings
from test_segment import arguments, content, ids_of, masks_in, place, weights

__all__ = ["place", "weights"]  # fixtures


def mask_of(height: int, width: int, *boxes: tuple[int, int, int, int, int]) -> np.ndarray:
    mask = np.zeros((height, width), np.uint8)
    for number, top, left, bottom, right in boxes:
        mask[top:bottom, left:right] = number
    return mask


# --- small objects


def test_an_object_that_is_too_small_is_named_with_a_size_at_which_it_is_not() -> None:
    mask = mask_of(480, 640, (1, 0, 0, 100, 20), (4, 200, 200, 300, 300))
    assert widths(mask, 120) == {1: 5.0, 4: 25.0}
    better = size_for(mask, 120)
    told = small_objects(mask, 120)
    assert told == (
        f"object 1 is 5 pixels wide at this size: try --size {better}, about {(better / 120) ** 2:.0f} times slower"
    )
    assert min(widths(mask, better).values()) >= NARROW > min(widths(mask, better - 8).values())
    assert small_objects(mask, better) is None and size_for(mask, better) == better


def test_no_size_is_named_that_the_frames_do_not_have() -> None:
    mask = mask_of(100, 640, (2, 0, 0, 4, 60), (3, 50, 0, 54, 70))
    told = small_objects(mask, 50)
    assert told is not None and "object 2 is 2, object 3 is 2 pixels wide" in told and "--size 100" in told
    assert small_objects(mask, 100) is None and small_objects(mask * 0, 50) is None


def test_the_command_tells_it_before_the_work_also_of_later_masks(
    place: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_mask(place / "first.png", ids_of((2, 5, 5, 20, 20), (5, 20, 25, 35, 31)))
    write_mask(place / "later.png", ids_of((9, 2, 30, 8, 48)))
    more = ["--mask", f"3:{place / 'later.png'}", "--size", "20"]
    assert main(arguments(place, weights, *more)) == 0
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert len(told) == 2
    assert (
        "object 2 is 8, object 5 is 3 pixels wide" in told[0] and "in frame 3 object 9 is 3 pixels" in told[1]
    )
    size = told[0].split("--size ")[1].split(",")[0]
    assert size == "40"  # that of the frames
    assert main(arguments(place, weights, "--size", size, out="better")) == 0


# --- trying settings


def test_sizes_to_try_begin_at_the_run_s_own_and_end_at_the_frames() -> None:
    assert sizes_to_try(120, 480, 120) == [120, 168, 240]
    assert sizes_to_try(120, 576, 288) == [120, 184, 288]
    assert sizes_to_try(120, 128, 288) == [120, 128]
    assert sizes_to_try(96, 96, 288) == [96]


def test_durations_are_for_a_person() -> None:
    assert [duration(s) for s in (3, 80, 90, 720, 5300, 12600)] == [
        "3 s",
        "80 s",
        "1.5 min",
        "12 min",
        "88.3 min",
        "3.5 h",
    ]


def test_the_advice_works_when_typed(
    place: Path, weights: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "FRAMES", 3)
    later = ["--mask", f"5:{place / 'later.png'}", "--remove", "6:2", "--postprocess"]
    assert main(arguments(place, weights, *later, "--size", "20", "--try")) == 0
    assert [p.name for p in (place / "out").iterdir()] == [PAGE] and not list(place.glob(".out*"))
    shown = capsys.readouterr().out.splitlines()
    rows = [line.split()[:2] for line in shown if line.strip()[:2].isdecimal()]
    assert rows == [[size, rule] for size in ("20", "32", "40") for rule in ("learned", "newest")]
    assert "try.png" in shown[-2]
    words = shlex.split(shown[-1])
    assert words[:2] == ["stremn", "segment"]
    before = content(place)
    assert main(words[1:]) == 0
    made = place / f"out-{words[words.index('--size') + 1]}-{words[words.index('--policy') + 1]}"
    assert len(masks_in(made)) == 8
    assert {name: old for name, old in content(place).items() if name in before} == before
    assert main(arguments(place, weights, *later, "--size", "20", "--try", "--overwrite")) == 0
    again = shlex.split(capsys.readouterr().out.splitlines()[-1])
    assert main(again[1:]) == 0  # at a place that is free
    assert main(arguments(place, weights, *later, "--overwrite")) == 0  # in the place of what was tried


def test_the_given_frame_does_not_count_and_distrust_is_told(
    place: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(trial, "FRAMES", 2)
    settings = StreamSettings(checkpoint=weights, size=20)
    found = try_settings(place / "in", place / "first.png", place / "out", settings=settings)
    done = segment_video(place / "in", place / "first.png", place / "whole", stop=2, settings=settings)
    assert found[0].confidence == min(one.confidence for one in done.ratings if one.frame == 1) < 1
    monkeypatch.setattr(confidence, "LOST", 1.1)
    assert main(arguments(place, weights, "--try", "--overwrite")) == 0
    assert "none can be trusted" in capsys.readouterr().out


def test_the_page_shows_a_row_for_each_trial(
    place: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "FRAMES", 3)
    settings, first = StreamSettings(checkpoint=weights, size=20), read_mask(place / "first.png")
    found = try_settings(place / "in", place / "first.png", place / "out", settings=settings)
    assert all(0 <= one.confidence <= 1 and one.seconds > 0 for one in found)
    assert all(one.whole == pytest.approx(8 * one.seconds) for one in found)
    for one in found:
        assert len(one.masks) == 3 and (one.masks[0] == first).mean() > 0.95  # the given one
    assert [one.rule for one in found] == ["learned", "newest"] * 3
    width, height = Image.open(place / "out" / PAGE).size
    assert width > 500 and height > 150 * len(found)


def test_trying_leaves_nothing_behind_where_it_cannot(
    place: Path, weights: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*given: object, **more: object) -> None:
        raise KeyboardInterrupt

    before = content(place)
    with monkeypatch.context() as patch:
        patch.setattr(trial, "captioned_sheet", interrupted)
        patch.setattr(trial, "FRAMES", 1)
        assert main(arguments(place, weights, "--try")) == 130
    assert content(place) == before and not list(place.glob(".out*"))
    monkeypatch.setattr(Webcam, "__init__", lambda self, name: None)
    monkeypatch.setattr(Webcam, "path", Path("camera 0"), raising=False)
    monkeypatch.setattr(Webcam, "size", (40, 50), raising=False)
    monkeypatch.setattr(Webcam, "rate", 10, raising=False)
    with pytest.raises(InputError, match="found a camera"):
        try_settings(Webcam("0"), place / "first.png", place / "out")
