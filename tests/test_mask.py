"""A first mask without a browser: the guess, the files, what a page may name, the command."""

import shlex
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stremn.cli import main
from stremn.data.clips import read_mask, write_mask
from stremn.data.video import given_mask, open_frames
from stremn.errors import InputError
from stremn.explore.drawing import Drawing, names_in
from stremn.explore.folder import Folder
from stremn.explore.masker import masker
from stremn.explore.pictures import pictures
from stremn.segmenting.first_guess import first_guess

SIZE = (60, 90)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """A folder of three frames: an orange disc on textured blue."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(3):
        Image.fromarray(picture()[0]).save(folder / f"{number:05d}.png")
    return folder


def picture(size: tuple[int, int] = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """A frame and where its object is."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: size[0], : size[1]]
    inside = (y - 0.5 * size[0]) ** 2 + (x - 0.4 * size[1]) ** 2 < (0.25 * size[0]) ** 2
    frame = np.where(inside[..., None], [210, 120, 40], [40, 70, 150]) + rng.integers(-25, 25, (*size, 1))
    return frame.clip(0, 255).astype(np.uint8), inside


def overlap(found: np.ndarray, true: np.ndarray) -> float:
    return float((found & true).sum() / (found | true).sum())


def asked(drawing: Drawing, what: str, *buffers: bytes, **content: Any) -> dict[str, Any]:
    fields, _ = getattr(drawing, f"_ask_{what}")(content, list(buffers))
    return fields


@pytest.fixture
def drawing(video: Path) -> Drawing:
    root = video.parent
    return Drawing(
        pictures(video), Folder(root.resolve()), root.resolve() / "first.png", video=video.resolve()
    )


def draw(
    drawing: Drawing, frame: int = 0, names: dict[str, str] | None = None, ids: tuple[int, ...] = (1,)
) -> None:
    drawn = np.zeros(SIZE, np.uint8)
    for number in ids:
        drawn[5 * number : 5 * number + 4, 3:9] = number
    asked(drawing, "drawn", drawn.tobytes(), frame=frame, names=names or {})


def test_a_guess_finds_the_object_in_its_box() -> None:
    frame, true = picture()
    rows, columns = np.nonzero(true)
    box = (columns.min() - 3, rows.min() - 3, columns.max() + 4, rows.max() + 4)
    assert overlap(first_guess(frame, box), true) > 0.9
    middle = (0.4 * SIZE[1], 0.5 * SIZE[0])
    assert overlap(first_guess(frame, None, [middle]), true) > 0.9
    assert not first_guess(frame).any()


def test_clicks_correct_a_guess() -> None:
    frame, true = picture()
    two = true | np.fliplr(true)  # two alike: only one is meant
    frame = np.where(two[..., None], [210, 120, 40], frame).astype(np.uint8)
    rows, columns = np.nonzero(two)
    box = (columns.min() - 2, rows.min() - 2, columns.max() + 3, rows.max() + 3)
    other = np.fliplr(true) & ~true
    y, x = (int(values.mean()) for values in np.nonzero(other))
    assert first_guess(frame, box)[y, x]
    assert not first_guess(frame, box, outside=[(x, y)])[y, x]


def test_a_large_frame_is_guessed_on_a_small_one() -> None:
    frame, true = picture((480, 854))
    rows, columns = np.nonzero(true)
    found = first_guess(frame, (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
    assert found.shape == true.shape and overlap(found, true) > 0.9


def test_a_guess_on_noise_takes_little_memory() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    tracemalloc.start()
    first_guess(frame, (20, 10, 60, 50))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 8 * 4800**2  # bytes: of one distance for each pair of pixels


def test_a_saved_mask_is_what_segment_reads(drawing: Drawing, video: Path) -> None:
    draw(drawing, names={"1": "dog", "2": "red, ball"}, ids=(1, 2))
    told = asked(drawing, "save_mask", file="first.png")
    path = video.parent / "first.png"
    assert told["files"] == ["first.png"]
    assert shlex.split(told["command"]) == [
        *("stremn", "segment", "frames", "--mask", "first.png", "--out", "results/frames")
    ]
    assert np.array_equal(given_mask(path, open_frames(video)), drawing.masks[0])
    with Image.open(path) as image:
        assert image.mode == "P" and image.getpalette()[3:9] == [128, 0, 0, 0, 128, 0]  # type: ignore[index]
    assert names_in(path) == {1: "dog", 2: "red ball"}


def test_masks_of_later_frames_are_named_in_the_command(drawing: Drawing) -> None:
    draw(drawing, 1)
    draw(drawing, 2, ids=(2,))
    told = asked(drawing, "save_mask", file="first.png")
    assert told["files"] == ["first.png", "first-2.png"]
    assert "--start 1 --mask first.png --mask 2:first-2.png" in told["command"]


def test_nothing_is_replaced_without_a_yes(drawing: Drawing, video: Path) -> None:
    other = video.parent / "first.png"
    other.write_bytes(b"another file")
    draw(drawing)
    assert asked(drawing, "save_mask", file="first.png") == {"exists": ["first.png"]}
    assert other.read_bytes() == b"another file"
    assert asked(drawing, "save_mask", file="first.png", replace=True)["files"] == ["first.png"]
    draw(drawing, ids=(1, 2))
    assert "files" in asked(drawing, "save_mask", file="first.png")  # its own file
    assert set(np.unique(read_mask(other))) == {0, 1, 2}
    frame = asked(drawing, "save_frame", file="first.png", frame=2)["files"]
    assert np.array_equal(np.asarray(Image.open(video.parent / frame[0])), drawing.pictures[2])


@pytest.mark.parametrize(
    "name", ["../first.png", "/first.png", "link/first.png", "first.jpg", "", "a\0b.png"]
)
def test_a_page_writes_only_masks_below_its_folder(drawing: Drawing, video: Path, name: str) -> None:
    (video.parent / "link").symlink_to("/")
    draw(drawing)
    with pytest.raises(InputError, match="expected"):
        asked(drawing, "save_mask", file=name)
    assert {path.name for path in video.parent.iterdir()} == {"frames", "link"}


def test_beside_a_named_file_later_masks_and_frames_are_written(video: Path, tmp_path: Path) -> None:
    inside, other = tmp_path / "inside", tmp_path / "other"
    inside.mkdir()
    other.mkdir()
    drawing = masker(video, other / "first.png", folder=inside).drawing
    draw(drawing, 0)
    draw(drawing, 2)
    assert asked(drawing, "save_mask", file=str(other / "first.png"))["files"] == [
        str(other / "first.png"),
        str(other / "first-2.png"),
    ]
    asked(drawing, "save_frame", file=str(other / "first.png"), frame=1)
    assert {path.name for path in other.iterdir()} == {"first.png", "first-2.png", "frames-frame-1.png"}
    with pytest.raises(InputError, match="where the command was started"):
        asked(drawing, "save_mask", file=str(other / "second.png"))
    promise = (Path(__file__).parents[1] / "docs/site/security.md").read_text(encoding="utf-8")
    assert "beside a mask file so named" in " ".join(promise.split())


def test_an_empty_drawing_is_not_saved(drawing: Drawing) -> None:
    with pytest.raises(InputError, match="nothing drawn"):
        asked(drawing, "save_mask", file="first.png")


def test_a_folder_lists_what_lies_in_it(tmp_path: Path) -> None:
    (tmp_path / "inside" / "deep").mkdir(parents=True)
    (tmp_path / "inside" / "a.mp4").touch()
    (tmp_path / "inside" / ".hidden").touch()
    (tmp_path / "inside" / "out").symlink_to("/")
    folder = Folder((tmp_path / "inside").resolve())
    assert folder.listing("") == ["deep/", "a.mp4"]
    assert folder.listing("nothing/") == []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "iterdir", lambda _: (_ for _ in ()).throw(PermissionError()))  # not for root
        assert folder.listing("deep/") == []
    with pytest.raises(InputError, match="where the command was started"):
        folder.listing("..")
    named = Folder(folder.root, (tmp_path / "given.mp4",))
    assert named.path(str(tmp_path / "given.mp4")) == tmp_path / "given.mp4"


def test_all_tabs_hear_of_a_stroke(drawing: Drawing) -> None:
    heard: list[dict[str, Any]] = []
    drawing.tell = heard.append
    asked(drawing, "drawn", bytes(SIZE[0] * SIZE[1]), frame=2, names={}, view="one")
    assert heard == [{"tell": "drawn", "frame": 2, "view": "one"}]


def test_the_page_goes_on_with_a_mask_that_is_there(video: Path) -> None:
    out = video.parent / "first.png"
    ids = np.zeros(SIZE, np.uint8)
    ids[3:9, 4:8] = 2
    write_mask(out, ids)
    page = masker(video, out, folder=video.parent)
    try:
        assert np.array_equal(page.drawing.masks[0], ids)
        about = page._ask_hello({}, [])[0]
        assert (about["frames"], about["width"], about["height"]) == (3, SIZE[1], SIZE[0])
        assert about["objects"][:2] == ["#800000", "#008000"]
    finally:
        page.close()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nothing.mp4"], "found nothing there"),
        (["frames", "--frame", "3"], "expected a frame of 0 to 2"),
        (["frames", "--out", "first.jpg"], "ends in .png"),
        (["frames", "--out", "no/first.png"], "make it first"),
        (["frames", "--out", "small.png"], "expected a mask of"),
    ],
)
def test_a_wrong_call_is_told_before_the_page(
    arguments: list[str],
    told: str,
    video: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(video.parent)
    monkeypatch.setattr("stremn.explore.page.serve", lambda *settings, **more: None)
    write_mask(Path("small.png"), np.eye(4, dtype=np.uint8))
    assert main(["mask", *arguments]) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1


def test_the_command_opens_the_page(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []
    monkeypatch.chdir(video.parent)
    monkeypatch.setattr("stremn.explore.page.serve", lambda *settings, **more: opened.extend(settings))
    assert main(["mask", "frames", "--frame", "2"]) == 0
    root = video.parent
    assert opened[0] == {
        "video": str(root / "frames"), "out": str(root / "frames_mask.png"), "frame": 2, "folder": str(root)
    }  # fmt: skip
    assert opened[1] == "mask"
