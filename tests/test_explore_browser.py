"""The explorer in a browser: as a page and in JupyterLab. Skipped where there is no browser."""

import contextlib
import json
import os
import queue
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlparse

import nbformat
import psutil
import pytest
import torch

from stremn.cli import main
from stremn.models.checkpoints import save_model
from stremn.models.predictor import VideoPredictor

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

BROWSER = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
ARGUMENTS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--no-first-run"),
]
LOCAL = {"127.0.0.1", "localhost", ""}
BEGUN = r"() => /\[[*\d]+\]:/.test(document.querySelector('.jp-NotebookPanel').innerText)"  # a cell runs
WAIT = 180_000  # milliseconds; a busy machine is slow to start a kernel

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium or google-chrome on this machine")


class Watched:
    """A browser page that remembers what went wrong, and what it asked other machines for."""

    def __init__(self, page: "sync_api.Page") -> None:
        self.page = page
        page.set_default_timeout(WAIT)
        self.errors: list[str] = []
        self.outside: list[str] = []
        page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self._seen(request.url))
        page.on("websocket", lambda socket: self._seen(socket.url))

    def _seen(self, url: str) -> None:
        if (urlparse(url).hostname or "") not in LOCAL:
            self.outside.append(url)

    def explorer(self) -> "sync_api.Locator":
        self.page.wait_for_selector(".stremn-explorer[data-ready=true]", timeout=WAIT)
        return self.page.locator(".stremn-explorer")

    def until(self, condition: str) -> None:
        """Wait for a JavaScript condition on the explorer's element ``e``."""
        self.page.wait_for_function(
            f"(() => {{ const e = document.querySelector('.stremn-explorer'); return {condition}; }})()",
            timeout=WAIT,
        )

    def picture(self, selector: str = ".stage-canvas") -> str:
        """What a canvas shows, as data."""
        return str(self.page.locator(selector).first.evaluate("c => c.toDataURL()"))


@pytest.fixture(scope="module")
def browser() -> Iterator["sync_api.Browser"]:
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=BROWSER, args=ARGUMENTS)
        yield running
        running.close()


def _started(command: list[str], folder: Path, pattern: str) -> tuple[subprocess.Popen[str], str, list[str]]:
    """A server, the address that it prints, and all lines that it prints: they are read, so that it never waits."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    server = subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        start_new_session=True,
    )
    lines: list[str] = []
    found: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        assert server.stdout is not None
        for line in server.stdout:
            lines.append(line)
            if match := re.search(pattern, line):
                found.put(match.group())
        found.put(None)

    threading.Thread(target=read, daemon=True).start()
    try:
        url = found.get(timeout=WAIT / 1000)
    except queue.Empty:
        url = None
    if url is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        raise AssertionError(f"no address in what the server said: {''.join(lines)}")
    return server, url, lines


def _stopped(server: subprocess.Popen[str]) -> None:
    os.killpg(server.pid, signal.SIGINT)
    try:
        server.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path, list[str]]]:
    """Address, folder and terminal of ``stremn explore``: the generated clip, a predictor that has learned nothing."""
    folder = tmp_path_factory.mktemp("page")
    torch.manual_seed(0)
    fields = {"base_width": 8, "max_width": 16, "blocks": 2, "halvings": 2, "key_dim": 8, "value_dim": 8}
    meta = {"system": "stremn", "task": "prediction", "fields": fields, "default_size": 32}
    save_model(folder / "predictor.safetensors", VideoPredictor(**fields), meta)  # type: ignore[arg-type]
    command = [sys.executable, "-m", "stremn.cli", "explore", "--no-browser", "--slots", "4"]
    command += ["--predictor", "predictor.safetensors"]
    server, url, lines = _started(command, folder, r"http://\S+token=\w+")
    yield url, folder, lines
    _stopped(server)


@pytest.fixture(scope="module")
def address(served: tuple[str, Path, list[str]]) -> str:
    """Of the page."""
    return served[0]


@pytest.fixture(scope="module")
def opened(browser: "sync_api.Browser", address: str) -> Iterator[Watched]:
    """The page with the original run done; the tests go on from each other's state."""
    page = browser.new_page(viewport={"width": 1360, "height": 1100})
    watched = Watched(page)
    page.goto(address)
    watched.explorer()
    watched.until("e.querySelector('header option').textContent === 'original'")  # all frames are done
    yield watched
    page.close()


def test_the_page_needs_its_token(browser: "sync_api.Browser", address: str) -> None:
    page = browser.new_page()
    page.goto(address.split("?")[0], wait_until="networkidle")
    assert page.locator(".stremn-explorer").count() == 0
    assert "token" in page.content().lower() or "login" in page.url
    page.close()
    assert urlparse(address).hostname == "127.0.0.1"


def test_scrub_and_step(opened: Watched) -> None:
    canvas = opened.page.locator(".timeline-canvas")
    box = canvas.bounding_box()
    assert box is not None
    opened.page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 60)
    opened.until("Number(e.dataset.shown) > 20")
    before = int(opened.explorer().get_attribute("data-shown") or 0)
    canvas.focus()
    opened.page.keyboard.press("ArrowRight")
    opened.until(f"e.dataset.shown == '{before + 1}'")
    opened.page.keyboard.press("ArrowLeft")
    opened.until(f"e.dataset.shown == '{before}'")
    assert opened.page.locator(".slot").count() == 4
    assert opened.page.locator(".slot.next").count() == 1
    assert canvas.get_attribute("aria-valuenow") == str(before)


def test_play_and_pause(opened: Watched) -> None:
    page = opened.page
    before = int(opened.explorer().get_attribute("data-shown") or 0)
    page.get_by_label("frames per second").select_option("20")
    page.locator(".timeline-canvas").focus()
    page.keyboard.press("Space")
    opened.until(f"Number(e.dataset.shown) >= {before + 2}")
    page.get_by_label("pause").click()
    opened.until("e.dataset.shown === e.querySelector('.timeline-canvas').getAttribute('aria-valuenow')")
    stopped = int(opened.explorer().get_attribute("data-shown") or 0)
    page.locator(".timeline-canvas").focus()
    for _ in range(5):  # while it played, some of these would end at another frame
        page.keyboard.press("ArrowLeft")
        opened.until(f"e.dataset.shown == '{stopped - 1}'")
        page.keyboard.press("ArrowRight")
        opened.until(f"e.dataset.shown == '{stopped}'")
    assert opened.explorer().get_attribute("data-shown") == str(stopped)


def test_a_click_changes_the_heat_maps(opened: Watched) -> None:
    plain = opened.picture(".slot-canvas")
    seen = {plain}
    shares = set()
    for x, y in ((0.3, 0.3), (0.7, 0.6)):
        before = opened.explorer().get_attribute("data-pixel") or ""
        box = opened.page.locator(".stage-canvas").first.bounding_box()
        assert box is not None
        opened.page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
        opened.until(f"(e.dataset.pixel || '') !== '{before}'")
        column, row = map(int, str(opened.explorer().get_attribute("data-pixel")).split(","))
        assert (column, row) == (pytest.approx(192 * x, abs=2), pytest.approx(192 * y, abs=2))
        seen.add(opened.picture(".slot-canvas"))
        shares.add(opened.page.locator(".slot-grid").first.get_attribute("data-heat"))
    assert len(seen) == 3 and len(shares) == 2
    for share in shares:
        assert sum(map(float, str(share).split())) == pytest.approx(1, abs=1e-4)


def test_a_what_if_changes_masks_and_j(opened: Watched) -> None:
    opened.page.locator(".timeline-canvas").focus()
    opened.page.keyboard.press("Home")
    opened.until("e.dataset.shown == '0'")
    for _ in range(3):
        opened.page.keyboard.press("ArrowRight")
    opened.until("e.dataset.shown == '3'")
    opened.page.get_by_label("rule from here on").select_option("first")
    opened.page.locator("[data-do=rule]").click()
    opened.until("e.querySelector('.status').textContent.includes('First frame only from frame 3: done')")
    opened.page.locator(".timeline-canvas").focus()
    opened.page.keyboard.press("End")
    opened.until("e.dataset.shown == '59'")
    opened.until("e.querySelectorAll('.result')[0].textContent.includes('difference')")
    assert opened.picture(".side .stage-canvas") != opened.picture(".beside .stage-canvas")
    text = opened.page.locator(".result").first.text_content() or ""
    one, other = re.findall(r"(\d\.\d+) \(", text)
    assert one != other
    assert opened.page.locator(".beside .slot").count() == 3  # frames 0, 1 and 2, and no other after them


def test_a_race_of_chosen_rules_is_stopped(opened: Watched) -> None:
    page = opened.page
    page.get_by_role("tab", name="Race").click()
    assert page.locator("[data-rule]").count() >= 10
    page.get_by_role("button", name="none", exact=True).click()
    for rule in ("learned", "oldest", "newest", "most_similar"):
        page.locator(f"[data-rule={rule}]").check()
    page.locator("[data-do=race]").click()
    opened.until("e.querySelectorAll('tbody tr').length === 4")
    assert page.locator("tbody tr[data-run='0']").count() == 1  # the original is the learned one
    opened.until("e.querySelector('[data-panel=race] .status').textContent.includes('left')")
    page.locator("[data-do=stop-race]").click()
    opened.until("e.querySelector('[data-panel=race] .status').textContent.includes('rules: stopped')")
    rows = page.locator("tbody").text_content() or ""
    assert "stopped: " in rows and "not run" in rows
    assert "stopped after" in (page.locator("header .status").text_content() or "")


def test_a_correction_goes_on_and_is_taken_along(
    opened: Watched, served: tuple[str, Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = opened.page
    page.get_by_label("run", exact=True).select_option("0")
    page.locator(".timeline-canvas").focus()
    page.keyboard.press("Home")
    for _ in range(2):
        page.keyboard.press("PageDown")
    opened.until("e.dataset.shown == '20'")
    page.locator("[data-do=correct]").click()
    canvas = page.locator(".draw-canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    before = opened.picture(".draw-canvas")
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.2 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 0.3 * box["height"], steps=4)
    page.mouse.up()
    assert opened.picture(".draw-canvas") != before
    page.locator("[data-do=segment]").click()
    opened.until("e.querySelector('header .status').textContent.includes('frame 20 corrected: done')")
    page.get_by_role("tab", name="Take along").click()
    opened.until("e.querySelector('.command').textContent.includes('--mask 20:')")
    page.locator("[data-kind=matte]").check()
    page.get_by_label("folder for the results").fill("results/mine")
    page.locator("[data-do=save]").click()
    opened.until("(e.querySelector('[data-panel=take]').dataset.saved || '').endsWith('mine')")
    out = served[1] / "results" / "mine"
    assert len(list((out / "masks").glob("*.png"))) == len(list((out / "matte").glob("*.png"))) == 60
    with page.expect_download() as loaded:
        page.locator("[data-do=download]").click()
    with zipfile.ZipFile(loaded.value.path()) as archive:
        for path in (out / "masks").glob("*.png"):
            assert archive.read(f"mine/masks/{path.name}") == path.read_bytes()
    words = shlex.split(json.loads((out / "settings.json").read_text())["run"]["command"])
    assert words[words.index("20:given/20.png") - 1] == "--mask"
    monkeypatch.chdir(out)
    assert main(words[1:]) == 0
    for path in (out / "masks").glob("*.png"):
        assert (out / "again" / "masks" / path.name).read_bytes() == path.read_bytes()


def test_a_drawn_mask_is_segmented(opened: Watched) -> None:
    page = opened.page
    page.get_by_role("tab", name="Draw a mask").click()
    page.locator(".timeline-canvas").focus()
    page.keyboard.press("Home")
    opened.until("e.dataset.shown == '0'")
    opened.until("e.querySelector('[data-panel=draw]').dataset.frame === '0'")
    canvas = page.locator(".draw-canvas")

    def place(x: float, y: float) -> tuple[float, float]:
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        assert box is not None
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    empty = opened.picture(".draw-canvas")
    page.mouse.move(*place(0.4, 0.4))
    page.mouse.down()
    page.mouse.move(*place(0.6, 0.45), steps=4)
    page.mouse.up()
    brushed = opened.picture(".draw-canvas")
    page.locator("[data-tool=polygon]").click()
    page.locator("[data-do='add object']").click()
    for x, y in ((0.1, 0.1), (0.3, 0.1), (0.2, 0.3), (0.1, 0.1)):
        page.mouse.click(*place(x, y))
    drawn = opened.picture(".draw-canvas")
    page.locator("[data-tool=fill]").click()
    page.locator("[data-do='add object']").click()
    page.mouse.click(*place(0.9, 0.9))
    filled = opened.picture(".draw-canvas")
    page.locator("[data-do=undo]").click()
    assert opened.picture(".draw-canvas") == drawn
    assert len({empty, brushed, drawn, filled}) == 4
    page.locator("[data-do=segment]").click()
    opened.until("e.querySelector('.status').textContent.includes('drawn mask 1: done')")
    page.locator(".timeline-canvas").focus()
    page.keyboard.press("ArrowRight")
    opened.until("e.dataset.shown == '1'")
    assert "drawn mask 1" in (page.locator(".stage figcaption").first.text_content() or "")


def _prediction(opened: Watched, frame: int) -> dict[str, str]:
    """Scrub to a frame of the prediction; what is seen there: pictures, facts, slots."""
    chart = opened.page.locator(".prediction-chart")
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    assert box is not None
    left, right = 62, box["width"] - 10  # the chart's axis, see prediction.js
    opened.page.mouse.click(box["x"] + left + (frame + 0.5) / 30 * (right - left), box["y"] + 50)
    opened.until(f"e.querySelector('[data-panel=prediction]').dataset.shown == '{frame}'")
    panel = opened.page.locator("[data-panel=prediction]")
    names = ("truth", "predicted", "error")
    seen = {name: opened.picture(f"[data-picture={name}]") for name in names}
    seen["facts"] = panel.locator(".result").text_content() or ""
    seen["slots"] = " ".join(panel.locator(".slot").all_text_contents())
    pictures = panel.locator(".slot-canvas").evaluate_all("all => all.map(c => c.toDataURL())")
    return seen | {"kept": " ".join(pictures)}


def test_a_prediction_is_scrubbed(opened: Watched) -> None:
    opened.page.get_by_role("tab", name="Prediction").click()
    opened.until("e.querySelector('[data-panel=prediction]').dataset.shown == '10'")  # the first alone
    seen = {frame: _prediction(opened, frame) for frame in (0, 6, 12, 25)}
    assert "observed" in seen[6]["facts"] and "alone, 3 of 20" in seen[12]["facts"]
    assert seen[0]["slots"] == "" and seen[0]["predicted"] == seen[0]["error"]  # both are empty
    for name in ("truth", "predicted", "error", "facts"):
        assert len({seen[frame][name] for frame in seen}) == 4, name
    for name in ("slots", "kept"):
        assert len({seen[frame][name] for frame in (6, 12, 25)}) == 3, name
    assert "observed frame" in seen[6]["slots"] and "own prediction" in seen[25]["slots"]
    assert len({seen[12][name] for name in ("truth", "predicted", "error")}) == 3
    opened.page.locator(".prediction-chart").focus()
    opened.page.keyboard.press("ArrowRight")
    opened.until("e.querySelector('[data-panel=prediction]').dataset.shown == '26'")
    opened.page.get_by_label("play the prediction").click()
    opened.until("e.querySelector('[data-panel=prediction]').dataset.shown == '28'")
    opened.page.get_by_label("pause the prediction").click()


def _kernels() -> list[int]:
    """The kernels of the servers that were started here."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # one that has just ended
            if "ipykernel_launcher" in " ".join(child.cmdline()):
                found.append(child.pid)
    return found


def test_a_second_tab_and_a_reload_find_the_session_and_leave_no_kernel(
    opened: Watched, browser: "sync_api.Browser", address: str
) -> None:
    kernels = _kernels()
    runs = opened.page.get_by_label("run", exact=True).inner_text()
    assert len(kernels) == 1 and "drawn mask 1" in runs
    second = Watched(browser.new_page(viewport={"width": 1360, "height": 1100}))
    second.page.goto(address)
    second.explorer()
    assert second.page.get_by_label("run", exact=True).inner_text() == runs
    second.page.get_by_role("tab", name="Draw a mask").click()
    second.until("e.querySelectorAll('[data-object]').length >= 2")  # what the first tab drew
    second.page.reload()
    second.explorer()
    assert second.page.get_by_label("run", exact=True).inner_text() == runs
    assert _kernels() == kernels
    second.page.close()
    opened.page.get_by_role("tab", name="What if").click()
    opened.until("e.querySelector('[data-panel=whatif]').hidden === false")  # it goes on
    assert _kernels() == kernels and second.errors == []


def test_nothing_went_wrong_and_nothing_left_the_machine(opened: Watched) -> None:
    """The last of the page's tests: it looks at what all of them did."""
    assert opened.errors == []
    assert opened.outside == []


def test_the_terminal_shows_the_address_and_nothing_that_frightens(
    opened: Watched, served: tuple[str, Path, list[str]]
) -> None:
    address, _, lines = served
    assert lines == [f"explorer: {address}\n", "Ctrl-C stops it.\n"]


def test_the_same_notebook_in_jupyterlab(browser: "sync_api.Browser", root: Path, tmp_path: Path) -> None:
    book = nbformat.read(root / "notebooks" / "explore" / "memory.ipynb", 4)
    nbformat.write(book, tmp_path / "memory.ipynb")
    settings = [
        "--no-browser",
        "--allow-root",
        "--IdentityProvider.token=t0ken",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.root_dir={tmp_path}",
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.extension_manager=readonly",
    ]
    command = [sys.executable, "-m", "jupyterlab", *settings]
    server, url, _ = _started(command, tmp_path, r"http://127\.0\.0\.1:\d+/lab")
    page = browser.new_page(viewport={"width": 1500, "height": 1100})
    watched = Watched(page)
    try:
        page.goto(f"{url}/tree/memory.ipynb?token=t0ken&reset")
        page.wait_for_selector(".jp-NotebookPanel .jp-Cell", timeout=WAIT)
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=WAIT)
        for _ in range(20):  # a kernel that has just been connected may pass over the wish
            if page.locator(".jp-Dialog").count():
                page.get_by_role("button", name="Select", exact=True).click()
            page.get_by_role("menuitem", name="Run").first.click()
            page.get_by_text("Run All Cells", exact=True).click()
            with contextlib.suppress(sync_api.TimeoutError):
                page.wait_for_function(BEGUN, timeout=1500)
                break
        explorer = watched.explorer()
        explorer.scroll_into_view_if_needed()
        watched.until("e.querySelector('header option').textContent === 'original'")  # all frames are done
        page.locator(".timeline-canvas").focus()
        page.keyboard.press("End")
        watched.until("e.dataset.shown == '59'")
        page.locator(".stage-canvas").first.click(position={"x": 60, "y": 60})
        watched.until("e.dataset.pixel !== ''")
        assert page.locator(".slot").count() == 6
        assert watched.outside == []
        assert [e for e in watched.errors if "stremn" in e.lower() or "widget" in e.lower()] == []
    finally:
        page.close()
        _stopped(server)
