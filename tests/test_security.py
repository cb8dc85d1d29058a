"""What the security page promises of the explorer and of texts in files; files themselves: ``test_fuzz.py``."""

import json
from pathlib import Path

import pandas as pd
import pytest
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine
from tornado.web import Application, RequestHandler

from stremn.errors import InputError
from stremn.explore import page as explorer_page
from stremn.explore.asked import STATIC
from stremn.explore.tracefile import open_trace
from stremn.explore.widget import Explorer
from stremn.memory import Trace, TraceStep
from stremn.report.page import Report, Section, Table

MARKUP = "<img src=x onerror=alert(1)>"
STEP = TraceStep(0, 0, 0, "append", [], [0], [0], None, [], None, None, None)


class Page(RequestHandler):
    """Stands for the page and its kernel."""


class Server:
    """What of Voila matters here."""

    def __init__(self) -> None:
        self.app = Application([(r".*", Page)])

    def listen(self) -> None:
        self.listens = True


@pytest.mark.parametrize(
    ("host", "answered"),
    [
        ("127.0.0.1:8866", True),
        ("localhost", True),
        ("LOCALHOST:1", True),
        ("evil.example:8866", False),
        ("127.0.0.1.evil.example", False),
        ("192.168.1.4", False),
    ],
)
def test_the_explorer_answers_to_this_machine_alone(host: str, answered: bool) -> None:
    server = explorer_page._local(Server)()
    server.listen()
    assert server.listens
    for path in ("/", "/api/kernels/1/channels", "/voila/static/a.js"):
        request = HTTPServerRequest(
            start_line=RequestStartLine("GET", path, "HTTP/1.1"), headers=HTTPHeaders({"Host": host})
        )
        request.connection = type("Connection", (), {"set_close_callback": lambda *_: None})()
        handler = server.app.find_handler(request)
        assert (handler.handler_class is Page) == answered
        assert answered or handler.handler_kwargs == {"status_code": 403}


def test_the_page_makes_no_markup_of_texts() -> None:
    for file in STATIC.glob("*.js"):
        text = file.read_text(encoding="utf-8")
        for way in (
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
        ):
            assert way not in text, f"{file.name}: {way}"


def test_texts_of_a_trace_stay_texts(tmp_path: Path) -> None:
    """They reach the browser as they are, in JSON, and the notebook of the page as one string of Python."""
    path = tmp_path / f"{MARKUP.replace('/', '')}.json"
    Trace([STEP], {"policy": MARKUP, "clip": MARKUP, "objects": [1]}).save(path)
    shown = Explorer(open_trace(path))
    try:
        assert shown._ask_hello({}, [])[0]["video"] == MARKUP
        assert shown._ask_runs({}, [])[0]["runs"][0]["name"] == f"{MARKUP} ({path.name})"
    finally:
        shown.close()
    (cell,) = explorer_page.page({"trace": "a')\nimport os\nos.system('x')#"}).cells
    assert len(cell.source.splitlines()) == 5, "a name cannot leave its string"


@pytest.mark.parametrize(
    "about",
    [
        {"height": 10**9},
        {"width": "wide"},
        {"objects": [[1]]},
        {"objects": list(range(2000))},
        {"policy": {}},
    ],
)
def test_what_a_trace_says_of_itself_is_checked(tmp_path: Path, about: dict) -> None:
    Trace([STEP], about).save(tmp_path / "t.json")
    with pytest.raises(InputError, match=next(iter(about))):
        open_trace(tmp_path / "t.json")


@pytest.mark.parametrize(
    "change",
    [
        {"frame": -1},
        {"held": [5]},
        {"held": [0, 0]},
        {"evicted_slot": 10**9},
        {"action": "x"},
        {"scores": [0.1] * 9},
        {"ages": "no"},
    ],
)
def test_steps_that_do_not_fit_together_are_refused(tmp_path: Path, change: dict) -> None:
    form = Trace([STEP], {}).to_dict()
    form["steps"][0] |= change
    (tmp_path / "t.json").write_text(json.dumps(form))
    with pytest.raises(InputError, match="expected complete steps") as told:
        Trace.load(tmp_path / "t.json")
    assert len(str(told.value).splitlines()) == 1


def test_a_frame_number_makes_no_list(tmp_path: Path) -> None:
    last = TraceStep(0, 0, 2**31 - 1, "skip", [0], [0], [0], None, [], None, None, None)
    Trace([STEP, last], {}).save(tmp_path / "t.json")
    with pytest.raises(InputError, match="without long gaps"):
        open_trace(tmp_path / "t.json")


def test_markup_in_names_is_escaped_in_the_report(tmp_path: Path) -> None:
    table = pd.DataFrame({MARKUP: [MARKUP]}, index=[MARKUP])
    picture = tmp_path / f"{MARKUP.replace('/', '')}.png"
    picture.write_bytes(b"PNG")
    report = Report(MARKUP, MARKUP, [Section(MARKUP, MARKUP, [Table(MARKUP, table, MARKUP)], [picture])])
    report.write_html(tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<img src=x" not in text and text.count("&lt;img src=x") >= 9
    report.write_markdown(tmp_path / "report.md")
    lines = (tmp_path / "report.md").read_text(encoding="utf-8").replace(f"![{picture.stem}]", "")
    assert "<img src=x" not in lines.replace("\\<img", "").replace(f"figures/1_{picture.name}", "")
