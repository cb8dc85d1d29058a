"""`stremn submit vos`: archives that a server takes, and one line for everything that is wrong."""

import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stremn.cli import main
from stremn.evaluation.submission import BENCHMARKS

SHAPE = (12, 20)


def save(path: Path, ids: np.ndarray, mode: str = "P") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(ids)
    if mode == "P":
        image.putpalette([0, 0, 0, 128, 0, 0, *[7] * (3 * 254)])
    image.save(path)


def ids(seed: int, objects: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, objects + 1, SHAPE).astype(np.uint8)


@pytest.fixture
def davis(tmp_path: Path) -> Path:
    """DAVIS test-dev in the official layout, two sequences of three frames, and results for it."""
    root = tmp_path / "DAVIS"
    (root / "ImageSets" / "2017").mkdir(parents=True)
    (root / "ImageSets" / "2017" / "test-dev.txt").write_text("aerobatics\ncar-race\n")
    for name in ("aerobatics", "car-race"):
        first = ids(0)
        first[0, :3] = 0, 1, 2
        save(root / "Annotations" / "480p" / name / "00000.png", first)
        for t in range(3):
            picture = root / "JPEGImages" / "480p" / name / f"{t:05d}.jpg"
            picture.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.zeros((*SHAPE, 3), np.uint8)).save(picture)
            save(tmp_path / "ours" / name / f"{t:05d}.png", ids(t))
    return tmp_path


@pytest.fixture
def youtube(tmp_path: Path) -> Path:
    """YouTube-VOS validation: one object from the first frame on, one later; every fifth frame is wanted."""
    root = tmp_path / "valid"
    objects = {
        "1": {"category": "cat", "frames": ["00000", "00005", "00010"]},
        "3": {"category": "dog", "frames": ["00005", "00010"]},
    }
    videos = {name: {"objects": objects} for name in ("003234408d", "0062f687f1")}
    (root / "JPEGImages").mkdir(parents=True)
    (root / "meta.json").write_text(json.dumps({"videos": videos}))
    for name in videos:
        for t in range(11):
            one = ids(t)
            save(tmp_path / "ours" / name / f"{t:05d}.png", np.where(one == 2, 3, one).astype(np.uint8))
        (root / "JPEGImages" / name).mkdir()
        Image.fromarray(np.zeros((*SHAPE, 3), np.uint8)).save(root / "JPEGImages" / name / "00000.jpg")
    return tmp_path


def submit(place: Path, benchmark: str, *more: str, out: str = "out.zip") -> int:
    folders = ["--predictions", str(place / "ours"), "--out", str(place / out)]
    return main(["submit", "vos", *folders, "--benchmark", benchmark, *more])


def reference(place: Path) -> list[str]:
    meta = place / "valid" / "meta.json"
    listed = meta if meta.exists() else place / "DAVIS" / "ImageSets" / "2017" / "test-dev.txt"
    return ["--reference", str(listed)]


def test_davis_archive(davis: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert submit(davis, "davis2017-test-dev", *reference(davis)) == 0
    with zipfile.ZipFile(davis / "out.zip") as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [
            f"{name}/{t:05d}.png" for name in ("aerobatics", "car-race") for t in range(3)
        ]
        for name in archive.namelist():
            with archive.open(name) as file, Image.open(file) as image:
                assert image.mode == "P"
                assert (np.asarray(image) == ids(int(Path(name).stem))).all()
    text = capsys.readouterr()
    assert "6 masks" in text.out and text.err.count("\n") == 1 and "30 sequences" in text.err


@pytest.mark.parametrize("benchmark", ["youtube-vos2018", "youtube-vos2019"])
def test_youtube_archive(youtube: Path, benchmark: str) -> None:
    assert submit(youtube, benchmark, *reference(youtube)) == 0
    with zipfile.ZipFile(youtube / "out.zip") as archive:
        assert archive.namelist() == [
            f"Annotations/{name}/{t:05d}.png" for name in ("003234408d", "0062f687f1") for t in (0, 5, 10)
        ]


def test_same_masks_same_bytes(davis: Path) -> None:
    assert submit(davis, "davis2017-test-dev", *reference(davis)) == 0
    for path in sorted(
        (davis / "ours").rglob("*.png"), reverse=True
    ):  # written anew, later, in another order
        data = path.read_bytes()
        path.unlink()
        path.write_bytes(data)
    assert submit(davis, "davis2017-test-dev", *reference(davis), out="again.zip") == 0
    assert (davis / "out.zip").read_bytes() == (davis / "again.zip").read_bytes()


def test_without_reference(davis: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert submit(davis, "davis2017-test-dev") == 2
    assert "expected the 30 sequences of davis2017-test-dev, found 2" in capsys.readouterr().err
    for number in range(28):
        save(davis / "ours" / f"s{number:02d}" / "00000.png", ids(number))
    assert submit(davis, "davis2017-test-dev") == 0
    assert "compared with nothing" in capsys.readouterr().err
    with zipfile.ZipFile(davis / "out.zip") as archive:
        assert len(archive.namelist()) == 34
    save(davis / "ours" / "car-race" / "00001.png", ids(1)[:-1])
    assert submit(davis, "davis2017-test-dev", "--overwrite") == 2
    assert "expected 20×12 pixels, found 20×11" in capsys.readouterr().err
    assert {name: one.sequences for name, one in BENCHMARKS.items()} == {
        "davis2017-test-dev": 30,
        "youtube-vos2018": 474,
        "youtube-vos2019": 507,
    }


def damage(place: Path, how: str) -> list[str]:
    """Spoil the results in one way; returns arguments to add."""
    folder = place / "ours" / "car-race"
    mask = folder / "00001.png"
    if how == "frame":
        mask.unlink()
    elif how == "sequence":
        folder.rename(place / "away")
    elif how == "foreign":
        save(place / "ours" / "zebra" / "00000.png", ids(1))
    elif how == "size":
        save(mask, ids(1)[:, :-1])
    elif how == "grey":
        save(mask, ids(1), "L")
    elif how == "id":
        save(mask, np.full(SHAPE, 5, np.uint8))
    elif how == "damaged":
        mask.write_bytes(mask.read_bytes()[:60])
    elif how == "nested":
        (place / "ours").rename(place / "Annotations")
        (place / "ours").mkdir()
        (place / "Annotations").rename(place / "ours" / "Annotations")
    elif how == "nothing":
        (place / "ours").rename(place / "away")
    elif how == "there":
        (place / "out.zip").write_text("old")
    elif how == "benchmark":
        return ["--benchmark", "davis2018"]
    elif how == "name":
        return ["--out", str(place / "out.tar")]
    elif how == "reference":
        return ["--reference", str(place / "none.txt")]
    elif how == "meta":
        (place / "meta.json").write_text('{"videos": [1]}')
        return ["--reference", str(place / "meta.json")]
    return []


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("frame", r"car-race/00001.png, found no file \(1 of 3"),
        ("sequence", "missing car-race"),
        ("foreign", "found zebra"),
        ("size", "expected 20×12 pixels, found 19×12"),
        ("grey", r"expected a palette PNG \(mode P\), found PNG of mode L"),
        ("id", "unknown id 5, expected 0, 1, 2"),
        ("damaged", "expected a readable image, found a damaged one"),
        ("nested", "give .*Annotations"),
        ("nothing", "expected a folder for each sequence, found none"),
        ("there", "--overwrite"),
        ("benchmark", "unknown benchmark"),
        ("name", "ends in .zip"),
        ("reference", "found no file"),
        ("meta", "meta.json of YouTube-VOS"),
    ],
)
def test_what_is_wrong_stops_in_one_line(
    davis: Path, how: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    more = [*reference(davis), *damage(davis, how)]
    before = {path: path.read_bytes() for path in davis.rglob("*") if path.is_file()}
    assert submit(davis, "davis2017-test-dev", *more) == 2
    text = capsys.readouterr().err
    assert text.startswith("error: ") and len(text.strip().splitlines()) == 1
    assert re.search(words, text), text
    assert {path: path.read_bytes() for path in davis.rglob("*") if path.is_file()} == before


def test_gaps_between_ids(youtube: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Objects 1 and 3: 2 is unknown."""
    save(youtube / "ours" / "0062f687f1" / "00005.png", np.full(SHAPE, 2, np.uint8))
    assert submit(youtube, "youtube-vos2019", *reference(youtube), out="deep/er/out.zip") == 2
    assert "unknown id 2, expected 0, 1, 3" in capsys.readouterr().err
    assert not (youtube / "deep").exists()


def test_folder_with_a_wrong_picture_of_the_dataset(davis: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (davis / "DAVIS" / "JPEGImages" / "480p" / "car-race" / "00000.jpg").write_text("no picture")
    assert submit(davis, "davis2017-test-dev", *reference(davis)) == 2
    assert "expected a readable image" in capsys.readouterr().err
