"""Pictures and masks as people save them: every kind is read by its stated rule, named, or refused in one line."""

import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter, PngImagePlugin

from stremn.data.clips import read_mask, read_stored_ids, write_mask
from stremn.data.datasets import open_clips
from stremn.data.mask_colours import palette
from stremn.data.pictures import picture_files, picture_size, read_image
from stremn.data.video import first_mask, open_frames
from stremn.errors import InputError, InputWarning

pytestmark = pytest.mark.filterwarnings("ignore::stremn.errors.InputWarning")
H, W = 120, 160
INSIDE = np.zeros((H, W), bool)
INSIDE[30:60, 40:80] = True
WHITE = (INSIDE * 255).astype(np.uint8)
BLOCKS = np.zeros((H, W), np.uint8)  # three objects of different size
BLOCKS[10:40, 10:50], BLOCKS[50:80, 60:120], BLOCKS[90:110, 20:40] = 1, 2, 3


def told(work: Callable[[], Any]) -> tuple[Any, list[str]]:
    """What a function returns, and the warnings of ours."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = work()
    return result, [str(one.message) for one in caught if issubclass(one.category, InputWarning)]


def grey(values: np.ndarray) -> Image.Image:
    return Image.fromarray(values.astype(np.uint8))


def colour(values: np.ndarray) -> Image.Image:
    return Image.fromarray(np.dstack([values] * 3).astype(np.uint8))


def indexed(ids: np.ndarray, *colours: tuple[int, int, int]) -> Image.Image:
    image = Image.fromarray(ids.astype(np.uint8), mode="P")
    image.putpalette([value for one in colours for value in one])
    return image


def clear(rgb: tuple[int, int, int], mode: str = "RGBA", ground: int = 0) -> Image.Image:
    """An object of a colour, opaque, on a transparent ground of a hidden grey."""
    pixels = np.full((H, W, 4), (ground, ground, ground, 0), np.uint8)
    pixels[INSIDE] = (*rgb, 255)
    return Image.fromarray(pixels).convert(mode)


BLACK, RED, SNOW = (0, 0, 0), (255, 0, 0), (255, 255, 255)
ONE: dict[str, tuple[Image.Image, str, str]] = {  # picture, suffix, a word of the warning; empty: none
    "grey": (grey(WHITE), "png", ""),
    "one bit": (grey(WHITE).convert("1"), "png", ""),
    "one bit, tiff": (grey(WHITE).convert("1"), "tif", ""),
    "bitmap": (grey(WHITE).convert("1"), "pbm", ""),
    "grey 128": (grey(WHITE // 2 + INSIDE), "png", "128 is object 1"),
    "grey of dark red": (grey(INSIDE * 38), "png", "38 is object 1"),
    "grey 16, 235": (grey(16 + INSIDE * 219), "png", "235 is object 1"),
    "ids 0 and 1": (grey(INSIDE), "bmp", ""),
    "16 bits": (Image.fromarray(INSIDE.astype(np.uint16) * 65535), "png", ""),
    "16 bits of 0 and 1": (Image.fromarray(INSIDE.astype(np.uint16)), "png", ""),
    "float": (Image.fromarray(INSIDE.astype(np.float32)), "tif", ""),
    "32 bits": (Image.fromarray(INSIDE.astype(np.int32)), "tif", ""),
    "RGB": (colour(WHITE), "png", ""),
    "RGBA": (colour(WHITE).convert("RGBA"), "png", ""),
    "grey and alpha": (grey(WHITE).convert("LA"), "png", ""),
    "red": (Image.fromarray(np.uint8(INSIDE[..., None] * np.uint8(RED))), "png", "the colour is object 1"),
    "palette, white first": (indexed(~INSIDE, SNOW, BLACK), "png", "black is background"),
    "palette, black first": (indexed(INSIDE, BLACK, SNOW), "png", ""),
    "palette, red and black": (indexed(~INSIDE, RED, BLACK), "png", "black is background"),
    "palette, red on white": (indexed(INSIDE, SNOW, RED), "png", "index 0 is background"),
    "palette, adaptive": (colour(WHITE).convert("P", palette=Image.Palette.ADAPTIVE), "png", "black is background"),
    "palette of greys, 0 and 255": (grey(WHITE).convert("P"), "png", ""),
    "palette, gif": (indexed(~INSIDE, SNOW, BLACK), "gif", "black is background"),
    "white on a clear ground": (clear(SNOW), "png", ""),
    "black on a clear ground": (clear(BLACK), "png", "opaque"),
    "red on a clear, white ground": (clear(RED, ground=255), "png", "the colour is object 1"),
    "grey on a clear ground": (clear(SNOW, "LA"), "png", ""),
    "webp": (colour(WHITE), "webp", ""),
    "cmyk": (colour(WHITE).convert("CMYK"), "tif", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", ONE)
def test_one_object_however_it_is_saved(tmp_path: Path, name: str) -> None:
    image, suffix, word = ONE[name]
    path = tmp_path / f"mask.{suffix}"
    image.save(path, **({"lossless": True} if suffix == "webp" else {}))
    ids, lines = told(lambda: read_mask(path))
    assert np.array_equal(ids, INSIDE)
    assert (len(lines) == 1 and word in lines[0]) if word else not lines


SOFT = {
    "grey": grey(WHITE),
    "RGB": colour(WHITE),
    "red": Image.fromarray(np.uint8(INSIDE[..., None] * np.uint8(RED))),
    "RGBA": colour(WHITE).convert("RGBA"),
}


@pytest.mark.parametrize("name", SOFT)
@pytest.mark.parametrize("suffix", ["png", "tif", "jpg", "webp"])
@pytest.mark.parametrize("radius", [0, 1, 4, 8])
def test_smoothed_edges_and_lossy_files_are_cut_at_the_middle(
    tmp_path: Path, name: str, suffix: str, radius: int
) -> None:
    image = SOFT[name].filter(ImageFilter.GaussianBlur(radius))
    path = tmp_path / f"mask.{suffix}"
    (image.convert("RGB") if suffix == "jpg" and image.mode == "RGBA" else image).save(path)
    ids, lines = told(lambda: read_mask(path))
    near = np.asarray(Image.fromarray(WHITE).filter(ImageFilter.GaussianBlur(radius))) > 127
    assert (ids.astype(bool) != near).mean() < 0.01 and ids.max() == 1
    assert not radius or (len(lines) == 1 and "soft edges" in lines[0])


def test_a_smoothed_palette_is_one_object(tmp_path: Path) -> None:
    soft = grey(WHITE).filter(ImageFilter.GaussianBlur(2)).convert("RGB")
    for number, kind in enumerate((Image.Palette.ADAPTIVE, Image.Palette.WEB)):
        soft.convert("P", palette=kind, dither=Image.Dither.NONE).save(tmp_path / f"{number}.png")
        ids, lines = told(lambda number=number: read_mask(tmp_path / f"{number}.png"))
        assert np.unique(ids).tolist() == [0, 1] and len(lines) == 1
        assert (ids.astype(bool) != INSIDE).mean() < 0.01


def test_shades_that_a_palette_makes_of_an_edge_are_told(tmp_path: Path) -> None:
    soft = clear((30, 144, 255)).resize((W // 2, H // 2), Image.Resampling.LANCZOS).resize((W, H))
    soft.convert("P").save(tmp_path / "web.png")
    ids, lines = told(lambda: read_mask(tmp_path / "web.png"))
    assert ids.max() == 1 or (len(lines) == 1 and "edges without area" in lines[0])


def test_several_objects_keep_their_ids(tmp_path: Path) -> None:
    other = np.array([0, 4, 9, 1])  # ids whose indices are in another order
    colours = [tuple(int(v) for v in palette()[i]) for i in other]
    davis = palette().astype(int)
    davis[davis == 192] = 191  # as in DAVIS's own files
    wide = (BLOCKS * 1).astype(np.uint16)
    pictures = {
        "palette": (indexed(BLOCKS, *map(tuple, palette()[:4])), BLOCKS, ""),
        "youtube": (indexed(BLOCKS, BLACK, (236, 95, 103), (249, 145, 87), (250, 200, 99)), BLOCKS, ""),
        "greys": (indexed(BLOCKS, BLACK, (80, 80, 80), (160, 160, 160), SNOW), BLOCKS, ""),
        "all black": (indexed(BLOCKS, BLACK, BLACK, BLACK, BLACK), BLOCKS, ""),
        "bright": (indexed(BLOCKS, BLACK, RED, (0, 255, 0), (0, 0, 255)), BLOCKS, ""),
        "other order": (indexed(BLOCKS, *colours), other[BLOCKS], "colour is the id"),
        "no black": (indexed(BLOCKS, SNOW, RED, (0, 255, 0), (0, 0, 255)), BLOCKS, "index 0 is background"),
        "RGB": (Image.fromarray(palette()[other[BLOCKS]]), other[BLOCKS], ""),
        "RGB of DAVIS": (Image.fromarray(davis[other[BLOCKS]].astype(np.uint8)), other[BLOCKS], ""),
        "RGBA": (Image.fromarray(palette()[BLOCKS]).convert("RGBA"), BLOCKS, ""),
        "grey": (grey(BLOCKS), BLOCKS, ""),
        "grey, void": (grey(np.where(BLOCKS == 3, 255, BLOCKS)), np.where(BLOCKS == 3, 255, BLOCKS), ""),
        "16 bits": (Image.fromarray(wide), BLOCKS, ""),
        "16 bits, 200": (Image.fromarray(wide * 66), BLOCKS * 66, ""),
        "float": (Image.fromarray(BLOCKS.astype(np.float32)), BLOCKS, ""),
    }
    for name, (image, ids, word) in pictures.items():
        path = tmp_path / f"{name}.{'tif' if image.mode == 'F' else 'png'}"
        image.save(path)
        read, lines = told(lambda path=path: read_mask(path))
        assert np.array_equal(read, ids), name
        assert (len(lines) == 1 and word in lines[0]) if word else not lines, (name, lines)


def test_many_small_ids_in_grey(tmp_path: Path) -> None:
    ids = np.kron(np.arange(48).reshape(6, 8), np.ones((20, 20))).astype(np.uint8)
    grey(ids).save(tmp_path / "many.png")
    assert np.array_equal(read_mask(tmp_path / "many.png"), ids)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (Image.fromarray(BLOCKS.astype(np.uint16) * 200), r"the id 600 in .*ids go to 254"),
        (Image.fromarray(BLOCKS.astype(np.int32) * 20000), r"the id 60000 in .*ids go to 254"),
        (Image.fromarray(np.where(INSIDE, np.nan, 0).astype(np.float32)), "no numbers"),
        (Image.fromarray(np.where(INSIDE, -1, 0).astype(np.int32)), "values down to -1"),
        (grey(BLOCKS * 80), "4 shades from 0 to 240"),
        (grey(100 + WHITE // 4), "not an object on black"),
        (grey(np.add.outer(np.arange(H), np.arange(W)) % 256), "shades"),
        (Image.fromarray(np.uint8([BLACK, RED, (0, 255, 0), (0, 0, 250)])[BLOCKS]), "several colours"),
        (Image.fromarray(np.uint8([SNOW, RED])[INSIDE.astype(int)]), "not an object on black"),
        (indexed(BLOCKS, SNOW, BLACK, RED, (0, 255, 0)), "several colours"),
    ],
)
def test_what_is_no_mask_is_refused_with_advice(tmp_path: Path, image: Image.Image, message: str) -> None:
    path = tmp_path / ("mask.png" if image.mode != "F" else "mask.tif")
    image.save(path if image.mode != "I" else path.with_suffix(".tif"))
    with pytest.raises(InputError, match=message) as caught:
        read_mask(path if image.mode != "I" else path.with_suffix(".tif"))
    assert "\n" not in str(caught.value) and (
        "save it as PNG" in str(caught.value) or "254" in str(caught.value)
    )


def test_ids_in_jpeg_are_refused(tmp_path: Path) -> None:
    grey(BLOCKS).save(tmp_path / "ids.jpg")
    with pytest.raises(InputError, match="changes them a little"):
        read_mask(tmp_path / "ids.jpg")


def test_a_scorer_reads_what_is_stored(tmp_path: Path) -> None:
    indexed(~INSIDE, SNOW, BLACK).save(tmp_path / "white.png")
    ids, lines = told(lambda: read_stored_ids(tmp_path / "white.png"))
    assert np.array_equal(ids, ~INSIDE) and "index 0 of a palette is not black" in lines[0]
    write_mask(tmp_path / "ours.png", BLOCKS)
    ids, lines = told(lambda: read_stored_ids(tmp_path / "ours.png"))
    assert np.array_equal(ids, BLOCKS) and not lines
    Image.fromarray(BLOCKS.astype(np.uint16)).save(tmp_path / "wide.png")
    assert np.array_equal(read_stored_ids(tmp_path / "wide.png"), BLOCKS)
    Image.fromarray(BLOCKS.astype(np.uint16) * 100).save(tmp_path / "wide.png")
    with pytest.raises(InputError, match="expected ids of 0 to 255, found 300"):
        read_stored_ids(tmp_path / "wide.png")


def test_a_given_mask_says_how_it_was_read(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    colour(WHITE).save(tmp_path / "in" / "0.png")
    frames = open_frames(tmp_path / "in")
    indexed(~INSIDE, SNOW, BLACK).save(tmp_path / "mask.png")
    _, lines = told(lambda: first_mask(tmp_path / "mask.png", frames))
    assert lines == [
        f"mask {tmp_path / 'mask.png'}: index 0 of the palette is not black: black is background "
        "(object 1: 1,200 pixels)"
    ]
    grey(255 - WHITE).save(tmp_path / "mask.png")
    _, lines = told(lambda: first_mask(tmp_path / "mask.png", frames))
    assert len(lines) == 1 and "invert the mask (object 1: 18,000 pixels)" in lines[0]


# --- frames


def scene() -> np.ndarray:
    """A picture without symmetry: a red corner above left, green above right, blue below left."""
    pixels = np.full((H, W, 3), 60, np.uint8)
    pixels[:40, :40], pixels[:40, -40:], pixels[-40:, :40] = (200, 20, 20), (20, 200, 20), (20, 20, 200)
    return pixels


STORED: dict[
    int, Callable[[np.ndarray], np.ndarray]
] = {  # by EXIF orientation, what a camera stores of a scene
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, *range(2, a.ndim)),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, *range(2, a.ndim)),
    8: lambda a: np.rot90(a, -1),
}


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("turn", STORED)
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_every_orientation_is_upright(tmp_path: Path, turn: int, suffix: str) -> None:
    path = tmp_path / "in" / f"0.{suffix}"
    path.parent.mkdir()
    options = {"quality": 95, "subsampling": 0} if suffix == "jpg" else {"lossless": True}
    kept = Image.fromarray(np.ascontiguousarray(STORED[turn](scene())))
    kept.save(path, exif=turned(turn), **(options if suffix in ("jpg", "webp") else {}))
    assert picture_size(path) == (H, W)
    assert np.abs(read_image(path).astype(int) - scene()).mean() < 2
    frames = open_frames(path.parent)
    assert frames.size == (H, W) and np.array_equal(frames.first(), read_image(path))
    mask = Image.fromarray(np.ascontiguousarray(STORED[turn](WHITE)))
    mask.save(tmp_path / f"mask.{suffix}", exif=turned(turn))
    assert (read_mask(tmp_path / f"mask.{suffix}") != INSIDE).mean() < 0.001


def test_a_folder_data_set_is_upright(tmp_path: Path) -> None:
    for folder in ("JPEGImages/a", "Annotations/a"):
        (tmp_path / folder).mkdir(parents=True)
    Image.fromarray(np.ascontiguousarray(STORED[6](scene()))).save(
        tmp_path / "JPEGImages/a/0.jpg", exif=turned(6), quality=95
    )
    write_mask(tmp_path / "Annotations/a/0.PNG", BLOCKS)
    clip = open_clips("clips", tmp_path, "")[0]
    assert np.array_equal(clip.masks[0], BLOCKS)
    assert np.abs(clip.frames[0].astype(int) - scene()).mean() < 3


def test_deep_grey_is_scaled_by_its_folder(tmp_path: Path) -> None:
    warm = np.where(INSIDE, 9000, 7000).astype(np.uint16)
    for number, values in enumerate((warm, warm - 1000)):
        Image.fromarray(values).save(tmp_path / f"{number}.png")
    frames, lines = told(lambda: [frame for _, frame in open_frames(tmp_path)])
    assert [np.unique(frame).tolist() for frame in frames] == [[85, 255], [0, 170]]
    assert len(lines) == 1 and "6000 to 9000 become 0 to 255" in lines[0]
    ramp = np.linspace(0, 65535, H * W).reshape(H, W)
    Image.fromarray(ramp.astype(np.uint16)).save(tmp_path / "ramp.png")
    assert np.abs(read_image(tmp_path / "ramp.png")[..., 0] - ramp / 257).max() <= 1
    share = (ramp / 65535).astype(np.float32)
    share[0, :3] = np.nan, np.inf, -np.inf
    Image.fromarray(share).save(tmp_path / "float.tif")
    pixels = read_image(tmp_path / "float.tif")
    assert pixels[0, :3, 0].tolist() == [0, 255, 0] and np.abs(pixels[1:, :, 0] - ramp[1:] / 257).max() <= 1
    swapped = warm.astype(">u2")
    Image.frombytes("I;16B", (W, H), swapped.tobytes()).save(tmp_path / "big.tif")
    assert np.unique(read_image(tmp_path / "big.tif")).tolist() == [0, 255]
    assert (read_image(tmp_path / "big.tif")[..., 0] > 0).sum() == INSIDE.sum()


def test_other_kinds_of_frames(tmp_path: Path) -> None:
    rgb = Image.fromarray(scene())
    rgb.convert("P", palette=Image.Palette.ADAPTIVE).save(tmp_path / "palette.png")
    rgb.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95, subsampling=0)
    rgb.save(tmp_path / "portable.PPM", format="PPM")
    rgb.save(tmp_path / "camera.JFIF", format="JPEG", quality=95, subsampling=0)
    rgb.save(tmp_path / "new.avif", quality=95)
    for path in tmp_path.iterdir():
        assert np.abs(read_image(path).astype(int) - scene()).mean() < 4, path.name
    clear(RED, ground=255).save(tmp_path / "clear.png")
    assert np.array_equal(read_image(tmp_path / "clear.png"), INSIDE[..., None] * np.uint8(RED))


def test_a_folder_with_other_files(tmp_path: Path) -> None:
    for name in ("1.ppm", "2.JPG", "3.jfif", "10.Webp", "11.avif", "12.TIF"):
        form = {".jfif": "JPEG", ".JPG": "JPEG"}.get(Path(name).suffix)
        Image.fromarray(scene()).save(tmp_path / name, format=form)
    for name in ("4.heic", "notes.txt", ".DS_Store", "._1.ppm", "Thumbs.db", "5.png.part", "6.jpg~"):
        (tmp_path / name).write_bytes(b"x")
    files, lines = told(lambda: picture_files(tmp_path))
    assert [path.stem for path in files] == ["1", "2", "3", "10", "11", "12"]
    assert lines == [
        f"left out of {tmp_path}, as they are no pictures that can be read here: 4.heic, notes.txt"
    ]
    assert open_frames(tmp_path).count == 6
    Image.fromarray(scene()).save(tmp_path / "2.png")
    with pytest.raises(InputError, match=r"found 2\.JPG and 2\.png"):
        open_frames(tmp_path)


def test_sizes_are_known_before_the_work(tmp_path: Path) -> None:
    for number in range(6):
        Image.fromarray(scene()[: 60 if number == 4 else H]).save(tmp_path / f"{number}.png")
    with pytest.raises(InputError, match=r"160x120 \(0.png, 1.png, 2.png and 2 more\) and 160x60 \(4.png\)"):
        open_frames(tmp_path)
    (tmp_path / "4.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"damaged one at .*4\.png"):
        open_frames(tmp_path)


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tif", "avif"])
def test_films_among_pictures_are_refused(tmp_path: Path, suffix: str) -> None:
    first, second = Image.fromarray(scene()), Image.fromarray(255 - scene())
    first.save(tmp_path / f"0.{suffix}", save_all=True, append_images=[second])
    with pytest.raises(InputError, match=r"one picture in a file, found 2 in .*save each"):
        open_frames(tmp_path)


def bytes_of(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def test_long_texts_do_not_hide_a_picture(tmp_path: Path) -> None:
    for packed in (True, False):
        info = PngImagePlugin.PngInfo()
        info.add_text("workflow", "x" * 2_000_000, zip=packed)
        info.add_itxt("xmp", "x" * 2_000_000, zip=packed)
        (tmp_path / "a.png").write_bytes(bytes_of(grey(WHITE), pnginfo=info))
        assert np.array_equal(read_mask(tmp_path / "a.png"), INSIDE)
        assert picture_size(tmp_path / "a.png") == (H, W)
        assert np.array_equal(read_stored_ids(tmp_path / "a.png"), WHITE)


def test_damage_is_told_in_one_line(tmp_path: Path) -> None:
    whole = bytes_of(Image.fromarray(np.random.default_rng(0).integers(0, 255, (H, W, 3), np.uint8)))
    middle = len(whole) // 2
    cases = {
        "empty": b"",
        "head": whole[:40],
        "half": whole[:middle],
        "zlib": whole[:middle] + bytes(200) + whole[middle + 200 :],
        "text": b"hello",
        "large": bytes_of(Image.new("1", (20000, 20000))),
    }
    for name, content in cases.items():
        path = tmp_path / f"{name}.png"
        path.write_bytes(content)
        for read in (read_image, read_mask, read_stored_ids):
            with pytest.raises(InputError) as caught:
                read(path)
            assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(InputError, match="at most 178956970 pixels, found one of 400000000"):
        picture_size(tmp_path / "large.png")


def test_broken_exif_is_no_orientation(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(scene()).save(path, exif=b"Exif\0\0nonsense", quality=95)
    assert read_image(path).shape == (H, W, 3) and picture_size(path) == (H, W)
