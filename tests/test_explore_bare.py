"""The widget in a browser without Jupyter: its script on an empty page, its questions answered from here. Quick."""

import base64
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stremn.data.clips import write_mask
from stremn.explore.asked import STATIC
from stremn.explore.open import explorer
from stremn.explore.session import Session
from stremn.explore.widget import Explorer
from stremn.memory import make_policy
from stremn.models.checkpoints import save_model
from test_explore import LENGTH, META, clip, network, session

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

__all__ = ["clip", "network"]
BROWSER = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium or google-chrome on this machine")
WAIT = 180  # seconds; a busy machine is slow

MODEL = """
const listeners = [];
const text = (buffer) => Array.from(new Uint8Array(buffer.buffer ?? buffer), (c) => String.fromCharCode(c)).join("");
const bytes = (data) => new DataView(Uint8Array.from(atob(data), (c) => c.charCodeAt(0)).buffer);
window.open_questions = new Set();
window.model = {
  on: (_, listener) => listeners.push(listener),
  off: () => {},
  send: (content, _, buffers) => {
    window.open_questions.add(`${content.view} ${content.number}`);
    window.asked(JSON.stringify(content), (buffers ?? []).map((b) => btoa(text(b))));
  },
};
window.receive = (content, buffers) => {
  const { view, answer } = JSON.parse(content);
  window.open_questions.delete(`${view} ${answer}`);
  listeners.forEach((listener) => listener(JSON.parse(content), buffers.map(bytes)));
};
"""


class Bare:
    """A page with the widget alone."""

    def __init__(self, browser: "sync_api.Browser", widget: Any, width: int = 1280) -> None:
        self.widget, self.errors, self.out = widget, [], []  # type: ignore[var-annotated]
        others = vars(widget).get("send", lambda *_: None)  # tabs that are open already

        def send(content: Any, buffers: Any = None) -> None:
            others(content, buffers)
            self.out.append((content, buffers or []))

        widget.send = send
        self.page = browser.new_page(viewport={"width": width, "height": 900})
        self.page.set_default_timeout(1000 * WAIT)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.expose_function("asked", self._asked)
        css = (STATIC / "explorer.css").read_text(encoding="utf-8")
        empty = f"<!doctype html><style>body {{ margin: 0 }} {css}</style><div id='place'></div>"
        self.page.route(
            "http://bare.test/", lambda route: route.fulfill(body=empty, content_type="text/html")
        )
        self.page.goto("http://bare.test/")
        self.page.add_script_tag(content=MODEL)
        begin = "shown.render({ model: window.model, el: document.getElementById('place') });"
        module = str(widget._esm).replace("export default", "const shown =") + begin
        self.page.add_script_tag(content=module, type="module")
        self.until("e?.dataset.ready === 'true'")

    def _asked(self, content: str, buffers: list[str]) -> None:
        self.widget._asked(None, json.loads(content), [base64.b64decode(b) for b in buffers])

    def until(self, condition: str) -> None:
        """Answer the page until a JavaScript condition on the explorer's element ``e`` holds."""
        end = time.monotonic() + WAIT
        test = f"(() => {{ const e = document.querySelector('.stremn-explorer'); return Boolean({condition}); }})()"
        self._deliver()
        while not self.page.evaluate(test):
            assert time.monotonic() < end and not self.errors, (
                condition,
                self.errors,
                self.page.inner_text("header"),
            )
            self._deliver()
            self.page.wait_for_timeout(20)

    def _deliver(self) -> None:
        while self.out:
            content, buffers = self.out.pop(0)
            packed = [base64.b64encode(bytes(b)).decode() for b in buffers]
            self.page.evaluate("([c, b]) => window.receive(c, b)", [json.dumps(content), packed])

    def answered(self) -> None:
        """Until all that the page asked is answered."""
        self.until("window.open_questions.size === 0")

    def at(self, frame: int) -> None:
        """Go to a frame."""
        self.page.locator(".timeline-canvas").focus()
        self.page.keyboard.press("Home")
        for _ in range(frame):
            self.page.keyboard.press("ArrowRight")
        self.until(f"e.dataset.shown === '{frame}'")


@pytest.fixture(scope="module")
def browser() -> Iterator["sync_api.Browser"]:
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=BROWSER, args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        yield running
        running.close()


@pytest.fixture
def bare(browser: Any, network: Any, clip: Any) -> Iterator[Bare]:
    """With truth and the learned rule, its run done."""
    widget = Explorer(session(network, clip, size=32))
    widget.wait()
    shown = Bare(browser, widget)
    yield shown
    widget.wait()
    assert shown.errors == []
    shown.page.close()


def test_scores_are_told_apart_and_frame_0_explains_itself(bare: Bare) -> None:
    bare.until("e.querySelector('.stage .note').textContent.includes('given')")
    assert "processed at 32 pixels" in (bare.page.locator(".stage .note").first.text_content() or "")
    bare.at(9)
    assert not bare.page.locator(".stage .note").first.is_visible()
    scores = bare.page.locator(".slot .score").all_text_contents()
    assert len(scores) == 3 and all("(" in score for score in scores)
    assert "(highest)" in (bare.page.locator(".slot.next .score").text_content() or "")


def test_a_change_that_changes_nothing_says_so(bare: Bare) -> None:
    bare.at(9)
    bare.page.locator("[data-do=rule]").click()
    bare.until("e.querySelector('.status.problem')?.textContent.includes('equal in every mask')")
    assert "equal in every mask" in (bare.page.locator(".result").first.text_content() or "")
    assert len(bare.widget.session.runs) == 1
    bare.at(LENGTH - 1)
    bare.page.get_by_label("rule from here on").select_option("oldest")
    bare.page.locator("[data-do=rule]").click()
    bare.until("e.querySelector('.result').textContent.includes('the same masks')")


def test_the_tour_has_five_steps_and_is_offered_once(bare: Bare) -> None:
    page = bare.page
    assert page.locator(".offer").is_visible()
    page.locator("[data-tour=start]").click()
    seen = set()
    for step in range(5):
        assert page.locator(".tour .note").text_content() == f"{step + 1} of 5"
        assert page.locator(".toured").count() == 1
        seen.add(page.locator(".tour p").text_content())
        page.locator("[data-tour=next]").click()
    assert len(seen) == 5 and not page.locator(".tour").is_visible() and page.locator(".toured").count() == 0
    assert not page.locator(".offer").is_visible()
    page.locator("[data-do=tour]").click()
    assert page.locator(".tour").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator(".tour").is_visible()
    page.locator("[data-do=help]").click()
    words = page.locator(".help").text_content() or ""
    assert all(word in words for word in ("Score", "Protected", "Read share", "Zoom", "Keyboard"))


def test_slow_playing_is_told(bare: Bare) -> None:
    answer = bare.widget._asks["view"]
    bare.widget._asks["view"] = lambda *asked: (time.sleep(0.15), answer(*asked))[1]
    bare.until("e.dataset.shown === '0'")
    bare.page.get_by_label("frames per second").select_option("20")
    bare.page.get_by_label("play", exact=True).click()
    bare.until("e.textContent.includes('plays slower: ')")


def test_pictures_side_by_side_keep_a_useful_size(bare: Bare) -> None:
    bare.at(9)
    bare.page.get_by_label("rule from here on").select_option("oldest")
    bare.page.locator("[data-do=rule]").click()
    bare.until("e.classList.contains('two') && Number(e.dataset.shown) === 9")
    for width, least in ((1280, 400), (390, 340)):
        bare.page.set_viewport_size({"width": width, "height": 900})
        for name in (".side:not(.beside) .stage-canvas", ".beside .stage-canvas"):
            box = bare.page.locator(name).bounding_box()
            assert box is not None and box["width"] >= least and box["x"] + box["width"] <= width
            assert box["width"] / box["height"] == pytest.approx(56 / 40, abs=0.03)
        assert bare.page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_race_without_truth_shows_no_empty_charts(browser: Any, network: Any, clip: Any) -> None:
    looked = Session(
        network, clip[0], make_policy("learned", slots=3), given={0: clip[1][0]}, meta=META, size=32
    )
    widget = Explorer(looked)
    widget.wait()
    bare = Bare(browser, widget)
    page = bare.page
    page.get_by_role("tab", name="Race").click()
    page.get_by_role("button", name="none", exact=True).click()
    page.locator("[data-rule=learned]").check()
    page.locator("[data-rule=oldest]").check()
    page.locator("[data-do=race]").click()
    bare.until(
        "e.querySelector('[data-panel=race] .status').textContent === '2 of 2 rules: done, 100 % of all frames'"
    )
    assert not page.locator(".race-canvas").is_visible()
    assert "J" not in page.locator("[data-panel=race] thead").inner_text().replace("JPEG", "")
    cells = page.locator("[data-panel=race] tbody td").all_text_contents()
    assert "–" not in cells and "Learned" in cells[1] and "original" in cells[1]
    assert len(looked.runs) == 2 and bare.errors == []
    assert page.locator("[data-do=stop-race]").is_hidden()
    page.close()


def test_a_stopped_run_says_so_and_goes_on(browser: Any, network: Any, clip: Any) -> None:
    looked = Session(
        network,
        np.tile(clip[0], (80, 1, 1, 1)),  # too long to end before it is stopped
        make_policy("oldest", slots=3),
        given={0: clip[1][0]},
        meta=META,
    )
    looked.start()
    for frame in looked.steps(looked.runs[0]):
        if frame == 5:
            break
    step = looked.engine.step
    looked.engine.step = lambda *a: (time.sleep(0.2), step(*a))[1]  # type: ignore[method-assign]
    bare = Bare(browser, Explorer(looked))
    assert "stopped: 6 frames" in (bare.page.get_by_label("run", exact=True).text_content() or "")
    bare.page.get_by_role("button", name="go on").click()
    bare.until("e.querySelector('.status').textContent.includes('original: frame')")
    bare.page.get_by_role("button", name="stop").first.click()
    bare.until("e.querySelector('.status').textContent.includes('original: stopped after')")
    assert 6 < looked.runs[0].done < 80 * LENGTH and bare.errors == []
    bare.page.close()


def test_another_video_is_opened_from_the_page(browser: Any, network: Any, clip: Any, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / "here" / name).mkdir(parents=True)
        for number, frame in enumerate(clip[0][:4]):
            Image.fromarray(frame).save(tmp_path / "here" / name / f"{number}.png")
    write_mask(tmp_path / "here" / "two.png", clip[1][0])
    write_mask(tmp_path / "outside.png", clip[1][0])
    save_model(tmp_path / "here" / "net.safetensors", network, META)
    folder = tmp_path / "here"
    widget = explorer(folder / "one", folder=folder, checkpoint=folder / "net.safetensors", slots=3)
    bare, other = Bare(browser, widget), Bare(browser, widget)
    page = bare.page
    page.locator(".opening summary").click()
    bare.until("e.querySelector('.opening [name=video]').value === 'one'")
    bare.until(
        "[...e.querySelectorAll('datalist option')].map((o) => o.value).join() === 'one/,two/,net.safetensors,two.png'"
    )
    page.locator(".opening [name=video]").fill("two")
    page.locator(".opening [name=mask]").fill("../outside.png")
    page.locator("[data-do=open]").click()
    bare.until("e.querySelector('.opening .problem').textContent.includes('where the command was started')")
    assert widget.session.pictures.name == "one"
    page.locator(".opening [name=mask]").fill("two.png")
    page.locator(".opening [name=slots]").fill("2")
    page.locator("[data-do=open]").click()
    for tab in (bare, other):
        tab.until("e.querySelector('[aria-label=run] option')?.textContent === 'original'")
        assert tab.errors == []
        tab.page.close()
    run = widget.session.runs[0]
    assert widget.session.pictures.name == "two" and run.done == 4 and run.policy.slots == 2  # type: ignore[union-attr]


def test_enter_closes_a_polygon_and_ctrl_z_takes_it_back(bare: Bare) -> None:
    page = bare.page
    page.get_by_role("tab", name="Draw a mask").click()
    bare.until("e.querySelector('[data-panel=draw]').dataset.frame === '0'")
    canvas = page.locator(".draw-canvas")
    box = canvas.bounding_box()
    assert box is not None and box["y"] >= 0 and box["y"] + box["height"] <= 900, "it is in view"
    page.locator("[data-tool=polygon]").click()
    for x, y in ((0.1, 0.1), (0.4, 0.1), (0.4, 0.5)):
        page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
    page.keyboard.press("Enter")
    bare.until("e.querySelector('[data-do=undo]').disabled === false")
    assert bare.widget.drawing.drawn()[0].sum() > 50
    page.locator(".timeline-canvas").focus()
    page.keyboard.press("Control+z")
    bare.until("e.querySelector('[data-do=undo]').disabled === true")
    bare.answered()
    assert not bare.widget.drawing.drawn()


def test_a_new_name_alone_does_not_make_a_mask_new(bare: Bare) -> None:
    page = bare.page
    page.get_by_role("tab", name="Draw a mask").click()
    bare.until("e.querySelector('[data-panel=draw]').dataset.frame === '0'")
    page.get_by_label("name of object 1").fill("dog")
    page.keyboard.press("Tab")
    bare.answered()
    assert bare.widget.drawing.names == {1: "dog"}
    page.locator("[data-do=segment]").click()
    bare.until("e.querySelector('[data-panel=draw]').textContent.includes('Draw an object first.')")
    bare.at(6)
    bare.until("e.querySelector('[data-panel=draw]').dataset.frame === '6'")
    page.locator("[data-do='from run']").click()
    bare.until("e.querySelector('[data-do=undo]').disabled === false")
    page.locator("[data-do=segment]").click()
    bare.until("e.querySelector('[aria-label=run]').options.length === 2")
    assert bare.widget.session.runs[1].start == 6
