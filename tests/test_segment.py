"""``stremn segment``: kinds of output, later masks, removals, ranges, cameras, stop and resume."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import official_reference as reference
import stremn
from stremn.cli import main
from stremn.data.clips import read_mask, write_mask
from stremn.data.frames import Frames
from stremn.data.video import open_frames
from stremn.errors import InputError
from stremn.figures.overlays import cut_out, matte
from stremn.inference.open import default_size, open_stream
from stremn.inference.precision import MixedPrecision, choose_precision
from stremn.inference.stream import resume_stream
from stremn.memory import Trace
from stremn.models.checkpoints import save_model
from stremn.models.registry import build_model
from stremn.models.stremn import STReMN
from stremn.segmenting import sources
from stremn.segmenting.interrupt import Interrupt
from stremn.segmenting.sources import ClipRange, Webcam
from stremn.segmenting.user_masks import parse_mask_files, parse_removals, read_user_masks
from stremn.segmenting.video_writer import VideoWriter
from stremn.segmenting.writers import OUTPUTS, parse_kinds

FINISHED = {"masks", "overlay.mp4", "trace.json", "confidence.csv", "confidence.png"}  # in DIR, by default
FIELDS = {"backbone": "tiny", "key_dim": 8, "value_dim": 8, "update_dim": 8, "decoder_dims": (8, 8, 8)}
HEIGHT, WIDTH, LENGTH = 40, 50, 8


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "segment.safetensors"
    save_model(path, STReMN(**FIELDS), {"system": "stremn", "fields": FIELDS})  # type: ignore[arg-type]
    return path


def pictures() -> list[np.ndarray]:
    noise = np.random.default_rng(0).integers(0, 255, (5, 6, 3), np.uint8)
    still = np.asarray(Image.fromarray(noise).resize((WIDTH, HEIGHT)))
    return [np.roll(still, 2 * t, axis=1) for t in range(LENGTH)]


def ids_of(*boxes: tuple[int, int, int, int, int]) -> np.ndarray:
    """A mask from boxes (id, top, left, bottom, right)."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    for number, top, left, bottom, right in boxes:
        mask[top:bottom, left:right] = number
    return mask


FIRST = ids_of((2, 5, 5, 20, 20), (5, 20, 25, 35, 45))
LATER = ids_of((9, 2, 30, 14, 48))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """``in`` (frames ``f_1.png`` …), ``video.mp4`` of the same, ``first.png`` (ids 2, 5), ``later.png`` (id 9)."""
    (tmp_path / "in").mkdir()
    with VideoWriter(tmp_path / "video.mp4", 10) as video:
        for number, frame in enumerate(pictures()):
            Image.fromarray(frame).save(tmp_path / "in" / f"f_{number + 1}.png")
            video.write(frame)
    write_mask(tmp_path / "first.png", FIRST)
    write_mask(tmp_path / "later.png", LATER)
    return tmp_path


def arguments(place: Path, weights: Path, *more: str, video: str = "in", out: str = "out") -> list[str]:
    given = ["segment", str(place / video), "--mask", str(place / "first.png"), "--out", str(place / out)]
    return [*given, "--checkpoint", str(weights), "--slots", "3", *more]


def fails(given: list[str], capsys: pytest.CaptureFixture[str], place: Path) -> str:
    """Run, expect bad input, and return the one line that tells it; nothing may have changed on disk."""
    before = content(place)
    assert main(given) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.startswith("error: ") and shown.err.count("\n") == 1, shown
    assert content(place) == before
    return shown.err


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def masks_in(folder: Path) -> dict[str, np.ndarray]:
    return {p.stem: read_mask(p) for p in sorted((folder / "masks").iterdir())}


# --- what is written


def test_all_outputs_agree_with_each_other(place: Path, weights: Path) -> None:
    assert main(arguments(place, weights, "--write", ",".join(OUTPUTS))) == 0
    out = place / "out"
    assert {p.name for p in out.iterdir()} == {
        *OUTPUTS.values(),
        "trace.json",
        "confidence.csv",
        "confidence.png",
    }
    names = [f"f_{t + 1}" for t in range(LENGTH)]
    for folder in ("masks", "matte", "cutout", "object_mattes/2", "object_mattes/5"):
        assert {p.stem for p in (out / folder).iterdir()} == set(names)
    stream = open_stream(checkpoint=weights, slots=3)
    for t, (name, frame) in enumerate(zip(names, pictures(), strict=True)):
        likely = stream.step(frame, FIRST if t == 0 else None).numpy()
        grey = np.asarray(Image.open(out / "matte" / f"{name}.png"))
        assert np.abs(grey - 255 * likely[1:].sum(0)).max() <= 0.51 and grey.dtype == np.uint8
        cutout = np.asarray(Image.open(out / "cutout" / f"{name}.png"))
        np.testing.assert_array_equal(cutout, np.dstack([frame, grey]))
        own = np.asarray(Image.open(out / "object_mattes" / "5" / f"{name}.png"))
        assert np.abs(own - 255 * likely[2]).max() <= 0.51
    sizes = {v: open_frames(out / OUTPUTS[v]).size for v in ("overlay", "side-by-side", "matte-video")}
    assert sizes == {
        "overlay": (HEIGHT, WIDTH),
        "side-by-side": (HEIGHT, 2 * WIDTH),
        "matte-video": (HEIGHT, WIDTH),
    }
    both = [frame for _, frame in open_frames(out / "side_by_side.mp4")]
    assert len(both) == LENGTH
    assert np.abs(both[3][:, :WIDTH].astype(int) - pictures()[3]).mean() < 12  # left is the frame


def test_only_what_was_chosen_stays(place: Path, weights: Path) -> None:
    assert main(arguments(place, weights, "--write", "matte-video,side-by-side")) == 0
    assert {p.name for p in (place / "out").iterdir()} == {
        "matte.mp4",
        "side_by_side.mp4",
        "trace.json",
        "confidence.csv",
        "confidence.png",
    }
    assert parse_kinds("overlay, masks") == ("masks", "overlay")
    with pytest.raises(InputError, match="did you mean 'matte'"):
        parse_kinds(["mate"])
    assert matte(np.array([0.0, 0.5, 1.0])).tolist() == [0, 128, 255]
    assert cut_out(np.zeros((2, 3, 3), np.uint8), np.ones((2, 3), np.uint8)).shape == (2, 3, 4)


# --- given masks, removals, parts


def test_later_masks_and_removals_are_those_of_the_stream(place: Path, weights: Path) -> None:
    later = f"3:{place / 'later.png'}"
    assert main(arguments(place, weights, "--mask", later, "--remove", "5:2", "--objects", "3")) == 0
    stream, found = open_stream(checkpoint=weights, slots=3), masks_in(place / "out")
    for t, frame in enumerate(pictures()):
        if t == 5:
            stream.remove_object(2)
        likely = stream.step(frame, {0: FIRST, 3: LATER}.get(t))
        np.testing.assert_array_equal(found[f"f_{t + 1}"], stream.ids(likely))
    assert {t for t in range(LENGTH) if (found[f"f_{t + 1}"] == 9).any()} == set(range(3, LENGTH))
    assert not any((found[f"f_{t + 1}"] == 2).any() for t in range(5, LENGTH))
    about = Trace.load(place / "out" / "trace.json").about
    assert about["given"] == [0, 3] and about["removed"] == {"5": [2]} and about["objects"] == [2, 5, 9]


def test_a_folder_of_masks_named_by_frame_and_a_part_of_the_video(place: Path, weights: Path) -> None:
    (place / "masks").mkdir()
    write_mask(place / "masks" / "00002.png", FIRST)
    write_mask(place / "masks" / "4.png", LATER)
    part = ["segment", str(place / "video.mp4"), "--mask", str(place / "masks"), "--out", str(place / "out")]
    assert main([*part, "--checkpoint", str(weights), "--start", "2", "--stop", "7"]) == 0
    found = masks_in(place / "out")
    assert list(found) == [f"0000{t}" for t in range(2, 7)]
    assert ((found["00004"] == 9) == (LATER == 9)).mean() > 0.95
    assert len(list(open_frames(place / "out" / "overlay.mp4"))) == 5
    trace = Trace.load(place / "out" / "trace.json")
    assert trace.about["start"] == 2 and [s.frame for s in trace.steps] == list(range(5))
    whole = open_frames(place / "in")
    write_mask(place / "masks" / "f_3.png", FIRST)
    with pytest.raises(InputError, match=r"named as frames of .*00002\.png"):
        parse_mask_files([str(place / "masks")], whole, 0)
    for name in ("00002", "4"):
        (place / "masks" / f"{name}.png").unlink()
    assert parse_mask_files([str(place / "masks")], whole, 0) == {2: place / "masks" / "f_3.png"}


def test_bad_frames_masks_ids_and_names_are_one_line(
    place: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def message(*more: str) -> str:
        return fails(arguments(place, weights, *more), capsys, place)

    later = str(place / "later.png")
    write_mask(place / "small.png", LATER[:-2])
    assert "found frame 8" in message("--mask", f"8:{later}")
    assert "50x38" in message("--mask", f"3:{place / 'small.png'}")
    assert "one mask for frame 0" in message("--mask", later)
    assert "at most 2 object(s) as declared, found 3" in message("--mask", f"3:{later}", "--objects", "2")
    assert "(2, 5), found 7" in message("--remove", "4:7")
    assert "(5), found 2" in message("--remove", "4:2", "--remove", "5:2")
    assert "(2, 5), found 9" in message("--remove", "3:9", "--mask", f"3:{later}")
    assert "60:2" in message("--remove", "4")
    assert "found frame 20" in message("--remove", "20:2")
    assert "0 to 7" in message("--start", "8")
    assert "at most 8" in message("--stop", "9")
    assert "behind frame 4" in message("--start", "4", "--stop", "4")
    late = [f"0:{place / 'first.png'}" if "first.png" in a else a for a in arguments(place, weights)]
    assert "frames 1 to 7" in fails([*late, "--start", "1"], capsys, place)
    late = [a.replace("0:", "3:") for a in late]
    assert "found masks for frames 3" in fails(late, capsys, place)
    assert "did you mean 'masks'" in message("--write", "mask")
    assert "float16" in message("--precision", "float16") and "auto" in message("--precision", "half")
    assert "'nostrum'" in message("--system", "nostrum")
    without = [
        a for a in arguments(place, weights, "--system", "nope") if a not in ("--checkpoint", str(weights))
    ]
    assert "expected a system of stremn, stm, stcn, found 'nope'" in fails(without, capsys, place)
    assert "either VIDEO_OR_FOLDER or --camera" in message("--camera", "0")
    bare = ["segment", str(place / "in")]
    assert "--out" in fails(bare, capsys, place)
    assert "--mask" in fails([*bare, "--out", str(place / "out")], capsys, place)


def test_a_mask_behind_the_end_of_an_undeclared_length_is_told(place: Path, weights: Path) -> None:
    frames = open_frames(place / "in")
    frames.count = None  # as of some containers
    done = stremn.segment_video(frames, {0: FIRST, 30: LATER}, place / "out", checkpoint=weights)
    assert done.late == (30,) and len(masks_in(place / "out")) == LENGTH


def test_a_mask_behind_the_real_end_keeps_the_results(
    place: Path, weights: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def declares_more(path: str, without: object = ()) -> Frames:
        frames = open_frames(path)
        frames.count = 12  # as some containers do
        return frames

    monkeypatch.setattr("stremn.data.video.open_frames", declares_more)
    late = ["--mask", f"9:{place / 'later.png'}", "--remove", "10:2"]
    assert main(arguments(place, weights, *late)) == 0
    shown = capsys.readouterr()
    (line,) = [line for line in shown.err.splitlines() if line.startswith("warning: ")]
    assert "expected frame 9, 10" in line and "found the end after 8 frames" in line
    assert len(masks_in(place / "out")) == LENGTH and (place / "out" / "trace.json").is_file()


def test_given_arrays_are_checked(place: Path) -> None:
    frames = ClipRange(open_frames(place / "in"))
    assert parse_removals(["60:2", "60:5,7"]) == {60: [2, 5, 7]}
    given = read_user_masks({0: FIRST.astype(np.int64)}, {4: [5, 5]}, frames)
    assert given.masks[0].dtype == np.uint8 and given.removed == {4: [5]}
    rim = np.where(FIRST == 0, 255, FIRST)  # void beside an id
    assert np.array_equal(read_user_masks({0: rim}, {}, frames).masks[0], FIRST)
    for wrong in (FIRST * 0, FIRST.astype(np.int64) + 300, FIRST[:5], FIRST / 1.0):
        with pytest.raises(InputError, match="frame 0"):
            read_user_masks({0: wrong}, {}, frames)


# --- removing an object from a stream


@pytest.mark.parametrize("policy", ["learned", "lfu", "every_n"])
def test_a_removed_object_has_no_probability_and_no_memory(
    weights: Path, tmp_path: Path, policy: str
) -> None:
    stream = open_stream(checkpoint=weights, policy=policy, slots=3, every=2)
    frames = pictures()
    for t in range(3):
        before = stream.step(frames[t], FIRST if t == 0 else None)
    assert float(before[1].max()) > 0
    with pytest.raises(InputError, match="of 2, 5, found 7"):
        stream.remove_object(7)
    stream.remove_object(2)
    with pytest.raises(InputError, match="of 5, found 2"):
        stream.remove_object(2)
    stream.step(frames[3])
    stream.save(tmp_path / "state.safetensors")
    again = resume_stream(tmp_path / "state.safetensors")
    for t in (4, 5):
        likely = stream.step(frames[t])
        assert torch.equal(likely, again.step(frames[t]))
        assert likely.shape[0] == 3 and float(likely[1].abs().max()) == 0
        torch.testing.assert_close(likely.sum(0), torch.ones(HEIGHT, WIDTH))
    state = stream.memory
    assert not (state.valid[:, 0].any() if hasattr(state, "valid") else state.visible[:, 0].any())
    stream.step(frames[6], FIRST)  # given again, it is there again
    assert float(stream.step(frames[7])[1].max()) > 0 and not stream.removed


def test_without_any_object_left_all_is_background(weights: Path) -> None:
    stream = open_stream(checkpoint=weights, slots=3)
    stream.step(pictures()[0], FIRST)
    for number in (2, 5):
        stream.remove_object(number)
    for frame in pictures()[1:4]:
        assert (stream.ids(stream.step(frame)) == 0).all()
    assert (stream.ids(stream.step(pictures()[4], LATER)) == 9).any()


def test_removal_at_several_scales(weights: Path) -> None:
    stream = open_stream(checkpoint=weights, slots=3, scales=(1.0, 1.3), flip=True)
    stream.step(pictures()[0], FIRST)
    stream.remove_object(5)
    likely = stream.step(pictures()[1])
    assert float(likely[2].max()) == 0 and float(likely[1].max()) > 0


# --- stop and resume


@pytest.mark.parametrize("settings", ["learned", "random_drop", "lfu", "random_select --multi-scale"])
def test_a_stopped_run_goes_on_to_the_same_pictures(
    place: Path, weights: Path, settings: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    films: list[list[np.ndarray]] = []

    class Recorder(VideoWriter):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            self.film: list[np.ndarray] = []
            films.append(self.film)

        def write(self, frame: np.ndarray) -> None:
            self.film.append(frame)
            super().write(frame)

    monkeypatch.setattr("stremn.segmenting.writers.VideoWriter", Recorder)
    more = ["--mask", f"5:{place / 'later.png'}", "--remove", "6:5", "--every", "2"]
    more += ["--policy", *settings.split()]
    more += ["--write", "masks,overlay,matte,side-by-side,matte-video", "--postprocess"]
    assert main(arguments(place, weights, *more, out="whole")) == 0
    assert main(arguments(place, weights, *more, "--stop-after", "3")) == 0
    out = place / "out"
    state = {"masks", "matte", "given", "progress.json", "confidence.csv", "stream.safetensors"}
    assert {p.name for p in out.iterdir()} == state and len(masks_in(out)) == 3
    assert main(["segment", "--resume", str(out), "--stop-after", "3"]) == 0  # stopped again
    assert {p.name for p in out.iterdir()} == state and len(masks_in(out)) == 6
    assert main(["segment", "--resume", str(out)]) == 0
    whole, again = content(place / "whole"), content(out)
    assert whole.keys() == again.keys()
    same = [name for name in whole if whole[name] == again[name]]
    assert {n for n in whole if n.endswith(".png")} <= set(same) and {"trace.json", "confidence.csv"} <= set(
        same
    )
    for one, other in zip(films[:3], films[-3:], strict=True):  # what the encoder was given
        assert len(one) == len(other) == LENGTH
        assert all(np.array_equal(x, y) for x, y in zip(one, other, strict=True))


@pytest.mark.parametrize("text", ["frame;object\n0;2\n", "frame,object\n0,dog\n"])
def test_damaged_ratings_do_not_keep_a_run_from_going_on(
    place: Path, weights: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(place, weights, "--stop-after", "5")) == 0
    (place / "out" / "confidence.csv").write_text(text)
    assert main(["segment", "--resume", str(place / "out")]) == 0
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert len(told) == 1 and "confidence.csv of the stopped run is damaged" in told[0]
    assert len(masks_in(place / "out")) == LENGTH
    ratings = (place / "out" / "confidence.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in ratings[1:]] == [str(t) for t in range(5, LENGTH) for _ in (2, 5)]


def test_stopping_at_the_last_frame_is_finishing(place: Path, weights: Path) -> None:
    done = stremn.segment_video(
        place / "in", place / "first.png", place / "out", checkpoint=weights, stop_after=LENGTH
    )
    assert done.finished and done.frames == LENGTH and (place / "out" / "trace.json").is_file()


def test_what_cannot_be_resumed_is_told(
    place: Path, weights: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(arguments(place, weights, "--stop-after", "2")) == 0
    assert "stremn segment --resume" in capsys.readouterr().out
    resume = ["segment", "--resume", str(place / "out")]

    def message(*more: str) -> str:
        return fails([*resume, *more], capsys, place)

    told = fails(arguments(place, weights), capsys, place)
    assert "--resume" in told and "--overwrite" in told
    assert "found another at" in message("--checkpoint", str(place / "first.png"))
    assert "nothing there" in fails([*resume[:1], str(place / "missing"), *resume[1:]], capsys, place)
    assert "found another at" in fails([*resume[:1], str(place / "video.mp4"), *resume[1:]], capsys, place)
    assert "--policy" in message("--policy", "oldest") and "--mask" in message("--mask", "first.png")
    assert "none: there is nothing to resume" in fails(["segment", "--resume", str(place)], capsys, place)
    frame, progress = place / "in" / "f_2.png", place / "out" / "progress.json"
    good = frame.read_bytes()
    Image.fromarray(pictures()[0]).save(frame)  # the same names, another picture
    assert "found another at" in message()
    frame.write_bytes(good)
    about = progress.read_text()
    progress.write_text(about.replace('"done": 2', '"done": 3'))
    assert "state of frame 3" in message()
    for damaged in ("no json", json.dumps({"format": "stremn-segment 2", "job": {}}), "[]"):
        progress.write_text(damaged)
        assert "something else" in message()
    progress.write_text(about)
    mask = place / "out" / "masks" / "f_2.png"
    mask.rename(place / "f_2.png")
    assert "f_2.png" in message()
    (place / "f_2.png").rename(mask)
    assert main([*resume, "--checkpoint", str(weights)]) == 0
    capsys.readouterr()
    assert "found a finished one" in message()


def test_a_moved_video_is_named_when_going_on(place: Path, weights: Path) -> None:
    assert main(arguments(place, weights, "--stop-after", "2")) == 0
    (place / "in").rename(place / "elsewhere")
    assert main(["segment", "--resume", str(place / "out")]) == 2
    assert main(["segment", str(place / "elsewhere"), "--resume", str(place / "out")]) == 0
    assert len(masks_in(place / "out")) == LENGTH


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_saves_and_the_run_goes_on(place: Path, weights: Path, number: signal.Signals) -> None:
    with VideoWriter(place / "long.mp4") as video:
        for _ in range(60):
            for frame in pictures():
                video.write(frame)
    given = arguments(place, weights, "--write", "masks", video="long.mp4")
    before = set(place.iterdir())
    path = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    process = subprocess.Popen(
        [sys.executable, "-m", "stremn.cli", *given], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=path
    )
    deadline = time.monotonic() + 120
    while not list(place.glob(".out.*/masks/*")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
    assert process.poll() is None
    process.send_signal(number)
    told, error = process.communicate(timeout=60)
    assert process.returncode == 128 + number and b"--resume" in told and b"Traceback" not in error
    assert set(place.iterdir()) == {*before, place / "out"}  # no scratch folder stays
    done = json.loads((place / "out" / "progress.json").read_text())["job"]["done"]
    assert len(masks_in(place / "out")) == done < 60 * LENGTH
    assert main(["segment", "--resume", str(place / "out"), "--stop-after", "1"]) == 0
    assert len(masks_in(place / "out")) == done + 1


def test_the_second_ctrl_c_keeps_the_masks(
    place: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Interrupt() as ctrl_c:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(SystemExit) as stop:
            signal.raise_signal(signal.SIGTERM)
        assert stop.value.code == 143 and not ctrl_c.asked
        ctrl_c.patient = True
        signal.raise_signal(signal.SIGTERM)
        assert ctrl_c.asked == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    inside: list[Any] = []

    def elsewhere() -> None:
        with Interrupt():
            inside.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert inside == [signal.default_int_handler]

    def save(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("stremn.segmenting.segment_run.save_stopped", save)
    assert main(arguments(place, weights, "--stop-after", "2")) == 130
    assert {p.name for p in (place / "out").iterdir()} == {"masks", "confidence.csv"} and not list(
        place.glob(".out*")
    )
    assert list(masks_in(place / "out")) == ["f_1", "f_2"]
    told = capsys.readouterr().err
    assert (
        "2 finished frames are kept" in told
        and f"--start 1 --mask {place / 'out' / 'masks' / 'f_2.png'}" in told
    )


# --- systems, precision, post-processing, cameras


def test_every_system_and_setting_runs(place: Path, weights: Path, tmp_path: Path) -> None:
    fields = {"backbone": "tiny", "key_dim": 8, "value_dim": 8, "decoder_dim": 8}
    torch.manual_seed(0)
    path = tmp_path / "stm.safetensors"
    save_model(path, build_model("stm", fields), {"system": "stm", "fields": fields})
    given = arguments(place, path, "--system", "stm", "--stop", "4")
    assert main(given) == 0
    about = Trace.load(place / "out" / "trace.json").about
    assert (about["system"], about["policy"]) == ("stm", "every_n")
    assert main([*given, "--overwrite", "--policy", "learned"]) == 2  # STM has no update keys
    assert main(arguments(place, weights, "--multi-scale", "--stop", "3", "--postprocess", out="ms")) == 0
    assert len(masks_in(place / "ms")) == 3
    assert default_size({"trained": {"official": "STM_weights.pth"}}) == 480


def test_a_released_checkpoint_is_read_by_the_command(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = place / "stcn.pth"
    torch.save(reference.random_weights(reference.stcn_shapes(), 1, 0.1), path)
    assert main(arguments(place, path, "--system", "stcn", "--stop", "2")) == 0
    about = Trace.load(place / "out" / "trace.json").about
    assert (about["system"], about["policy"], about["size"]) == ("stcn", "every_n", HEIGHT)
    capsys.readouterr()
    assert main(arguments(place, path, "--system", "stm", out="b")) == 2
    assert "do not fit" in capsys.readouterr().err


def test_mixed_precision_is_near_and_saved(weights: Path, tmp_path: Path) -> None:
    assert choose_precision("auto", "cpu") == "float32"
    frames = pictures()
    plain, half = (open_stream(checkpoint=weights, slots=3, precision=p) for p in ("float32", "bfloat16"))
    for t in range(4):
        a, b = (s.step(frames[t], FIRST if t == 0 else None) for s in (plain, half))
        assert b.dtype == torch.float32 and float((a - b).abs().mean()) < 0.02
    assert not torch.equal(a, b)
    assert {t.dtype for t in half.memory.tensors().values() if t.is_floating_point()} == {torch.float32}
    half.save(tmp_path / "half.safetensors")
    again = resume_stream(tmp_path / "half.safetensors")
    assert again.precision == "bfloat16" and isinstance(again._net, MixedPrecision)
    assert torch.equal(again.step(frames[4]), half.step(frames[4]))


def test_far_parts_are_dropped_from_masks_and_mattes(
    place: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = torch.zeros(3, HEIGHT, WIDTH)
    wrong[0] = 1
    wrong[:, :3, :3] = torch.tensor([0.1, 0.9, 0.0])[:, None, None]  # a part of object 2 …
    wrong[:, 37:, 47:] = torch.tensor([0.1, 0.9, 0.0])[:, None, None]  # … and one far from it
    step = stremn.Stream.step
    monkeypatch.setattr(
        stremn.Stream, "step", lambda self, f, m=None: step(self, f, m) if m is not None else wrong.clone()
    )
    for out, more in (("a", []), ("b", ["--postprocess"])):
        assert (
            main(
                arguments(
                    place, weights, "--stop", "2", "--write", "masks,matte,object-mattes", *more, out=out
                )
            )
            == 0
        )
    before, after = (masks_in(place / out)["f_2"] for out in ("a", "b"))
    assert before[39, 49] == before[0, 0] == after[0, 0] == 2 and after[39, 49] == 0
    grey = np.asarray(Image.open(place / "b" / "matte" / "f_2.png"))
    own = np.asarray(Image.open(place / "b" / "object_mattes" / "2" / "f_2.png"))
    assert grey[0, 0] == own[0, 0] == 230 and grey[39, 49] == own[39, 49] == 0


def test_a_camera_is_a_source(
    place: Path, weights: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "camera 97" in fails(
        ["segment", "--camera", "97", "--mask", str(place / "first.png"), "--out", str(place / "out")],
        capsys,
        place,
    )
    monkeypatch.setitem(sources.DRIVERS, sys.platform, "lavfi")  # FFmpeg's own pictures stand for a camera
    name = f"testsrc2=size={WIDTH}x{HEIGHT}:rate=12"
    seen = list(ClipRange(Webcam(name + ":duration=0.5"), 1))
    assert [frame for frame, _ in seen] == [f"0000{t}" for t in range(1, 6)]
    given = ["segment", "--camera", name, "--mask", str(place / "first.png"), "--checkpoint", str(weights)]
    assert main([*given, "--out", str(place / "out"), "--stop", "4"]) == 0
    assert list(masks_in(place / "out")) == [f"0000{t}" for t in range(4)]
    assert open_frames(place / "out" / "overlay.mp4").rate == 12
    capsys.readouterr()
    assert "--stop" in fails([*given, "--out", str(place / "b"), "--stop-after", "2"], capsys, place)
    assert main(["segment", "--camera", name, "--grab", str(place / "one.png")]) == 0
    assert np.asarray(Image.open(place / "one.png")).shape == (HEIGHT, WIDTH, 3)
    capsys.readouterr()
    assert "new file" in fails(["segment", "--grab", str(place / "one.png")], capsys, place)
    found = fails(["segment", str(place / "in"), "--grab", str(place / "x.png")], capsys, place)
    assert "found VIDEO_OR_FOLDER: leave it out" in found
    assert "--size" in fails(["segment", "--grab", str(place / "x.png"), "--size", "32"], capsys, place)


def test_ctrl_c_ends_a_camera(place: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    camera = Webcam(f"testsrc2=size={WIDTH}x{HEIGHT}:rate=12", "lavfi")
    step = stremn.Stream.step

    def pressed(self: Any, *given: Any) -> torch.Tensor:
        if self.frame == 2:
            signal.raise_signal(signal.SIGINT)
        return step(self, *given)

    monkeypatch.setattr(stremn.Stream, "step", pressed)
    done = stremn.segment_video(camera, {0: FIRST}, place / "out", checkpoint=weights)
    assert done.finished and done.frames == 3
    assert {p.name for p in (place / "out").iterdir()} == FINISHED
