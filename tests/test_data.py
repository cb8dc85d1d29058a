"""Generated sets, folders of clips, samplers: determinism, contracts, clear errors."""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stremn.data import photographs
from stremn.data.augment import share_in_view, view
from stremn.data.batches import batches, renumber, with_seed
from stremn.data.clips import Clip, palette, read_mask, write_clip, write_mask
from stremn.data.folders import open_clip_folder, open_image_folder
from stremn.data.images import ImageClipSampler
from stremn.data.sampling import ClipSampler, SkipSchedule, times
from stremn.errors import InputError
from stremn.figures import sheets
from stremn.files import replacing
from stremn.fingerprint import of_folder
from stremn.generate import surfaces
from stremn.generate.composites import ImageSettings
from stremn.generate.make import make_static, make_vos
from stremn.generate.procedural import ClipSettings, make_clip

HARD = ClipSettings(clips=3, length=16, size=48, occluders=1, distractors=1, turn=1, light=1)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny generated set: clips of two splits and static images."""
    folder = tmp_path_factory.mktemp("data")
    make_vos(folder / "vos", {"train": HARD, "test_long": HARD.model_copy(update={"length": 20})})
    make_static(folder / "static", ImageSettings(images=6, size=56))
    return folder


def test_groups_share_no_photograph() -> None:
    every = [name for group in photographs.GROUPS.values() for name in group]
    assert len(every) == len(set(every))
    for name in every:
        pixels = photographs.photograph(name)
        assert pixels.ndim == 3 and pixels.shape[2] == 3 and 0 <= pixels.min() < pixels.max() <= 1
    with pytest.raises(InputError, match="expected a group"):
        photographs.names("holdout")


def test_same_seed_same_bytes(root: Path, tmp_path: Path) -> None:
    manifest = make_vos(tmp_path / "vos", {"train": HARD})
    assert manifest["splits"]["train"]["sha256"] == of_folder(root / "vos" / "train")
    other = make_vos(tmp_path / "other", {"train": HARD.model_copy(update={"seed": 1})})
    assert other["splits"]["train"]["sha256"] != manifest["splits"]["train"]["sha256"]
    again = make_static(tmp_path / "static", ImageSettings(images=6, size=56))
    assert again == json.loads((root / "static" / "manifest.json").read_text())


@pytest.mark.parametrize("late", [0.0, 1.0])
def test_objects_are_clear_in_their_first_frame(late: float) -> None:
    settings = ClipSettings(length=24, objects=3, late=late, leave=1, occluders=1)
    late_seen = 0
    for index in range(8):
        clip = make_clip(settings, "val", index)
        assert clip.frames.dtype == clip.masks.dtype == np.uint8 and clip.frames.shape == (24, 64, 64, 3)
        assert set(np.unique(clip.masks)) == set(range(clip.objects + 1))
        for label in range(1, clip.objects + 1):
            area = (clip.masks == label).mean(axis=(1, 2))
            first = int(np.nonzero(area)[0][0])
            late_seen += first > 0
            assert area[first] >= 0.02
            assert first == 0 or label == clip.objects
    assert (late_seen > 0) == (late > 0)


def test_traits_do_what_they_say() -> None:
    """Objects that leave are gone for a while, and lighting goes down and comes back."""
    calm = {"length": 48, "objects": 1, "occluders": 0, "distractors": 0, "turn": 0, "light": 0, "leave": 0}
    gone = [
        [
            (make_clip(ClipSettings(**{**calm, "leave": leave}), "train", n).masks == 0)
            .all(axis=(1, 2))
            .any()
            for n in range(5)
        ]
        for leave in (0, 1)
    ]
    assert not any(gone[0]) and all(gone[1])
    bright = make_clip(ClipSettings(**{**calm, "light": 1}), "train", 0).frames.mean(axis=(1, 2, 3))
    assert bright.min() < 0.75 * bright[0] and bright[-12:].max() > 1.15 * bright.min()


def test_natural_clips_are_duller_and_their_objects_larger() -> None:
    """Mean saturation and area of the objects of ten clips; one object each, so that nothing hides them."""
    seen: dict[float, list[tuple[float, float]]] = {0.0: [], 1.0: []}
    for share, found in seen.items():
        settings = ClipSettings(length=4, objects=1, occluders=0, distractors=0, natural=share)
        for index in range(10):
            clip = make_clip(settings, "train", index)
            colours = clip.frames[clip.masks == 1].astype(float)
            spread = (colours.max(axis=1) - colours.min(axis=1)) / np.maximum(colours.max(axis=1), 1)
            found.append((float(spread.mean()), float((clip.masks == 1).mean())))
            again = make_clip(settings, "train", index)
            assert np.array_equal(clip.frames, again.frames) and np.array_equal(clip.masks, again.masks)
    (tinted, small), (dull, large) = (np.mean(seen[share], axis=0) for share in (0.0, 1.0))
    assert dull < 0.7 * tinted and large > 1.1 * small


def test_natural_surfaces() -> None:
    rng = np.random.default_rng(0)
    field = surfaces.noise(rng, 128, 96, 1.0)
    power = np.abs(np.fft.fft2(field)) ** 2
    frequency = np.hypot(np.fft.fftfreq(128)[:, None], np.fft.fftfreq(96)[None])
    octaves = [power[(frequency > low) & (frequency <= 2 * low)].mean() for low in (0.03, 0.06, 0.12)]
    ratios = np.divide(octaves[:-1], octaves[1:])
    assert np.allclose(ratios, 4, rtol=0.4)  # amplitude 1/f: power falls to a quarter in an octave
    assert abs(field.mean()) < 1e-4 and abs(field.std() - 1) < 1e-3
    pile = surfaces.leaves(rng, 64)
    assert 1.3 * 64 - 1 <= pile.shape[0] == pile.shape[1] <= 1.8 * 64 + 1 and pile.shape[2] == 3
    assert pile.min() >= 0 and pile.max() <= 1 and pile.std(axis=(0, 1)).min() > 0.02
    for _ in range(50):
        radii = surfaces.contour(rng)
        assert radii.shape == (256,) and radii.min() > 0 and radii.max() <= surfaces.REACH


def test_a_natural_look_alike_has_the_same_texture_in_other_light() -> None:
    rng = np.random.default_rng(1)
    skin = surfaces.Skin("astronaut.png", faces=2, seed=5)
    one, other = skin.strip(rng, 24, 48), skin.like(rng).strip(rng, 24, 48)
    assert one.shape == other.shape == (24, 48, 3)
    inside = (one > 0.05) & (other < 0.99)
    gains = [(other[..., c] / one[..., c])[inside[..., c]] for c in range(3)]
    assert all(np.ptp(gain) < 1e-3 and abs(gain.mean() - 1) > 0.05 for gain in gains)


def test_objects_move_away_from_their_first_mask() -> None:
    clip = make_clip(ClipSettings(length=64, objects=2), "test", 0)
    first = clip.masks[0] == 1
    later = clip.masks[8:] == 1
    overlap = (later & first).sum(axis=(1, 2)) / np.maximum((later | first).sum(axis=(1, 2)), 1)
    assert overlap.mean() < 0.4


def test_clip_folder_round_trip(tmp_path: Path) -> None:
    clip = make_clip(HARD, "val", 0)
    write_clip(tmp_path, clip)
    for cache in (True, False):
        folder = open_clip_folder(tmp_path, "", cache=cache)
        assert folder.names == [clip.name] and len(folder) == 1 and folder.length(0) == len(clip)
        read = folder[0]
        assert np.array_equal(read.masks, clip.masks) and read.objects == clip.objects
        assert np.abs(read.frames.astype(int) - clip.frames).mean() < 6
        assert np.array_equal(folder.take(0, [5, 2]).masks, clip.masks[[5, 2]])


def test_masks_of_every_kind(tmp_path: Path) -> None:
    ids = np.arange(12, dtype=np.uint8).reshape(3, 4) % 3
    write_mask(tmp_path / "p.png", ids)
    assert np.array_equal(read_mask(tmp_path / "p.png"), ids)
    assert palette()[:4].tolist() == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
    Image.fromarray(np.uint8(ids > 0) * 255).save(tmp_path / "grey.png")
    assert np.array_equal(read_mask(tmp_path / "grey.png"), ids > 0)
    Image.fromarray(np.arange(240, dtype=np.uint8).reshape(12, 20)).save(tmp_path / "ramp.png")
    Image.fromarray(np.uint8([[[0, 0, 0], [255, 0, 0], [0, 255, 0]]])).save(tmp_path / "rgb.png")
    (tmp_path / "torn.png").write_bytes(b"\x89PNG\r\n")
    for name, message in [
        ("ramp", "240 shades"),
        ("rgb", "several colours"),
        ("torn", "damaged"),
        ("no", "no such file"),
    ]:
        with pytest.raises(InputError, match=message):
            read_mask(tmp_path / f"{name}.png")
    with pytest.raises(InputError, match="0 to 255"):
        write_mask(tmp_path / "bad.png", np.array([[300]]))
    assert not list(tmp_path.glob(".*")) and not (tmp_path / "bad.png").exists()


def test_bad_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a folder"):
        open_clip_folder(tmp_path, "")
    clip = Clip("a", np.zeros((2, 8, 8, 3), np.uint8), np.ones((2, 8, 8), np.uint8), 1)
    write_clip(tmp_path, clip)
    write_mask(tmp_path / "Annotations/a/00001.png", np.ones((6, 8), np.uint8))
    with pytest.raises(InputError, match="one size within clip a, 8x8, found image 8x8 and mask 8x6"):
        open_clip_folder(tmp_path, "")[0]
    (tmp_path / "Annotations/a/00001.png").unlink()
    with pytest.raises(
        InputError, match=r"expected a mask .*Annotations/a/00001.png .*found none \(1 missing"
    ):
        open_clip_folder(tmp_path, "")
    with pytest.raises(InputError, match="splits that begin with"):
        make_vos(tmp_path / "new", {"holdout": HARD})
    assert not (tmp_path / "new").exists()


def test_nothing_half_written(tmp_path: Path) -> None:
    target = tmp_path / "set"
    target.mkdir()
    (target / "old").touch()
    with pytest.raises(KeyboardInterrupt), replacing(target) as scratch:
        scratch.mkdir()
        raise KeyboardInterrupt
    assert [p.name for p in tmp_path.iterdir()] == ["set"] and (target / "old").exists()
    with replacing(target) as scratch:
        scratch.mkdir()
    assert not (target / "old").exists()


def test_a_folder_that_cannot_be_replaced_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, rename = tmp_path / "set", os.replace
    target.mkdir()
    (target / "old").touch()

    def refuse(source: Path, to: Path) -> None:
        if Path(source).name.endswith(".tmp"):
            raise PermissionError(13, "Permission denied")
        rename(source, to)

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(PermissionError), replacing(target) as scratch:
        scratch.mkdir()
    assert [p.name for p in tmp_path.rglob("*")] == ["set", "old"]


def test_times_are_ordered_and_bounded() -> None:
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(300):
        chosen = np.array(times(rng, 20, 4, 3))
        assert chosen[0] >= 0 and chosen[-1] < 20
        seen |= set(np.diff(chosen).tolist())
    assert seen == {1, 2, 3, 4}
    assert times(rng, 4, 4, 9) == [0, 1, 2, 3]


def test_skip_schedule_grows_then_shrinks() -> None:
    schedule = SkipSchedule(steps=100, maximum=10, final=2)
    assert [schedule(s) for s in (0, 25, 50, 79, 90, 100, 200)] == [0, 5, 10, 10, 6, 2, 2]
    assert pickle.loads(pickle.dumps(schedule)) == schedule


@pytest.mark.parametrize("kind", ["clips", "images"])
def test_batches(root: Path, kind: str) -> None:
    def sampler(seed: int = 0) -> ClipSampler | ImageClipSampler:
        if kind == "images":
            return ImageClipSampler(open_image_folder(root / "static"), 6, 4, 2, 32, seed)
        return ClipSampler(open_clip_folder(root / "vos", "train"), 6, 4, 2, 32, SkipSchedule(10, 3), seed)

    one = sampler()
    for step in range(8):
        batch, same = one.batch(step), sampler().batch(step)
        assert torch.equal(batch.frames, same.frames) and torch.equal(batch.masks, same.masks)
        assert batch.frames.shape == (6, 4, 3, 32, 32) and batch.frames.dtype == torch.float32
        assert batch.frames.min() >= 0 and batch.frames.max() <= 1
        assert batch.masks.dtype == torch.int64 and batch.masks.flatten(1).any(1).all()
        for clip in range(6):
            ids = set(batch.masks[clip].unique().tolist()) - {0}
            assert ids == set(range(1, int(batch.present[clip].sum()) + 1))
            assert batch.masks[clip, 0].any()
    assert not torch.equal(one.batch(0).frames, sampler(1).batch(0).frames)
    assert torch.equal(with_seed(one, 1).batch(0).frames, sampler(1).batch(0).frames) and one.seed == 0
    ahead = list(batches(one, 3, 6, workers=1))
    assert len(ahead) == 3 and all(torch.equal(b.masks, one.batch(3 + n).masks) for n, b in enumerate(ahead))


def test_too_short_clips(root: Path) -> None:
    with pytest.raises(InputError, match="at least 99 frames"):
        ClipSampler(open_clip_folder(root / "vos", "train"), 1, 99, 1, 32)


def test_plain_sampler_returns_the_clip_itself(root: Path) -> None:
    folder = open_clip_folder(root / "vos", "train")
    batch = ClipSampler(folder, 1, 16, 3, 48, augment=False).batch(0)
    distances = [
        (batch.frames[0].permute(0, 2, 3, 1) - torch.from_numpy(c.frames) / 255).abs().max() for c in folder
    ]
    assert min(distances) < 1e-4


def test_sampler_takes_frames_that_are_not_square(tmp_path: Path) -> None:
    masks = np.zeros((3, 40, 90), np.uint8)
    masks[:, 5:35, 50:80] = 4
    write_clip(tmp_path, Clip("wide", np.full((3, 40, 90, 3), 99, np.uint8), masks, 4))
    batch = ClipSampler(open_clip_folder(tmp_path, ""), 4, 2, 1, 16).batch(0)
    assert batch.frames.shape == (4, 2, 3, 16, 16) and batch.present.all() and batch.masks.max() == 1


def test_view_by_hand() -> None:
    mask = torch.zeros(4, 4, dtype=torch.uint8)
    mask[1, 0] = 7
    image = mask.float().expand(1, 3, 4, 4) / 7
    shifted = torch.tensor([[1.0, 0, -0.5], [0, 1, 0]])  # samples one pixel to the left
    seen, ids = view(image, mask[None], shifted[None], 4, mirror_masks=False)
    assert ids[0].nonzero().tolist() == [[1, 1]] and ids.max() == 7
    assert view(image, mask[None], shifted[None], 4)[1][0].nonzero().tolist() == [[1, 0], [1, 1]]
    assert seen[0, 0, 1, 1] == pytest.approx(1, abs=1e-5)
    assert share_in_view(mask, shifted) == 1 and share_in_view(mask, -shifted) in (0.0, 1.0)
    assert share_in_view(mask, torch.tensor([[1.0, 0, 0.5], [0, 1, 0]])) == 0


def test_renumber_keeps_a_first_frame_object() -> None:
    masks = torch.tensor([[[0, 9]], [[3, 5]]])
    ids, present = renumber(masks, 2)
    assert ids.tolist() == [[[0, 1]], [[2, 0]]] and present.tolist() == [True, True]


def test_sheets_draw(root: Path) -> None:
    folder, static = open_clip_folder(root / "vos", "test_long"), open_image_folder(root / "static")
    figures = [
        sheets.clip_sheet(list(folder), "clips", columns=4),
        sheets.image_sheet([static[n] for n in range(6)], "images", columns=3),
        sheets.batch_sheet(ImageClipSampler(static, 2, 3, 2, 32).batch(0), "batch"),
    ]
    assert [len(f.axes) for f in figures] == [12, 6, 6] and all(f.get_suptitle() for f in figures)
