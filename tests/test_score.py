"""`stremn score vos` and `stremn submit vos`: against a plain implementation, and against bad folders."""

import csv
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.spatial import cKDTree
from skimage.morphology import dilation, disk

from contours import contour_accuracy
from stremn.cli import main
from stremn.data.clips import read_stored_ids
from stremn.errors import InputError
from stremn.evaluation.names import read_names
from stremn.evaluation.processes import parallel_map
from stremn.evaluation.protocols import PROTOCOLS
from stremn.evaluation.region import region_similarity

COLUMNS = ("J&F-Mean", "J-Mean", "J-Recall", "J-Decay", "F-Mean", "F-Recall", "F-Decay")
PALETTE = [0, 0, 0, 128, 0, 0, 0, 128, 0, *[9] * (3 * 253)]

# The plain implementation: whole frames, one step after the other, nothing of ours


def plain_boundary(mask: np.ndarray) -> np.ndarray:
    """Pixels that differ from the right, lower or lower-right one; last row and column as in seg2bmap."""
    height, width = mask.shape
    edge = np.zeros((height, width), bool)
    edge[:-1, :-1] = (
        (mask[:-1, :-1] != mask[:-1, 1:])
        | (mask[:-1, :-1] != mask[1:, :-1])
        | (mask[:-1, :-1] != mask[1:, 1:])
    )
    edge[-1, :-1] = mask[-1, :-1] != mask[-1, 1:]
    edge[:-1, -1] = mask[:-1, -1] != mask[1:, -1]
    return edge


def plain_match(points: np.ndarray, others: np.ndarray, radius: float) -> float:
    """Share of the pixels (N, 2) of a boundary that have one of the other boundary within the radius."""
    distance, _ = cKDTree(others).query(points)
    return float(np.mean(distance <= radius + 1e-9))


def plain_jf(predicted: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    union = np.sum(predicted | truth)
    j = np.sum(predicted & truth) / union if union else 1.0
    a, b = np.argwhere(plain_boundary(predicted)), np.argwhere(plain_boundary(truth))
    if not len(a) or not len(b):
        return float(j), float(len(a) == len(b))
    radius = int(np.ceil(0.008 * np.sqrt(truth.shape[0] ** 2 + truth.shape[1] ** 2)))
    precision, recall = plain_match(a, b, radius), plain_match(b, a, radius)
    return float(j), 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def plain_decay(values: list[float]) -> float:
    """Mean of the first of four bins minus mean of the last; bins share the frames where they meet."""
    ends = [int(np.floor(1 + (len(values) - 1) * i / 4 + 0.5)) - 1 for i in range(5)]
    bins = [values[ends[i] : ends[i + 1] + 1] for i in range(4)]
    return sum(bins[0]) / len(bins[0]) - sum(bins[3]) / len(bins[3])


def plain_row(pairs: list[tuple[float, float]]) -> dict[str, float]:
    row = {}
    for letter, values in zip("JF", zip(*pairs, strict=True), strict=True):
        row[f"{letter}-Mean"] = sum(values) / len(values)
        row[f"{letter}-Recall"] = sum(value > 0.5 for value in values) / len(values)
        row[f"{letter}-Decay"] = plain_decay(list(values))
    return {"J&F-Mean": (row["J-Mean"] + row["F-Mean"]) / 2, **row}


def plain_davis(clips: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, dict[str, float]]:
    """Rows of all objects: (predicted, true) ids of each clip, first and last frame dropped."""
    rows = {}
    for name, (predicted, truth) in clips.items():
        for number in range(1, int(np.where(truth[0] == 255, 0, truth[0]).max()) + 1):
            pairs = [plain_jf(predicted[t] == number, truth[t] == number) for t in range(1, len(truth) - 1)]
            rows[f"{name}_{number}"] = plain_row(pairs)
    return rows


def agree(form: dict, rows: dict[str, dict[str, float]]) -> None:
    """A JSON form has these rows, and their means over the objects."""
    assert list(form["objects"]) == list(rows)
    for name, row in rows.items():
        assert form["objects"][name] == pytest.approx(row, abs=1e-9), name
    means = {column: sum(row[column] for row in rows.values()) / len(rows) for column in COLUMNS}
    assert tuple(form["global"]) == COLUMNS and form["global"] == pytest.approx(means, abs=1e-9)


# Masks and folders


def random_mask(generator: np.random.Generator, shape: tuple[int, int], kind: str) -> np.ndarray:
    """empty, full, noise, one pixel, border (touches all sides), or blobs."""
    mask = np.zeros(shape, bool)
    if kind == "full":
        mask[:] = True
    elif kind == "noise":
        mask = generator.random(shape) < 0.3
    elif kind == "pixel":
        mask[tuple(generator.integers(0, side) for side in shape)] = True
    elif kind == "border":
        mask[:, -1] = mask[-1] = mask[0, : shape[1] // 2] = mask[: shape[0] // 3, 0] = True
    elif kind == "blobs":
        y, x = np.mgrid[: shape[0], : shape[1]]
        for _ in range(3):
            cy, cx, r = (generator.uniform(0, side) for side in (*shape, max(2.0, min(shape) / 3)))
            mask |= (y - cy) ** 2 + (x - cx) ** 2 <= r**2
    return mask


KINDS = ("empty", "full", "noise", "pixel", "border", "blobs")


def clip(seed: int, frames: int = 6, objects: int = 2, shape: tuple[int, int] = (45, 71)) -> np.ndarray:
    """Ids (T, H, W): blobs that drift, every object in frame 0."""
    generator = np.random.default_rng(seed)
    ids = np.zeros((frames, *shape), np.uint8)
    for number in range(1, objects + 1):
        mask = random_mask(generator, shape, "blobs")
        for t in range(frames):
            ids[t][np.roll(mask, (t % 7, 2 * t % 11), (0, 1))] = number
        ids[0, number, number] = number
    return ids


def save(path: Path, ids: np.ndarray, mode: str = "P") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(ids)
    if mode == "P":
        image.putpalette(PALETTE)
    image.convert(mode).save(path)


def write(root: Path, name: str, ids: np.ndarray, mode: str = "P") -> None:
    for t, one in enumerate(ids):
        save(root / name / f"{t:05d}.png", one, mode)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """truth and ours with the sequences a (2 objects) and b (1)."""
    write(tmp_path / "truth", "a", clip(1))
    write(tmp_path / "truth", "b", clip(2, objects=1, shape=(40, 64)))
    write(tmp_path / "ours", "a", clip(3))
    write(tmp_path / "ours", "b", clip(4, objects=1, shape=(40, 64)))
    return tmp_path


def score(place: Path, *more: str, protocol: str = "davis2017", ours: str = "ours") -> int:
    folders = ["--predictions", str(place / ours), "--annotations", str(place / "truth")]
    return main(["score", "vos", *folders, "--protocol", protocol, *more])


def refused(capsys: pytest.CaptureFixture[str], code: int, *words: str) -> None:
    """Exit code 2 and one line on stderr that says these words."""
    text = capsys.readouterr()
    assert code == 2, text
    assert len(text.err.strip().splitlines()) == 1 and text.err.startswith("error: ") and not text.out
    for word in words:
        assert re.search(word, text.err), f"{word!r} not in {text.err!r}"


# J and F


@pytest.mark.parametrize("radius", [1, 4, 8])
def test_the_plain_match_is_that_of_a_dilation(radius: int) -> None:
    """The definition: pixels under the other boundary dilated by scikit-image's disk."""
    generator = np.random.default_rng(radius)
    a, b = generator.random((40, 50)) < 0.05, generator.random((40, 50)) < 0.03
    near = dilation(b.astype(np.uint8), disk(radius))
    assert plain_match(np.argwhere(a), np.argwhere(b), radius) == np.sum(a & (near > 0)) / np.sum(a)


@pytest.mark.parametrize("shape", [(2, 2), (33, 64), (64, 65), (101, 129), (250, 251)])
def test_j_and_f_equal_the_plain_ones(shape: tuple[int, int]) -> None:
    generator = np.random.default_rng(shape)
    for first in KINDS:
        for second in KINDS:
            a, b = random_mask(generator, shape, first), random_mask(generator, shape, second)
            j, f = plain_jf(a, b)
            assert (float(region_similarity(a, b)), float(contour_accuracy(a, b))) == (j, f), (first, second)


def test_radius_wider_than_a_word() -> None:
    """A tolerance of more than 64 pixels, as in frames of 8K, crosses more than one word."""
    generator = np.random.default_rng(8)
    a, b = (random_mask(generator, (90, 300), kind) for kind in ("pixel", "blobs"))
    edges = np.argwhere(plain_boundary(a)), np.argwhere(plain_boundary(b))
    precision, recall = plain_match(*edges, 70), plain_match(*edges[::-1], 70)
    f = contour_accuracy(a, b, tolerance=70 / np.hypot(90, 300) - 1e-9)
    assert float(f) == pytest.approx(2 * precision * recall / (precision + recall), abs=1e-12)


@pytest.mark.parametrize("frames", [258, 300, 520])
def test_decay_of_a_long_sequence(frames: int, tmp_path: Path) -> None:
    """The square of the prediction loses a row now and then, so that J falls from 1 to about 0."""
    truth = np.zeros((frames, 40, 40), np.uint8)
    truth[:, 10:30, 10:30] = 1
    predicted = truth.copy()
    for t in range(frames):
        predicted[t, 30 - 20 * t // frames : 30] = 0
    write(tmp_path / "truth", "long", truth)
    write(tmp_path / "ours", "long", predicted)
    assert score(tmp_path, "--json", str(tmp_path / "s.json")) == 0
    form = json.loads((tmp_path / "s.json").read_text())
    assert 0.7 < form["global"]["J-Decay"] < 0.8
    js = [1 - (20 * t // frames) / 20 for t in range(1, frames - 1)]
    assert form["objects"]["long_1"]["J-Decay"] == pytest.approx(plain_decay(js), abs=1e-9)
    if frames == 258:
        agree(form, plain_davis({"long": (predicted, truth)}))


# The command


def test_the_command_equals_the_plain_implementation(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = clip(1)
    truth[2:5, 3:9, 3:20] = 255
    write(place / "truth", "a", truth)
    files = ["--json", str(place / "new" / "s.json"), "--csv", str(place / "csv")]
    assert score(place, *files, "--per-frame") == 0
    rows = plain_davis(
        {
            "a": (clip(3), truth),
            "b": (clip(4, objects=1, shape=(40, 64)), clip(2, objects=1, shape=(40, 64))),
        }
    )
    form = json.loads((place / "new" / "s.json").read_text())
    agree(form, rows)
    shown = capsys.readouterr().out
    assert f"{form['global']['J&F-Mean']:.3f}" in shown and all(column in shown for column in COLUMNS)

    names = ("global_results-val.csv", "per-sequence_results-val.csv", "per-frame_results-val.csv")
    assert sorted(p.name for p in (place / "csv").iterdir()) == sorted(names)
    overall, objects, frames = (list(csv.reader((place / "csv" / name).open())) for name in names)
    assert tuple(overall[0]) == COLUMNS
    assert overall[1] == [f"{form['global'][column]:.3f}" for column in COLUMNS]
    assert objects[0] == ["Sequence", "J-Mean", "F-Mean"]
    assert objects[1:] == [[n, f"{row['J-Mean']:.3f}", f"{row['F-Mean']:.3f}"] for n, row in rows.items()]
    j, f = plain_jf(clip(3)[4] == 2, truth[4] == 2)
    assert ["a_2", "4", f"{j:.9f}", f"{f:.9f}"] in frames
    assert form["per_frame"]["a_2"]["J"][3] == pytest.approx(j)


def test_one_csv_file(place: Path) -> None:
    assert score(place, "--csv", str(place / "all.csv"), "--json", str(place / "s.json")) == 0
    rows = list(csv.DictReader((place / "all.csv").open()))
    form = json.loads((place / "s.json").read_text())
    assert [row["Sequence"] for row in rows] == ["a_1", "a_2", "b_1", "Global"]
    assert {c: float(rows[-1][c]) for c in COLUMNS} == pytest.approx(form["global"], abs=1e-8)


@pytest.mark.parametrize("protocol", ["davis2016", "davis2017", "youtube-vos", "long-video"])
def test_the_truth_scores_one(place: Path, protocol: str, capsys: pytest.CaptureFixture[str]) -> None:
    truth = clip(1)
    truth[1:3, :4, :9] = 255
    if protocol == "davis2016":
        truth = 255 * (truth == 1).astype(np.uint8)
        write(place / "truth", "b", np.minimum(clip(2, objects=1), 1) * 255)
    write(place / "truth", "a", truth)
    assert score(place, "--json", str(place / "s.json"), protocol=protocol, ours="truth") == 0
    form = json.loads((place / "s.json").read_text())
    for row in [form["global"], *form["objects"].values()]:
        assert row == {column: 0.0 if "Decay" in column else 1.0 for column in COLUMNS}
    assert "warning: the predictions are the annotations" in capsys.readouterr().err


def test_several_processes_give_the_same(place: Path) -> None:
    for workers in "12":
        assert score(place, "--json", str(place / f"{workers}.json"), "--workers", workers) == 0
    assert (place / "1.json").read_bytes() == (place / "2.json").read_bytes()
    save(place / "ours" / "b" / "00002.png", np.full((40, 64), 7, np.uint8))
    assert score(place, "--json", str(place / "3.json"), "--workers", "2") == 2
    assert not (place / "3.json").exists()


def test_processes_end_with_the_first_error() -> None:
    with pytest.raises(InputError, match="expected at least one name"):
        list(parallel_map(read_names, ["a", ",", "b"], 2))
    assert dict(parallel_map(read_names, ["a", "b ,c d"], 2)) == {"a": ["a"], "b ,c d": ["b", "c d"]}


def test_many_names_are_no_file() -> None:
    names = [f"a-long-name-{i}" for i in range(30)]  # longer than a file's name may be
    assert read_names(",".join(names)) == names


def test_some_sequences(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "val.txt").write_text("b\n\n")
    (place / "2016.txt").write_text("/JPEGImages/480p/b/00000.jpg /Annotations/480p/b/00000.png\n" * 2)
    (place / "meta.json").write_text(json.dumps({"videos": {"b": {"objects": {}}}}))
    shutil.rmtree(place / "ours" / "a")
    for chosen in ("b", str(place / "val.txt"), str(place / "2016.txt"), str(place / "meta.json")):
        assert score(place, "--sequences", chosen) == 0
        text = capsys.readouterr()
        assert "b_1" in text.out and "a_1" not in text.out and not text.err
    refused(capsys, score(place), "sequence a:", "ImageSets")
    refused(capsys, score(place, "--sequences", "b,z"), "no sequence z")
    refused(capsys, score(place, "--sequences", str(place / "no.txt")), "found no file")


def test_old_name_of_a_protocol(place: Path) -> None:
    for protocol in ("long", "long-video"):
        assert score(place, "--json", str(place / f"{protocol}.json"), protocol=protocol) == 0
    assert (place / "long.json").read_text() == (place / "long-video.json").read_text()
    form = json.loads((place / "long.json").read_text())
    assert form["protocol"] == "long-video"
    js = [plain_jf(clip(3)[t] == 1, clip(1)[t] == 1)[0] for t in range(1, 6)]
    assert form["objects"]["a_1"]["J-Mean"] == pytest.approx(np.mean(js))


def test_warnings(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(place / "ours", "more", clip(1))
    assert score(place) == 0
    assert capsys.readouterr().err.strip() == "warning: not scored, as there is no annotation: more"
    for name in "ab":
        shape = (45, 71) if name == "a" else (40, 64)
        write(place / "truth", name, 255 * clip(1, objects=1, shape=shape))
        write(place / "ours", name, 255 * clip(2, objects=1, shape=shape), "L")
    assert score(place, "--sequences", "a,b", "--json", str(place / "tops.json"), protocol="davis2016") == 0
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("warning: ") and "above 127" in lines[0]
    for name in "ab":
        write(place / "ours", name, clip(2, objects=1, shape=(45, 71) if name == "a" else (40, 64)))
    assert score(place, "--sequences", "a,b", "--json", str(place / "ones.json"), protocol="davis2016") == 0
    assert (place / "ones.json").read_text() == (place / "tops.json").read_text()


def damage(place: Path, how: str) -> list[str]:
    """Spoil the folders in one way; returns arguments to add."""
    mask, folder = place / "ours" / "a" / "00002.png", place / "ours" / "a"
    if how == "0 and 255":
        write(place / "ours", "a", 255 * clip(3, objects=1), "L")
    elif how == "size":
        save(mask, clip(3)[2, :-1])
    elif how == "sequence":
        shutil.rmtree(folder)
    elif how == "frame":
        mask.unlink()
    elif how == "id":
        save(mask, np.full((45, 71), 3, np.uint8))
    elif how == "empty sequence":
        shutil.rmtree(folder)
        folder.mkdir()
    elif how == "empty root":
        shutil.rmtree(place / "ours")
        (place / "ours").mkdir()
    elif how == "no root":
        shutil.rmtree(place / "ours")
    elif how == "empty truth":
        shutil.rmtree(place / "truth" / "a")
        (place / "truth" / "a").mkdir()
    elif how == "truth 0 and 255":
        write(place / "truth", "a", 255 * clip(1, objects=1), "L")
    elif how == "cut":
        mask.write_bytes(mask.read_bytes()[:-40])
    elif how == "bit":
        data = bytearray(mask.read_bytes())
        data[data.index(b"IDAT") + 20] ^= 4
        mask.write_bytes(data)
    elif how == "text":
        mask.write_text("no picture")
    elif how == "colours":
        Image.new("RGB", (71, 45)).save(mask)
    elif how == "dataset":
        (place / "truth" / "Annotations").mkdir()
    elif how == "json there":
        (place / "s.json").write_text("old")
    elif how == "csv there":
        (place / "csv").mkdir()
        (place / "csv" / "per-sequence_results-val.csv").write_text("old")
    return ["--protocol", "davis2018"] if how == "protocol" else []


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("0 and 255", "unknown id 255 .* 0 and 255 use the protocol davis2016"),
        ("size", "00002.png: expected 71×45 pixels .* found 71×44"),
        ("sequence", "sequence a: expected a folder"),
        ("frame", r"00002.png, found no file \(1 of 4"),
        ("id", "sequence a: unknown id 3 in the prediction of frame 00002, expected ids 0…2"),
        ("empty sequence", "found it empty"),
        ("empty root", "expected a folder with one folder for each sequence"),
        ("no root", "expected a folder with one folder for each sequence"),
        ("empty truth", "expected annotated frames"),
        ("truth 0 and 255", "none but 255; .* davis2016"),
        ("cut", "expected a readable image, found a damaged one at .*00002.png"),
        ("bit", "expected a readable image, found a damaged one at .*00002.png"),
        ("text", "expected a readable image, .*00002.png"),
        ("colours", "expected a mask of object ids .* found mode RGB in .*00002.png"),
        ("dataset", "found a dataset; give .* Annotations/480p"),
        ("json there", "--overwrite"),
        ("csv there", "--overwrite"),
        ("protocol", "unknown protocol"),
    ],
)
def test_bad_input_stops_in_one_line(
    place: Path, how: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    more = damage(place, how)
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    files = ["--json", str(place / "s.json"), "--csv", str(place / "csv"), "--workers", "1"]
    refused(capsys, score(place, *files, *more), words)
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before
    if how.endswith("there"):
        assert score(place, *files, "--overwrite") == 0
        assert json.loads((place / "s.json").read_text())["objects"]


def test_per_frame_wants_a_file(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, score(place, "--per-frame"), "--json or --csv")


def test_ctrl_c_leaves_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def stop(*_: object, **__: object) -> None:
        calls.append(1)
        raise KeyboardInterrupt

    monkeypatch.setattr("stremn.evaluation.vos.score_folder", stop)
    assert score(place, "--json", str(place / "s.json")) == 130 and calls
    assert not (place / "s.json").exists()


# YouTube-VOS: seen and unseen classes


def square(top: int, left: int) -> np.ndarray:
    mask = np.zeros((40, 60), bool)
    mask[top : top + 10, left : left + 20] = True
    return mask


def meta_of(path: Path, videos: dict[str, dict[int, str | None]]) -> None:
    objects = {
        name: {
            "objects": {
                str(number): {"frames": ["00000"], **({"category": category} if category else {})}
                for number, category in known.items()
            }
        }
        for name, known in videos.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"videos": objects}))


@pytest.fixture
def tube(tmp_path: Path) -> Path:
    """YouTube-VOS in the official layout, every fifth frame, and predictions; values by hand below.

    u: 1 (cat) in all frames, lost in the last; 2 (ape) from the second frame on, so scored in two, lost in one.
    v: 1 (yak, not in train) right, then a pixel aside, then lost; 2 (cat) always right.
    """
    left, right = square(2, 5), square(22, 30)
    for t in range(4):
        truth, ours = np.zeros((2, 40, 60), np.uint8), np.zeros((2, 40, 60), np.uint8)
        truth[:, left] = 1
        truth[0, right] = 2 if t else 0
        truth[1, right] = 2
        ours[0, left] = 1 if t < 3 else 0
        ours[0, right] = 2 if t in (1, 2) else 0
        ours[1, square(2, 6) if t == 2 else left] = 1 if t < 3 else 0
        ours[1, right] = 2
        for name, known, guess in zip("uv", truth, ours, strict=True):
            save(tmp_path / "valid" / "Annotations" / name / f"{5 * t:05d}.png", known)
            save(tmp_path / "ours" / name / f"{5 * t:05d}.png", guess)
    meta_of(tmp_path / "valid" / "meta.json", {"u": {1: "cat", 2: "ape"}, "v": {1: "yak", 2: "cat"}})
    meta_of(tmp_path / "train" / "meta.json", {"a": {1: "ape"}, "b": {1: "cat", 2: "ape"}, "c": {1: "fox"}})
    return tmp_path


SEEN = (2 / 3 + 1 / 2 + 1) / 3  # u_1, u_2, v_2: J as well as F
YAK_J, YAK_F = (
    (1 + 19 / 21 + 0) / 3,
    2 / 3,
)  # 10×19 of 10×21 pixels; its contour lies within the tolerance of 1


def tube_score(tube: Path, *more: str, protocol: str = "youtube-vos") -> int:
    folders = ["--predictions", str(tube / "ours"), "--annotations", str(tube / "valid" / "Annotations")]
    return main(["score", "vos", *folders, "--protocol", protocol, *more])


def test_seen_and_unseen_by_hand(tube: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tube_score(tube, "--json", str(tube / "s.json"), "--csv", str(tube / "csv")) == 0
    form = json.loads((tube / "s.json").read_text())
    found = form["youtube-vos"]
    objects = found.pop("objects")
    overall = (2 * SEEN + YAK_J + YAK_F) / 4
    expected = {"G": overall, "J-Seen": SEEN, "F-Seen": SEEN, "J-Unseen": YAK_J, "F-Unseen": YAK_F}
    assert found == pytest.approx(expected, abs=1e-12)
    assert {name: one["category"] for name, one in objects.items() if not one["seen"]} == {"v_1": "yak"}
    assert tuple(form["global"]) == COLUMNS and list(form["objects"]) == ["u_1", "u_2", "v_1", "v_2"]
    text = capsys.readouterr()
    assert f"G {overall:.3f}: mean" in text.out and "train/meta.json" in text.out and not text.err
    seen, unseen = (next(x for x in text.out.splitlines() if x.startswith(n)) for n in ("Seen (", "Unseen ("))
    assert "(3 objects, 2 classes)" in seen and "(1 object, 1 class)" in unseen
    assert [unseen.split()[5 + i] for i in (1, 4)] == [f"{YAK_J:.3f}", f"{YAK_F:.3f}"]
    rows = list(csv.reader((tube / "csv" / "youtube-vos_results-val.csv").open()))
    assert rows == [list(expected), [f"{value:.3f}" for value in expected.values()]]
    assert len(list((tube / "csv").iterdir())) == 3


def test_classes_from_files_elsewhere(tube: Path) -> None:
    assert tube_score(tube, "--json", str(tube / "1.json")) == 0
    (tube / "valid" / "meta.json").rename(tube / "m.json")
    (tube / "seen.txt").write_text("ape\n\ncat \nfox\n")
    options = ["--meta", str(tube / "m.json"), "--seen", str(tube / "seen.txt")]
    files = ["--json", str(tube / "2.json"), "--csv", str(tube / "all.csv")]
    assert tube_score(tube, *options, *files) == 0
    assert (tube / "1.json").read_text() == (tube / "2.json").read_text()
    (row,) = csv.DictReader((tube / "all-youtube-vos.csv").open())
    assert float(row["J-Unseen"]) == pytest.approx(YAK_J, abs=1e-9)


@pytest.mark.parametrize(
    ("videos", "train", "reason"),
    [
        (None, "train", "no meta.json beside"),
        ({"u": {1: None, 2: None}, "v": {1: None, 2: None}}, "train", "has no categories for all objects"),
        ({"u": {1: "cat", 2: "ape"}, "v": {1: "yak", 2: "cat"}}, "", "training set are not known; --seen"),
        ({"u": {1: "cat", 2: "ape"}, "v": {1: "fox", 2: "cat"}}, "train", "no scored object is of an unseen"),
        ({"u": {1: "cat", 2: "ape"}, "v": {1: "yak"}}, "train", "object 2 of sequence v, which is annotated"),
    ],
)
def test_why_there_is_no_g(
    tube: Path, videos: dict | None, train: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tube / "valid" / "meta.json").unlink()
    if videos is not None:
        meta_of(tube / "valid" / "meta.json", videos)
    if not train:
        (tube / "train" / "meta.json").unlink()
    assert tube_score(tube, "--json", str(tube / "s.json"), "--csv", str(tube / "csv")) == 0
    lines = [x for x in capsys.readouterr().out.splitlines() if x.startswith("G ")]
    assert len(lines) == 1 and lines[0].startswith("G is not given: ") and reason in lines[0]
    form = json.loads((tube / "s.json").read_text())
    assert form["youtube-vos"]["G"] is None and reason in form["youtube-vos"]["reason"]
    assert form["objects"]["v_1"]["J-Mean"] == pytest.approx(YAK_J)
    if "unseen" in reason:  # the yak is a fox here, which train has
        assert form["youtube-vos"]["J-Seen"] == pytest.approx((3 * SEEN + YAK_J) / 4)
        assert form["youtube-vos"]["J-Unseen"] is None


@pytest.mark.parametrize(
    ("meta", "seen", "words"),
    [
        (
            {"u": {1: "cat", 2: "ape", 7: "ape"}},
            "cat",
            "expected object 7 of sequence u, which .* found none",
        ),
        ({"u": {1: "cat"}}, "cat", "expected object 2 of sequence u, which is annotated, in .*m.json"),
        ({"w": {1: "cat"}}, "cat", r"expected the sequence u in .*m.json, found none \(1 missing\)"),
        ({"u": {1: "cat", 2: "ape"}}, "Cat\ndog", "expected categories in .* such as ape, found others"),
        ({"u": {1: "cat", 2: "ape"}}, " \n", "expected the categories of the training set in .*, found none"),
        ({"u": {1: "cat", 2: "ape"}}, None, "seen.txt, found .*No such file"),
        (None, "cat", "m.json of YouTube-VOS, found no such file"),
    ],
)
def test_lists_that_do_not_fit_stop_in_one_line(
    tube: Path, meta: dict | None, seen: str | None, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if meta is not None:
        meta_of(tube / "m.json", meta)
    if seen is not None:
        (tube / "seen.txt").write_text(seen)
    options = ["--meta", str(tube / "m.json"), "--seen", str(tube / "seen.txt")]
    code = tube_score(tube, "--sequences", "u", *options, "--csv", str(tube / "csv"))
    refused(capsys, code, words)
    assert not (tube / "csv").exists()


def test_classes_are_of_youtube_vos_alone(tube: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, tube_score(tube, "--seen", "x", protocol="davis2017"), "expected --protocol youtube-vos")


# Reading masks


@pytest.mark.parametrize("mode", ["P", "L", "LA", "1"])
@pytest.mark.parametrize("shape", [(1, 1), (7, 9), (31, 300)])
def test_values_are_read_as_stored(tmp_path: Path, mode: str, shape: tuple[int, int]) -> None:
    ids = np.random.default_rng(1).integers(0, 256 if mode != "1" else 2, shape).astype(np.uint8)
    if mode == "LA":
        pixels = np.stack([ids, np.full_like(ids, 200)], axis=-1)
        Image.fromarray(pixels).save(tmp_path / "m.png")
    elif mode == "1":
        Image.fromarray(ids * 255).convert("1").save(tmp_path / "m.png")
    else:
        save(tmp_path / "m.png", ids, mode)
    with Image.open(tmp_path / "m.png") as image:
        assert image.mode == mode
    assert (read_stored_ids(tmp_path / "m.png") == ids).all()


# DAVIS


def davis_folder() -> Path:
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("STREMN_SHARED_DATA", beside)) / "DAVIS"
    if not folder.is_dir():
        pytest.skip(f"needs DAVIS in {folder.parent}; set STREMN_SHARED_DATA to the folder that holds it")
    return folder


def test_keep_the_first_mask_on_davis(tmp_path: Path) -> None:
    """Every second frame of ten sequences against the plain implementation; the truth against itself."""
    davis = davis_folder()
    names = read_names(str(davis / "ImageSets" / "2016" / "val.txt"))
    assert len(names) == 10
    clips = {}
    for name in names:
        paths = sorted((davis / "Annotations" / "480p" / name).glob("*.png"))[::2]
        truth = np.stack([np.array(Image.open(path)) for path in paths])
        ids = truth > 127
        clips[name] = (np.broadcast_to(ids[0], ids.shape), ids)
        save(tmp_path / f"{name}.png", ids[0].astype(np.uint8))
        for folder in ("truth", "ours"):
            (tmp_path / folder / name).mkdir(parents=True)
        for path in paths:
            (tmp_path / "truth" / name / path.name).symlink_to(path)
            (tmp_path / "ours" / name / path.name).symlink_to(tmp_path / f"{name}.png")
    assert score(tmp_path, "--json", str(tmp_path / "s.json"), protocol="davis2016") == 0
    agree(json.loads((tmp_path / "s.json").read_text()), plain_davis(clips))
    assert score(tmp_path, "--json", str(tmp_path / "1.json"), protocol="davis2016", ours="truth") == 0
    form = json.loads((tmp_path / "1.json").read_text())["global"]
    assert form == {column: 0.0 if "Decay" in column else 1.0 for column in COLUMNS}


# --- what `stremn segment` wrote


def as_segmented(place: Path) -> Path:
    """The results of ``place``, each in the form of a folder of ``stremn segment``."""
    for folder in sorted((place / "ours").iterdir()):
        (place / "videos" / folder.name).mkdir(parents=True)
        folder.rename(place / "videos" / folder.name / "masks")
        (place / "videos" / folder.name / "trace.json").write_text("{}")
    return place / "videos"


def test_masks_of_segment_are_found(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert score(place, "--json", str(place / "before.json")) == 0
    videos = as_segmented(place)
    assert score(place, "--json", str(place / "after.json"), ours="videos") == 0
    whole = json.loads((place / "before.json").read_text())
    assert json.loads((place / "after.json").read_text()) == whole
    name = sorted(path.name for path in videos.iterdir())[0]
    own = {key: row for key, row in whole["objects"].items() if key.startswith(f"{name}_")}
    given = ["score", "vos", "--predictions", str(videos / name), "--protocol", "davis2017"]
    truth = place / "truth"
    for number, annotations in enumerate((truth, truth / name)):  # of all sequences, or of this one alone
        file = place / f"{number}.json"
        assert main([*given, "--annotations", str(annotations), "--json", str(file)]) == 0
        assert json.loads(file.read_text())["objects"] == own
    (videos / name).rename(videos / "other")
    given[3] = str(videos / "other")
    capsys.readouterr()
    assert main([*given, "--annotations", str(truth)]) == 2
    assert "name it with --sequences" in capsys.readouterr().err
    assert main([*given, "--annotations", str(truth), "--sequences", name]) == 0


def test_the_help_lists_every_protocol(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", "vos", "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in (*PROTOCOLS, "long"))
