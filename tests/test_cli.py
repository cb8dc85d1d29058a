"""The command line: complete outputs, one clear line for bad input, nothing half-written."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import stremn
from stremn.cli import main
from stremn.data.clips import read_mask, write_mask
from stremn.data.pictures import read_image
from stremn.data.video import open_frames
from stremn.errors import InputError
from stremn.inference.open import default_size, working_size
from stremn.inference.settings import StreamSettings
from stremn.memory import POLICIES
from stremn.models.checkpoints import save_model
from stremn.models.predictor import VideoPredictor
from stremn.models.stremn import STReMN
from stremn.run import STAGES
from stremn.segmenting.video_writer import VideoWriter
from test_segment import FINISHED

FIELDS = {"backbone": "tiny", "key_dim": 8, "value_dim": 8, "update_dim": 8, "decoder_dims": (8, 8, 8)}
PREDICTOR = {"base_width": 8, "max_width": 16, "blocks": 2, "halvings": 2, "key_dim": 8, "value_dim": 8}
HEIGHT, WIDTH, LENGTH = 40, 50, 7


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "segment.safetensors"
    save_model(path, STReMN(**FIELDS), {"system": "stremn", "fields": FIELDS})  # type: ignore[arg-type]
    return path


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "predict.safetensors"
    meta = {"system": "stremn", "fields": PREDICTOR, "default_size": 32}
    save_model(path, VideoPredictor(**PREDICTOR), meta)  # type: ignore[arg-type]
    return path


def frames() -> list[np.ndarray]:
    noise = np.random.default_rng(0).integers(0, 255, (5, 6, 3), np.uint8)
    still = np.asarray(Image.fromarray(noise).resize((WIDTH, HEIGHT)))
    return [np.roll(still, 2 * t, axis=1) for t in range(LENGTH)]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder ``in`` of frames, ``video.mp4`` of the same, ``mask.png`` with two objects, ids 2 and 5."""
    (tmp_path / "in").mkdir()
    with VideoWriter(tmp_path / "video.mp4", 10) as video:
        for number, frame in enumerate(frames()):
            Image.fromarray(frame).save(
                tmp_path / "in" / f"shot_{number + 8}.png"
            )  # 8, 9, 10, …: natural order
            video.write(frame)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[5:20, 5:20], mask[20:35, 25:45] = 2, 5
    write_mask(tmp_path / "mask.png", mask)
    return tmp_path


def segment(place: Path, weights: Path, *more: str, video: str = "in", mask: str = "mask.png") -> list[str]:
    arguments = ["segment", str(place / video), "--mask", str(place / mask), "--out", str(place / "out")]
    return [*arguments, "--checkpoint", str(weights), *more]


def fails(arguments: list[str], capsys: pytest.CaptureFixture[str], place: Path) -> str:
    """Run, expect bad input, and return the one line that tells it."""
    before = sorted(p for p in place.rglob("*"))
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ") and shown.err.count("\n") == 1
    assert sorted(p for p in place.rglob("*")) == before  # nothing half-written
    return shown.err


@pytest.mark.parametrize("video", ["in", "video.mp4"])
def test_segment_writes_everything(
    place: Path, weights: Path, video: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {p.name for p in place.iterdir()}
    assert main(segment(place, weights, "--slots", "3", "--size", "32", video=video)) == 0
    assert f"{LENGTH} frames" in capsys.readouterr().out
    out = place / "out"
    assert {p.name for p in place.iterdir()} == {*before, "out"}
    assert {p.name for p in out.iterdir()} == FINISHED
    stems = [f"shot_{t + 8}" if video == "in" else f"{t:05d}" for t in range(LENGTH)]
    assert {p.name for p in (out / "masks").iterdir()} == {f"{s}.png" for s in stems}
    masks = [read_mask(out / "masks" / f"{s}.png") for s in stems]
    assert {m.shape for m in masks} == {(HEIGHT, WIDTH)}
    assert set(np.unique(np.stack(masks)).tolist()) <= {0, 2, 5}
    given = read_mask(place / "mask.png")
    assert (masks[0] == given).mean() > 0.95  # the first frame's mask is the given one, but for the resizing
    overlay = open_frames(out / "overlay.mp4")
    assert (overlay.size, len(list(overlay))) == ((HEIGHT, WIDTH), LENGTH)
    trace = json.loads((out / "trace.json").read_text())
    assert [step["frame"] for step in trace["steps"]] == [*range(LENGTH)]
    assert max(len(step["held"]) for step in trace["steps"]) == 3
    assert trace["about"] == {
        "video": video,
        "frames": LENGTH,
        "height": HEIGHT,
        "width": WIDTH,
        "size": 32,
        "system": "stremn",
        "policy": "learned",
        "slots": 3,
        "objects": [2, 5],
    }


def test_settings_are_one_value(weights: Path) -> None:
    settings = StreamSettings(checkpoint=weights, policy="oldest", slots=4)
    stream = stremn.open_stream(settings, slots=3, size=32)  # fields replace the value's
    assert stream.settings == settings.model_copy(update={"slots": 3, "size": 32})
    assert (stream.policy.name, stream.policy.slots) == ("oldest", 3)
    with pytest.raises(InputError, match="'polcy'; did you mean 'policy'"):
        stremn.open_stream(polcy="oldest")
    with pytest.raises(InputError, match=r"slots: .*found 'many'"):
        stremn.open_stream(slots="many")


def test_segment_is_the_stream(place: Path, weights: Path) -> None:
    assert main(segment(place, weights, "--policy", "every_n", "--every", "2")) == 0
    stream = stremn.open_stream(checkpoint=weights, policy="every_n", every=2)
    mask = read_mask(place / "mask.png")
    for number in range(LENGTH):
        frame = read_image(place / "in" / f"shot_{number + 8}.png")
        ids = stream.ids(stream.step(frame, mask if number == 0 else None))
        np.testing.assert_array_equal(read_mask(place / "out" / "masks" / f"shot_{number + 8}.png"), ids)


def test_segment_tells_bad_input_in_one_line(
    place: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def message(*more: str, video: str = "in", mask: str = "mask.png") -> str:
        return fails(segment(place, weights, *more, video=video, mask=mask), capsys, place)

    given = read_mask(place / "mask.png")
    write_mask(place / "small.png", given[:-2])
    write_mask(place / "empty.png", given * 0)
    (place / "text.mp4").write_text("no video")
    assert "nothing there" in message(video="absent.mp4")
    assert "text.mp4" in message(video="text.mp4")
    assert "no such file" in message(mask="absent.png")
    assert "50x40" in message(mask="small.png") and "50x38" in message(mask="small.png")
    assert "only background" in message(mask="empty.png")
    assert "at most 1 object(s) as declared, found 2" in message("--objects", "1")
    assert "did you mean 'learned'" in message("--policy", "lerned")
    assert "nowhere" in message("--device", "nowhere")
    arguments = segment(place, place / "absent.safetensors")
    assert "absent.safetensors" in fails(arguments, capsys, place)
    # what is finished stays where a frame in the middle turns out to be damaged
    damaged = place / "in" / "shot_11.png"
    damaged.write_bytes(damaged.read_bytes()[:100])
    assert main(segment(place, weights)) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    kept = sorted(p.stem for p in (place / "out" / "masks").iterdir())
    assert "shot_11.png" in line and f"{len(kept)} finished frames are kept" in line
    assert kept and max(kept, key=lambda name: int(name[5:])) == "shot_10"


def test_a_slip_is_told_before_pytorch_is_loaded(place: Path) -> None:
    slips = [
        segment(place, place / "weights", video="absent.mp4"),
        segment(place, place / "weights", mask="absent.png"),
        segment(place, place / "weights", "--write", "mask"),
        segment(place, place / "weights", "--remove", "1:7"),
    ]
    code = (
        "import sys; from stremn.cli import main\n"
        f"assert [main(slip) for slip in {slips}] == [2] * {len(slips)}\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=environment(), stderr=subprocess.DEVNULL)


def test_results_are_replaced_only_on_demand(
    place: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "out").mkdir()
    assert main(segment(place, weights)) == 0  # an empty folder is no obstacle
    capsys.readouterr()
    assert "--overwrite" in fails(segment(place, weights), capsys, place)
    assert main(segment(place, weights, "--overwrite", video="video.mp4")) == 0
    assert len(list((place / "out" / "masks").iterdir())) == LENGTH
    assert (place / "out" / "masks" / "00000.png").is_file()
    capsys.readouterr()
    over_input = [*segment(place, weights, "--overwrite"), "--out", str(place / "in")]
    assert "only earlier results" in fails(over_input, capsys, place)  # what is not ours is never removed


def test_size_is_the_checkpoints_and_never_above_the_frames(place: Path) -> None:
    size = open_frames(place / "in").size
    assert default_size({}) is None and default_size({"default_size": 96}) == 96
    assert working_size({}, size) == HEIGHT
    assert working_size({"default_size": 32}, size) == 32
    assert working_size({"default_size": 32}, size, 36) == 36
    assert working_size({}, size, 999) == HEIGHT


def test_predict_writes_frames_and_a_strip(
    place: Path, predictor: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["predict", str(place / "in"), "--out", str(place / "out"), "--checkpoint", str(predictor)]
    assert main([*arguments, "--observed", "4", "--frames", "5", "--start", "1"]) == 0
    assert "predicted 5 to 9" in capsys.readouterr().out
    assert {p.name for p in (place / "out").iterdir()} == {"predicted", "strip.png", "trace.json"}
    assert {p.name for p in (place / "out" / "predicted").iterdir()} == {f"0000{t}.png" for t in range(5, 10)}
    with Image.open(place / "out" / "predicted" / "00005.png") as picture:
        assert (picture.mode, picture.size) == ("L", (32, 32))
    assert "--overwrite" in fails(arguments, capsys, place)


def test_a_predictor_that_comes_with_the_package_is_found(
    place: Path,
    predictor: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (place / "weights").mkdir()
    (place / "weights" / "predictor.safetensors").write_bytes(predictor.read_bytes())
    monkeypatch.setattr("stremn.models.checkpoints.files", lambda _: place)
    arguments = ["predict", str(place / "in"), "--out", str(place / "out"), "--observed", "4"]
    assert main([*arguments, "--frames", "1"]) == 0
    assert main(["info"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  prediction ")]
    assert str(place / "weights" / "predictor.safetensors") in line


def test_predict_tells_bad_input_in_one_line(
    place: Path,
    weights: Path,
    predictor: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "stremn.models.checkpoints.files", lambda _: place
    )  # no weights come with the package
    base = ["predict", str(place / "in"), "--out", str(place / "out")]
    assert "--checkpoint" in fails(base, capsys, place)
    assert "predictor" in fails([*base, "--checkpoint", str(weights)], capsys, place)
    few = [*base, "--checkpoint", str(predictor), "--observed", "9"]
    assert "at least 9 frames" in fails(few, capsys, place)


def test_help_is_quick_and_complete(capsys: pytest.CaptureFixture[str]) -> None:
    code = (
        "import sys; from stremn.cli import main\n"
        "for command in ([], ['segment'], ['predict'], ['explore'], ['info'], ['systems'], ['run']):\n"
        "    assert main([*command, '--help']) == 0\n"
        "assert not {'torch', 'numpy', 'av'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=environment(), stdout=subprocess.DEVNULL)
    text = help_of("segment", capsys)
    assert all(name in text for name in POLICIES)
    assert all(name in help_of("run", capsys) for name in STAGES)
    assert main(["--version"]) == 0 and stremn.__version__ in capsys.readouterr().out


def test_run_and_info(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[tuple[str, str]] = []

    def run_stage(stage: str, profile: str, **_: object) -> Path:
        seen.append((stage, profile))
        return tmp_path

    monkeypatch.setattr("stremn.run.run_stage", run_stage)
    assert main(["run", "cost", "--profile", "tiny"]) == 0
    assert seen == [("cost", "tiny")] and str(tmp_path) in capsys.readouterr().out
    assert main(["info"]) == 0
    text = capsys.readouterr().out
    assert all(word in text for word in ("CUDA", torch.__version__, "segmentation", "LPIPS", "resnet50_gn"))
    assert main(["segment"]) == 2  # usage errors, too


def test_a_bug_shows_its_traceback(place: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stremn.segmenting.writers.draw_overlay", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(segment(place, weights))
    # the first frame's mask was finished before
    assert len(list((place / "out" / "masks").iterdir())) == 1 and not list(place.glob(".out*"))


def test_real_video(tmp_path: Path, weights: Path, shared: Callable[[str], Path]) -> None:
    davis = shared("DAVIS")
    (tmp_path / "in").mkdir()
    for number in range(5):
        name = f"{number:05d}.jpg"
        (tmp_path / "in" / name).symlink_to(davis / "JPEGImages" / "480p" / "dog" / name)
    (tmp_path / "mask.png").symlink_to(davis / "Annotations" / "480p" / "dog" / "00000.png")
    assert main(segment(tmp_path, weights, "--objects", "1")) == 0
    first = read_mask(tmp_path / "out" / "masks" / "00000.png")
    given = read_mask(tmp_path / "mask.png")
    assert ((first == 1) & (given == 1)).sum() / ((first == 1) | (given == 1)).sum() > 0.95
    assert len(list((tmp_path / "out" / "masks").iterdir())) == 5


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}


def help_of(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main([command, "--help"]) == 0
    return "".join(capsys.readouterr().out.split()).replace("│", "")
