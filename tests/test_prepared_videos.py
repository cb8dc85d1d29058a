"""data.prepared.videos, the prediction stages on any videos, and groups of windows."""

import json
import struct
import warnings
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pandas as pd
import pytest
import torch

from stremn import paths
from stremn.data import prepared
from stremn.data import videos as videos_module
from stremn.data.prepared import Source, write_source
from stremn.data.videos import to_pixels
from stremn.errors import InputError
from stremn.evaluation.bootstrap import Groups, bootstrap_mean, groups_of_windows
from stremn.evaluation.prediction import score_prediction
from stremn.models.checkpoints import load_model
from stremn.models.registry import PREDICTORS
from stremn.stages import evaluate_prediction, train_prediction
from stremn.stages.base import Stage

FIELDS: dict[str, dict[str, Any]] = {
    "stremn": {"base_width": 8, "max_width": 8, "blocks": 2, "halvings": 2, "key_dim": 8, "value_dim": 8},
    "convlstm": {"hidden_dims": [4], "kernel": 3, "patch": 4},
}
SPLITS = ("train", "val", "test")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository's root."""
    (tmp_path / "params.yaml").write_text("tiny: {}\n")
    return tmp_path


def write_avi(path: Path, frames: int) -> None:
    """A grey square that moves over a dark ground."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("mpeg4", rate=Fraction(25))
        stream.height = stream.width = 64
        stream.pix_fmt, stream.bit_rate = "yuv420p", 2_000_000
        for t in range(frames):
            picture = np.full((64, 64, 3), 30, np.uint8)
            picture[20:40, t % 50 : t % 50 + 14] = 200
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def write_digits(path: Path, count: int = 20) -> None:
    """Pictures of MNIST's form, each a box of its own brightness."""
    digits = np.zeros((count, 28, 28), np.uint8)
    for number in range(count):
        digits[number, 4:24, 8:20] = 100 + number
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack(">4I", 2051, count, 28, 28) + digits.tobytes())


def place(root: Path, split: str) -> Path:
    return paths.output(root, "tiny", "data") / "walkers" / split


def extent(place: Path) -> tuple[int, int, tuple[int, ...]]:
    """Videos, frames in all, and the shape of one."""
    videos = prepared.videos(place)
    return len(videos), sum(video.length for video in videos.videos), videos[0].shape[1:]


def note(root: Path, dataset: str, folder: str, options: dict[str, Any]) -> None:
    """As the data stage does it for each split."""
    for split in SPLITS:
        source = Source(dataset=dataset, split=split, options=options)
        write_source(place(root, split), source, Path(folder))


@pytest.fixture
def film(root: Path) -> Path:
    """One video of 60 frames: 36 train, 12 validate, 12 test."""
    write_avi(root / "data/raw/my_film.avi", 60)
    note(root, "video-file", "data/raw/my_film.avi", {"size": 16, "shares": [0.6, 0.2]})
    return root


@pytest.fixture
def digits(root: Path) -> Path:
    write_digits(root / "data/raw/mm/train-images-idx3-ubyte")
    note(root, "moving-mnist-generated", "data/raw/mm", {"count": 4, "length": 8})
    return root


def write_walkers(folder: Path, people: tuple[int, ...] = (1, 2)) -> Path:
    folder.mkdir(parents=True)
    write_source(folder, Source(dataset="walkers", split=folder.name))
    rng = np.random.default_rng(0)
    for person in people:
        for action, length in (("walking", 14), ("boxing", 9)):
            frames = rng.integers(0, 256, (length, 16, 16), dtype=np.uint8)
            np.save(folder / f"person{person:02d}_{action}_d1.npy", frames)
    return folder


# --- the same as before for generated videos


def test_generated_videos_give_the_same_batches_and_windows_as_ever(tmp_path: Path) -> None:
    made = prepared.videos(write_walkers(tmp_path / "walkers"))
    # by hand, as they were before generated videos were a dataset like any other
    videos = [np.load(path) for path in sorted((tmp_path / "walkers").glob("*.npy"))]
    for step in (0, 1, 7):
        rng = np.random.default_rng([5, step])
        for window in made.sampler(3, 6, 5).batch(step):
            video = videos[rng.integers(4)]
            start = rng.integers(len(video) - 5)
            np.testing.assert_array_equal((window[:, 0] * 255).round().numpy(), video[start : start + 6])
    starts = [(0, s) for s in (0, 4)] + [(1, s) for s in range(0, 11, 3)]
    starts += [(video + 2, start) for video, start in starts]
    for (name, window), (video, start) in zip(
        made.windows(4, {"boxing": 4, "walking": 3}), starts, strict=True
    ):
        assert name == f"{made.names[video]}@{start:05d}" and window.dtype == np.float32
        np.testing.assert_array_equal((window[:, 0] * 255).round(), videos[video][start : start + 4])
    shown = made.examples()
    assert [(name, len(video)) for name, video in shown] == [("boxing", 9), ("walking", 14)]
    with pytest.raises(InputError, match="at least 15 frames"):
        made.sampler(3, 15)


# --- datasets used in place


def test_one_video_is_cut_in_time(film: Path) -> None:
    batch = prepared.videos(place(film, "train")).sampler(2, 5, 0).batch(3)
    assert (
        batch.shape == (2, 5, 1, 16, 16)
        and batch.dtype == torch.float32
        and 0 <= batch.min() < batch.max() <= 1
    )
    names = [name for name, _ in prepared.videos(place(film, "test")).windows(5, 3)]
    assert names == ["my_film@00048", "my_film@00051", "my_film@00054"]
    assert [extent(place(film, s)) for s in SPLITS] == [(1, n, (16, 16)) for n in (36, 12, 12)]
    ((name, video),) = prepared.videos(place(film, "val")).examples()
    assert name == "my_film" and video.shape == (12, 16, 16) and video.dtype == np.uint8


@pytest.mark.parametrize("made", ["sampler", "windows"])
def test_windows_longer_than_the_video_are_one_clear_line(film: Path, made: str) -> None:
    arguments = (2, 13) if made == "sampler" else (13, 1)
    with pytest.raises(InputError) as problem:
        getattr(prepared.videos(place(film, "val")), made)(*arguments)
    text = str(problem.value)
    assert (
        "13 frames" in text
        and "at most 12" in text
        and "'val'" in text
        and "fewer" in text
        and "\n" not in text
    )


def test_short_videos_are_left_out_aloud(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(length: int, value: int) -> Callable[[], np.ndarray]:
        return lambda: np.full((length, 8, 8, 3), value, np.uint8)

    sizes = {"p1_run": (4, 10), "p2_run": (9, 20), "p3_walk": (8, 30)}
    made = videos_module.Videos(
        root, [videos_module.Video(n, s, read(s, v), action=n[3:]) for n, (s, v) in sizes.items()]
    )
    monkeypatch.setattr(prepared, "videos", lambda _: made)
    with pytest.warns(UserWarning, match="1 of 3 videos are too short for 6 frames and left out: p1_run"):
        batch = prepared.videos(root).sampler(8, 6).batch(0)
    assert batch.shape == (8, 6, 3, 8, 8) and set((batch * 255).round().unique().tolist()) == {20, 30}
    with pytest.warns(UserWarning, match="p1_run"):
        found = prepared.videos(root).windows(6, {"run": 2, "walk": 9})
    assert [name for name, _ in found] == ["p2_run@00000", "p2_run@00002", "p3_walk@00000"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prepared.videos(root).sampler(1, 4)
    assert [name for name, _ in prepared.videos(root).examples()] == ["run", "walk"]
    assert extent(root) == (3, 21, (8, 8, 3))


def test_moving_digits_come_from_other_digits_in_each_split(digits: Path) -> None:
    levels = {}
    for split in SPLITS:
        batches = [prepared.videos(place(digits, split)).sampler(4, 8, 0).batch(step) for step in range(6)]
        levels[split] = set((torch.stack(batches) * 255).round().unique().tolist()) - {0}
        assert batches[0].shape == (4, 8, 1, 64, 64)
    assert (
        levels["train"] <= set(range(100, 116))
        and levels["val"] <= {116, 117}
        and levels["test"] <= {118, 119}
    )
    assert extent(place(digits, "test")) == (4, 32, (64, 64))
    assert len(prepared.videos(place(digits, "test")).windows(8, 8)) == 4
    assert len(prepared.videos(place(digits, "test")).examples(3)) == 3
    # training makes sequences of any length; a fixed set has one
    assert prepared.videos(place(digits, "train")).sampler(1, 30).batch(0).shape[1] == 30
    with pytest.raises(InputError, match=r"9 frames .*at most 8"):
        prepared.videos(place(digits, "test")).windows(9, 9)


def test_pictures() -> None:
    grey = np.linspace(-0.1, 1.2, 2 * 3 * 4).reshape(2, 1, 3, 4)
    drawn = to_pixels(grey)
    assert drawn.shape == (2, 3, 4) and drawn.dtype == np.uint8 and (drawn.min(), drawn.max()) == (0, 255)
    colour = np.zeros((2, 3, 4, 5))
    colour[:, 2] = 1
    assert to_pixels(colour).shape == (2, 4, 5, 3)
    assert to_pixels(colour)[1, 3, 4].tolist() == [0, 0, 255]


# --- the stages


def stage_of(root: Path, name: str, parameters: Any) -> Stage:
    out = paths.output(root, "tiny", name)
    out.mkdir(parents=True, exist_ok=True)
    return Stage(name, "tiny", parameters, out, root)


def train(root: Path, **changes: object) -> Stage:
    systems = {name: {"system": name, "fields": fields} for name, fields in FIELDS.items()}
    plan = {"steps": 2, "validate_every": 2, "best_metric": "SSIM", "log_every": 1}
    block = {"systems": systems, "plan": plan, "batch": 2, "observed": 4, "predicted": 2, "validation": 2}
    parameters = train_prediction.Parameters.parse({**block, **changes}, "t")
    (paths.output(root, "tiny", "data") / "manifest.json").write_text("{}", encoding="utf-8")
    stage = stage_of(root, "train_prediction", parameters)
    sampler = train_prediction.windows(stage)
    train_prediction.look(sampler)
    train_prediction.save(stage, train_prediction.train(stage, sampler))
    return stage


def evaluate(root: Path, stride: object) -> tuple[Stage, Any, pd.DataFrame]:
    block = {"observed": 4, "predicted": 2, "stride": stride, "show": 1, "conventions": ["predrnn"]}
    stage = stage_of(root, "evaluate_prediction", evaluate_prediction.Parameters.parse(block, "e"))
    made = evaluate_prediction.predict(stage)
    scores = evaluate_prediction.score(stage, made)
    table = evaluate_prediction.comparison(stage, made, scores)
    evaluate_prediction.table(stage, scores)
    evaluate_prediction.curves(stage, scores)
    evaluate_prediction.windows(stage, made)
    return stage, made, table


def test_the_stages_on_one_long_video(film: Path) -> None:
    train(film)
    stage, made, table = evaluate(film, 1)
    assert len(made.names) == 7 and made.frames.shape == (7, 6, 1, 16, 16)
    assert made.groups.labels == ["my_film@48"] * 6 + ["my_film@54"]
    words = "95 % bootstrap intervals over 2 blocks of 6 frames"
    assert table.index.name == words
    tables = stage.out / "tables"
    assert (tables / "comparison.csv").read_text().startswith(words + ",")
    assert (tables / "prediction.csv").read_text().startswith(f"convention,{words},")
    form = json.loads((stage.out / "scores.json").read_text())
    assert form["predrnn"]["stremn"]["drawn"] == "2 blocks of 6 frames"
    low, high = form["predrnn"]["stremn"]["interval"]["psnr"]
    assert low < form["predrnn"]["stremn"]["mean"]["psnr"] < high


def test_the_stages_take_the_channels_from_the_data(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(*_: object) -> videos_module.Videos:
        noise = np.random.default_rng(0).integers(0, 256, (9, 16, 16, 3), dtype=np.uint8)
        found = [videos_module.Video(f"p{n}_walk", 9, lambda: noise, action="walk") for n in range(2)]
        return videos_module.Videos(root, found)

    for split in SPLITS:
        place(root, split).mkdir(parents=True)
    monkeypatch.setattr(prepared, "videos", opened)
    stage = train(root)
    for name in FIELDS:
        model, meta = load_model(paths.network(stage.out, name), PREDICTORS)
        assert meta["fields"] == {**FIELDS[name], "in_channels": 3} and model.in_channels == 3
    _, made, table = evaluate(root, {"walk": 3})
    assert made.frames.shape == (4, 6, 3, 16, 16) and made.systems["convlstm"].shape == (4, 2, 3, 16, 16)
    assert table.index.name == "95 % bootstrap intervals over 2 videos"
    wrong = {"convlstm": {"system": "convlstm", "fields": {**FIELDS["convlstm"], "in_channels": 1}}}
    with pytest.raises(InputError, match="in_channels 3 of 'convlstm' as the videos have, found 1"):
        train(root, systems=wrong)


# --- groups of windows


def test_windows_are_grouped_by_person_video_or_time() -> None:
    def labels(*names: str) -> Groups:
        return groups_of_windows(names, 30)

    people = labels("person01_run_d1@0000", "person01_box_d1@0040", "person02_run_d1@0000")
    assert people == Groups(["person01", "person01", "person02"], "people") and str(people) == "2 people"
    assert str(labels("digits0@00000", "digits1@00000", "digits2@00000")) == "3 videos"
    one = labels("highway@01400", "highway@01409", "highway@01410", "highway@01439", "highway@01440")
    assert one.labels == ["highway@1380", "highway@1380", *["highway@1410"] * 2, "highway@1440"]
    assert str(one) == "3 blocks of 30 frames"
    assert len(set(labels("p1_run@0", "p1_box@0").labels)) == 2  # one person: no block spans two videos
    with pytest.raises(InputError, match="first frame"):
        labels("highway")


def test_blocks_that_do_not_touch_share_no_frame() -> None:
    starts, frames = np.arange(0, 200, 7), 20
    blocks = groups_of_windows([f"v@{s:05d}" for s in starts], frames).labels
    number = np.array([int(label.split("@")[1]) // frames for label in blocks])
    apart = np.abs(number[:, None] - number) > 1
    assert (np.abs(starts[:, None] - starts)[apart] >= frames).all() and apart.any()


def test_the_grouped_bootstrap_is_the_one_of_before() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(size=12)
    people = [f"person{n // 4:02d}" for n in range(12)]
    assert bootstrap_mean(values, groups=people, resamples=1000, seed=1)[1:3] == pytest.approx(
        by_hand(values, people, 1), abs=1e-12
    )
    truth = rng.random((12, 2, 8, 8))
    predicted = np.clip(truth + rng.normal(0, 0.1, truth.shape), 0, 1)
    names = [f"{person}_walking_d{n}@0000" for n, person in enumerate(people)]
    scores = score_prediction(predicted, truth, "predrnn", groups=groups_of_windows(names, 5), seed=1)
    old = score_prediction(predicted, truth, "predrnn", groups=[name.split("_")[0] for name in names], seed=1)
    assert scores.interval == old.interval and scores.drawn == "3 people" and old.drawn == "3 groups"
    assert score_prediction(predicted, truth, "predrnn").drawn == "12 clips"


def by_hand(values: np.ndarray, groups: list[str], seed: int) -> tuple[float, float]:
    """Draw whole groups, join their values, average: one resample after the other."""
    parts = [values[[g == name for g in groups]] for name in sorted(set(groups))]
    draws = np.random.default_rng(seed).integers(0, len(parts), (1000, len(parts)))
    means = sorted(np.concatenate([parts[i] for i in row]).mean() for row in draws)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
