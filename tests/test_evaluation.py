"""J and F against hand-drawn cases and a plain implementation; statistics, folders, intervals."""

import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import binary_dilation
from skimage.morphology import disk

from contours import contour_accuracy
from stremn.errors import InputError
from stremn.evaluation.baselines import keep_first_mask
from stremn.evaluation.bitmask import Packer, boundary, count
from stremn.evaluation.bootstrap import bootstrap_mean, paired_difference
from stremn.evaluation.contour import matching_radius
from stremn.evaluation.official import official_paths, official_tables, write_tables
from stremn.evaluation.region import region_similarity
from stremn.evaluation.runs import compare
from stremn.evaluation.sequences import score_sequence
from stremn.evaluation.statistics import decay, recall
from stremn.evaluation.vos import VOSScores, score_clips, score_folder
from stremn.report import tables
from stremn.report.page import Report, Section, Table
from stremn.report.papers import TABLES


def plain_boundary(mask: np.ndarray) -> np.ndarray:
    """The definition, pixel by pixel."""
    height, width = mask.shape
    edge = np.zeros_like(mask)
    for y in range(height):
        for x in range(width):
            below, right = y + 1 < height, x + 1 < width
            edge[y, x] = (
                (right and mask[y, x] != mask[y, x + 1])
                or (below and mask[y, x] != mask[y + 1, x])
                or (below and right and mask[y, x] != mask[y + 1, x + 1])
            )
    return edge


def plain_f(predicted: np.ndarray, truth: np.ndarray) -> float:
    """The definition with scikit-image's disk and a plain dilation."""
    shape = disk(int(np.ceil(0.008 * np.hypot(*truth.shape))))
    a, b = plain_boundary(predicted), plain_boundary(truth)
    if not a.any() or not b.any():
        return float(not a.any() and not b.any())
    precision = (a & binary_dilation(b, shape)).sum() / a.sum()
    recalled = (b & binary_dilation(a, shape)).sum() / b.sum()
    return 2 * precision * recalled / (precision + recalled) if precision + recalled else 0.0


def blobs(generator: np.random.Generator, shape: tuple[int, int], share: float) -> np.ndarray:
    """A random mask of small patches."""
    mask = np.zeros(shape, bool)
    for _ in range(max(1, int(share * shape[0] * shape[1] / 30))):
        y, x = (generator.integers(-3, size) for size in shape)
        mask[max(y, 0) : max(y + 6, 0), max(x, 0) : max(x + 5, 0)] ^= True
    return mask


# J and F


def test_j_by_hand() -> None:
    truth = np.zeros((3, 4, 4), bool)
    truth[0, :2, :2] = True
    truth[1, :2, :2] = True
    predicted = np.zeros_like(truth)
    predicted[0, :2, 1:3] = True
    assert region_similarity(predicted, truth).tolist() == [2 / 6, 0.0, 1.0]


def test_f_by_hand() -> None:
    """A vertical edge 1 px off lies within radius 1, one 2 px off does not."""
    assert matching_radius(40, 40) == 1
    truth = np.zeros((40, 40), bool)
    truth[:, 20:] = True
    near, far = np.roll(truth, 1, axis=1), np.roll(truth, 2, axis=1)
    near[:, 0], far[:, :2] = False, False
    assert contour_accuracy(near, truth) == 1.0
    assert contour_accuracy(far, truth) == 0.0
    half = np.where(np.arange(40)[:, None] < 20, truth, far)  # upper half right, lower half two pixels off
    # True boundary: x = 19 in 40 rows, matched in rows 0 to 20. Predicted: 42 pixels, two of them in the
    # step under row 19; the 20 upper ones and the first of the step match.
    precision, recalled = 21 / 42, 21 / 40
    assert contour_accuracy(half, truth) == 2 * precision * recalled / (precision + recalled)


def test_empty_masks_and_whole_frames() -> None:
    empty, full, some = np.zeros((30, 20), bool), np.ones((30, 20), bool), np.zeros((30, 20), bool)
    some[5:9, 5:9] = True
    assert contour_accuracy(empty, empty) == 1.0
    assert contour_accuracy(empty, some) == contour_accuracy(some, empty) == 0.0
    assert contour_accuracy(full, empty) == 1.0, "a full frame has no boundary either"
    assert region_similarity(full, empty) == 0.0


def test_boundary_by_hand() -> None:
    mask = np.zeros((1, 4, 5), bool)
    mask[0, 2:, 3:] = True
    packer = Packer(4, 5, 1)
    packer.masks_2HW[:] = mask
    packed = packer.pack()
    assert packed and count(boundary(packed)) == [5, 5]  # (1,2) (1,3) (1,4) (2,2) (3,2)
    assert plain_boundary(mask[0]).sum() == 5


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (13, 1), (17, 23), (64, 64), (130, 137), (100, 260)])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 1.0])
def test_equal_to_the_definition(shape: tuple[int, int], share: float) -> None:
    generator = np.random.default_rng([*shape, int(100 * share)])
    truth = np.stack([blobs(generator, shape, share) for _ in range(3)])
    predicted = np.stack(
        [np.roll(mask, (1, 2), (0, 1)) ^ blobs(generator, shape, share / 4) for mask in truth]
    )
    predicted[2] = generator.random(shape) < share
    expected = [plain_f(a, b) for a, b in zip(predicted, truth, strict=True)]
    assert contour_accuracy(predicted, truth).tolist() == expected
    both, either = (predicted & truth).sum((1, 2)), (predicted | truth).sum((1, 2))
    assert region_similarity(predicted, truth).tolist() == [
        1.0 if not u else i / u for i, u in zip(both, either, strict=True)
    ]


def test_radius_of_the_benchmark_sizes() -> None:
    assert (matching_radius(480, 854), matching_radius(480, 910), matching_radius(64, 64)) == (8, 9, 1)


# Sequences and protocols


def random_ids(
    seed: int, frames: int = 12, objects: int = 3, shape: tuple[int, int] = (40, 50)
) -> np.ndarray:
    generator = np.random.default_rng(seed)
    ids = np.zeros((frames, *shape), np.uint8)
    for t in range(frames):
        for number in range(1, objects + 1):
            ids[t][blobs(generator, shape, 0.1)] = number
    return ids


@pytest.mark.parametrize(("protocol", "scored"), [("davis2017", range(1, 11)), ("long", range(1, 12))])
def test_scored_frames(protocol: str, scored: range) -> None:
    predicted, truth = random_ids(1), random_ids(2)
    scores = score_sequence(predicted, truth, 3, protocol)
    assert sorted(scores) == [1, 2, 3]
    for number, one in scores.items():
        assert one.frames.tolist() == list(scored)
        assert one.j.tolist() == region_similarity(predicted == number, truth == number)[scored].tolist()
        assert one.f.tolist() == contour_accuracy(predicted == number, truth == number)[scored].tolist()


def test_objects_are_those_of_the_first_frame() -> None:
    truth = random_ids(2, objects=2)
    truth[4, :5, :5] = 3
    truth[0, 0, 0] = 255
    predicted = random_ids(1, objects=2)
    assert sorted(score_sequence(predicted, truth)) == [1, 2]
    assert sorted(score_sequence(predicted, truth, protocol="procedural")) == [1, 2, 3]


def test_void_counts_as_background() -> None:
    truth = random_ids(3, objects=1)
    void = truth.copy()
    void[void == 0] = 255
    void[0, 0, 0] = 1
    truth[0, 0, 0] = 1
    predicted = random_ids(4, objects=1)
    assert score_sequence(predicted, void)[1].j.tolist() == score_sequence(predicted, truth)[1].j.tolist()


def test_late_object_is_scored_after_its_first_frame() -> None:
    truth = np.zeros((8, 20, 20), np.uint8)
    truth[:, 2:8, 2:8] = 1
    truth[3:6, 10:15, 10:15] = 2
    truth[7, 0, 19] = 3
    scores = score_sequence(truth, truth, protocol="procedural")
    assert scores[1].frames.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert scores[2].frames.tolist() == [4, 5, 6, 7], "out of view again counts, as an empty union"
    assert scores[2].j.tolist() == [1.0] * 4
    assert len(scores[3].frames) == 0
    result = score_clips([("clip", truth, truth, None)], "procedural")
    assert list(result.objects) == ["clip_1", "clip_2"] and result.skipped == ("clip_3",)


def test_binary_masks() -> None:
    truth = 255 * (random_ids(5, objects=1) > 0).astype(np.uint8)
    predicted = (random_ids(6, objects=1) > 0).astype(np.uint8)
    ones = score_sequence(predicted, truth, protocol="davis2016")[1]
    tops = score_sequence(255 * predicted, truth, protocol="davis2016")[1]
    assert ones.j.tolist() == tops.j.tolist() and 0 < ones.j.mean() < 1


@pytest.mark.parametrize(
    ("predicted", "truth", "protocol", "words"),
    [
        (np.zeros((4, 5, 5)), np.zeros((4, 5, 6)), "davis2017", "one shape"),
        (np.full((4, 5, 5), 2), np.ones((4, 5, 5), int), "davis2017", "unknown id 2"),
        (np.full((4, 5, 5), 255), np.ones((4, 5, 5), int), "davis2017", "davis2016"),
        (np.zeros((4, 5, 5), int), np.zeros((4, 5, 5), int), "davis2017", "at least one object"),
        (np.zeros((4, 5, 5), int), np.full((4, 5, 5), 255), "davis2017", "none but 255.*davis2016"),
        (np.ones((2, 5, 5), int), np.ones((2, 5, 5), int), "davis2017", "at least 3 frames"),
        (np.ones((4, 5, 5), int), np.ones((4, 5, 5), int), "davis2018", "unknown protocol"),
    ],
)
def test_bad_sequences(predicted: np.ndarray, truth: np.ndarray, protocol: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        score_sequence(predicted, truth, protocol=protocol)


def test_keep_first_mask() -> None:
    truth = np.zeros((5, 4, 6), np.uint8)
    truth[:, :2, :2] = 1
    truth[2, 1:3, 1:3] = 2
    truth[3:, 3:, 5:] = 2
    kept = keep_first_mask(truth)
    assert (kept[:2] == truth[:2]).all()
    expected = truth[0].copy()
    expected[1:3, 1:3] = 2
    assert (kept[2:] == expected).all()


# Statistics


def eight_bit_decay(values: np.ndarray) -> float:
    """The official way, with indices of eight bits: right while they fit."""
    edges = (np.round(np.linspace(1, len(values), 5) + 1e-10) - 1).astype(np.uint8)
    bins = [values[edges[i] : edges[i + 1] + 1] for i in range(4)]
    return float(bins[0].mean() - bins[3].mean())


def test_decay_equals_the_official_one_where_that_is_right() -> None:
    for frames in range(1, 256):
        values = np.random.default_rng(frames).random(frames)
        assert decay(values) == eight_bit_decay(values), frames


@pytest.mark.parametrize("frames", [257, 300, 400, 1000, 1025])
def test_decay_of_long_sequences(frames: int) -> None:
    values = np.linspace(1.0, 0.0, frames)
    quarter = np.abs(np.arange(frames) - (frames - 1) / 4).argmin()
    assert decay(values) == pytest.approx(
        values[: quarter + 1].mean() - values[-quarter - 1 :].mean(), abs=2e-3
    )
    assert decay(values) == pytest.approx(0.75, abs=5e-3)
    assert decay(values[::-1]) == pytest.approx(-decay(values))


def test_recall_is_strict() -> None:
    assert recall(np.array([0.5, 0.51, 0.2, 1.0])) == 0.5


def test_global_scores_average_objects_not_videos() -> None:
    a, b = random_ids(1), random_ids(2)
    c, d = random_ids(3, objects=1), random_ids(4, objects=1)
    scores = score_clips([("many", a, b, None), ("one", c, d, None)])
    rows = list(scores.objects.values())
    assert list(scores.objects) == ["many_1", "many_2", "many_3", "one_1"]
    assert scores.global_["J-Mean"] == pytest.approx(sum(row["J-Mean"] for row in rows) / 4)
    assert scores.global_["J&F-Mean"] == pytest.approx(
        (scores.global_["J-Mean"] + scores.global_["F-Mean"]) / 2
    )


# Folders


def write_ids(root: Path, name: str, ids: np.ndarray, skip: tuple[int, ...] = ()) -> None:
    (root / name).mkdir(parents=True, exist_ok=True)
    for t, one in enumerate(ids):
        if t not in skip:
            image = Image.fromarray(one).convert("P")
            image.putdata(one.ravel().tolist())
            image.save(root / name / f"{t:05d}.png")


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    write_ids(tmp_path / "truth", "a", random_ids(1))
    write_ids(tmp_path / "truth", "b", random_ids(2, frames=6, objects=1))
    write_ids(tmp_path / "ours", "a", random_ids(3), skip=(0, 11))
    write_ids(tmp_path / "ours", "b", random_ids(4, frames=6, objects=1))
    return tmp_path / "ours", tmp_path / "truth"


def test_folder_equals_arrays(folders: tuple[Path, Path]) -> None:
    seen = []
    scores = score_folder(*folders, progress=lambda done, total, name: seen.append((done, total, name)))
    arrays = score_clips(
        [
            ("a", random_ids(3), random_ids(1), None),
            ("b", random_ids(4, frames=6, objects=1), random_ids(2, frames=6, objects=1), None),
        ]
    )
    assert scores.to_dict(per_frame=True) == arrays.to_dict(per_frame=True)
    assert seen == [(1, 2, "a"), (2, 2, "b")]
    assert list(score_folder(*folders, names=["b"]).objects) == ["b_1"]


def test_bad_folders(folders: tuple[Path, Path], tmp_path: Path) -> None:
    ours, truth = folders
    with pytest.raises(InputError, match="no sequence c"):
        score_folder(ours, truth, names=["c"])
    with pytest.raises(InputError, match="expected a folder with one folder for each sequence"):
        score_folder(tmp_path / "nothing", truth)
    with pytest.raises(InputError, match="expected a folder of annotations"):
        score_folder(ours, tmp_path / "nothing")
    with pytest.raises(InputError, match="found no file"):
        score_folder(ours, truth, protocol="long")
    write_ids(ours, "a", random_ids(3, shape=(40, 49)))
    with pytest.raises(InputError, match="expected 50×40 pixels"):
        score_folder(ours, truth)
    (ours / "a" / "00000.png").write_text("nothing")
    with pytest.raises(InputError, match="a damaged one"):
        score_folder(ours, truth)
    (ours / "a").rename(tmp_path / "away")
    with pytest.raises(InputError, match="sequence a"):
        score_folder(ours, truth)


def test_davis2016_folder_warns_once(tmp_path: Path) -> None:
    truth, ours = (random_ids(seed, objects=1) for seed in (1, 2))
    for name in ("a", "b"):
        write_ids(tmp_path / "truth", name, 255 * truth)
        write_ids(tmp_path / "ones", name, ours)
        write_ids(tmp_path / "tops", name, 255 * ours)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        tops = score_folder(tmp_path / "tops", tmp_path / "truth", "davis2016")
        ones = score_folder(tmp_path / "ones", tmp_path / "truth", "davis2016")
    assert len(caught) == 1 and "above 127" in str(caught[0].message)
    assert tops.to_dict() == ones.to_dict()


# Intervals and tables


def test_bootstrap_covers_the_true_mean() -> None:
    generator = np.random.default_rng(0)
    hits = sum(
        low <= 0.5 <= high
        for _, low, high, _ in (
            bootstrap_mean(generator.beta(2, 2, 60), resamples=400, seed=k) for k in range(200)
        )
    )
    assert 0.88 * 200 <= hits <= 199


def test_bootstrap_width_and_seed() -> None:
    values = np.random.default_rng(1).normal(0, 1, 400)
    first, again = bootstrap_mean(values, seed=3), bootstrap_mean(values, seed=3)
    assert first == again and first.mean == values.mean() and first.objects == 400
    ends = values.mean() + 1.96 * values.std() / 20 * np.array([-1, 1])
    assert (first.low, first.high) == pytest.approx(ends, abs=0.1 * values.std() / 20)
    with pytest.raises(InputError, match="finite"):
        bootstrap_mean(np.array([1.0, np.nan]))


def test_paired_difference_removes_what_the_systems_share() -> None:
    generator = np.random.default_rng(2)
    easy = generator.random(40)
    first = {str(i): value for i, value in enumerate(easy + 0.05 + 0.01 * generator.standard_normal(40))}
    second = {str(i): value for i, value in enumerate(easy)}
    gap = paired_difference(first, second)
    assert 0.04 < gap.low < gap.mean < gap.high < 0.06
    assert paired_difference(dict(reversed(first.items())), second).mean == pytest.approx(gap.mean)
    with pytest.raises(InputError, match="same objects"):
        paired_difference({"0": 1.0}, second)


def test_papers_are_complete_and_consistent() -> None:
    assert len(TABLES) == 16
    for table in TABLES.values():
        assert table.title and table.source and table.conditions
        assert all(len(values) == len(table.columns) for _, values in table.rows.values())
    for _, (j, f, mean) in TABLES["stremn-1"].rows.values():
        assert abs((j + f) / 2 - mean) <= 0.1 + 1e-9
    for _, (*parts, mean) in TABLES["stremn-4"].rows.values():
        assert abs(sum(parts) / 4 - mean) <= 0.1 + 1e-9
    assert TABLES["stremn-2"].value("6", "J&F") == TABLES["stremn-1"].value("learned", "J&F") == 78.3
    assert TABLES["stremn-3"].value("egm", "test-dev J") is None


def test_tables_side_by_side(tmp_path: Path) -> None:
    paper = TABLES["stremn-1"]
    table = tables.with_paper(
        paper, {"learned": {"J&F": 71.25}, "every_n": {"J&F": None}}, {"every_n": "<N>"}
    )
    assert table.loc["Learned", ("ours", "J&F")] == 71.25 and table.loc["Learned", ("paper", "J&F")] == 78.3
    assert list(table.index) == ["Learned", "<N>"]  # what was not run is no row of dashes
    note = tables.comparison_note(paper, "64×64")
    report = Report("A & B", "lead", [Section("Rules, *all*", "text", [Table("Caption", table, note)])])
    report.write_html(tmp_path / "report.html")
    page = re.sub(r"\s*\n\s*", "", (tmp_path / "report.html").read_text(encoding="utf-8"))
    cells = "".join(f"<td>{value}</td>" for value in ("74.8", "81.8", "78.3", "71.2"))
    assert f"<th>Learned</th>{cells}" in page and "cannot" in page and "A &amp; B" in page
    assert "&lt;N&gt;" in page and "<N>" not in page and page.count("<tr") == 3
    report.write_markdown(tmp_path / "report.md")
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "\nLearned,74.8,81.8,78.3,71.2\n" in text and "\\<N\\>" in text and r"## Rules, \*all\*" in text


def test_seeds_table_is_mean_and_deviation_over_trainings() -> None:
    truth = random_ids(1)

    def until(frame: int) -> VOSScores:
        return score_clips([("a", np.where(np.arange(50) < frame, truth, 0), truth, None)])

    one, two = {"good": until(40), "poor": until(10)}, {"good": until(30), "poor": until(20)}
    table = tables.seeds_table([one, two], {"poor": "Poor"}, reference="good")
    means = {n: [100 * t[n].global_["J&F-Mean"] for t in (one, two)] for n in one}
    assert list(table.index) == ["good", "Poor"]
    assert table["mean"].tolist() == pytest.approx([np.mean(means["good"]), np.mean(means["poor"])])
    assert table["sd"].tolist() == pytest.approx([abs(np.subtract(*means[n])) / 2**0.5 for n in means])
    gaps = np.subtract(means["good"], means["poor"])
    assert table.loc["Poor", ["behind", "behind sd"]].tolist() == pytest.approx(
        [gaps.mean(), gaps.std(ddof=1)]
    )
    assert np.isnan(table.loc["good", "behind"]) and "headroom" not in table
    share = tables.seeds_table([one, two], reference="good", oracle="good", base="poor")["headroom"]
    assert share.to_dict() == pytest.approx({"good": 100, "poor": 0})
    for bad in ([one], [one, {"good": two["good"]}]):
        with pytest.raises(InputError, match="the same rules on two seeds or more"):
            tables.seeds_table(bad, reference="good")


def test_systems_table_and_official_files(tmp_path: Path) -> None:
    truth = random_ids(1)
    good = score_clips([("a", np.where(np.arange(50) < 40, truth, 0), truth, None)])
    poor = score_clips([("a", np.where(np.arange(50) < 10, truth, 0), truth, None)])
    table = tables.systems_table(compare({"poor": poor, "good": good}, "good"))
    assert list(table.index) == ["good", "poor"]
    assert table.loc["poor", "behind"] == pytest.approx(table.loc["good", "J&F"] - table.loc["poor", "J&F"])
    paths = official_paths(tmp_path)
    write_tables(zip(paths, official_tables(good), strict=True))
    assert [path.name for path in paths] == ["global_results-val.csv", "per-sequence_results-val.csv"]
    assert paths[0].read_text().splitlines()[0] == "J&F-Mean,J-Mean,J-Recall,J-Decay,F-Mean,F-Recall,F-Decay"
    assert len(paths[1].read_text().splitlines()) == 4 and len(list(tmp_path.iterdir())) == 2
