"""Loaders of the official layouts, each on a small tree written here, and what they say of damage."""

import gzip
import json
import shutil
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from stremn.data.batches import IGNORED
from stremn.data.clips import VOID, Clip, read_mask, write_clip, write_mask
from stremn.data.datasets import DATASETS, names, open_clips, open_images, open_videos
from stremn.data.images import ImageClipSampler
from stremn.data.official.davis import one_object
from stremn.data.official.moving_mnist import move, read_digits
from stremn.data.official.rle import decode, from_runs, parse
from stremn.data.official.voc import fill_rim
from stremn.data.sampling import ClipSampler, largest_in_view
from stremn.data.videos import resized
from stremn.errors import InputError
from stremn.evaluation.vos import score_folder
from stremn.generate.procedural import ClipSettings, make_clip
from stremn.inference.folder import segment_folder
from stremn.memory import make_policy
from stremn.models.stremn import STReMN
from stremn.tasks.vos import first_appearances

H, W = 24, 32


def picture(path: Path, size: tuple[int, int] = (H, W), value: int = 90) -> Path:
    """A plain image of (H, W)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), value, np.uint8)).save(path)
    return path


def mask_of(*boxes: tuple[int, int, int]) -> np.ndarray:
    """A mask (H, W) with a 10×8 box for each (id, top, left)."""
    mask = np.zeros((H, W), np.uint8)
    for number, top, left in boxes:
        mask[top : top + 10, left : left + 8] = number
    return mask


def grey_mask(path: Path, mask: np.ndarray, mode: str = "L") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask.astype(np.uint8)).convert(mode).save(path)


def tear(path: Path) -> None:
    """Cut a file to its first half."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


# --- DAVIS


@pytest.fixture
def davis(tmp_path: Path) -> Path:
    """Two sequences, three frames; ``cat`` has two objects and void, ``dog`` is grey with 0 and 255."""
    for name in ("cat", "dog"):
        for t in range(3):
            picture(tmp_path / f"JPEGImages/480p/{name}/{t:05d}.jpg", value=60 * t)
            mask = mask_of((1, t, t), (2, 10, 20))
            path = tmp_path / f"Annotations/480p/{name}/{t:05d}.png"
            if name == "cat":
                mask[0, -1] = VOID
                path.parent.mkdir(parents=True, exist_ok=True)
                write_mask(path, mask)
            else:
                grey_mask(path, (mask > 0) * 255, mode="LA" if t == 1 else "L")
    for year, split, text in [
        (2016, "val", "dog\n"),
        (2017, "val", "cat\ndog\n"),
        (2017, "test-dev", "cat"),
        ("480p", "train", "/JPEGImages/480p/dog/00000.jpg /Annotations/480p/dog/00000.png\n" * 2),
    ]:
        (tmp_path / f"ImageSets/{year}").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"ImageSets/{year}/{split}.txt").write_text(text)
    return tmp_path


def test_davis(davis: Path) -> None:
    clips = open_clips("davis2017", davis, "val")
    assert clips.names == ["cat", "dog"] and clips.frame_names(0) == ["00000", "00001", "00002"]
    cat = clips[0]
    assert cat.frames.shape == (3, H, W, 3) and cat.objects == 2 and cat.masks[0, 0, -1] == VOID
    assert np.array_equal(cat.masks[1, :, :20], mask_of((1, 1, 1))[:, :20]) and cat.annotated.all()
    assert clips[1].objects == 1 and set(np.unique(clips[1].masks)) == {0, 1}
    assert clips.annotations == davis / "Annotations/480p" and clips.annotated(1) == [0, 1, 2]
    assert clips.take(0, [2, 0]).frames[:, 0, 0, 0].tolist() == pytest.approx([120, 0], abs=2)
    single = open_clips("davis-2016", davis, "val")
    assert single.names == ["dog"] and np.array_equal(single[0].masks, clips[1].masks)
    assert open_clips("davis-2016", davis, "train").names == ["dog"]  # the list of the 2016 archive
    assert len(open_clips("davis2017", davis, "val", limit=1)) == 1


def test_davis_2016_is_one_object() -> None:
    ids = np.array([[0, 1, 2, 255]], np.uint8)
    assert one_object(ids).tolist() == [[0, 1, 1, 255]]
    assert one_object(np.array([[0, 255]], np.uint8)).tolist() == [[0, 1]]


def test_davis_test_dev_has_first_masks_only(davis: Path) -> None:
    for t in (1, 2):
        (davis / f"Annotations/480p/cat/{t:05d}.png").unlink()
    clip = open_clips("davis2017", davis, "test-dev")[0]
    assert clip.annotated.tolist() == [True, False, False] and (clip.masks[1:] == VOID).all()
    assert clip.objects == 2
    given = first_appearances(torch.from_numpy(clip.masks[None].astype(np.int64)), 2)
    assert given[0].tolist() == [[True, True], [False, False], [False, False]]
    with pytest.raises(InputError, match=r"cat/00001.png for .*\(2 missing"):
        open_clips("davis2017", davis, "val")


def test_davis_damage(davis: Path) -> None:
    with pytest.raises(InputError, match=r"2017/train.txt of DAVIS, found test-dev, val there"):
        open_clips("davis2017", davis, "train")
    with pytest.raises(InputError, match="Full-Resolution of DAVIS"):
        open_clips("davis2017", davis, "val", resolution="Full-Resolution")
    frame = davis / "JPEGImages/480p/cat/00001.jpg"
    tear(frame)
    with pytest.raises(InputError, match=f"damaged one at {frame}"):
        open_clips("davis2017", davis, "val")[0]
    frame.unlink()
    with pytest.raises(InputError, match=r"a frame for the mask .*cat/00001.png"):
        open_clips("davis2017", davis, "val")
    shutil.rmtree(frame.parent)
    with pytest.raises(InputError, match=r"frames of cat in .*no such folder"):
        open_clips("davis2017", davis, "val")


def test_masks_with_void(tmp_path: Path) -> None:
    grey_mask(tmp_path / "a.png", np.array([[0, 2, 255]]))
    assert read_mask(tmp_path / "a.png").tolist() == [[0, 2, 255]]


# --- YouTube-VOS


@pytest.fixture
def youtube(tmp_path: Path) -> Path:
    """Train: ten videos of three annotated frames, all frames besides; valid: first masks, one late."""
    meta = {}
    for number in range(10):
        name = f"{number:010x}"
        meta[name] = {"objects": {"1": {"category": "cat", "frames": ["00000", "00005", "00010"]}}}
        for t in range(11):
            picture(tmp_path / f"train_all_frames/JPEGImages/{name}/{t:05d}.jpg", value=5 * t)
        for t in (0, 5, 10):
            picture(tmp_path / f"train/JPEGImages/{name}/{t:05d}.jpg", value=5 * t)
            path = tmp_path / f"train/Annotations/{name}/{t:05d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_mask(path, mask_of((1, 5, t)))
    (tmp_path / "train/meta.json").write_text(json.dumps({"videos": meta}))
    late = {"1": {"category": "cat", "frames": ["00000"]}, "3": {"category": "ape", "frames": ["00005"]}}
    for t in (0, 5, 10):
        picture(tmp_path / f"valid/JPEGImages/v/{t:05d}.jpg")
    (tmp_path / "valid/Annotations/v").mkdir(parents=True)
    write_mask(tmp_path / "valid/Annotations/v/00000.png", mask_of((1, 0, 0)))
    write_mask(tmp_path / "valid/Annotations/v/00005.png", mask_of((3, 5, 5)))
    (tmp_path / "valid/meta.json").write_text(json.dumps({"videos": {"v": {"objects": late}}}))
    return tmp_path


def test_youtube(youtube: Path) -> None:
    clips = open_clips("youtube-vos-2019", youtube, "train")
    assert len(clips) == 10 and clips.length(3) == 3 and clips[3].annotated.all()
    fast = open_clips("youtube-vos-2019", youtube, "train", all_frames=True)
    assert fast.length(3) == 11 and fast.annotated(3) == [0, 5, 10]
    assert fast[3].annotated.nonzero()[0].tolist() == [0, 5, 10] and fast[3].objects == 1
    assert fast[3].frames[7, 0, 0, 0] == pytest.approx(35, abs=2)
    held = open_clips("youtube-vos-2018", youtube, "train_held_out")
    rest = open_clips("youtube-vos-2018", youtube, "train_fit")
    assert len(held) == 1 and sorted(held.names + rest.names) == clips.names


def test_youtube_objects_appear_late(youtube: Path) -> None:
    clip = open_clips("youtube-vos-2019", youtube, "valid")[0]
    assert clip.objects == 3 and clip.annotated.tolist() == [True, True, False]
    given = first_appearances(torch.from_numpy(clip.masks[None].astype(np.int64)), 3)
    assert given[0].nonzero().tolist() == [[0, 0], [1, 2]]


def test_sparse_clips_train_on_annotated_frames(youtube: Path) -> None:
    clips = open_clips("youtube-vos-2019", youtube, "train", all_frames=True)
    batch = ClipSampler(clips, 4, 3, 1, 16, augment=False).batch(0)
    assert batch.masks.flatten(2).any(2).all() and batch.masks.min() >= 0
    with pytest.raises(InputError, match="at least 4 frames"):
        ClipSampler(clips, 4, 4, 1, 16)


def test_youtube_damage(youtube: Path) -> None:
    first = "0" * 10
    cases: list[tuple[Path, Callable[[Path], Any], str]] = [
        (youtube / f"train/Annotations/{first}/00005.png", Path.unlink, "00005.png for"),
        (youtube / f"train/JPEGImages/{first}/00010.jpg", Path.unlink, "00010.jpg, which meta.json names"),
        (youtube / f"train/JPEGImages/{first}", shutil.rmtree, "no such folder"),
        (youtube / "train/JPEGImages/stray", Path.mkdir, "stray: remove it"),
        (youtube / "train/meta.json", tear, "meta.json, found something else"),
        (youtube / "train/meta.json", Path.unlink, "meta.json of YouTube-VOS, found no such file"),
    ]
    for path, damage, message in cases:
        copy = youtube.parent / "copy"
        shutil.copytree(youtube, copy)
        damage(copy / path.relative_to(youtube))
        with pytest.raises(InputError, match=message):
            open_clips("youtube-vos-2019", copy, "train")
        shutil.rmtree(copy)
    write_mask(youtube / f"train/Annotations/{first}/00005.png", mask_of((7, 0, 0)))
    with pytest.raises(InputError, match=r"the objects 1 of 0000000000, found 7 in .*00005.png"):
        open_clips("youtube-vos-2019", youtube, "train")[0]
    with pytest.raises(InputError, match="a split of train"):
        open_clips("youtube-vos-2019", youtube, "val")


def test_long_videos(tmp_path: Path) -> None:
    for t in range(7):
        picture(tmp_path / f"long_video/JPEGImages/rat/{t:05d}.jpg")
    masks = tmp_path / "long_video/Annotations/rat"
    masks.mkdir(parents=True)
    for t in (0, 4):
        write_mask(masks / f"{t:05d}.png", mask_of((1, 0, t)))
    clips = open_clips("long-videos", tmp_path)
    assert clips.annotated(0) == [0, 4] and clips[0].annotated.nonzero()[0].tolist() == [0, 4]
    (masks / "00000.png").unlink()
    late = open_clips("long-videos", tmp_path)
    assert late.annotated(0) == [4] and (late[0].masks[:4] == VOID).all() and late[0].objects == 1
    (masks / "00004.png").unlink()
    with pytest.raises(InputError, match=r"a mask of at least one frame in .*rat, found none"):
        open_clips("long-videos", tmp_path)


def test_segmenting_and_scoring_official_clips(davis: Path, youtube: Path, tmp_path: Path) -> None:
    """What the stages do with a folder of clips works: a mask for every frame, also where none was given."""
    torch.manual_seed(0)
    network = STReMN(backbone="tiny", key_dim=8, value_dim=8, update_dim=8, decoder_dims=(8, 8, 8)).eval()
    policy = make_policy("learned", slots=2)
    late = tmp_path / "late"  # of a long video the first mask is that of frame 3
    for t in range(9):
        picture(late / f"JPEGImages/rat/{t:05d}.jpg")
    (late / "Annotations" / "rat").mkdir(parents=True)
    for t in (3, 5, 8):
        write_mask(late / f"Annotations/rat/{t:05d}.png", mask_of((1, 0, t)))
    sets = [
        (open_clips("long-videos", late), "long-video"),
        (open_clips("davis-2016", davis, "val"), "davis2016"),
        (open_clips("youtube-vos-2019", youtube, "train_held_out", all_frames=True), "youtube-vos"),
        (open_clips("youtube-vos-2019", youtube, "valid"), None),
    ]
    for number, (clips, protocol) in enumerate(sets):
        out = tmp_path / "out" / str(number)
        segment_folder(network, clips, policy, out)
        for index, name in enumerate(clips.names):
            assert sorted(p.stem for p in (out / name).iterdir()) == clips.frame_names(index)
        if protocol is not None:
            assert len(score_folder(out, clips.annotations, protocol, clips.names).objects) >= 1
            same = score_folder(clips.annotations, clips.annotations, protocol, clips.names)
            assert same.global_["J&F-Mean"] == 1


# --- static images


SETS = {  # where an image and its mask lie, below the root
    "ecssd": ("images/0001.jpg", "ground_truth_mask/0001.png"),
    "msra10k": ("MSRA10K_Imgs_GT/Imgs/7.jpg", "MSRA10K_Imgs_GT/Imgs/7.png"),
    "hku-is": ("imgs/0004.png", "gt/0004.png"),
    "duts": ("DUTS-TR/DUTS-TR-Image/n_1.jpg", "DUTS-TR/DUTS-TR-Mask/n_1.png"),
    "hrsod": ("HRSOD_release/HRSOD_train/5.jpg", "HRSOD_release/HRSOD_train_mask/5.png"),
    "big": ("BIG/val/2007_1_im.jpg", "BIG/val/2007_1_gt.png"),
    "fss-1000": ("fewshot_data/ab_wheel/1.jpg", "fewshot_data/ab_wheel/1.png"),
}


@pytest.mark.parametrize("name", SETS)
def test_pairs(tmp_path: Path, name: str) -> None:
    image, mask = (tmp_path / part for part in SETS[name])
    picture(image)
    grey_mask(mask, mask_of((200, 3, 4), (100, 12, 20)), mode="RGB" if name == "fss-1000" else "L")
    folder = open_images(name, tmp_path)
    pixels, ids = folder[0]
    assert len(folder) == 1 and pixels.shape == (H, W, 3)
    assert np.array_equal(ids, mask_of((1, 3, 4)))  # above 127 alone
    batch = ImageClipSampler(folder, 2, 2, 2, 16).batch(0)
    assert batch.masks.max() >= 1
    grey_mask(mask, np.zeros((5, 6)))
    with pytest.raises(InputError, match=f"a mask of {W}x{H} for {image}, found 6x5"):
        open_images(name, tmp_path)[0]
    grey_mask(mask, mask_of((1, 3, 4)))
    with pytest.raises(InputError, match=f"values up to 1 in {mask}"):
        open_images(name, tmp_path)[0]
    mask.rename(mask.with_stem(mask.stem.replace("_gt", "") + "x" + "_gt" * (name == "big")))
    with pytest.raises(InputError, match=rf"expected a mask in .* for {image}, found none \(2 files"):
        open_images(name, tmp_path)


def test_pairs_by_split_and_side_by_side(tmp_path: Path) -> None:
    for part in ("TR", "TE"):
        picture(tmp_path / f"DUTS-{part}/DUTS-{part}-Image/{part}.jpg")
        grey_mask(tmp_path / f"DUTS-{part}/DUTS-{part}-Mask/{part}.png", mask_of((255, 0, 0)))
    assert open_images("duts", tmp_path).names == ["TR", "TE"]
    assert open_images("duts", tmp_path, "test").names == ["TE"]
    picture(tmp_path / "flat/1.jpg")
    grey_mask(tmp_path / "flat/1.png", mask_of((255, 0, 0)))
    assert open_images("hrsod", tmp_path / "flat").names == ["1"]
    with pytest.raises(InputError, match="a split of test, train for duts, found 'val'"):
        open_images("duts", tmp_path, "val")
    with pytest.raises(InputError, match=r"folder .*images of ecssd, found none"):
        open_images("ecssd", tmp_path)


# A box of 27×35 at (3, 10) with a hole of 2×10 at (10, 20) in 40×50 pixels, encoded by pycocotools.
COCO_STRING = "c<k0=" + "0" * 18 + "\\OE" + ";;EE" * 9 + ";;9" + "0" * 28 + "U6"


def test_coco_codes() -> None:
    truth = np.zeros((40, 50), np.uint8)
    truth[3:30, 10:45] = 1
    truth[10:12, 20:30] = 0
    assert np.array_equal(decode({"size": [40, 50], "counts": COCO_STRING}, 40, 50), truth)
    assert np.array_equal(from_runs(parse(COCO_STRING), 40, 50), truth)
    assert from_runs([1, 2, 3], 3, 2).tolist() == [[0, 0], [1, 0], [1, 0]]
    square = decode([[2, 3, 12, 3, 12, 8, 2, 8]], 10, 20)
    assert square.sum() == 50 and square[3:8, 2:12].all()
    triangle = decode([[0, 0, 60, 0, 0, 60]], 80, 80)
    assert int(triangle.sum()) == pytest.approx(1800, rel=0.02)
    assert decode([[0, 0, 4, 0, 4, 4, 0, 4], [6, 6, 9, 6, 9, 9, 6, 9]], 10, 10).sum() == 25
    for wrong in ([[1, 2, 3]], {"size": [2, 2], "counts": [5]}, {"size": [9, 9], "counts": [4]}):
        with pytest.raises(ValueError):
            decode(wrong, 2, 2)


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """Two images; the first with a large box, a small one in front of it, a crowd and a speck."""
    for name in ("000000000001.jpg", "000000000002.jpg"):
        picture(tmp_path / "val2017" / name, (40, 50))

    def one(segmentation: Any, area: float, crowd: int = 0) -> dict:
        return {"image_id": 1, "segmentation": segmentation, "area": area, "iscrowd": crowd}

    content = {
        "images": [
            {"id": n, "file_name": f"{n:012d}.jpg", "height": 40, "width": 50, "license": 1} for n in (1, 2)
        ],
        "annotations": [
            one([[12, 4, 18, 4, 18, 9, 12, 9]], 30),
            one({"size": [40, 50], "counts": COCO_STRING}, 925),
            one({"size": [40, 50], "counts": [0, 2000]}, 2000, crowd=1),
            one([[48, 38, 49, 38, 49, 39, 48, 39]], 1),
        ],
    }
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/instances_val2017.json").write_text(json.dumps(content))
    return tmp_path


def test_coco(coco: Path) -> None:
    folder = open_images("coco", coco, "val2017")
    _, mask = folder[0]
    assert folder.names == ["000000000001"] and folder.left_out == 1  # type: ignore[attr-defined]
    assert np.bincount(mask.ravel()).tolist() == [2000 - 925, 925 - 30, 30]
    assert open_images("coco", coco, "val2017", least_area=0.0)[0][1].max() == 3
    path = coco / "annotations/instances_val2017.json"
    content = json.loads(path.read_text())
    content["annotations"][1]["segmentation"]["counts"] = "zz"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"polygons or run lengths in .*image 000000000001.jpg"):
        open_images("coco", coco, "val2017")[0]
    (coco / "val2017/000000000002.jpg").unlink()
    with pytest.raises(InputError, match=r"the image .*000000000002.jpg, which"):
        open_images("coco", coco, "val2017")
    tear(path)
    with pytest.raises(InputError, match=r"instances_val2017.json, found something else"):
        open_images("coco", coco, "val2017")
    with pytest.raises(InputError, match=r"instances_train2017.json of COCO, found no such file"):
        open_images("coco", coco)


def test_voc_and_sbd(tmp_path: Path) -> None:
    mask = np.zeros((H, W), np.uint8)
    mask[4:20, 4:20] = VOID
    mask[6:18, 6:18] = 2
    voc = tmp_path / "VOCdevkit/VOC2012"
    sbd = tmp_path / "benchmark_RELEASE/dataset"
    picture(voc / "JPEGImages/2007_1.jpg")
    picture(sbd / "img/2008_1.jpg")
    for folder in (voc / "SegmentationObject", voc / "ImageSets/Segmentation", sbd / "inst"):
        folder.mkdir(parents=True)
    write_mask(voc / "SegmentationObject/2007_1.png", mask)
    (voc / "ImageSets/Segmentation/train.txt").write_text("2007_1\n")
    savemat(sbd / "inst/2008_1.mat", {"GTinst": {"Segmentation": mask % VOID, "Categories": [[3]]}})
    (sbd / "train.txt").write_text("2008_1\n")
    filled = open_images("pascal-voc", tmp_path)[0][1]
    assert set(np.unique(filled)) == {0, 2} and 144 < (filled == 2).sum() < 256
    assert np.array_equal(open_images("sbd", tmp_path)[0][1], mask % VOID)
    tear(sbd / "inst/2008_1.mat")
    with pytest.raises(InputError, match=r"GTinst.Segmentation in .*2008_1.mat, found a damaged file"):
        open_images("sbd", tmp_path)[0]
    (voc / "SegmentationObject/2007_1.png").unlink()
    with pytest.raises(InputError, match=r"SegmentationObject/2007_1.png, which the split's list names"):
        open_images("pascal-voc", tmp_path)
    with pytest.raises(InputError, match=r"the list .*val.txt"):
        open_images("sbd", tmp_path, "val")


def test_void_far_from_objects_is_background() -> None:
    mask = np.full((1, 30), VOID, np.uint8)
    mask[0, 0] = 4
    assert fill_rim(mask)[0].tolist() == [4] * 6 + [0] * 24
    assert not fill_rim(np.full((2, 2), VOID, np.uint8)).any()


def test_cutouts(tmp_path: Path) -> None:
    rgba = np.zeros((20, 10, 4), np.uint8)
    rgba[5:15, 2:8] = (250, 10, 10, 255)
    Image.fromarray(rgba).save(tmp_path / "kite.png")
    folder = open_images("cutouts", tmp_path)
    image, mask = folder[0]
    assert image.shape == (30, 20, 3) and mask.sum() == 60  # a margin of a quarter of 20 all round
    assert (image[mask == 1] == (250, 10, 10)).all() and image[mask == 0].std() > 0
    assert np.array_equal(image, open_images("cutouts", tmp_path)[0][0])
    plain = open_images("cutouts", tmp_path, background="grey", margin=0.0)[0][0]
    assert plain.shape == (20, 10, 3) and plain[0, 0].tolist() == [127] * 3
    assert ImageClipSampler(folder, 2, 3, 2, 16).batch(0).masks[:, 0].any()
    tear(tmp_path / "kite.png")
    with pytest.raises(InputError, match=r"damaged one at .*kite.png"):
        open_images("cutouts", tmp_path)[0]
    rgba[..., 3] = 255
    for pixels, message in [(rgba, "all opaque"), (rgba[..., :3], "alpha channel, found mode RGB")]:
        Image.fromarray(pixels).save(tmp_path / "kite.png")
        with pytest.raises(InputError, match=message):
            open_images("cutouts", tmp_path)[0]


# --- videos


def write_avi(path: Path, values: list[int], size: tuple[int, int] = (120, 160)) -> None:
    """A grey video as KTH's: MPEG-4 in avi, a plain frame for each value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("mpeg4", rate=Fraction(25))
        stream.height, stream.width = size
        stream.pix_fmt, stream.bit_rate = "yuv420p", 4_000_000
        for value in values:
            frame = av.VideoFrame.from_ndarray(np.full((*size, 3), value, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


@pytest.fixture
def kth(tmp_path: Path) -> Path:
    """Persons 1, 15 and 17; 30 frames of rising brightness; 1–8 and 9–12 touch, 20–26 stands apart."""
    lines = ["KTH: frame ranges", "", "person13_handclapping_d3\t\t*missing*"]
    for name in ("person01_walking_d1", "person15_boxing_d2", "person17_running_d4"):
        action = name.split("_")[1]
        write_avi(tmp_path / action / f"{name}_uncomp.avi", [40 + 5 * t for t in range(30)])
        lines.append(f"{name}\tframes\t1-8, 9-12, 20-26")
    (tmp_path / "00sequences.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_kth(kth: Path) -> None:
    videos = open_videos("kth", kth, "train", size=16)
    assert videos.names == ["person01_walking_d1"] * 2
    assert [len(v) for v in videos] == [12, 7] and [v.first for v in videos.videos] == [0, 19]
    assert videos[1].shape == (7, 16, 16) and videos[1].dtype == np.uint8
    assert videos[1].mean(axis=(1, 2)) == pytest.approx([40 + 5 * t for t in range(19, 26)], abs=2)
    splits = {s: set(open_videos("kth", kth, s).names) for s in ("val", "trainval", "test")}
    assert splits["val"] == {"person15_boxing_d2"} and splits["test"] == {"person17_running_d4"}
    assert splits["trainval"] == {"person15_boxing_d2", "person01_walking_d1"}
    batch = videos.sampler(3, 5, seed=1).batch(2)
    assert batch.shape == (3, 5, 1, 16, 16) and batch.dtype == torch.float32 and batch.max() <= 1
    assert torch.equal(batch, open_videos("kth", kth, "train", size=16).sampler(3, 5, seed=1).batch(2))
    steps = batch.mean(dim=(2, 3, 4)).diff(dim=1) * 255
    assert (steps - 5).abs().max() < 3  # consecutive frames
    test = open_videos("kth", kth, "test", size=16).windows(4, {"running": 3, "boxing": 4})
    assert [name for name, _ in test][:3] == [f"person17_running_d4@{n:05d}" for n in (0, 3, 6)]
    assert len(test) == 5 and test[3][0].endswith("@00019") and test[0][1].shape == (4, 1, 16, 16)
    with pytest.raises(InputError, match="a stride for the action running"):
        open_videos("kth", kth, "test").windows(4, {"walking": 1})


def test_kth_cache(kth: Path, tmp_path: Path) -> None:
    plain = open_videos("kth", kth, "val", size=16)
    first = open_videos("kth", kth, "val", size=16, cache=tmp_path / "cache")
    assert np.array_equal(first[1], plain[1])
    (kth / "boxing/person15_boxing_d2_uncomp.avi").write_bytes(b"")
    again = open_videos("kth", kth, "val", size=16, cache=tmp_path / "cache")
    assert np.array_equal(again[1], plain[1])  # read from the cache
    (kept,) = (tmp_path / "cache").iterdir()
    assert kept.name == "person15_boxing_d2@00019-16.npy"


def test_a_cached_video_of_another_size_or_length_is_not_used(kth: Path, tmp_path: Path) -> None:
    def second(size: int) -> np.ndarray:
        return open_videos("kth", kth, "val", size=size, cache=tmp_path / "cache")[1]

    good = np.array(second(16))
    assert second(20).shape == (len(good), 20, 20)
    (path,) = (tmp_path / "cache").glob("*-16.npy")
    for wrong in (good[:-1], good[:, :8, :8]):
        np.save(path, wrong)
        assert np.array_equal(second(16), good)
    path.write_bytes(b"")
    assert np.array_equal(second(16), good)


def test_kth_damage(kth: Path) -> None:
    video, ranges = kth / "walking/person01_walking_d1_uncomp.avi", kth / "00sequences.txt"
    text = ranges.read_text()
    ranges.write_text(text.replace("20-26", "20-99"))
    with pytest.raises(InputError, match=rf"at least 99 frames in {video}, .*found 30"):
        open_videos("kth", kth, "train", size=16)[1]
    for wrong in ("1-8, nine", "8-1", "0-4"):
        ranges.write_text(text.replace("1-8, 9-12, 20-26", wrong))
        with pytest.raises(InputError, match="frame ranges such as 1-95 in line 4"):
            open_videos("kth", kth, "train")
    ranges.write_text(text)
    tear(video)
    with pytest.raises(InputError, match=str(video)):
        open_videos("kth", kth, "train", size=20)[0]
    video.rename(video.with_name("person02_walking_d1_uncomp.avi"))
    with pytest.raises(InputError, match=r"found .*person02_walking_d1_uncomp.avi: remove it"):
        open_videos("kth", kth, "train")
    (kth / "walking/person02_walking_d1_uncomp.avi").unlink()
    with pytest.raises(InputError, match=r"the video person01_walking_d1_uncomp.avi of KTH"):
        open_videos("kth", kth, "train")
    ranges.unlink()
    with pytest.raises(InputError, match=r"00sequences.txt, found no such file"):
        open_videos("kth", kth, "train")


def test_kth_leaves_out_the_known_damaged_video_aloud(kth: Path) -> None:
    name = "person01_boxing_d4"
    with (kth / "00sequences.txt").open("a") as file:
        file.write(f"{name} frames 1-9, 10-50\n")
    write_avi(kth / f"boxing/{name}_uncomp.avi", [9] * 20)
    with pytest.warns(UserWarning, match=rf"{name}_uncomp.avi: left out.*ends too early"):
        videos = open_videos("kth", kth, "train")
    assert videos.left_out == [name] and name not in videos.names
    assert open_videos("kth", kth, "train", without=[name]).left_out == [name]


def test_human(tmp_path: Path) -> None:
    for subject in (1, 5, 6, 7, 8, 9, 11):
        for camera in (54138969, 55011271):
            for t in range(8):
                image = np.zeros((100, 104, 3), np.uint8)
                image[25:75, 26:78] = (10 * t, subject, 200)
                path = tmp_path / f"S{subject}/S{subject}_Walking_1.{camera}_{1 + 5 * t:06d}.png"
                path.parent.mkdir(exist_ok=True)
                Image.fromarray(image).save(path.with_suffix(".jpg"), quality=95, subsampling=0)
    picture(tmp_path / "S9/S9_WalkingDog.54138969_000001.jpg")
    train = open_videos("human36m", tmp_path, "train", size=12)
    assert len(train) == 8 and train[0].shape == (8, 12, 12, 3)
    assert np.abs(train[0][:, 6, 6].astype(int) - [[10 * t, 1, 200] for t in range(8)]).max() <= 3
    assert np.abs(train[0][0].astype(int) - train[0][0, 6, 6]).max() <= 3  # the middle half alone
    assert len(open_videos("human36m", tmp_path, "trainval")) == 10
    test = open_videos("human36m", tmp_path, "test", size=12)
    assert {n.split("_")[0] for n in test.names} == {"S9", "S11"}
    windows = test.windows(3, 2)
    assert [n for n, _ in windows][:2] == ["S9_Walking_1.54138969@00000", "S9_Walking_1.54138969@00002"]
    assert windows[1][1].shape == (3, 3, 12, 12)
    assert windows[1][1][:, 0].mean(axis=(1, 2)) * 255 == pytest.approx([20, 40, 60], abs=3)
    assert test.sampler(2, 4).batch(0).shape == (2, 4, 3, 12, 12)
    with pytest.raises(InputError, match=r"at least 9 frames .*found at most 8"):
        test.sampler(2, 5)
    (tmp_path / "S9/S9_Walking_1.54138969_000011.jpg").unlink()
    with pytest.raises(InputError, match=r"frame 11 after .*S9_Walking_1.54138969_000006.jpg, found 16"):
        open_videos("human36m", tmp_path, "test")
    shutil.rmtree(tmp_path / "S8")
    with pytest.raises(InputError, match="S8_Walking"):
        open_videos("human36m", tmp_path, "val")


def test_human_from_videos(tmp_path: Path) -> None:
    for name in ("Walking 1.54138969", "WalkingDog.54138969"):
        path = tmp_path / f"S8/Videos/{name}.mp4"
        write_avi(path, [50 + 3 * t for t in range(22)], (64, 64))
    (video,) = open_videos("human36m", tmp_path, "val", size=16)
    assert video.shape == (5, 16, 16, 3)
    assert video.mean(axis=(1, 2, 3)) == pytest.approx([50, 65, 80, 95, 110], abs=2)


def write_digits(path: Path, count: int = 20) -> None:
    digits = np.zeros((count, 28, 28), np.uint8)
    for number in range(count):
        digits[number, 4:24, 8:20] = 100 + number
    data = struct.pack(">4I", 2051, count, 28, 28) + digits.tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def test_moving_mnist(tmp_path: Path) -> None:
    write_digits(tmp_path / "t10k-images-idx3-ubyte.gz")
    rng = np.random.default_rng(0)
    test_set = rng.integers(0, 255, (20, 3, 64, 64), dtype=np.uint8)
    np.save(tmp_path / "mnist_test_seq.npy", test_set)
    test = open_videos("moving-mnist", tmp_path, "test")
    windows = test.windows(20, 20)
    assert len(windows) == 3 and windows[2][1].shape == (20, 1, 64, 64)
    assert np.array_equal((windows[2][1][:, 0] * 255).round(), test_set[:, 2])
    train = open_videos("moving-mnist", tmp_path, "train")
    one, same = (train.sampler(4, 20, seed=3).batch(7) for _ in range(2))
    assert one.shape == (4, 20, 1, 64, 64) and torch.equal(one, same)
    assert not torch.equal(one, train.sampler(4, 20, seed=3).batch(8))
    val = open_videos("moving-mnist", tmp_path, "val", count=5)
    assert len(val.windows(20, 20)) == 5 and not np.array_equal(val[0], val[1])
    seen = {int(v) for n in range(5) for v in np.unique(val[n])} - {0}
    assert seen <= {116, 117} and (one * 255).max() <= 115  # other digits than in training
    made = open_videos("moving-mnist-generated", tmp_path, "test", count=2)
    assert len(made) == 2 and {int(v) for v in np.unique(made[1])} <= {0, 118, 119}


def test_digits_move_straight_and_bounce() -> None:
    digit = np.full((1, 28, 28), 200, np.uint8)
    for seed in range(5):
        frames = move(digit, (seed,), 60, each=1)
        assert ((frames > 0).sum(axis=(1, 2)) == 28 * 28).all()  # never cut by a wall
        places = np.array([np.argwhere(frame)[0] for frame in frames])
        steps = np.diff(places, axis=0)
        assert np.abs(steps).max() <= 4 and np.abs(steps).sum(axis=1).mean() > 2.5
        assert places.max() <= 36 and (np.ptp(places, axis=0) > 10).any()
    both = move(np.stack([digit[0], digit[0] // 2]), (1,), 10, each=2)
    assert both.max() in (100, 200)


def test_moving_mnist_damage(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="train-images-idx3-ubyte"):
        open_videos("moving-mnist", tmp_path, "train")
    with pytest.raises(InputError, match=r"mnist_test_seq.npy, found no such file"):
        open_videos("moving-mnist", tmp_path, "test")
    write_digits(tmp_path / "train-images-idx3-ubyte")
    tear(tmp_path / "train-images-idx3-ubyte")
    with pytest.raises(InputError, match=r"20 pictures of 28x28 in the idx file .*train-images"):
        open_videos("moving-mnist", tmp_path, "train")
    (tmp_path / "train-images-idx3-ubyte").rename(tmp_path / "train-images-idx3-ubyte.gz")
    with pytest.raises(InputError, match=r"damaged one at .*ubyte.gz"):
        open_videos("moving-mnist", tmp_path, "train")
    np.save(tmp_path / "mnist_test_seq.npy", np.zeros((20, 3, 8, 8), np.uint8))
    with pytest.raises(InputError, match=r"found uint8 \(20, 3, 8, 8\)"):
        open_videos("moving-mnist", tmp_path, "test")


def test_video_file_is_split_in_time(tmp_path: Path) -> None:
    path = tmp_path / "road.avi"
    write_avi(path, [50 + 4 * t for t in range(40)], (48, 64))
    parts = {s: open_videos("video-file", path, s, size=16) for s in ("train", "val", "test")}
    assert [len(v[0]) for v in parts.values()] == [28, 4, 8]
    together = np.concatenate([v[0] for v in parts.values()])
    assert together.shape == (40, 16, 16)
    assert together.mean(axis=(1, 2)) == pytest.approx([50 + 4 * t for t in range(40)], abs=2)
    name, window = parts["test"].windows(8, 1)[0]
    assert name == "road@00032" and window.shape == (8, 1, 16, 16)
    with pytest.raises(InputError, match="at least 30 frames"):
        parts["val"].sampler(1, 30)
    torn = tmp_path / "torn.avi"
    shutil.copy(path, torn)
    tear(torn)
    with pytest.raises(InputError, match=str(torn)):
        open_videos("video-file", torn, "train")


def test_resized_as_opencv_does() -> None:
    """Bilinear at pixel centres without antialiasing, by hand: two pixels of four, weights of a half."""
    row = np.array([[0, 40, 80, 200]], np.uint8).repeat(4, axis=0)
    assert resized(row[None], 2)[0].tolist() == [[20, 140]] * 2
    assert resized(np.stack([row] * 3, axis=2)[None], 2).shape == (1, 2, 2, 3)


# --- sampling, names


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    """A clip whose object is a sliver in its first six frames and large in the others; void at the right."""
    masks = np.zeros((12, 40, 60), np.uint8)
    masks[:6, 20, 30] = 1
    masks[6:, 10:30, 15:40] = 1
    masks[:, :, 55:] = VOID
    write_clip(tmp_path, Clip("wide", np.full((12, 40, 60, 3), 99, np.uint8), masks, 1))
    return tmp_path


def test_a_first_frame_shows_more_than_a_sliver(wide: Path) -> None:
    clips = open_clips("clips", wide.parent, wide.name)
    assert clips[0].objects == 1
    for least in (0.005, 0.1):
        sampler = ClipSampler(clips, 8, 3, 1, 32, 1, least_area=least)
        for step in range(4):
            assert ((sampler.batch(step).masks[:, 0] == 1).float().mean(dim=(1, 2)) > 0.8 * least).all()
    slivers = ClipSampler(clips, 8, 3, 1, 32, 1, least_area=0.0)
    areas = torch.cat([(slivers.batch(s).masks[:, 0] == 1).float().mean(dim=(1, 2)) for s in range(4)])
    assert (areas < 0.005).any()
    with pytest.raises(InputError, match=r"objects of 90.0% of a crop in .*none in 100 random first frames"):
        ClipSampler(clips, 1, 3, 1, 32, least_area=0.9).batch(0)


def test_void_is_ignored_in_batches(wide: Path) -> None:
    batch = ClipSampler(open_clips("clips", wide.parent, wide.name), 8, 3, 1, 32).batch(0)
    assert set(batch.masks.unique().tolist()) == {IGNORED, 0, 1}
    labels = torch.tensor([[1, IGNORED]])  # what torch makes of it: no loss, no gradient
    logits = torch.zeros(1, 2, 2, requires_grad=True)
    torch.nn.functional.cross_entropy(logits, labels, reduction="sum").backward()
    assert (
        logits.grad is not None and logits.grad[0, :, 1].tolist() == [0, 0] != logits.grad[0, :, 0].tolist()
    )


def test_largest_in_view_by_hand() -> None:
    mask = torch.zeros(10, 20, dtype=torch.uint8)
    mask[0:5, 0:10] = 3  # a quarter of the frame, half of its left half
    mask[9, 19] = 5
    whole = torch.eye(2, 3)
    left = torch.tensor([[0.5, 0, -0.5], [0, 1, 0]])
    assert largest_in_view(mask, whole) == pytest.approx(0.25)
    assert largest_in_view(mask, left) == pytest.approx(0.5)
    right = torch.tensor([[0.5, 0, 0.5], [0, 1, 0]])
    assert largest_in_view(mask, right) == pytest.approx(1 / 100)
    assert largest_in_view(torch.zeros_like(mask), whole) == 0


def test_jitter_moves_each_frame_a_little(tmp_path: Path) -> None:
    frames = np.zeros((6, 48, 48, 3), np.uint8)
    frames[:, 16:32, 16:32] = 255
    masks = (frames[..., 0] > 0).astype(np.uint8)
    write_clip(tmp_path / "train", Clip("still", frames, masks, 1))
    clips = open_clips("clips", tmp_path)
    still, moved = (ClipSampler(clips, 4, 6, 1, 48, jitter=j).batch(0).masks for j in (0.0, 0.05))
    assert (still == still[:, :1]).all()
    change = (moved != moved[:, :1]).float().mean(dim=(2, 3))[:, 1:]
    assert (change > 0).any(dim=1).all() and change.max() < 0.12


def test_short_clips_work_or_say_why() -> None:
    for length in (2, 3, 7):
        assert len(make_clip(ClipSettings(length=length, size=32, late=1), "train", 0)) == length
    for length in (5, 6):
        with pytest.raises(InputError, match=rf"one late\), found length {length}"):
            make_clip(ClipSettings(length=length, size=32, late=1, objects=3), "train", 0)


def test_datasets_by_name(tmp_path: Path) -> None:
    assert {d.kind for d in DATASETS.values()} == {"clips", "images", "videos"}
    assert sum(len(names(kind)) for kind in ("clips", "images", "videos")) == len(DATASETS)
    for opener, name, message in [
        (open_clips, "davis-2071", "found 'davis-2071'; did you mean 'davis-2017'?"),
        (open_clips, "kth", "a dataset of clips"),
        (open_images, "esscd", "did you mean 'ecssd'"),
        (open_videos, "moving_mnist", "did you mean 'moving-mnist'"),
    ]:
        with pytest.raises(InputError, match=message.replace("?", r"\?")):
            opener(name, tmp_path)  # type: ignore[operator]
    with pytest.raises(InputError, match=r"an option of davis-2017 \(.*resolution.*\), found 'size'"):
        open_clips("davis2017", tmp_path, "val", size=3)


@pytest.mark.parametrize("name", DATASETS)
def test_an_empty_root_is_one_line(name: str, tmp_path: Path) -> None:
    opener: Any = {"clips": open_clips, "images": open_images, "videos": open_videos}[DATASETS[name].kind]
    for root in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(InputError) as error:
            opener(name, root)
        assert "\n" not in str(error.value) and str(root) in str(error.value)


# --- real files, where they are


def test_real_davis(shared: Callable[[str], Path]) -> None:
    train = open_clips("davis-2016", shared("DAVIS"), "train")
    val = open_clips("davis-2016", shared("DAVIS"), "val")
    assert len(train) == 30 and sum(train.length(i) for i in range(30)) == 2079
    assert len(val) == 10 and all(len(val.annotated(i)) == val.length(i) for i in range(10))
    clip = val.take(val.names.index("blackswan"), [0, 20])
    assert clip.frames.shape == (2, 480, 854, 3) and set(np.unique(clip.masks)) == {0, 1}
    batch = ClipSampler(train, 2, 3, 1, 64, 5, jitter=0.02).batch(0)
    assert batch.present.all() and (batch.masks[:, 0] == 1).float().mean(dim=(1, 2)).min() > 0.004


def test_real_cutouts(shared: Callable[[str], Path]) -> None:
    folder = open_images("cutouts", shared("cutouts"))
    assert len(folder) > 200
    for index in (0, 100, len(folder) - 1):
        image, mask = folder[index]
        assert image.shape[:2] == mask.shape and 0.02 < mask.mean() < 0.9
    assert ImageClipSampler(folder, 2, 2, 2, 32).batch(0).masks[:, 0].flatten(1).any(1).all()


def test_real_digits(shared: Callable[[str], Path]) -> None:
    videos = open_videos("moving-mnist-generated", shared("mnist"), "test", count=3)
    assert len(read_digits(shared("mnist"))) == 10_000 and videos[0].max() == 255


def test_real_road(shared: Callable[[str], Path]) -> None:
    videos = open_videos("video-file", shared("videos/highway.avi"), "test", size=32)
    assert len(videos.windows(30, 30)) == 11 and 30 < videos[0].mean() < 220
