"""Datasets used in place: what the data stage notes, and what the other stages open."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stremn.acquire.installed import describe
from stremn.data import prepared
from stremn.data.clips import Clip, read_mask, write_clip
from stremn.data.datasets import open_clips
from stremn.data.prepared import Source, write_source
from stremn.errors import InputError
from stremn.inference.folder import segment_folder
from stremn.memory import make_policy
from stremn.models.registry import build_model

FIELDS = {"backbone": "tiny", "key_dim": 8, "value_dim": 8, "update_dim": 8, "decoder_dims": [8, 8, 8]}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project's root with two datasets of clips in data/raw/own."""
    (tmp_path / "params.yaml").write_text("demo: {}\n")
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (4, 40, 60, 3), dtype=np.uint8)
    masks = np.zeros((4, 40, 60), np.uint8)
    masks[:, 8:30, 10:40] = 1
    write_clip(tmp_path / "data/raw/own/train", Clip("a", frames, masks, 1))
    for name, count in (("first", 2), ("second", 3)):
        for i in range(count):
            for folder, pixels in (("images", frames[0]), ("masks", masks[0])):
                path = tmp_path / "data/raw" / name / folder / f"{name}{i}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels + (i if folder == "images" else 0)).save(path)
    return tmp_path


def test_a_dataset_is_opened_where_it_lies(root: Path) -> None:
    source = Source(dataset="clips", path="data/raw/own", split="train")
    place = root / "data/prepared/x/vos/train"
    write_source(place, source, Path("data/raw/own"))
    note = (place / "source.json").read_bytes()
    write_source(place, source, Path("data/raw/own"), "0123")
    assert (place / "source.json").read_bytes() != note, "DVC sees data that have changed"
    assert prepared.clips(place).names == ["a"]
    assert not list(place.rglob("*.jpg")), "nothing is copied"
    with pytest.raises(InputError, match="run the data stage again"):
        prepared.clips(root / "data/raw/own/train")  # without a note


def test_generated_data_are_a_dataset_like_any_other(root: Path) -> None:
    write_source(root / "data/raw/own/train", Source(dataset="clips", split="train"))
    (root / "params.yaml").unlink()  # the files lie beside the note, wherever that is
    assert prepared.clips((root / "data/raw/own").rename(root / "elsewhere") / "train").names == ["a"]


def test_several_sets_of_images_are_joined_in_order(root: Path) -> None:
    place = root / "data/prepared/x/static"
    for name in ("second", "first"):
        write_source(place / name, Source(dataset="images"), Path("data/raw") / name)
    joined = prepared.images(place)
    assert joined.names == ["first0", "first1", "second0", "second1", "second2"] and len(joined) == 5
    singles = [prepared.images(place / name) for name in ("first", "second")]
    assert all((joined[2 + i][0] == singles[1][i][0]).all() for i in range(3))
    with pytest.raises(IndexError):
        joined[5]


def test_a_damaged_note_is_named(root: Path) -> None:
    place = root / "data/prepared/x/vos/train"
    place.mkdir(parents=True)
    (place / "source.json").write_text("{}")
    with pytest.raises(InputError, match="run the data stage again"):
        prepared.clips(place)


def test_the_record_changes_with_the_content(root: Path) -> None:
    _, before = describe("own", root, "data/raw/own")
    assert describe("own", root, "data/raw/own")[1] == before and before["files"] == 8
    path = next((root / "data/raw/own").rglob("*.jpg"))
    path.write_bytes(path.read_bytes() + b"x")
    assert describe("own", root, "data/raw/own")[1]["sha256"] != before["sha256"]
    with pytest.raises(InputError, match="found nothing"):
        describe("own", root, "data/raw/nowhere")
    with pytest.raises(InputError, match="expected a path"):
        describe("own", root, None)


def test_clips_looked_at_smaller_give_masks_of_their_size(root: Path, tmp_path: Path) -> None:
    clips = open_clips("clips", root / "data/raw/own", "train")
    torch.manual_seed(0)
    network, policy = build_model("stremn", FIELDS), make_policy("learned", slots=3)
    sizes = []
    encode = network.encode_query
    network.encode_query = lambda frames: sizes.append(tuple(frames.shape[-2:])) or encode(frames)  # type: ignore[operator, assignment]
    segment_folder(network, clips, policy, tmp_path / "out", side=20)
    assert set(sizes) == {(24, 32)}  # 20×30, padded to the stride
    masks = [read_mask(tmp_path / "out" / "a" / f"{t:05d}.png") for t in range(4)]
    assert {m.shape for m in masks} == {(40, 60)}
    truth = clips[0].masks[0] > 0
    assert ((masks[0] > 0) == truth).mean() > 0.97  # the given mask, there and back


def test_several_sets_of_clips_are_joined(root: Path) -> None:
    place = root / "data/prepared/x/vos/train"
    for name in ("one", "two"):
        write_source(place / name, Source(dataset="clips", split="train"), Path("data/raw/own"))
    joined = prepared.clips(place)
    assert (
        joined.names == ["one/a", "two/a"] and joined.length(1) == 4 and joined.annotated(1) == [0, 1, 2, 3]
    )
    single = open_clips("clips", root / "data/raw/own", "train")
    assert (joined[1].frames == single[0].frames).all()
    assert (joined.take(1, [2, 0]).masks == single.take(0, [2, 0]).masks).all()
    assert joined.frame_names(0) == single.frame_names(0)
    assert joined.annotations is None and single.annotations == root / "data/raw/own/train/Annotations"
