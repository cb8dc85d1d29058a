"""Scores that warn: ids that no frame has, objects that come late, sequences that cannot be scored, odd folders."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stremn.cli import main
from stremn.data.clips import write_mask
from stremn.evaluation.vos import score_clips

BOXES = {1: (10, 10), 2: (40, 10), 5: (10, 50), 9: (40, 50)}
TRUTH, OURS = "truth", "ours"


def clip(*ids: int, frames: int = 6, since: int = 0) -> np.ndarray:
    """Ids (T, 60, 80): a square of each, the last one only from the frame ``since`` on."""
    masks = np.zeros((frames, 60, 80), np.uint8)
    for number in ids:
        top, left = BOXES[number]
        masks[since if number == ids[-1] else 0 :, top : top + 15, left : left + 20] = number
    return masks


def write(folder: Path, ids: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for t, one in enumerate(ids):
        write_mask(folder / f"{t:05d}.png", one)


def score(
    root: Path, capsys: pytest.CaptureFixture[str], protocol: str = "davis2017", ours: str = OURS, *more: str
) -> tuple[int, dict, str, str]:
    """Exit code, the JSON (empty where none was written), what was printed, and stderr."""
    result = root / "scores.json"
    result.unlink(missing_ok=True)
    folders = ["--predictions", str(root / ours), "--annotations", str(root / TRUTH), "--json", str(result)]
    code = main(["score", "vos", *folders, "--protocol", protocol, *more])
    text = capsys.readouterr()
    return code, json.loads(result.read_text()) if result.is_file() else {}, text.out, text.err


def place(root: Path, **sequences: tuple[np.ndarray, np.ndarray]) -> Path:
    """Ground truth and prediction of each sequence."""
    for name, (truth, ours) in sequences.items():
        write(root / TRUTH / name, truth)
        write(root / OURS / name, ours)
    return root


# Ids with gaps


def test_ids_with_gaps_keep_the_official_number_and_warn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The truth has 1 and 9, the prediction is empty: officially 7 of 9 objects are right."""
    truth = clip(1, 9)
    place(tmp_path, a=(truth, np.zeros_like(truth)), b=(clip(1), clip(1)))
    code, form, out, err = score(tmp_path, capsys)
    assert code == 0 and form["global"]["J&F-Mean"] == pytest.approx(8 / 10)
    assert form["empty"] == [f"a_{n}" for n in range(2, 9)]
    assert form["global_without_empty"]["J&F-Mean"] == pytest.approx(1 / 3)
    assert "warning: a_2, a_3, a_4, a_5, a_6, a_7, a_8: in no frame of the ground truth" in err
    assert "J&F-Mean 0.800, without them 0.333" in err and "J&F-Mean 0.333" in out
    code, form, _, err = score(tmp_path, capsys, "youtube-vos")
    assert code == 0 and form["global"]["J&F-Mean"] == pytest.approx(1 / 3) and "empty" not in form
    assert "in no frame" not in err


def test_a_gap_that_another_frame_fills_is_no_gap(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Object 1 comes late and 2 is there from the start: 1 is scored from the first frame on, as officially."""
    truth = clip(2, 1, since=3)
    place(tmp_path, a=(truth, truth))
    code, form, _, err = score(tmp_path, capsys)
    assert code == 0 and list(form["objects"]) == ["a_1", "a_2"] and "empty" not in form
    assert "object 1 first appears in frame 00003 and is scored from the first frame on" in err
    assert "youtube-vos" in err


def test_arrays_warn_as_folders_do() -> None:
    truth = clip(1, 9)
    with pytest.warns(UserWarning, match="in no frame of the ground truth.* 1.000, without them 1.000"):
        scores = score_clips([("a", truth, truth, None), ("b", truth[:2], truth[:2], None)])
    assert scores.left_out == {"b": "b: davis2017 needs at least 3 frames, found 2"}
    assert len(scores.empty) == 7 and scores.to_dict()["left_out"] == dict(scores.left_out)


def test_ids_of_nobody_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Id 5 lies between those of the truth: an object more for DAVIS, nobody's where objects come late."""
    place(tmp_path, a=(clip(1, 9), clip(1, 5, 9)))
    code, form, _, _ = score(tmp_path, capsys)
    assert code == 0 and form["objects"]["a_5"]["J&F-Mean"] == 0
    assert form["global_without_empty"]["J&F-Mean"] == 1
    code, _, _, err = score(tmp_path, capsys, "youtube-vos")
    assert code == 2 and "unknown id 5 in the prediction of frame 00000, expected ids 0, 1, 9" in err
    place(tmp_path, a=(clip(1), clip(1, 2)))
    for protocol in ("davis2017", "youtube-vos", "long-video"):
        code, _, _, err = score(tmp_path, capsys, protocol)
        assert code == 2 and "unknown id 2 in the prediction of frame 00000, expected ids 0…1" in err


# Objects that come late


@pytest.mark.parametrize("protocol", ["davis2017", "long-video"])
def test_late_objects_name_the_protocol_that_fits(
    tmp_path: Path, protocol: str, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = clip(1, 2, since=3)
    place(tmp_path, a=(truth, truth))
    code, _, _, err = score(tmp_path, capsys, protocol)
    assert code == 2 and len(err.splitlines()) == 1 and "object 2 first appears in frame 00003" in err
    assert "the protocol youtube-vos" in err
    place(tmp_path, a=(truth, clip(1)))
    code, form, _, err = score(tmp_path, capsys, protocol)
    assert code == 0 and list(form["objects"]) == ["a_1"]
    assert "object 2 first appears in frame 00003 and is not scored here" in err and "youtube-vos" in err
    code, form, _, err = score(tmp_path, capsys, "youtube-vos")
    assert code == 0 and form["objects"]["a_1"]["J&F-Mean"] == 1 and form["objects"]["a_2"]["J&F-Mean"] == 0


@pytest.mark.parametrize("protocol", ["davis2016", "davis2017", "long-video"])
def test_nothing_in_the_first_frame(
    tmp_path: Path, protocol: str, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = clip(1, since=2)
    place(tmp_path, a=(truth, truth))
    code, _, _, err = score(tmp_path, capsys, protocol)
    assert code == 2 and "object 1 first appears in frame 00002" in err and "youtube-vos" in err
    assert ("in place of 0 and 255" in err) == (protocol == "davis2016")
    assert score(tmp_path, capsys, "youtube-vos")[0] == 0


# Sequences that cannot be scored


@pytest.mark.parametrize(
    ("protocol", "out"), [("davis2017", "bc"), ("long-video", "b"), ("youtube-vos", "b")]
)
def test_short_sequences_are_left_out_by_name(
    tmp_path: Path, protocol: str, out: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, frames in {"a": 6, "b": 1, "c": 2}.items():
        place(tmp_path, **{name: (clip(1, frames=frames), clip(1, frames=frames))})
    shutil.rmtree(tmp_path / OURS / "b")  # nothing of it is scored, so nothing of it is needed
    code, form, text, err = score(tmp_path, capsys, protocol)
    assert code == 0 and sorted(form["left_out"]) == list(out)
    assert list(form["objects"]) == [f"{name}_1" for name in "abc" if name not in out]
    assert f"warning: left out, {len(out)} of 3 sequences: " in err and "found 1" in err
    assert f"left out, counted nowhere: {', '.join(out)}" in text
    two = score(tmp_path, capsys, protocol, OURS, "--workers", "2")
    assert two[:2] == (code, form) and two[3] == err


def test_nothing_but_short_sequences_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place(tmp_path, a=(clip(1, frames=2), clip(1, frames=2)), b=(clip(1, frames=1), clip(1, frames=1)))
    code, form, _, err = score(tmp_path, capsys)
    assert code == 2 and not form and len(err.splitlines()) == 1
    assert "2 sequences left out; sequence a: davis2017 needs at least 3 frames, found 2" in err


def test_a_truth_without_objects_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place(tmp_path, a=(clip(), clip()), b=(clip(1), clip(1)))
    for protocol in ("davis2017", "youtube-vos"):
        code, form, _, err = score(tmp_path, capsys, protocol)
        assert code == 0 and list(form["left_out"]) == ["a"] and list(form["objects"]) == ["b_1"]
        assert "at least one object in the ground truth, found none" in err


def test_g_is_given_beside_a_sequence_that_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place(tmp_path, a=(clip(1, 2), clip(1, 2)), b=(clip(1, frames=1), clip(1, frames=1)))
    one = {"frames": ["00000"], "category": "cat"}
    videos = {"a": {"objects": {"1": one, "2": {**one, "category": "yak"}}}, "b": {"objects": {"1": one}}}
    (tmp_path / "meta.json").write_text(json.dumps({"videos": videos}))
    (tmp_path / "seen.txt").write_text("cat\n")
    more = ["--meta", str(tmp_path / "meta.json"), "--seen", str(tmp_path / "seen.txt")]
    code, form, _, _ = score(tmp_path, capsys, "youtube-vos", OURS, *more)
    assert code == 0 and form["youtube-vos"]["G"] == 1


# Predictions that say nothing, and odd folders


def test_an_empty_prediction_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place(tmp_path, a=(clip(1), clip()), b=(clip(1), clip(1)))
    code, form, _, err = score(tmp_path, capsys)
    assert code == 0 and form["objects"]["a_1"]["J&F-Mean"] == 0
    assert err.splitlines() == ["warning: sequence a: the prediction is empty in all frames"]


def test_a_constant_id_is_scored_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place(tmp_path, a=(clip(1, 2), np.ones((6, 60, 80), np.uint8)))
    code, form, _, _ = score(tmp_path, capsys)
    assert code == 0 and form["objects"]["a_1"]["J-Mean"] == pytest.approx(15 * 20 / (60 * 80))
    assert form["objects"]["a_2"]["J&F-Mean"] == 0


def test_void_beside_ids_is_no_object_of_davis2016(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = clip(1, 2)
    truth[:, :5] = 255
    place(tmp_path, a=(truth, clip(1, 2)))
    code, form, _, _ = score(tmp_path, capsys, "davis2016")
    assert code == 0 and form["objects"]["a_1"]["J&F-Mean"] == 1
    edges = np.where(clip(1) > 0, 255, 0).astype(np.uint8)
    edges[:, 9] = 130  # a smooth edge is no id
    edges[:, 8] = 5
    Image.fromarray(edges[0]).save(tmp_path / "soft.png")
    for t in range(6):
        shutil.copy(tmp_path / "soft.png", tmp_path / OURS / "a" / f"{t:05d}.png")
    write(tmp_path / TRUTH / "a", (edges > 127).astype(np.uint8))
    assert score(tmp_path, capsys, "davis2016")[1]["objects"]["a_1"]["J&F-Mean"] == 1


def test_odd_folders_are_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place(tmp_path, a=(clip(1, 2), clip(1, 2)))
    code, _, _, err = score(tmp_path, capsys, ours=".")
    assert code == 2 and f"give {tmp_path / OURS}" in err
    for t in range(6):
        (tmp_path / OURS / "a" / f"{t:05d}.png").rename(tmp_path / OURS / "a" / f"mask_{t}.png")
    code, _, _, err = score(tmp_path, capsys)
    assert code == 2 and "found mask_0.png, mask_1.png, mask_2.png and 3 more: name the masks as" in err
    shutil.rmtree(tmp_path / OURS)
    for number in (1, 2):
        write(tmp_path / OURS / "a" / str(number), clip(number) > 0)
    code, _, _, err = score(tmp_path, capsys)
    assert (
        code == 2 and "found the folders 1, 2: write one mask a frame" in err and len(err.splitlines()) == 1
    )
