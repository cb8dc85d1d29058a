"""The share of the headroom against numbers worked by hand."""

import numpy as np
import pytest

from stremn.errors import InputError
from stremn.evaluation.bootstrap import bootstrap_mean, difference_over_trainings, over_trainings
from stremn.evaluation.headroom import Share, headroom_share, headroom_share_over, j_after_returns, returns
from stremn.evaluation.runs import compare
from stremn.evaluation.sequences import ObjectScores
from stremn.evaluation.vos import VOSScores
from stremn.report.tables import systems_table


def test_the_share_is_a_ratio_of_means_and_not_a_mean_of_ratios() -> None:
    base = {"a_1": 0.5, "b_1": 0.6, "c_1": 0.7}
    oracle = {"a_1": 0.9, "b_1": 0.8, "c_1": 0.7}
    rule = {"a_1": 0.6, "b_1": 0.8, "c_1": 0.7}
    # gains 0.1 + 0.2 + 0 of 0.4 + 0.2 + 0; the mean of the ratios that exist would be 0.625
    found = headroom_share(rule, oracle, base, level=0.5)
    assert found is not None
    assert found.share == pytest.approx(0.5) and found.clips == 3
    assert found.low <= 0.5 <= found.high


def test_the_interval_has_the_ends_of_all_draws_worked_by_hand() -> None:
    base = {"a_1": 0.0, "b_1": 0.0}
    oracle = {"a_1": 0.4, "b_1": 0.2}
    rule = {"a_1": 0.1, "b_1": 0.2}
    # draws: a a (1 in 4) 0.25, a b (2 in 4) 0.5, b b (1 in 4) 1
    found = headroom_share(rule, oracle, base)
    assert found == pytest.approx(Share(0.5, 0.25, 1.0, 2))
    middle = headroom_share(rule, oracle, base, level=0.4)  # between the 30th and the 70th percentile
    assert middle == pytest.approx(Share(0.5, 0.5, 0.5, 2))


def test_objects_of_a_clip_are_drawn_together() -> None:
    base = dict.fromkeys(["a_1", "a_2"], 0.0)
    oracle, rule = {"a_1": 0.4, "a_2": 0.2}, {"a_1": 0.1, "a_2": 0.2}
    assert headroom_share(rule, oracle, base) == pytest.approx(Share(0.5, 0.5, 0.5, 1))


def test_the_oracle_has_all_first_and_latest_none_and_worse_is_below_zero() -> None:
    base, oracle = {"a_1": 0.5, "b_1": 0.4}, {"a_1": 0.7, "b_1": 0.8}
    assert headroom_share(oracle, oracle, base) == pytest.approx(Share(1, 1, 1, 2))
    assert headroom_share(base, oracle, base) == pytest.approx(Share(0, 0, 0, 2))
    worse = headroom_share({"a_1": 0.4, "b_1": 0.2}, oracle, base)
    assert worse is not None and worse.share == pytest.approx(-0.5)


def test_no_share_without_headroom_or_where_it_is_chance() -> None:
    base, rule = {"a_1": 0.5, "b_1": 0.4}, {"a_1": 0.6, "b_1": 0.6}
    assert headroom_share(rule, base, base) is None
    assert headroom_share(rule, {"a_1": 0.4, "b_1": 0.4}, base) is None
    # one clip of two decides: a quarter of the draws have no headroom
    assert headroom_share(rule, {"a_1": 0.9, "b_1": 0.4}, base) is None
    with pytest.raises(InputError, match="same objects"):
        headroom_share(rule, {"a_1": 0.9}, base)


def test_returns_are_earlier_appearances_after_another_one() -> None:
    #         0  1   2  3  4   5  6  7  8   9  10 11
    shown = [0, 0, -1, 0, 1, -1, 1, 0, 2, -1, -1, 1]
    assert returns(shown) == [7, 11]
    assert returns([-1, -1]) == []


def test_j_after_returns_takes_only_the_frames_after_them() -> None:
    shown = {"clip_x": np.array([[0, 0], [1, 0], [0, 0], [0, 0], [0, 0]])}
    frames = np.arange(1, 5)  # frame 0 is given and not scored
    j = np.array([0.1, 0.2, 0.4, 0.8])
    scores = {f"clip_x_{number}": ObjectScores(frames, j, j) for number in (1, 2)}
    assert j_after_returns(scores, shown, frames=2) == pytest.approx({"clip_x_1": 0.3})
    assert j_after_returns(scores, shown) == pytest.approx({"clip_x_1": 1.4 / 3})


def test_every_run_has_its_share_and_its_j_after_returns_in_the_comparison() -> None:
    frames = np.arange(1, 7)

    def scores(early: float, late: float) -> VOSScores:
        j = np.array([early] * 3 + [late] * 3)
        return VOSScores("procedural", {"clip_1": ObjectScores(frames, j, j)})

    runs = {"learned": scores(0.8, 0.4), "oracle": scores(0.8, 0.8), "base": scores(0.8, 0.2)}
    shown = {"clip": np.array([0, 1, 1, 1, 0, 0, 0])[:, None]}  # it comes back in frame 4
    found = compare(runs, "learned", oracle="oracle", base="base", shown=shown)
    assert {name: one.headroom.share for name, one in found.items() if one.headroom} == pytest.approx(
        {"learned": 1 / 3, "oracle": 1, "base": 0}
    )
    assert {name: one.after_returns for name, one in found.items()} == pytest.approx(
        {"learned": 0.4, "oracle": 0.8, "base": 0.2}
    )
    table = systems_table(found)
    assert table.loc["learned", "headroom"] == pytest.approx(100 / 3)
    assert table.loc["oracle", "J after returns"] == pytest.approx(80)
    assert found["learned"].to_dict()["headroom"]["clips"] == 1
    plain = compare(runs, "learned", oracle="another", base="base")
    assert all(one.headroom is None and one.after_returns is None for one in plain.values())
    assert "headroom" not in systems_table(plain).columns


def test_draws_of_trainings_by_hand() -> None:
    # two trainings of one object: a draw has 0, 1 or 2 times the second, with 1/4, 1/2, 1/4
    drawn, groups = over_trainings(np.array([[[0.0]], [[1.0]]]), ["a"], resamples=4000)
    assert groups == 1 and set(drawn[:, 0]) == {0.0, 1.0, 2.0}
    assert [(drawn == value).mean() for value in (0, 1, 2)] == pytest.approx([0.25, 0.5, 0.25], abs=0.03)
    # two objects of one clip stay together, of two clips they do not
    both = np.array([[[1.0], [10.0]]])
    assert set(over_trainings(both, ["a", "a"], resamples=50)[0][:, 0]) == {11.0}
    assert set(over_trainings(both, ["a", "b"], resamples=200)[0][:, 0]) == {2.0, 11.0, 20.0}
    with pytest.raises(InputError, match="one label for each of 2"):
        over_trainings(both, ["a"])
    with pytest.raises(InputError, match="finite"):
        over_trainings(both * np.nan, ["a", "b"])


def test_one_training_has_the_interval_of_its_clips_and_two_that_differ_a_wider_one() -> None:
    rng = np.random.default_rng(0)
    gains = rng.normal(0.02, 0.05, 40)
    base = {f"clip{i}_1": 0.5 for i in range(40)}
    one = {name: 0.5 + gain for name, gain in zip(base, gains, strict=True)}
    plain = bootstrap_mean(gains)
    found = difference_over_trainings([one], [base])
    assert found.mean == pytest.approx(plain.mean)
    assert [found.low, found.high] == pytest.approx([plain.low, plain.high], abs=0.002)
    opposite = {name: 1.0 - value for name, value in one.items()}
    wider = difference_over_trainings([one, opposite], [base, base])
    assert wider.mean == pytest.approx(0) and wider.low < -0.01 < 0.01 < wider.high


def test_headroom_over_trainings() -> None:
    base, oracle = {"a_1": 0.4, "b_1": 0.2}, {"a_1": 0.8, "b_1": 0.6}
    halves = [{"a_1": 0.6, "b_1": 0.4}, {"a_1": 0.7, "b_1": 0.5}]  # shares 1/2 and 3/4, whatever the clip
    found = headroom_share_over(halves, [oracle] * 2, [base] * 2)
    assert found == pytest.approx(Share(0.625, 0.5, 0.75, 2))
