"""Walkers and windows for prediction."""

from pathlib import Path

import numpy as np
import pytest
import torch

from stremn.data.datasets import open_videos
from stremn.errors import InputError
from stremn.figures import sheets
from stremn.generate.make import make_walkers
from stremn.generate.skeleton import GAITS, draw_person, pose, segments
from stremn.generate.walkers import ALL_ACTIONS, WalkerSettings, make_video

SMALL = WalkerSettings(train=2, val=1, test=1, length=24, size=32, scenes=(1, 4))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("walkers") / "set"
    make_walkers(folder, SMALL)
    return folder


def test_people_are_disjoint_and_bytes_repeat(root: Path, tmp_path: Path) -> None:
    people = {
        split: {name.split("_")[0] for name in open_videos("walkers", root, split).names}
        for split in ("train", "val", "test")
    }
    assert people == {"train": {"person01", "person02"}, "val": {"person03"}, "test": {"person04"}}
    again = make_walkers(tmp_path / "again", SMALL)
    assert (root / "manifest.json").read_text() == (tmp_path / "again/manifest.json").read_text()
    assert again["splits"]["train"]["videos"] == 24


@pytest.mark.parametrize("action", ALL_ACTIONS)
def test_bones_keep_their_length_and_feet_stay_on_the_ground(action: str) -> None:
    person = draw_person(np.random.default_rng(0))
    body = segments(person, pose(person, action, np.linspace(0, 4 * np.pi, 40)))
    for part in ("near_thigh", "far_shin", "near_arm", "torso"):
        bone = np.linalg.norm(body[part][0] - body[part][1], axis=1)
        assert bone.std() < 1e-5 and bone.mean() > 0.1
    assert max(part[1][:, 1].max() for part in body.values()) < 0.06
    assert -1.15 < min(body["head"][1][:, 1]) < -0.8


@pytest.mark.parametrize("action", ALL_ACTIONS)
def test_gaits_cross_the_frame_and_gestures_stay(action: str) -> None:
    settings = WalkerSettings(length=40, size=48)
    video = make_video(settings, 3, action, 1).astype(float)
    assert video.shape == (40, 48, 48)
    figure = np.abs(video - np.median(video, axis=2, keepdims=True)) > 40
    columns = [np.nonzero(frame)[1].mean() for frame in figure if frame.sum() > 30]
    assert (np.ptp(columns) > 20) == (action in GAITS)
    assert np.abs(np.diff(video, axis=0)).mean() > 0.3


def test_scenes_differ_as_in_kth() -> None:
    settings = WalkerSettings(length=4, size=48)
    light = [make_video(settings, 1, "boxing", scene).mean() for scene in (1, 2, 3, 4)]
    assert light[3] < 0.8 * min(light[:3])


def test_windows(root: Path) -> None:
    sampler = open_videos("walkers", root, "train").sampler(3, 10, seed=1)
    batch = sampler.batch(5)
    assert batch.shape == (3, 10, 1, 32, 32) and batch.dtype == torch.float32
    assert 0 <= batch.min() < batch.max() <= 1
    assert torch.equal(batch, open_videos("walkers", root, "train").sampler(3, 10, seed=1).batch(5))
    test = open_videos("walkers", root, "test")
    windows = test.windows(10, 7)
    assert len(windows) == 12 * 3 and windows[1][0] == "person04_boxing_d1@00007"
    video = np.load(root / "test/person04_boxing_d1.npy")
    assert np.array_equal((windows[1][1][:, 0] * 255).round(), video[7:17])
    mixed = test.windows(
        10, {action: 3 if action in ("jogging", "running") else 10 for action in ALL_ACTIONS}
    )
    assert len(mixed) == 8 * 2 + 4 * 5
    assert len(sheets.video_sheet([windows[0], ("file", video)], "walkers", 5).axes) == 10


def test_bad_videos(root: Path, tmp_path: Path) -> None:
    test = open_videos("walkers", root, "test")
    with pytest.raises(InputError, match="expected videos"):
        open_videos("walkers", tmp_path.parent, tmp_path.name)
    with pytest.raises(InputError, match="at least 99 frames"):
        test.windows(99, 1)
    with pytest.raises(InputError, match="a stride for the action"):
        test.windows(5, {"walking": 3})
    np.save(tmp_path / "person01_walking_d1.npy", np.zeros((4, 4)))
    with pytest.raises(InputError, match="expected uint8"):
        open_videos("walkers", tmp_path.parent, tmp_path.name)
    (tmp_path / "person01_walking_d1.npy").write_bytes(b"torn")
    with pytest.raises(InputError, match="damaged"):
        open_videos("walkers", tmp_path.parent, tmp_path.name)
    np.save(tmp_path / "clip.npy", np.zeros((4, 4, 4), np.uint8))
    with pytest.raises(InputError, match="names like"):
        open_videos("walkers", tmp_path.parent, tmp_path.name)
