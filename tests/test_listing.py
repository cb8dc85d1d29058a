"""The files of a folder, their order, and lists of names: one idea for loaders, scorer, submission and segment."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stremn.acquire.catalogue import Entry, Rule
from stremn.acquire.layout import check, files_below
from stremn.cli import main
from stremn.data.clips import read_mask, write_mask
from stremn.data.datasets import open_clips, open_images
from stremn.errors import InputError
from stremn.evaluation.folders import score_sequence_folder
from stremn.evaluation.names import read_names
from stremn.evaluation.protocols import get_protocol
from stremn.evaluation.vos import score_folder
from stremn.explore.masks import MaskFolder
from stremn.explore.open import explorer
from stremn.inference.postprocess import postprocess_folder
from stremn.listing import counts, files_in, folders_in, is_litter, natural_order, read_list
from stremn.models.checkpoints import save_model
from stremn.models.stremn import STReMN
from stremn.segmenting.outputs import output_folder
from stremn.segmenting.segment_video import segment_video

H, W = 24, 32
LITTER = [
    "._00000.png", ".DS_Store", "Thumbs.db", "thumbs.DB", "desktop.ini", "__MACOSX", "@eaDir", ".ipynb_checkpoints",
    ".nfs0001", "Icon\r",
]  # fmt: skip
ASIDE = [
    ".00000.png.swp", "00000.png.swp", "00000.png~", ".#00000.png", "#00000.png#", ".Trash-1000", "lost+found",
    "System Volume Information", "00001.png.part", "00001.png.crdownload", "~$list.docx", "$RECYCLE.BIN", ".hidden.png",
]  # fmt: skip
FOLDERS = {
    "__MACOSX",
    "@eaDir",
    ".ipynb_checkpoints",
    ".Trash-1000",
    "lost+found",
    "System Volume Information",
}


def litter(folder: Path) -> None:
    """Everything that systems and programs leave in a folder."""
    for name in (*LITTER, *ASIDE):
        if name in FOLDERS | {"$RECYCLE.BIN"}:
            (folder / name).mkdir(exist_ok=True)
            (folder / name / "00000.png").write_bytes(b"not a picture")
        else:
            (folder / name).write_bytes(b"not a picture")


def ids_at(t: int) -> np.ndarray:
    ids = np.zeros((H, W), np.uint8)
    ids[4:16, 2 + t : 12 + t] = 1
    return ids


def write_frames(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for t, name in enumerate(names):
        pixels = np.full((H, W, 3), 10 * t, np.uint8)
        pixels[ids_at(t) > 0] = (200, 60, 40)
        Image.fromarray(pixels).save(folder / name)


def write_masks(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for t, name in enumerate(names):
        write_mask(folder / name, ids_at(t))


PLAIN = [f"{t}.png" for t in range(12)]  # natural order is not that of the letters


def test_names_that_count() -> None:
    assert not [name for name in (*LITTER, *ASIDE) if counts(name)]
    assert all(is_litter(name) for name in LITTER) and not any(is_litter(name) for name in ASIDE)
    good = ["00000.png", "a.JPG", "my clip", "#1 take.png", "partial.png", "x.tmp.png", "@home.png", "~a.png"]
    assert [name for name in good if counts(name)] == good


def test_natural_order() -> None:
    names = ["frame_10", "frame_9", "Frame_1", "frame_011", "b", "a2b10", "a2b9", "007", "7", "10"]
    order = ["007", "7", "10", "a2b9", "a2b10", "b", "Frame_1", "frame_9", "frame_10", "frame_011"]
    assert sorted(names, key=natural_order) == order


def test_suffixes_in_any_case(tmp_path: Path) -> None:
    for name in ("10.PNG", "9.png", "8.Png", "1.txt"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "2.png").mkdir()
    assert [p.name for p in files_in(tmp_path, (".png",))] == ["8.Png", "9.png", "10.PNG"]
    assert folders_in(tmp_path) == ["2.png"] and folders_in(tmp_path / "no") == []


# --- everyone who reads folders


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A data set of two clips, the second with names in natural order, everything littered."""
    for name, frames in {"clip 2": [f"{t:05d}.png" for t in range(12)], "clip 10": PLAIN}.items():
        write_frames(tmp_path / "JPEGImages" / name, frames)
        write_masks(tmp_path / "Annotations" / name, [f.replace("png", "PNG") for f in frames])
    for folder in [tmp_path, *(p for p in tmp_path.rglob("*") if p.is_dir())]:
        litter(folder)
    return tmp_path


def test_folders_of_clips(clips: Path) -> None:
    opened = open_clips("clips", clips, "")
    assert opened.names == ["clip 2", "clip 10"] and opened.frame_names(1) == [str(t) for t in range(12)]
    for clip in (opened[0], opened[1]):
        assert clip.frames[:, 0, 0, 0].tolist() == [10 * t for t in range(12)]
        assert all(np.array_equal(mask, ids_at(t)) for t, mask in enumerate(clip.masks))
    assert open_clips("long-videos", clips).names == opened.names


def test_scorer_and_its_order(clips: Path, tmp_path: Path) -> None:
    truth, ours = clips / "Annotations", tmp_path / "ours"
    for name in ("clip 2", "clip 10"):
        names = [p.name.lower() for p in files_in(truth / name, (".png",))]
        write_masks(ours / name, names)
        # first and last frame are not scored: wrong there
        write_mask(ours / name / names[0], np.zeros((H, W), np.uint8))
        write_mask(ours / name / names[-1], np.zeros((H, W), np.uint8))
        litter(ours / name)
    litter(ours)
    assert score_folder(ours, truth, "davis2017").global_["J&F-Mean"] == 1
    scored = score_sequence_folder(ours, truth, "clip 10", get_protocol("davis2017"))
    assert scored[1].frames.tolist() == list(range(1, 11)) and scored[1].j.tolist() == [1] * 10
    assert main(["score", "vos", "--predictions", str(ours), "--annotations", str(truth), "--protocol", "davis2017",
                 "--sequences", "clip 10, clip 2"]) == 0  # fmt: skip
    assert postprocess_folder(ours, tmp_path / "clean") == 0
    assert [p.name for p in files_in(tmp_path / "clean" / "clip 10")] == PLAIN
    assert len(MaskFolder(truth / "clip 10")) == 12
    assert np.array_equal(MaskFolder(truth / "clip 10")[9], ids_at(9))


def test_submission(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, ours = tmp_path / "DAVIS", tmp_path / "ours"
    write_frames(root / "JPEGImages/480p/a", ["00000.png"])
    for t in range(3):
        Image.fromarray(np.zeros((H, W, 3), np.uint8)).save(root / f"JPEGImages/480p/a/{t:05d}.jpg")
    write_masks(ours / "a", [f"{t:05d}.PNG" for t in range(3)])
    (root / "ImageSets/2017").mkdir(parents=True)
    (root / "ImageSets/2017/test-dev.txt").write_text("a\n", encoding="utf-16")
    for folder in (root / "JPEGImages/480p/a", ours, ours / "a"):
        litter(folder)
    given = ["submit", "vos", "--predictions", str(ours), "--benchmark", "davis2017-test-dev"]
    given += ["--reference", str(root / "ImageSets/2017/test-dev.txt"), "--out", str(tmp_path / "a.zip")]
    assert main(given) == 0, capsys.readouterr().err
    assert zipfile.ZipFile(tmp_path / "a.zip").namelist() == [f"a/{t:05d}.png" for t in range(3)]


def test_images_and_pairs(tmp_path: Path) -> None:
    write_frames(tmp_path / "images", ["2.png", "10.jpg", "1.JPG"])
    write_masks(tmp_path / "masks", ["1.png", "2.PNG", "10.png"])
    for folder in ("images", "masks"):
        litter(tmp_path / folder)
    assert open_images("images", tmp_path).names == ["1", "2", "10"]
    (tmp_path / "masks").rename(tmp_path / "ground_truth_mask")
    assert sorted(open_images("ecssd", tmp_path).names) == ["1", "10", "2"]


def test_a_layout_counts_what_counts(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write_frames(tmp_path / "JPEGImages" / name, ["0.png", "1.PNG"])
        litter(tmp_path / "JPEGImages" / name)
    litter(tmp_path / "JPEGImages")
    (tmp_path / "list.txt").write_bytes("\ufeffa\r\nb\r\n".encode())
    rules = (
        Rule(path="JPEGImages", folders=2, listed="list.txt"),
        Rule(path="JPEGImages/a", files=2, suffix=".png"),
    )
    entry = Entry.model_construct(name="x", title="X", layout=rules)
    assert check(entry, tmp_path) == []
    names = [name for name, _ in files_below(tmp_path)]
    assert names == ["list.txt", *(f"JPEGImages/{c}/{f}" for c in "ab" for f in ("0.png", "1.PNG"))]


def test_results_replace_a_systems_litter_only(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    for name in (".DS_Store", "Thumbs.db"):
        (tmp_path / "out" / name).write_bytes(b"x")
    with output_folder(tmp_path / "out", ["a"]) as output:
        (output.folder / "a").write_text("a")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["a"]
    (tmp_path / "out" / ".secret").write_text("mine")
    with (
        pytest.raises(InputError, match=r"found \.secret"),
        output_folder(tmp_path / "out", ["a"], overwrite=True),
    ):
        pass


# --- lists of names


@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lists_in_every_writing(tmp_path: Path, coding: str, end: str) -> None:
    lines = ["# validation", "bear", "  my clip\t", "", "bear", "été", "clip # 3"]
    path = tmp_path / "val.txt"
    path.write_bytes(end.join(lines).encode(coding))
    assert read_list(path) == read_names(str(path)) == ["bear", "my clip", "été", "clip # 3"]
    pairs = ["/JPEGImages/480p/my bear/00000.jpg /Annotations/480p/my bear/00000.png"] * 2 + [
        r"\J\480p\cow\0.jpg \A"
    ]
    path.write_bytes(end.join(pairs).encode(coding))
    assert read_list(path) == ["my bear", "cow"]


def test_names_on_the_command_line() -> None:
    assert read_names("bear, my clip ,bear,") == ["bear", "my clip"]
    with pytest.raises(InputError, match="at least one name"):
        read_names(" , ")


def test_lists_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\x80\xff\x81")
    (tmp_path / "b.txt").write_bytes(b"# nothing\n\n")
    for name, message in (
        ("a", "text file with one name a line"),
        ("b", "names of sequences in"),
        ("c", "No such"),
    ):
        with pytest.raises(InputError, match=message):
            read_list(tmp_path / f"{name}.txt")


def test_an_unknown_name_has_a_hint(clips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    masks = str(clips / "Annotations")
    given = ["score", "vos", "--predictions", masks, "--annotations", masks, "--protocol", "davis2017"]
    assert main([*given, "--sequences", "clip 2,clipp 10"]) == 2
    line = capsys.readouterr().err
    assert "no sequence clipp 10 (there are clip 2, clip 10); did you mean 'clip 10'?" in line


# --- stremn segment


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    fields = {"backbone": "tiny", "key_dim": 8, "value_dim": 8, "update_dim": 8, "decoder_dims": (8, 8, 8)}
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    save_model(path, STReMN(**fields), {"system": "stremn", "fields": fields})  # type: ignore[arg-type]
    return path


def segment(place: Path, weights: Path, *more: str) -> list[str]:
    given = ["segment", str(place / "in"), "--out", str(place / "out"), "--checkpoint", str(weights)]
    return [*given, "--slots", "2", "--write", "masks,binary", *more]


def test_the_mask_may_lie_among_the_frames(tmp_path: Path, weights: Path) -> None:
    write_frames(tmp_path / "in", [f"{t}.jpg" for t in range(12)])
    litter(tmp_path / "in")
    write_mask(tmp_path / "in" / "0.png", ids_at(0))  # of a frame's name
    write_mask(tmp_path / "in" / "later.PNG", 2 * ids_at(9))
    masks = ["--mask", str(tmp_path / "in" / "0.png"), "--mask", f"9:{tmp_path / 'in' / 'later.PNG'}"]
    assert main(segment(tmp_path, weights, *masks, "--stop-after", "10")) == 0
    assert main(["segment", "--resume", str(tmp_path / "out")]) == 0
    out = files_in(tmp_path / "out" / "masks")
    assert [p.name for p in out] == PLAIN
    for path in out:
        white = np.asarray(Image.open(tmp_path / "out" / "binary" / path.name))
        assert white.dtype == np.uint8 and np.array_equal(white, (read_mask(path) > 0) * 255)
    done = segment_video(tmp_path / "in", {0: tmp_path / "in" / "0.png", 9: tmp_path / "in" / "later.PNG"},
                         tmp_path / "again", write="masks", checkpoint=weights, slots=2)  # fmt: skip
    assert done.frames == 12 and done.objects == [1, 2]
    for path in out:
        assert path.read_bytes() == (tmp_path / "again" / "masks" / path.name).read_bytes()
    (tmp_path / "in" / "later.PNG").unlink()
    shown = explorer(tmp_path / "in", tmp_path / "in" / "0.png", checkpoint=weights, slots=2)
    shown.wait()
    assert len(shown.session.pictures) == 12


def test_an_empty_mask_gives_nothing(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_frames(tmp_path / "in", PLAIN)
    write_masks(tmp_path / "given", ["0.png"])
    litter(tmp_path / "given")
    assert main(segment(tmp_path, weights, "--mask", str(tmp_path / "given"))) == 0
    (tmp_path / "out").rename(tmp_path / "first")
    write_mask(tmp_path / "given" / "10.PNG", np.zeros((H, W), np.uint8))
    capsys.readouterr()
    assert main(segment(tmp_path, weights, "--mask", str(tmp_path / "given"))) == 0
    assert (
        "warning: empty masks give nothing, objects are followed through them: frame 10"
        in capsys.readouterr().err
    )
    for path in files_in(tmp_path / "first" / "masks"):
        assert path.read_bytes() == (tmp_path / "out" / "masks" / path.name).read_bytes()
    write_mask(tmp_path / "given" / "0.png", np.zeros((H, W), np.uint8))
    write_mask(tmp_path / "given" / "3.png", ids_at(3))
    assert main(segment(tmp_path, weights, "--mask", str(tmp_path / "given"), "--overwrite")) == 2
    assert "the first mask with one is that of frame 3: --start 3" in capsys.readouterr().err


def test_masks_without_a_frame_are_named(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_frames(tmp_path / "in", [f"shot_{t}.png" for t in range(3)])
    write_masks(tmp_path / "given", ["shot_0.png", "shoot_1.png"])
    assert main(segment(tmp_path, weights, "--mask", str(tmp_path / "given"))) == 2
    line = capsys.readouterr().err
    assert "found shoot_1.png; rename it; did you mean 'shot_1'?" in line and line.count("\n") == 1


def test_what_is_left_out_is_told_by_the_command(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_frames(tmp_path / "in", PLAIN[:3])
    (tmp_path / "in" / "1b.heic").write_bytes(b"x")
    (tmp_path / "in" / "labels.json").write_text("{}")
    write_masks(tmp_path, ["first.png"])
    assert main(segment(tmp_path, weights, "--mask", str(tmp_path / "first.png"))) == 0
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert len(told) == 1 and told[0].endswith("no pictures that can be read here: 1b.heic, labels.json")
