"""Video files, folders of images, overlays, and output folders that are complete or not there."""

import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stremn.data.clips import palette, write_mask
from stremn.data.video import first_mask, open_frames
from stremn.errors import InputError
from stremn.figures.first_look import first_look, happened
from stremn.figures.overlays import draw_overlay
from stremn.listing import natural_order
from stremn.segmenting.outputs import output_folder
from stremn.segmenting.video_writer import VideoWriter


def shades(count: int, height: int = 32, width: int = 48) -> list[np.ndarray]:
    """Smooth frames that H.264 keeps well, each brighter than the one before."""
    slope = np.linspace(0, 60, width, dtype=np.uint8)
    frames = [np.broadcast_to(slope + 10 * t, (height, width)) for t in range(count)]
    return [np.stack([f, 180 - f, f // 2], -1).astype(np.uint8) for f in frames]


def write_video(path: Path, frames: list[np.ndarray], rate: float = 12) -> Path:
    with VideoWriter(path, rate) as video:
        for frame in frames:
            video.write(frame)
    return path


def write_folder(path: Path, frames: list[np.ndarray], names: list[str] | None = None) -> Path:
    path.mkdir()
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(path / (names[number] if names else f"{number:05d}.png"))
    return path


def test_video_keeps_frames_order_rate_and_size(tmp_path: Path) -> None:
    frames = shades(9)
    source = open_frames(write_video(tmp_path / "a.mp4", frames))
    assert (source.size, source.rate, source.counted()) == ((32, 48), Fraction(12), 9)
    for _ in range(2):  # every iteration starts anew
        found = list(source)
        assert [name for name, _ in found] == [f"{t:05d}" for t in range(9)]
        error = [np.abs(a.astype(int) - b).mean() for (_, a), b in zip(found, frames, strict=True)]
        assert max(error) < 3  # each is nearer to its own than to a neighbour, 10 away


def test_odd_sides_are_padded_by_one_pixel(tmp_path: Path) -> None:
    frames = shades(3, 33, 47)
    source = open_frames(write_video(tmp_path / "odd.mp4", frames, 30000 / 1001))
    assert source.size == (34, 48)
    assert source.rate == Fraction(30000, 1001)
    assert np.abs(source.first()[:33, :47].astype(int) - frames[0]).mean() < 3


def test_a_folder_is_read_in_natural_order(tmp_path: Path) -> None:
    frames = shades(3)
    source = open_frames(write_folder(tmp_path / "in", frames, ["f10.png", "f2.png", "f1.png"]))
    found = list(source)
    assert [name for name, _ in found] == ["f1", "f2", "f10"]
    assert source.count == 3
    np.testing.assert_array_equal(found[0][1], frames[2])
    assert sorted(["b2", "b10", "a", "10", "9"], key=natural_order) == ["9", "10", "a", "b2", "b10"]


def test_damage_is_named_with_its_frame(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (40, 64, 96, 3), np.uint8)
    path = write_video(tmp_path / "a.mp4", list(noise))
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 20_000] = bytes(20_000)
    path.write_bytes(content)
    read = 0
    with pytest.raises(InputError, match=r"frame \d+ of .*a\.mp4 damaged") as problem:
        for _ in open_frames(path):
            read += 1
    assert 0 < read < 40
    assert f"frame {read} of" in str(problem.value)


@pytest.mark.parametrize(
    "kind", ["missing", "text", "empty folder", "broken image", "two of a name", "other size"]
)
def test_bad_sources_are_one_clear_line(tmp_path: Path, kind: str) -> None:
    path, named = tmp_path / "in", "in"
    if kind == "text":
        path.write_text("no video")
    elif kind == "empty folder":
        path.mkdir()
    elif kind != "missing":
        write_folder(path, [*shades(2), *shades(1, 16, 16)][: 3 if kind == "other size" else 2])
        if kind == "broken image":
            (path / "00001.png").write_bytes((path / "00001.png").read_bytes()[:60])
            named = "00001.png"
        elif kind == "two of a name":
            Image.fromarray(shades(1)[0]).save(path / "00001.jpg")
            named = "00001.jpg"
        else:
            named = "00002"
    with pytest.raises(InputError, match=named) as problem:
        list(open_frames(path))
    assert "\n" not in str(problem.value)


def test_masks_are_checked_against_the_frames(tmp_path: Path) -> None:
    source = open_frames(write_folder(tmp_path / "in", shades(1)))
    mask = np.zeros((32, 48), np.uint8)
    path = tmp_path / "mask.png"
    write_mask(path, mask)
    with pytest.raises(InputError, match="only background"):
        first_mask(path, source)
    mask[4:9, 4:9], mask[20:25, 20:25] = 3, 7
    write_mask(path, mask)
    np.testing.assert_array_equal(first_mask(path, source), mask)
    write_mask(path, mask[:, :40])
    with pytest.raises(InputError, match=r"48x32.*40x32"):
        first_mask(path, source)
    Image.fromarray((mask > 3).astype(np.uint8) * 255).save(path)  # DAVIS-2016
    assert np.unique(first_mask(path, source)).tolist() == [0, 1]
    mask[0] = 255  # void beside ids, as DAVIS has it
    write_mask(path, mask)
    assert np.unique(first_mask(path, source)).tolist() == [0, 3, 7]
    write_mask(path, (mask > 3) * 255)
    assert np.unique(first_mask(path, source)).tolist() == [0, 255]


def test_overlay_colours_objects_and_leaves_the_rest() -> None:
    frame = np.full((40, 60, 3), 100, np.uint8)
    ids = np.zeros((40, 60), np.int64)
    ids[10:30, 10:30], ids[10:30, 40:55] = 1, 2
    drawn = draw_overlay(frame, ids)
    np.testing.assert_array_equal(drawn[ids == 0], frame[ids == 0])
    expected = 100 + 0.45 * (palette()[[1, 2]] - 100.0)
    np.testing.assert_allclose(drawn[[20, 20], [20, 47]], expected, atol=1)
    assert (drawn[10, 10:30] != drawn[20, 20]).any(-1).all()  # the contour
    np.testing.assert_array_equal(draw_overlay(frame, ids * 0), frame)
    given = draw_overlay(frame, ids, np.array([[200, 0, 40]], np.uint8))  # one colour: object 2 has it again
    np.testing.assert_allclose(given[[20, 20], [20, 47]], [[145, 55, 73]] * 2, atol=1)


def test_output_folder_is_complete_or_not_there(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "er" / "out"
    with pytest.raises(KeyboardInterrupt), output_folder(out, {"a"}) as output:
        (output.folder / "a").write_text("half")
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []
    for text, overwrite in (("1", False), ("2", True)):
        with output_folder(out, {"a"}, overwrite=overwrite) as output:
            (output.folder / "a").write_text(text)
        assert (out / "a").read_text() == text
    with pytest.raises(InputError, match="--overwrite"), output_folder(out, {"a"}):
        pass
    with pytest.raises(ZeroDivisionError), output_folder(out, {"a"}, overwrite=True):
        raise ZeroDivisionError
    assert (out / "a").read_text() == "2"  # earlier results stay until new ones are there
    (out / "thesis.tex").write_text("not ours")
    with pytest.raises(InputError, match=r"thesis\.tex"), output_folder(out, {"a"}, overwrite=True):
        pass
    assert (out / "thesis.tex").is_file()
    assert [p.name for p in out.parent.iterdir()] == ["out"]
    with pytest.raises(KeyboardInterrupt), output_folder(tmp_path / "kept", {"a"}) as output:
        (output.folder / "a").write_text("worth it")
        output.keep = True
        raise KeyboardInterrupt
    assert (tmp_path / "kept" / "a").read_text() == "worth it" and not list(tmp_path.glob(".*"))


def test_first_look_tells_the_last_eviction() -> None:
    def step(frame: int, before: list[int], after: list[int], slot: int | None) -> dict:
        evicted = None if slot is None else before[slot]
        return {
            "clip": 0,
            "row": 0,
            "frame": frame,
            "action": "append" if slot is None else "evict",
            "held_before": before,
            "held": after,
            "scores": None if slot is None else [0.5, 0.7],
            "read_mass": None if frame == 0 else [1 / len(before)] * len(before),
            "evicted_slot": slot,
            "evicted_frame": evicted,
        }

    steps = [step(0, [], [0], None), step(1, [0], [0, 1], None), step(2, [0, 1], [0, 2], 1)]
    frames, ids = np.zeros((3, 20, 30, 3), np.uint8), np.zeros((3, 20, 30), int)
    assert happened(steps, 1).endswith("nothing evicted yet")
    assert happened(steps, 2) == "stored; last eviction: this frame replaced frame 1 (1 frame old) in slot 2"
    titles = [axes.get_title() for axes in first_look(frames, ids, {"steps": steps}, 2).axes]
    assert titles == [
        "frame 2",
        "slot 1: frame 0\nread 50% · score 0.50",
        "slot 1: frame 0",
        "slot 2: frame 1\nread 50% · score 0.70",
        "slot 2: frame 2",
    ]
    titles = [axes.get_title() for axes in first_look(frames, ids, {"steps": steps}, 0).axes]
    assert titles.count("slot 2: free") == 2
