"""Clips whose appearances come back: the script, the picture, and what is known of each frame."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from stremn.data.appearances import Truth, read_truth
from stremn.data.clips import Clip
from stremn.data.folders import open_clip_folder
from stremn.errors import InputError
from stremn.evaluation.headroom import returns
from stremn.generate.recurring import TRAPS, make_recurring, write_recurring
from stremn.generate.recurring_cast import NOWHERE, Script, cast
from stremn.generate.visits import AWAY, RecurringSettings, visits

SMALL = RecurringSettings(kind="recurring", size=48)


@cache
def made(index: int) -> tuple[Clip, Truth]:
    return make_recurring(SMALL, "val", index)


@pytest.mark.parametrize("appearances", [(3, 5), (3, 3), (5, 5)])
def test_the_script_keeps_to_its_settings(appearances: tuple[int, int]) -> None:
    settings = SMALL.model_copy(update={"appearances": appearances})
    counts = set()
    for seed in range(100):
        script = visits(settings, np.random.default_rng(seed))
        last: dict[int, int] = {}
        for before, visit in zip([None, *script[:-1]], script, strict=True):
            assert settings.dwell[0] <= visit.stop - visit.start <= settings.dwell[1]
            if visit.back:
                assert before is not None and visit.start == before.stop + AWAY
                assert settings.gap[0] <= visit.start - last[visit.appearance] <= settings.gap[1]
            else:  # a new one, without a pause
                assert visit.appearance == len(last) and visit.start == (before.stop if before else 0)
            last[visit.appearance] = visit.stop
        assert script[-1].start < settings.length <= script[-1].stop + AWAY
        assert sum(visit.back for visit in script) >= 2
        counts.add(len(last))
    assert counts <= set(range(3, appearances[1] + 1)) and max(counts) == appearances[1]


def test_stays_too_short_for_the_gap_are_refused() -> None:
    short = SMALL.model_copy(update={"dwell": (5, 8), "appearances": (3, 3)})
    with pytest.raises(InputError, match="allow 18 frames"):
        visits(short, np.random.default_rng(0))


def test_same_seed_same_clip_byte_for_byte() -> None:
    (clip, truth), again = made(0), make_recurring(SMALL, "val", 0)
    assert np.array_equal(clip.frames, again[0].frames) and np.array_equal(clip.masks, again[0].masks)
    assert np.array_equal(truth.shown, again[1].shown) and np.array_equal(truth.worthless, again[1].worthless)
    assert not np.array_equal(clip.frames, made(1)[0].frames)


def test_the_truth_is_what_the_masks_show() -> None:
    clips = [made(index) for index in (0, 1, 2, 15)]
    assert {clip.objects for clip, _ in clips} == {1, 2}
    for clip, truth in clips:
        assert clip.frames.shape == (160, 48, 48, 3) and truth.shown.shape == (160, clip.objects)
        for column in range(clip.objects):
            area = (clip.masks == column + 1).sum(axis=(1, 2))
            useful = ~truth.worthless[:, column]
            assert useful[0] and truth.shown[0, column] == 0
            assert area[useful].min() > 0.3 * np.median(area[useful])
            gone = area == 0
            assert truth.worthless[gone, column].all()
            back = returns(truth.shown[:, column])
            assert back
            for frame in back:  # out of sight before each return
                assert gone[frame - AWAY : frame].all()


def test_an_appearance_looks_like_itself_and_unlike_the_others() -> None:
    for index in range(3):
        clip, truth = made(index)
        seen = ~truth.worthless[:, 0] & (truth.shown[:, 0] >= 0)
        colours = {int(t): clip.frames[t][clip.masks[t] == 1].mean(axis=0) for t in np.flatnonzero(seen)}
        means = {
            a: np.mean([c for t, c in colours.items() if truth.shown[t, 0] == a], axis=0)
            for a in np.unique(truth.shown[seen, 0])
        }
        right = [
            min(means, key=lambda a: np.linalg.norm(colour - means[a])) == truth.shown[t, 0]
            for t, colour in colours.items()
        ]
        assert np.mean(right) > 0.95


def test_traps_are_about_as_many_as_asked_and_none_without() -> None:
    calm = SMALL.model_copy(update={"traps": 0.0, "objects": 1})
    clip, truth = make_recurring(calm, "val", 0)
    inside = (clip.masks == 1).any(axis=(1, 2)) & ~truth.worthless[:, 0]
    brightness = clip.frames.mean(axis=(1, 2, 3))
    assert np.abs(brightness[inside] - np.median(brightness[inside])).max() < 40
    wild = SMALL.model_copy(update={"traps": 0.5, "objects": 1})
    clip, truth = make_recurring(wild, "val", 0)
    there = (clip.masks == 1).any(axis=(1, 2))
    assert 0.3 < truth.worthless[there, 0].mean() < 0.7
    brightness = clip.frames.mean(axis=(1, 2, 3))
    assert brightness.max() > 225 and brightness.min() < 30  # flashed and dark ones


def test_look_alikes_come_at_each_return_in_the_objects_shape() -> None:
    script = Script(
        settings=SMALL,
        rng=np.random.default_rng(0),
        group="val",
        natural=False,
        visits=visits(SMALL, np.random.default_rng(0)),
        slides=[False] * 30,
        traps=np.full(160, "", dtype=f"<U{max(map(len, TRAPS))}"),
    )
    layers, bodies = cast(script, 1)
    for visit in script.visits:
        strangers = [
            layer for layer in layers if layer.label == 0 and layer.centre[visit.start, 0] != NOWHERE
        ]
        assert len(strangers) == (SMALL.look_alikes if visit.back else 0)
        for one in strangers:
            assert np.array_equal(one.contour, bodies[0].contour)  # type: ignore[union-attr]
            assert np.linalg.norm(one.centre[visit.start] - bodies[0].centre[visit.start]) > 0.2


def test_clips_are_read_back_with_their_truth(tmp_path: Path) -> None:
    clip, truth = made(0)
    write_recurring(tmp_path, clip, truth)
    read = open_clip_folder(tmp_path, "")
    assert read.names == [clip.name] and np.array_equal(read[0].masks, clip.masks)
    again = read_truth(tmp_path, clip.name)
    assert np.array_equal(again.shown, truth.shown) and np.array_equal(again.worthless, truth.worthless)
    with pytest.raises(InputError, match="Appearances"):
        read_truth(tmp_path, "other")


def test_every_setting_says_what_it_is() -> None:
    assert all(field.description for field in RecurringSettings.model_fields.values())
    with pytest.raises(InputError, match="kind"):
        RecurringSettings.parse({"clips": 3}, "params.yaml")
