"""Nothing that is done is lost: damaged videos, odd pictures, full disks, signals."""

import errno
import os
import shutil
import signal
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import stremn
from stremn.cli import main
from stremn.data.clips import write_mask
from stremn.data.video import open_frames
from stremn.errors import InputError
from stremn.files import machine
from stremn.segmenting import segment_run, stopped, video_writer, writers
from stremn.segmenting.sources import ClipRange, Webcam
from stremn.segmenting.user_masks import read_user_masks
from test_segment import (
    FINISHED,
    FIRST,
    HEIGHT,
    LATER,
    LENGTH,
    WIDTH,
    arguments,
    content,
    masks_in,
    pictures,
    place,
    weights,
)
from test_video_files import write_h264

__all__ = ["place", "weights"]  # fixtures
STATE = {"masks", "given", "progress.json", "confidence.csv", "stream.safetensors"}


def broken(picture: Path) -> None:
    picture.write_bytes(picture.read_bytes()[:80])


def rotten(picture: Path) -> None:
    content = picture.read_bytes()
    middle = len(content) // 2
    picture.write_bytes(content[:middle] + bytes(200) + content[middle + 200 :])


def of_another_size(picture: Path) -> None:
    Image.new("RGB", (WIDTH, HEIGHT - 2)).save(picture)


def test_a_picture_of_another_size_is_told_before_the_work_and_kept_in_it(
    place: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    step, picture = stremn.Stream.step, place / "in" / "f_6.png"

    def meanwhile(self: Any, *given: Any) -> Any:
        of_another_size(picture)
        return step(self, *given)

    monkeypatch.setattr(stremn.Stream, "step", meanwhile)
    assert main(arguments(place, weights)) == 2
    told = capsys.readouterr().err
    assert "50x38 at frame 5 (f_6)" in told and "5 finished frames are kept" in told
    assert len(masks_in(place / "out")) == 5
    before = content(place)
    assert main(arguments(place, weights, out="other")) == 2
    assert "f_6.png" in capsys.readouterr().err and content(place) == before


@pytest.mark.parametrize("spoil", [broken, rotten])
def test_a_bad_picture_late_in_a_folder_keeps_what_is_done(
    place: Path, weights: Path, capsys: pytest.CaptureFixture[str], spoil: Callable[[Path], None]
) -> None:
    assert main(arguments(place, weights, out="whole")) == 0
    picture, out = place / "in" / "f_6.png", place / "out"
    good = picture.read_bytes()
    spoil(picture)
    capsys.readouterr()
    assert main(arguments(place, weights)) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert "f_6" in told and "5 finished frames are kept" in told and f"--resume {out} --stop 5" in told
    assert {p.name for p in out.iterdir()} == STATE and not list(place.glob(".out*"))
    assert len(masks_in(out)) == 5
    before = content(out)
    assert main(["segment", "--resume", str(out)]) == 2  # still bad: nothing changes
    assert content(out) == before and "5 finished frames" in capsys.readouterr().err
    picture.write_bytes(good)
    assert main(["segment", "--resume", str(out)]) == 0
    whole, again = content(place / "whole"), content(out)
    assert whole.keys() == again.keys()
    assert {n: whole[n] for n in whole if not n.endswith(".mp4")} == {
        n: again[n] for n in again if not n.endswith(".mp4")
    }


def test_a_damaged_end_can_be_the_end(place: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video, out = place / "cut.mp4", place / "out"
    write_h264(video, pictures() * 2, container={"movflags": "faststart"})
    whole = video.read_bytes()
    video.write_bytes(whole[:-150])
    assert main(arguments(place, weights, video="cut.mp4")) == 2
    told = capsys.readouterr().err
    done = len(masks_in(out))
    assert 2 < done < 2 * LENGTH and f"frame {done} of {video} damaged" in told
    assert {p.name for p in out.iterdir()} == STATE
    assert main(["segment", "--resume", str(out), "--stop", str(done - 1)]) == 2
    assert f"choose {done} or more" in capsys.readouterr().err
    kept = content(out)
    assert main(["segment", "--resume", str(out), "--stop", str(done)]) == 0
    assert {p.name for p in out.iterdir()} == FINISHED
    assert {n: c for n, c in content(out).items() if n.startswith("masks")} == {
        n: c for n, c in kept.items() if n.startswith("masks")
    }
    assert main(arguments(place, weights, "--overwrite", video="cut.mp4")) == 2
    video.write_bytes(whole)  # downloaded again
    assert main(["segment", "--resume", str(out)]) == 0 and len(masks_in(out)) == 2 * LENGTH


def full(after: int, work: Callable[..., Any]) -> Callable[..., Any]:
    """``work``, which fails as on a full disk once it was called so often."""
    calls = iter(range(10**6))

    def write(*given: Any, **more: Any) -> Any:
        if next(calls) >= after:
            raise OSError(errno.ENOSPC, "No space left on device")
        return work(*given, **more)

    return write


def test_a_disk_that_is_nearly_full_stops_in_time(
    place: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usage = segment_run.shutil.disk_usage(place)
    left = iter([10**9] * 3)
    monkeypatch.setattr(
        segment_run.shutil, "disk_usage", lambda path: usage._replace(free=next(left, 100_000))
    )
    assert main(arguments(place, weights)) == 2
    told = capsys.readouterr().err
    assert "3 finished frames are kept" in told and "are free" in told
    assert {p.name for p in (place / "out").iterdir()} == STATE
    monkeypatch.undo()
    assert main(["segment", "--resume", str(place / "out")]) == 0
    assert len(masks_in(place / "out")) == LENGTH
    monkeypatch.setattr(segment_run.shutil, "disk_usage", lambda path: usage._replace(free=100_000))
    before = content(place)
    assert main(arguments(place, weights, out="none")) == 2 and content(place) == before


@pytest.mark.parametrize("what", ["mask", "video", "end of the video", "trace"])
def test_a_full_disk_keeps_what_is_done(
    place: Path,
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    what: str,
) -> None:
    assert main(arguments(place, weights, out="whole")) == 0
    if what == "mask":  # once: then there is the room of the overlay
        write = writers.write_mask
        fails = iter([False] * 4 + [True])

        def once(*given: Any) -> None:
            return full(0, write)(*given) if next(fails, False) else write(*given)

        monkeypatch.setattr(writers, "write_mask", once)
    elif what == "video":
        monkeypatch.setattr(writers.VideoWriter, "write", full(4, video_writer.VideoWriter.write))
    elif what == "end of the video":
        monkeypatch.setattr(writers.VideoWriter, "__exit__", full(0, video_writer.VideoWriter.__exit__))
    else:
        monkeypatch.setattr(segment_run.SegmentRun, "_save_trace", full(0, print))
    assert main(arguments(place, weights)) == 2
    monkeypatch.undo()
    done = {"mask": 5, "video": 5}.get(what, LENGTH)
    told = capsys.readouterr().err
    assert f"{done} finished frames are kept" in told and "No space left" in told and "--resume" in told
    out = place / "out"
    assert {p.name for p in out.iterdir()} == STATE and len(masks_in(out)) == done
    assert main(["segment", "--resume", str(out)]) == 0
    assert {n: c for n, c in content(out).items() if n.endswith((".png", ".json", ".csv"))} == {
        n: c for n, c in content(place / "whole").items() if n.endswith((".png", ".json", ".csv"))
    }


def test_without_room_for_the_state_the_masks_stay(
    place: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(writers, "write_mask", full(3, writers.write_mask))
    assert main(arguments(place, weights)) == 2
    told, out = capsys.readouterr().err, place / "out"
    assert list(masks_in(out)) == ["f_1", "f_2", "f_3"] and {p.name for p in out.iterdir()} == {
        "masks",
        "confidence.csv",
    }
    assert "3 finished frames are kept" in told and f"--start 2 --mask {out / 'masks' / 'f_3.png'}" in told
    monkeypatch.undo()
    again = ["segment", str(place / "in"), "--checkpoint", str(weights), "--out", str(place / "rest")]
    assert main([*again, "--start", "2", "--mask", str(out / "masks" / "f_3.png")]) == 0  # as told
    # a stopped run keeps its state
    assert main(arguments(place, weights, "--overwrite", "--stop-after", "2")) == 0
    monkeypatch.setattr(writers, "write_mask", full(3, writers.write_mask))
    assert main(["segment", "--resume", str(out)]) == 2
    assert "from frame 2" in capsys.readouterr().err and len(masks_in(out)) == 5
    monkeypatch.undo()
    assert main(["segment", "--resume", str(out)]) == 0 and len(masks_in(out)) == LENGTH


def test_a_bug_and_a_signal_before_the_first_frame(
    place: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    step = stremn.Stream.step

    def wrong(self: Any, *given: Any) -> Any:
        if self.frame == 2:
            raise ZeroDivisionError
        return step(self, *given)

    monkeypatch.setattr(stremn.Stream, "step", wrong)
    with pytest.raises(ZeroDivisionError):
        main(arguments(place, weights))
    assert len(masks_in(place / "out")) == 2 and "2 finished frames are kept" in capsys.readouterr().err
    monkeypatch.undo()
    before = content(place)

    def loading(*_: object) -> None:
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("stremn.inference.open.open_system", loading)
    assert main(arguments(place, weights, out="other")) == 143
    assert content(place) == before and not list(place.glob(".o*"))


def test_a_camera_that_is_unplugged_keeps_its_results(
    place: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = Webcam(f"testsrc2=size={WIDTH}x{HEIGHT}:rate=12", "lavfi")
    read = camera._read

    def unplugged() -> Any:
        for _, frame in zip(range(3), read(), strict=False):
            yield frame
        raise InputError("expected frame 3 of camera, found: no device; is it still connected?")

    monkeypatch.setattr(camera, "_read", unplugged)
    with pytest.raises(InputError, match=r"no device.*3 finished frames"):
        stremn.segment_video(camera, {0: FIRST}, place / "out", checkpoint=weights)
    assert {p.name for p in (place / "out").iterdir()} == FINISHED
    assert len(masks_in(place / "out")) == 3


def test_a_prediction_needs_only_the_frames_that_it_watches(place: Path) -> None:
    from stremn.data.video import open_frames
    from stremn.models.predictor import VideoPredictor
    from stremn.segmenting.predict_video import predict_video

    broken(place / "in" / "f_6.png")
    fields = {"base_width": 8, "max_width": 16, "blocks": 2, "halvings": 2, "key_dim": 8, "value_dim": 8}
    model = VideoPredictor(**fields)  # type: ignore[arg-type]
    with pytest.warns(UserWarning, match="f_6"):
        found = predict_video(model, open_frames(place / "in"), observed=3, predicted=4, side=32)
    assert np.isfinite(found.truth[:2]).all() and np.isnan(found.truth[2:]).all()
    assert np.isfinite(found.predicted).all()
    with pytest.raises(InputError, match=r"f_6"):
        predict_video(model, open_frames(place / "in"), observed=6, predicted=2, side=32)
    with pytest.raises(InputError, match="found 8"):
        predict_video(model, open_frames(place / "in"), observed=3, start=20, side=32)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_earlier_frames_are_rewritten_leaves_the_run_as_it_is(
    place: Path,
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: signal.Signals,
) -> None:
    assert main(arguments(place, weights, "--stop-after", "5")) == 0
    before, rewrite, seen = content(place), writers.Writers.rewrite, []

    def slow(self: Any, name: str, frame: Any) -> Any:
        seen.append(name)
        if name == "f_2":
            signal.raise_signal(number)
        return rewrite(self, name, frame)

    monkeypatch.setattr(writers.Writers, "rewrite", slow)
    assert main(["segment", "--resume", str(place / "out")]) == 128 + number
    told = capsys.readouterr().err
    assert seen == ["f_1", "f_2"] and content(place) == before and not list(place.glob(".out*"))
    assert "the 5 finished frames" in told and told.rstrip().endswith(
        f"`stremn segment --resume {place / 'out'}`"
    )
    monkeypatch.undo()
    assert main(["segment", "--resume", str(place / "out")]) == 0 and len(masks_in(place / "out")) == LENGTH


@pytest.mark.parametrize("moment", ["of_values", "write_mask", "save"])
def test_a_second_ctrl_c_while_saving_leaves_a_run_that_goes_on(
    place: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    assert main(arguments(place, weights, out="whole")) == 0
    assert main(arguments(place, weights, "--stop-after", "2")) == 0
    target, name = (stremn.Stream, "save") if moment == "save" else (stopped, moment)
    work = getattr(target, name)

    def hit(*given: Any) -> Any:
        done = work(*given)
        if list(place.glob(".out.*")):  # not when the run is opened
            raise KeyboardInterrupt
        return done

    monkeypatch.setattr(target, name, hit)
    resume = ["segment", "--resume", str(place / "out")]
    assert main([*resume, "--stop-after", "2"]) == 130
    monkeypatch.undo()
    assert main(resume) == 0
    assert {n: c for n, c in content(place / "out").items() if n.endswith((".png", ".json", ".csv"))} == {
        n: c for n, c in content(place / "whole").items() if n.endswith((".png", ".json", ".csv"))
    }


def test_the_checkpoint_is_that_of_the_beginning(
    place: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lent, other = place / "lent.safetensors", place / "other.safetensors"
    lent.write_bytes(weights.read_bytes())
    assert main(arguments(place, lent, "--stop-after", "2")) == 0
    lent.unlink()
    resume = ["segment", "--resume", str(place / "out"), "--stop-after", "1"]
    assert main(resume) == 0  # without it, and noted again
    other.write_bytes(b"other")
    assert main([*resume, "--checkpoint", str(other)]) == 2 and "found another" in capsys.readouterr().err
    assert main([*resume, "--checkpoint", str(weights)]) == 0  # the same bytes


@pytest.mark.parametrize("what", ["a note", "another run's masks", "a corrected mask", "a file of its name"])
def test_what_appears_in_the_folder_meanwhile_stays(
    place: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    out, step = place / "out", stremn.Stream.step
    (place / "out-2").mkdir()  # not free
    if what == "a corrected mask":
        assert main(arguments(place, weights)) == 0
    found = {
        "a note": out / "notes.txt",
        "a file of its name": out,
    }.get(what, out / "masks" / "f_1.png")

    def meanwhile(self: Any, *given: Any) -> Any:
        if self.frame == 3:
            found.parent.mkdir(parents=True, exist_ok=True)
            found.write_bytes(b"mine")
        return step(self, *given)

    shown = found.parent if what == "another run's masks" else found
    monkeypatch.setattr(stremn.Stream, "step", meanwhile)
    assert main(arguments(place, weights, "--overwrite")) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and f"found {shown} new" in told and str(place / "out-3") in told
    assert found.read_bytes() == b"mine" and not list(place.glob(".out*"))
    assert len(masks_in(place / "out-3")) == LENGTH and (place / "out-3" / "trace.json").is_file()


def test_what_a_killed_run_left_is_put_back_or_named(
    place: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(place, weights, "--stop-after", "3")) == 0
    out, dead = place / "out", 999_999_999
    before = content(out)
    out.rename(place / f".out.{dead}.old")  # killed between two renames
    shutil.copytree(place / f".out.{dead}.old", place / f".out.{dead}.tmp")
    shutil.copytree(place / f".out.{dead}.old", place / f".out.{os.getpid()}.tmp")  # as PID 1 of a container
    (place / ".out.1.tmp").mkdir()  # a run that goes on
    elsewhere = place / f".out.elsewhere.{dead}.tmp"  # on another machine, which shares the disk
    shutil.copytree(place / f".out.{dead}.old", elsewhere)
    capsys.readouterr()
    assert main(arguments(place, weights)) == 2
    told = capsys.readouterr().err.splitlines()
    assert content(out) == before and f"{out} is again" in "".join(told) and "--resume" in told[-1]
    assert main(arguments(place, weights, "--overwrite", "--stop-after", "3")) == 0
    told = capsys.readouterr().err.splitlines()
    for left in (place / f".out.{dead}.tmp", place / "out-2"):
        assert [line for line in told if f"{left} with 3 masks: it may be deleted" in line], told
        assert len(masks_in(left)) == 3
    assert (
        "out.1.tmp" not in "".join(told)
        and "elsewhere" not in "".join(told)
        and len(masks_in(elsewhere)) == 3
    )
    out.rename(place / f".out.{machine()}.{dead}.old")
    assert main(["segment", "--resume", str(out)]) == 0 and len(masks_in(out)) == LENGTH
    told = capsys.readouterr().err.splitlines()
    assert len([line for line in told if "may be deleted" in line]) == 1, told


def test_a_later_mask_that_names_no_id_says_what_it_corrects(place: Path) -> None:
    frames = ClipRange(open_frames(place / "in"))
    inside = (LATER > 0).astype(np.uint8)

    def told(
        first: Image.Image, later: Image.Image, removed: dict[int, list[int]] | None = None
    ) -> list[str]:
        first.save(place / "a.png")
        later.save(place / "b.png")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            masks = {0: place / "a.png", 4: place / "b.png", 6: place / "b.png"}
            read = read_user_masks(masks, removed or {}, frames)
        assert set(np.unique(read.masks[4])) == {0, 1}
        return [str(w.message) for w in caught if "corrects" in str(w.message)]

    white, red = Image.fromarray(inside * 255), Image.new("RGB", (WIDTH, HEIGHT))
    red.paste((250, 20, 20), mask=white)
    two = Image.new("P", (WIDTH, HEIGHT))
    two.putpalette([0, 0, 0, 255, 255, 255])
    two.paste(1, mask=white)
    line = (
        "the mask of frame 4, 6 corrects object 1; for a new object save it with id {} or in the colour ({})"
    )
    for later in (white, red, two, white.convert("1"), white.convert("RGB")):
        assert told(white, later) == [line.format(2, "0,128,0")]
    assert told(Image.fromarray(np.where(FIRST > 4, np.uint8(2), inside)), white) == [
        line.format(3, "128,128,0")
    ]
    write_mask(place / "named.png", inside)
    with Image.open(place / "named.png") as named:
        assert not told(white, named) and not told(white, named.convert("RGB"))
    assert not told(white, Image.fromarray(inside))  # the value 1
    assert told(white, white, {2: [1]}) == [line.replace("4, 6", "6").format(2, "0,128,0")]
    assert told(Image.fromarray(inside * 5), white) == [line.replace("4, 6", "6").format(2, "0,128,0")]
