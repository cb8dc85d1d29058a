"""``stremn mask`` in a browser: guess, correct, save; then the command that the page shows. Skipped without a browser."""

import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stremn.cli import main
from stremn.data.clips import read_mask
from stremn.explore.drawing import names_in
from test_explore_browser import (
    BROWSER,
    Watched,
    _started,
    _stopped,
    browser,  # noqa: F401
    sync_api,
)
from test_mask import overlap, picture

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium or google-chrome on this machine")


def test_a_first_mask_is_guessed_corrected_saved_and_segmented(
    browser: "sync_api.Browser",  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frame, true = picture((120, 180))
    (tmp_path / "frames").mkdir()
    for number in range(3):
        Image.fromarray(frame).save(tmp_path / "frames" / f"{number}.png")
    command = [sys.executable, "-m", "stremn.cli", "mask", "frames", "--out", "first.png", "--no-browser"]
    server, url, _ = _started(command, tmp_path, r"http://\S+token=\w+")
    page = browser.new_page(viewport={"width": 1100, "height": 1000})
    watched = Watched(page)
    try:
        page.goto(url)
        watched.explorer()
        _guess(watched, true)
        guessed = watched.picture(".draw-canvas")
        _correct(watched, guessed)
        _second_object(watched)
        drawn = watched.picture(".draw-canvas")
        page.screenshot(path=str(tmp_path / "mask.png"))
        page.locator("[data-do='save mask']").click()
        page.locator(".mask-command").wait_for()
        told = page.locator(".mask-command").text_content() or ""
        page.reload()
        watched.explorer()
        page.locator("[data-object='2']").wait_for()
        page.mouse.move(5, 5)
        assert watched.picture(".draw-canvas") == drawn, "a reload finds what was drawn"
        page.locator("[data-do='save frame']").click()
        page.get_by_text("written: frames-frame-0.png").wait_for()
        assert watched.errors == [] and watched.outside == []
    finally:
        page.close()
        _stopped(server)
    mask = read_mask(tmp_path / "first.png")
    assert set(np.unique(mask)) == {0, 1, 2} and names_in(tmp_path / "first.png") == {2: "corner"}
    assert overlap(mask == 1, true) > 0.8
    words = shlex.split(told)
    assert words[:4] == ["stremn", "segment", "frames", "--mask"]
    monkeypatch.chdir(tmp_path)
    assert main([*words[1:], "--size", "64"]) == 0
    assert len(list((tmp_path / words[-1] / "masks").glob("*.png"))) == 3


def _at(watched: Watched, x: float, y: float) -> tuple[float, float]:
    """A place of the canvas, as shares of the frame."""
    box = watched.page.locator(".draw-canvas").bounding_box()
    assert box is not None
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def _drag(watched: Watched, start: tuple[float, float], end: tuple[float, float]) -> None:
    mouse = watched.page.mouse
    mouse.move(*_at(watched, *start))
    mouse.down()
    mouse.move(*_at(watched, *end), steps=4)
    mouse.up()


def _guess(watched: Watched, true: np.ndarray) -> None:
    """A box around the object: the guess appears; a click on what is not the object changes it, undo takes it back."""
    page = watched.page
    empty = watched.picture(".draw-canvas")
    rows, columns = np.nonzero(true)
    page.locator("[data-tool=guess]").click()
    start = (columns.min() - 4) / true.shape[1], (rows.min() - 4) / true.shape[0]
    _drag(watched, start, ((columns.max() + 5) / true.shape[1], (rows.max() + 5) / true.shape[0]))
    watched.until("e.querySelector('[data-panel=draw]').dataset.guessed === '1'")
    assert watched.picture(".draw-canvas") != empty


def _correct(watched: Watched, guessed: str) -> None:
    """A stroke, undone and done again by keys, with the focus elsewhere; zoomed in and out."""
    page = watched.page
    page.locator("[data-tool=erase]").click()
    _drag(watched, (0.38, 0.72), (0.42, 0.72))
    page.locator("[data-tool=guess]").click()  # without the brush's circle
    corrected = watched.picture(".draw-canvas")
    assert corrected != guessed
    page.locator(".frames").focus()
    page.keyboard.press("Control+z")
    assert watched.picture(".draw-canvas") == guessed
    for keys, seen in (("Control+y", corrected), ("Control+z", guessed), ("Control+Shift+z", corrected)):
        page.keyboard.press(keys)
        assert watched.picture(".draw-canvas") == seen, keys
    page.mouse.move(*_at(watched, 0.5, 0.5))
    page.mouse.wheel(0, -600)
    watched.page.wait_for_timeout(200)
    zoomed = watched.picture(".draw-canvas")
    page.keyboard.down("Space")
    _drag(watched, (0.5, 0.5), (0.4, 0.4))
    page.keyboard.up("Space")
    assert len({zoomed, corrected, watched.picture(".draw-canvas")}) == 3
    page.locator("[data-do=fit]").click()
    page.mouse.move(5, 5)
    assert watched.picture(".draw-canvas") == corrected


def _second_object(watched: Watched) -> None:
    """A polygon that Enter closes, of an object with a name."""
    page = watched.page
    page.locator("[data-do='add object']").click()
    page.get_by_label("name of object 2").fill("corner")
    page.keyboard.press("Tab")
    page.locator("[data-tool=polygon]").click()
    before = watched.picture(".draw-canvas")
    for x, y in ((0.8, 0.1), (0.95, 0.1), (0.95, 0.3)):
        page.mouse.click(*_at(watched, x, y))
    page.keyboard.press("Enter")
    page.mouse.move(5, 5)
    assert watched.picture(".draw-canvas") != before
