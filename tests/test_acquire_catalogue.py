"""The catalogue, the comparison with official layouts, the record by content hash, and the commands."""

import _thread
import json
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from loopback import Site, serve
from stremn import fingerprint
from stremn.acquire import catalogue
from stremn.acquire.catalogue import Entry, find, load
from stremn.acquire.checks import damage
from stremn.acquire.installed import (
    Item,
    Places,
    prepare,
    project_places,
    read_index,
    state,
    write_index,
)
from stremn.acquire.layout import check, require
from stremn.cli import main
from stremn.errors import InputError

ENTRIES = load()


# --- the catalogue


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=str)
def test_entries_have_what_a_person_needs(entry: Entry) -> None:
    for text in (entry.title, entry.licence, entry.citation, *entry.uses):
        assert text.strip()
    assert entry.uses and entry.page.startswith(("http://", "https://"))
    assert re.fullmatch(r"[a-z0-9-]+", entry.name)
    assert entry.layout or entry.how == "huggingface"
    assert bool(entry.instructions) == (entry.how == "form")
    sources = {"open": "url", "google-drive": "drive", "huggingface": "hub", "registry": "package"}
    for file in entry.files:
        given = [s for s in ("url", "drive", "hub", "package") if getattr(file, s)]
        assert given == ([sources[entry.how]] if entry.how in sources else [])
    assert entry.files or entry.how == "form"
    assert len({file.name for file in entry.files}) == len(entry.files)
    if entry.size:
        assert entry.size < 40e9 and entry.limit > entry.size / 2


def test_every_dataset_and_weight_of_the_papers_has_an_entry() -> None:
    video = {
        "davis-2016",
        "davis-2017",
        "davis-2017-test-dev",
        "youtube-vos-2018",
        "youtube-vos-2019",
        "long-videos",
    }
    image = {"coco", "ecssd", "sbd", "msra10k", "hku-is", "big", "duts", "hrsod", "fss-1000", "pascal-voc"}
    prediction = {"kth", "human36m", "moving-mnist"}
    weights = {"resnet50-gn", "lpips-alexnet", "vgg16", "squeezenet", "stm-weights", "stcn-weights"}
    assert video | image | prediction | weights <= set(ENTRIES)
    assert {n for n, e in ENTRIES.items() if e.kind == "prediction"} == prediction


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"licnce": "x"}, "unknown key 'licnce'; did you mean 'licence'"),
        ({"how": "magic"}, "how: input should be"),
        ({"files": [{"name": "../x.zip"}]}, "plain file name"),
        ({"files": [{"name": "x.zip", "url": "ftp://x/x.zip"}]}, "http or https"),
        ({"files": [{"name": "x.zip", "md5": "1234", "published_by": "me"}]}, "md5 in lower-case"),
        ({"files": [{"name": "x.zip", "size": 12}]}, "published_by is expected"),
        ({"files": [{"name": "x.zip", "into": "../up"}]}, "below the dataset's folder"),
        ({"files": [{"name": "x.txt", "unpack": True}]}, "an archive is expected"),
    ],
)  # fmt: skip
def test_a_wrong_entry_is_told_in_one_line(tmp_path: Path, change: dict[str, object], message: str) -> None:
    block = yaml.safe_load(catalogue.CATALOGUE.read_text(encoding="utf-8"))[0]
    path = tmp_path / "catalogue.yaml"
    path.write_text(yaml.safe_dump([block | change]), encoding="utf-8")
    with pytest.raises(InputError, match=message) as error:
        load(path)
    assert "\n" not in str(error.value)
    path.write_text(yaml.safe_dump([block, block]), encoding="utf-8")
    with pytest.raises(InputError, match="found 'davis-2016' twice"):
        load(path)


def test_the_nearest_name_is_told() -> None:
    with pytest.raises(InputError, match="did you mean 'youtube-vos-2019'"):
        find("youtube-vos-19")
    with pytest.raises(InputError, match="mean 'youtube-vos-2018' or 'youtube-vos-2019'"):
        find("YouTube-VOS")
    with pytest.raises(InputError, match="found 'nonsense': `stremn data list`"):
        find("nonsense")


# --- official layouts


def picture(path: Path, mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((4, 6), np.uint8)).convert(mode).save(path)
    return path


def davis_2017(root: Path, train: int = 60, val: int = 30, frames: int = 2) -> Path:
    """DAVIS 2017, trainval, 480p: as the archive has it below its folder DAVIS."""
    for split, names in {
        "train": [f"t{i:02d}" for i in range(train)],
        "val": [f"v{i:02d}" for i in range(val)],
    }.items():
        lists = root / "ImageSets" / "2017"
        lists.mkdir(parents=True, exist_ok=True)
        (lists / f"{split}.txt").write_text("".join(n + "\n" for n in names), encoding="utf-8")
        for name in names:
            for i in range(frames):
                picture(root / "JPEGImages" / "480p" / name / f"{i:05d}.jpg")
                picture(root / "Annotations" / "480p" / name / f"{i:05d}.png", "P")
    return root


def youtube(root: Path) -> Path:
    """YouTube-VOS: two videos in train, one in valid whose object appears in its second frame."""
    for part, videos in {"train": ["aa", "bb"], "valid": ["cc"]}.items():
        for video in videos:
            for frame in ("00000", "00005"):
                picture(root / part / "JPEGImages" / video / f"{frame}.jpg")
                if part == "train" or frame == "00005":
                    picture(root / part / "Annotations" / video / f"{frame}.png", "P")
        meta = {v: {"objects": {"1": {"category": "dog", "frames": ["00005"]}}} for v in videos}
        (root / part / "meta.json").write_text(json.dumps({"videos": meta}), encoding="utf-8")
    return root


def told(name: str, root: Path) -> list[str]:
    return [str(problem) for problem in check(ENTRIES[name], root)]


@pytest.fixture(scope="module")
def whole_davis(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return davis_2017(tmp_path_factory.mktemp("whole") / "DAVIS")


@pytest.fixture
def davis(whole_davis: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole_davis, tmp_path / "DAVIS", copy_function=os.link))


def test_a_complete_davis_has_no_faults(davis: Path) -> None:
    assert told("davis-2017", davis) == []


def test_every_fault_of_davis_is_named(davis: Path) -> None:
    shutil.rmtree(davis / "JPEGImages/480p/v07")
    (davis / "Annotations/480p/t03/00001.png").unlink()
    cut = davis / "JPEGImages/480p/t04/00000.jpg"
    body = cut.read_bytes()
    cut.unlink()
    cut.write_bytes(body[:-9])
    faults = told("davis-2017", davis)
    assert faults == [
        "JPEGImages/480p: expected 90 folders, found 89",
        "Annotations/480p/t03: 1 of 2 missing that JPEGImages/480p has: 00001",
        "JPEGImages/480p/v07: missing, listed in ImageSets/2017/val.txt",
        "JPEGImages/480p/t04/00000.jpg: damaged: cut off",
    ]


def test_a_missing_main_part_is_essential(davis: Path) -> None:
    shutil.rmtree(davis / "Annotations")
    with pytest.raises(InputError, match=f"480p: missing; `stremn data check davis-2017 --path {davis}`"):
        require(ENTRIES["davis-2017"], davis)
    assert told("davis-2017", davis).count("Annotations/480p: missing") == 1  # though several rules need it
    with pytest.raises(InputError, match=f"one folder further down: {davis}"):
        davis_2017(davis)
        require(ENTRIES["davis-2017"], davis.parent)


def test_youtube_vos_is_compared_with_its_meta_json(tmp_path: Path) -> None:
    root = youtube(tmp_path)
    counts = {f for f in told("youtube-vos-2019", root) if "folders" in f}
    assert len(counts) == 4 and counts == set(told("youtube-vos-2019", root))  # small, else without a fault
    assert "valid/JPEGImages: expected 507 folders, found 1" in counts
    shutil.rmtree(root / "train/JPEGImages/bb")
    (root / "train/JPEGImages/bb").mkdir()
    (root / "valid/JPEGImages/cc/00005.jpg").unlink()
    (root / "valid/meta.json").write_text("{", encoding="utf-8")
    faults = set(told("youtube-vos-2019", root)) - counts
    assert "train/JPEGImages/bb: an empty folder, named in train/meta.json" in faults
    assert "train/JPEGImages/bb: 2 of 2 missing that train/Annotations has: 00000, 00005" in faults
    assert "valid/JPEGImages/cc: 1 of 1 missing that valid/Annotations has: 00005" in faults
    assert any(f.startswith("valid/meta.json: damaged: cannot be read") for f in faults)


def test_damage_is_told_from_a_files_ends(tmp_path: Path) -> None:
    good = {".jpg": picture(tmp_path / "a.jpg"), ".png": picture(tmp_path / "a.png", "LA")}
    np.save(tmp_path / "a.npy", np.zeros(9))
    avi = tmp_path / "a.avi"
    avi.write_bytes(b"RIFF" + (100).to_bytes(4, "little") + bytes(100))
    good |= {".npy": tmp_path / "a.npy", ".avi": avi}
    for suffix, path in good.items():
        assert damage(path) == ""
        body = path.read_bytes()
        for bad in (b"", b"<html>" + body) + ((body[:-12],) if suffix != ".npy" else ()):
            other = tmp_path / f"bad{suffix}"
            other.write_bytes(bad)
            assert damage(other), (suffix, len(bad))
    trailing = tmp_path / "trailing.jpg"
    trailing.write_bytes(good[".jpg"].read_bytes() + bytes(500))
    assert damage(trailing) == ""


# --- the record


def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    (root / "params.yaml").write_text("{}\n", encoding="utf-8")
    return root


def test_the_record_depends_on_names_and_content_alone(davis: Path, tmp_path: Path) -> None:
    root = project(tmp_path)
    folder, record = prepare("davis-2017", root, path=davis)
    assert folder == davis and record["path"] == str(davis) and record["faults"] == 0
    assert record["files"] == 90 * 2 * 2 + 2
    copy = project_places(root).folder("davis-2017")
    shutil.copytree(davis, copy)
    _, same = prepare("davis-2017", root)
    assert same["sha256"] == record["sha256"] and same["path"] == "data/raw/davis-2017"
    os.utime(copy / "ImageSets/2017/train.txt", (1, 1))
    assert prepare("davis-2017", root)[1]["sha256"] == record["sha256"]
    (copy / "JPEGImages/480p/t00/00000.jpg").rename(copy / "JPEGImages/480p/t00/00009.jpg")
    renamed = prepare("davis-2017", root)[1]["sha256"]
    picture(copy / "JPEGImages/480p/t00/00009.jpg", "L")
    assert len({record["sha256"], renamed, prepare("davis-2017", root)[1]["sha256"]}) == 3


def test_files_are_hashed_once(davis: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, digests = project(tmp_path), fingerprint.digests
    read: list[Path] = []

    def counted(path: Path) -> dict[str, str]:
        read.append(path)
        return digests(path)

    monkeypatch.setattr(fingerprint, "digests", counted)
    prepare("davis-2017", root, path=davis)
    assert len(read) == 362
    prepare("davis-2017", root, path=davis)
    assert len(read) == 362
    (davis / "ImageSets/2017/extra.txt").write_text("new\n", encoding="utf-8")
    prepare("davis-2017", root, path=davis)
    assert [path.name for path in read[362:]] == ["extra.txt"]


def test_a_set_used_in_place_is_only_read(
    davis: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = project(tmp_path)
    before = {p: p.stat().st_mtime_ns for p in davis.rglob("*")}
    assert state(ENTRIES["davis-2017"], project_places(root)) == "–"
    data = str(root / "data/raw")
    assert main(["data", "get", "davis-2017", "--root", data, "--use", str(davis)]) == 0
    assert state(ENTRIES["davis-2017"], project_places(root)) == "in place"
    assert main(["data", "get", "davis-2017", "--root", data, "--yes"]) == 0
    assert "is here, nothing fetched" in capsys.readouterr().out
    assert prepare("davis-2017", root)[1]["path"] == "data/raw/davis-2017"
    assert {p: p.stat().st_mtime_ns for p in davis.rglob("*")} == before


def test_a_set_that_is_not_complete_is_used_and_told_so(
    davis: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(davis / "Annotations/480p/t03")
    where = ["--root", str(project(tmp_path) / "data/raw")]
    assert main(["data", "get", "davis-2017", *where, "--use", str(davis)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert (
        lines[0].endswith("used in place, read-only")
        and "the main parts are there: it can be used" in lines[1]
    )
    assert main(["data", "check", "davis-2017", *where]) == 2
    shown = capsys.readouterr().out
    assert "the main parts are there: it can be used" in shown and "complete it from" in shown
    assert "`stremn data get" not in shown  # get would find it there
    shutil.rmtree(davis / "Annotations")
    assert main(["data", "check", "davis-2017", *where]) == 2
    assert "main parts are missing, it cannot be used" in capsys.readouterr().out
    assert main(["data", "list", *where]) == 0
    assert re.search("davis-2017 +parts missing", capsys.readouterr().out)
    shutil.rmtree(davis)
    assert main(["data", "get", "davis-2017", "--yes", *where]) == 2
    assert re.search("error: .*a link to .*, where nothing is: remove the link", capsys.readouterr().err)
    assert main(["data", "check", "davis-2017", *where]) == 2
    assert "which is a link to" in capsys.readouterr().out


def test_prepare_says_what_to_do(tmp_path: Path) -> None:
    root = project(tmp_path)
    with pytest.raises(InputError, match="`stremn data get kth` gets it"):
        prepare("kth", root)
    with pytest.raises(InputError, match="shows how to get it"):
        prepare("human36m", root)


# --- the commands


@pytest.fixture
def site() -> Iterator[Site]:
    with serve() as server:
        yield server


@pytest.fixture
def toys(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A catalogue of one open file of 3 MB and one form."""
    base = {
        "title": "Toy",
        "kind": "image",
        "uses": ["tests"],
        "page": site.url,
        "licence": "CC0",
        "citation": "-",
    }
    body = bytes(range(256)) * 12_000
    file = {"name": "toy.bin", "url": site.put("toy.bin", body)}
    form = {"how": "form", "files": [], "instructions": "1. Ask for it.", "layout": [{"path": "train"}]}
    blocks = [
        base | {"name": "toy", "how": "open", "files": [file], "layout": []},
        base | {"name": "toy-form"} | form,
    ]
    path = tmp_path / "catalogue.yaml"
    path.write_text(yaml.safe_dump(blocks), encoding="utf-8")
    monkeypatch.setattr(catalogue, "CATALOGUE", path)
    return site


def test_list_get_check(toys: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--root", str(tmp_path / "raw")]
    assert main(["data", "list", *where]) == 0
    assert re.search(r"toy +– +not published +open +CC0", capsys.readouterr().out)
    assert main(["data", "check", "toy", *where]) == 2
    assert main(["data", "get", "toy", *where]) == 2  # nobody to ask
    assert "error: expected --yes" in capsys.readouterr().err and not toys.asked
    assert main(["data", "get", "toy", "--yes", *where]) == 0
    assert main(["data", "check", "toy", "--full", *where]) == 0
    (tmp_path / "raw/toy/toy.bin").write_bytes(bytes(3_072_000))
    assert main(["data", "check", "toy", *where]) == 0  # same size; only --full reads it
    assert main(["data", "check", "toy", "--full", *where]) == 2
    shown = capsys.readouterr().out
    assert "toy.bin: damaged: its content has changed" in shown
    assert f"remove {tmp_path / 'raw/toy'}, then `stremn data get toy" in shown  # get looks at sizes alone
    (tmp_path / "raw/toy/toy.bin").write_bytes(b"short")
    assert main(["data", "check", "toy", *where]) == 2
    shown = capsys.readouterr().out
    assert "toy.bin: damaged: expected 3072000 bytes, found 5" in shown and "remove" not in shown
    assert main(["data", "get", "toy", "--yes", *where]) == 0
    assert main(["data", "check", "toy", "--full", *where]) == 0
    assert main(["data", "list", "--root", str(tmp_path / "raw/toy/toy.bin")]) == 2
    assert "expected a folder of raw data at" in capsys.readouterr().err


def test_a_form_shows_its_page_of_instructions(
    toys: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "get", "toy-form", "--root", str(tmp_path / "raw")]) == 2
    shown = capsys.readouterr()
    assert "1. Ask for it." in shown.out and str(tmp_path / "raw" / "toy-form") in shown.out
    assert shown.err.count("\n") == 1 and shown.err.startswith("error: ")
    commands = re.findall(r"`stremn data [^`]*`", shown.out)
    assert len(commands) == 2 and all(f"--root {tmp_path / 'raw'}" in command for command in commands)


@pytest.mark.parametrize("how", [["toy", "--yes"], ["toy", "--use", "."]])
def test_a_root_that_cannot_be_written_is_one_line(
    toys: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str], how: list[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["data", "get", *how, "--root", str(tmp_path / "file" / "raw")]) == 2
    error = capsys.readouterr().err
    assert "could not: Not a directory" in error and error.count("\n") == 1 and not toys.asked


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["get", "nothing", "--yes"], "expected a name of the catalogue, found 'nothing'"),
        (["get", "toy", "--use", "nowhere"], "found nothing at"),
        (["get", "toy", "toy-form", "--use", "."], "expected one NAME with --use"),
        (["get", "toy-form", "--use", "."], "found train: missing"),
        (["check", "toy", "toy-form", "--path", "."], "expected one NAME with --path"),
    ],
)
def test_wrong_use_is_one_line_and_code_2(
    toys: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["data", *arguments, "--root", str(tmp_path / "raw")]) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith("error: ") and error.count("\n") == 1


def test_ctrl_c_keeps_the_partial_file_and_says_so(
    toys: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    go = threading.Event()
    toys.pages["toy.bin"].slow, toys.pages["toy.bin"].before = go, 1 << 20
    part = Places(tmp_path / "raw").downloads("toy") / "toy.bin.part"

    def interrupt() -> None:
        while not (part.is_file() and part.stat().st_size):
            time.sleep(0.01)
        _thread.interrupt_main()
        time.sleep(1)  # for the main thread to hear of it, before more comes
        go.set()

    threading.Thread(target=interrupt, daemon=True).start()
    get = ["data", "get", "toy", "--yes", "--root", str(tmp_path / "raw")]
    assert main(get) == 130
    assert "stopped: partial files are kept in" in capsys.readouterr().err
    have = part.stat().st_size
    assert 0 < have < 3_072_000
    assert main(get) == 0
    assert toys.asked["toy.bin"] == ["", f"bytes={have}-"]
    assert (tmp_path / "raw/toy/toy.bin").read_bytes() == bytes(range(256)) * 12_000


def test_an_index_survives_a_spoilt_line(tmp_path: Path) -> None:
    items = [Item("a b\tc\n.txt", 1, 2, "ff"), Item("d", 3, 4, "ee")]
    path = tmp_path / "index"
    write_index(path, items)
    assert read_index(path) == items
    path.write_text(path.read_text(encoding="utf-8") + "{half", encoding="utf-8")
    assert read_index(path) == items
