"""The page of ``stremn mask``: guess, correct, save; then the command that it shows. Skipped without a browser."""

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stremn.cli import main
from stremn.data.clips import read_mask
from stremn.explore.drawing import names_in
from stremn.explore.masker import masker
from test_explore_bare import BROWSER, Bare, browser
from test_mask import overlap, picture

__all__ = ["browser"]
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium or google-chrome on this machine")


def test_a_first_mask_is_guessed_corrected_saved_and_segmented(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame, true = picture((120, 180))
    (tmp_path / "frames").mkdir()
    for number in range(3):
        Image.fromarray(frame).save(tmp_path / "frames" / f"{number}.png")
    widget = masker(tmp_path / "frames", tmp_path / "first.png", folder=tmp_path)
    bare = Bare(browser, widget, width=1100)
    other = Bare(browser, widget, width=1100)  # another tab
    _guess(bare, true)
    _correct(bare, _seen(bare))
    _second_object(bare)
    drawn = _seen(bare)
    bare.page.locator("[data-do='save mask']").click()
    bare.until("e.querySelector('.mask-command').textContent.includes('segment')")
    told = bare.page.locator(".mask-command").text_content() or ""
    later = Bare(browser, widget, width=1100)  # a reload
    for tab in (later, other):
        tab.until("e.querySelector('[data-object=\"2\"]') !== null")
        tab.answered()
        tab.until(f"e.querySelector('.draw-canvas').toDataURL() === '{drawn}'")  # when it is decoded
    later.page.locator("[data-do='save frame']").click()
    later.until("e.textContent.includes('written: frames-frame-0.png')")
    later.page.locator("[data-do='save frame']").click()
    later.until("e.textContent.includes('written: frames-frame-0.png')")  # its own file
    later.page.get_by_label("file for the mask").fill("../out.png")
    later.page.locator("[data-do='save mask']").click()
    later.until("e.querySelector('.status.problem')?.textContent.includes('where the command was started')")
    for tab in (bare, other, later):
        assert tab.errors == []
        tab.page.close()
    mask = read_mask(tmp_path / "first.png")
    assert set(np.unique(mask)) == {0, 1, 2} and names_in(tmp_path / "first.png") == {2: "corner"}
    assert overlap(mask == 1, true) > 0.8
    words = shlex.split(told)
    assert words[:4] == ["stremn", "segment", "frames", "--mask"]
    monkeypatch.chdir(tmp_path)
    assert main([*words[1:], "--size", "64"]) == 0
    assert len(list((tmp_path / words[-1] / "masks").glob("*.png"))) == 3


def _seen(bare: Bare) -> str:
    """What the canvas shows when all that was asked is answered, and no pointer is on it."""
    bare.page.mouse.move(5, 5)
    bare.answered()
    return str(bare.page.locator(".draw-canvas").evaluate("c => c.toDataURL()"))


def _at(bare: Bare, x: float, y: float) -> tuple[float, float]:
    """A place of the canvas, as shares of the frame."""
    box = bare.page.locator(".draw-canvas").bounding_box()
    assert box is not None
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def _drag(bare: Bare, start: tuple[float, float], end: tuple[float, float]) -> None:
    mouse = bare.page.mouse
    mouse.move(*_at(bare, *start))
    mouse.down()
    mouse.move(*_at(bare, *end), steps=4)
    mouse.up()


def _guess(bare: Bare, true: np.ndarray) -> None:
    """A box around the object: the guess appears; a click on what is not the object changes it, undo takes it back."""
    page = bare.page
    empty = _seen(bare)
    rows, columns = np.nonzero(true)
    page.locator("[data-tool=guess]").click()
    start = (columns.min() - 4) / true.shape[1], (rows.min() - 4) / true.shape[0]
    _drag(bare, start, ((columns.max() + 5) / true.shape[1], (rows.max() + 5) / true.shape[0]))
    bare.until("e.querySelector('[data-panel=draw]').dataset.guessed === '1'")
    assert _seen(bare) != empty


def _correct(bare: Bare, guessed: str) -> None:
    """A stroke, undone and done again by keys, with the focus elsewhere; zoomed in and out."""
    page = bare.page
    page.locator("[data-tool=erase]").click()
    _drag(bare, (0.38, 0.72), (0.42, 0.72))
    page.locator("[data-tool=guess]").click()  # without the brush's circle
    corrected = _seen(bare)
    assert corrected != guessed
    page.locator(".frames").focus()
    page.keyboard.press("Control+z")
    assert _seen(bare) == guessed
    for keys, seen in (("Control+y", corrected), ("Control+z", guessed), ("Control+Shift+z", corrected)):
        page.keyboard.press(keys)
        assert _seen(bare) == seen, keys
    page.mouse.move(*_at(bare, 0.5, 0.5))
    page.mouse.wheel(0, -600)
    page.wait_for_timeout(500)
    zoomed = _seen(bare)
    page.mouse.move(*_at(bare, 0.5, 0.5))
    page.keyboard.down("Space")
    _drag(bare, (0.5, 0.5), (0.4, 0.4))
    page.keyboard.up("Space")
    assert len({zoomed, corrected, _seen(bare)}) == 3
    page.locator("[data-do=fit]").click()
    page.mouse.move(5, 5)
    assert _seen(bare) == corrected


def _second_object(bare: Bare) -> None:
    """A polygon that Enter closes, of an object with a name."""
    page = bare.page
    page.locator("[data-do='add object']").click()
    page.get_by_label("name of object 2").fill("corner")
    page.keyboard.press("Tab")
    page.locator("[data-tool=polygon]").click()
    before = _seen(bare)
    for x, y in ((0.8, 0.1), (0.95, 0.1), (0.95, 0.3)):
        page.mouse.click(*_at(bare, x, y))
    page.keyboard.press("Enter")
    page.mouse.move(5, 5)
    assert _seen(bare) != before
