"""The explorer: corrections that go on, and what is taken along of a run."""

import io
import json
import shlex
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stremn.cli import main
from stremn.errors import InputError
from stremn.explore.masks import first_seen
from stremn.explore.results import KINDS, place_in, save_run
from stremn.explore.session import Session
from stremn.explore.tracefile import open_trace
from stremn.explore.widget import Explorer
from stremn.inference.settings import StreamSettings
from stremn.inference.stream import Stream
from stremn.memory import Trace, make_policy
from stremn.models.checkpoints import save_model
from stremn.models.stremn import STReMN
from stremn.segmenting.video_writer import VideoWriter
from test_explore import LENGTH, META, Asker, clip, network, same, session

__all__ = ["clip", "network"]


def drawn(*boxes: tuple[int, int, int]) -> np.ndarray:
    """A mask (40, 56) of boxes (id, row, column) of 12 pixels."""
    ids = np.zeros((40, 56), np.uint8)
    for number, row, column in boxes:
        ids[row : row + 12, column : column + 12] = number
    return ids


# --- correct and continue


@pytest.mark.parametrize("rule", ["learned", "random_drop", "every_n"])
def test_a_correction_is_a_mask_given_there(network: STReMN, clip: Any, rule: str) -> None:
    looked = session(network, clip, rule)
    run = looked.run()
    before = [run.masks[t].copy() for t in range(LENGTH)]  # type: ignore[index]
    other = looked.corrected(run, {9: drawn((1, 5, 5), (3, 25, 30))})  # object 3 is new
    assert (other.start, other.done) == (9, 9)
    for _ in looked.steps(other):
        pass
    assert other.given is not None and list(other.given.masks) == [0, 4, 9] and other.objects == [1, 2, 3]
    stream = Stream(network, make_policy(rule, slots=3, every=3), META, StreamSettings())
    for t, frame in enumerate(clip[0]):
        assert (stream.ids(stream.step(frame, other.given.masks.get(t))) == other.masks[t]).all()  # type: ignore[index]
    assert stream.trace is not None and stream.trace.steps == other.trace.steps
    assert all((run.masks[t] == before[t]).all() for t in range(LENGTH))  # type: ignore[index]
    assert not all((other.masks[t] == before[t]).all() for t in range(9, LENGTH))  # type: ignore[index]
    assert (
        looked.heat(run, 12, 20, 20).share and looked.heat(other, 12, 20, 20).share
    )  # both can be looked into
    again = looked.corrected(other, {11: drawn((2, 20, 5))})
    assert again.given is not None and list(again.given.masks) == [0, 4, 9, 11] and again.parent is other
    with pytest.raises(InputError, match="not given already"):
        looked.corrected(other, {9: drawn((1, 5, 5), (3, 25, 30))})


def test_a_run_that_is_corrected_before_its_end_goes_on(network: STReMN, clip: Any) -> None:
    looked = session(network, clip)
    run = looked.start()
    for frame in looked.steps(run):
        if frame == 5:
            break
    later = looked.corrected(run, {8: drawn((1, 5, 5))})  # behind what is done
    assert later.start == 6
    for _ in looked.steps(later):
        pass
    whole = looked.corrected(looked.run(), {8: drawn((1, 5, 5))})
    for _ in looked.steps(whole):
        pass
    assert same(later, whole)
    for _ in looked.steps(run):  # the one that was stopped, too
        pass
    assert same(run, looked.runs[2])


def test_the_widget_corrects_and_goes_on(network: STReMN, clip: Any) -> None:
    widget = Explorer(session(network, clip))
    widget.wait()
    ask = Asker(widget)
    answer, _ = ask("segment", [drawn((1, 8, 8)).tobytes()], run=0, frames=[7])
    widget.wait()
    listed = ask("runs")[0]["runs"]
    assert answer["made"] == 1 and listed[1]["given"] == [0, 4, 7] and listed[1]["done"] == LENGTH
    assert listed[1]["start"] == 7 and listed[0]["given"] == [0, 4]
    assert "problem" in ask("segment", [drawn((1, 8, 8)).tobytes()], run=1, frames=[7])[0]
    race, _ = ask("race", run=1, rules=["learned", "oldest"])
    widget.wait()
    assert race["made"] == [1, 2]  # the learned one is there already
    assert widget.session.runs[2].given is widget.session.runs[1].given


def test_a_new_mask_of_frame_0_keeps_those_drawn_on_later_frames(network: STReMN, clip: Any) -> None:
    widget = Explorer(Session(network, clip[0], make_policy("learned", slots=3), meta=META))
    ask = Asker(widget)
    first, later = drawn((1, 5, 5)), drawn((2, 20, 20))
    for frame, ids in ((0, first), (4, later)):
        ask("drawn", [ids.tobytes()], frame=frame, names={})
    ask("segment", [first.tobytes(), later.tobytes()], frames=[0, 4])
    first = drawn((1, 8, 8))
    ask("drawn", [first.tobytes()], frame=0, names={})
    made = ask("segment", [first.tobytes()], frames=[0])[0]["made"]
    widget.wait()
    given = widget.session.runs[made].given
    assert given is not None and list(given.masks) == [0, 4]
    assert (given.masks[0] == first).all() and (given.masks[4] == later).all()


# --- runs that are there already, and runs that were stopped


def test_a_race_does_not_run_again_what_is_there(network: STReMN, clip: Any) -> None:
    looked = session(network, clip)
    original = looked.run()
    changed = looked.what_if(original, 5, rule="oldest")
    runs = looked.racers(["learned", "oldest"])
    assert runs[0] is original and runs[1] is not changed and len(looked.runs) == 3
    assert looked.racers(["learned"], slots=4)[0] is not original


def test_a_change_that_changes_nothing_is_told(network: STReMN, clip: Any) -> None:
    looked = session(network, clip, "learned")
    run = looked.run()
    held = run.step(8).held_before
    for change in ({"rule": "learned"}, {"slots": 3}, {"freeze": held.index(0)}, {"swap": (1, held[1])}):
        with pytest.raises(InputError, match="equal in every mask"):
            looked.what_if(run, 8, **change)
    assert looked.runs == [run]


def test_equal_runs_say_so_and_stopped_ones_go_on(network: STReMN, clip: Any) -> None:
    widget = Explorer(session(network, clip))
    ask = Asker(widget)
    ask("stop")
    widget.wait()
    stopped = ask("runs")[0]["runs"][0]
    assert stopped["done"] == LENGTH or stopped["state"] == "stopped"
    ask("resume", run=0)
    widget.wait()
    ask("change", run=0, frame=8, freeze=1)
    ask("change", run=0, frame=LENGTH - 1, rule="oldest")  # too late to be seen
    widget.wait()
    listed = ask("runs")[0]["runs"]
    assert [run["state"] for run in listed] == ["done"] * 3 and listed[0]["equal"] is None
    assert listed[2]["equal"] == 0
    assert same(widget.session.runs[0], session(network, clip).run())


# --- what is taken along


@pytest.fixture
def opened(network: STReMN, clip: Any, tmp_path: Path) -> Session:
    """A session of a video file, with its run, a correction and a changed run."""
    with VideoWriter(tmp_path / "a video.mp4", 10) as video:
        for frame in clip[0]:
            video.write(frame)
    save_model(tmp_path / "net.safetensors", network, META)
    settings = {"checkpoint": tmp_path / "net.safetensors", "policy": "oldest", "slots": 4, "size": 32}
    made = Session.open(tmp_path / "a video.mp4", first_seen(clip[1])[0], **settings)  # type: ignore[arg-type]
    run = made.run()
    other = made.corrected(run, {6: drawn((1, 5, 5), (2, 20, 20))})
    for _ in made.steps(other):
        pass
    made.what_if(run, 6, drop=1)
    return made


def contents(folder: Path, *names: str) -> dict[str, bytes]:
    """Files of a folder, those below ``names``."""
    paths = sorted(p for p in folder.rglob("*") if p.is_file())
    found = {p.relative_to(folder).as_posix(): p.read_bytes() for p in paths}
    return {name: data for name, data in found.items() if name.split("/")[0].split(".")[0] in names}


def test_what_is_taken_along_is_what_its_command_writes(
    opened: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = save_run(opened, opened.runs[1], tmp_path / "results" / "dog", KINDS)
    note = json.loads((out / "settings.json").read_text())
    assert note["run"]["given"] == [0, 6] and note["settings"]["policy"] == "oldest"
    words = shlex.split(note["run"]["command"])
    assert words[:2] == ["stremn", "segment"] and words.count("--mask") == 2 and "6:given/6.png" in words
    assert (out / "command.sh").read_text().endswith(note["run"]["command"] + "\n")
    monkeypatch.chdir(out)
    assert main(words[1:]) == 0
    kinds = ("masks", "binary", "overlay", "matte", "cutout", "side_by_side")
    ours, theirs = contents(out, *kinds), contents(out / "again", *kinds)
    assert len(ours) == 4 * LENGTH + 3
    assert ours == theirs
    assert Trace.load(out / "trace.json").steps == Trace.load(out / "again" / "trace.json").steps


def test_frames_without_a_file_are_taken_along(
    network: STReMN, clip: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_model(tmp_path / "net.safetensors", network, META)
    made = Session.open(clip[0], truth=clip[1], checkpoint=tmp_path / "net.safetensors")
    run = made.start()
    for frame in made.steps(run):
        if frame == 7:
            break
    out = save_run(made, run, tmp_path / "part", ["masks"])
    words = shlex.split(json.loads((out / "settings.json").read_text())["run"]["command"])
    assert words[2] == "frames" and words[-2:] == ["--stop", "8"]
    monkeypatch.chdir(out)
    assert main(words[1:]) == 0
    assert contents(out, "masks") == contents(out / "again", "masks") and len(contents(out, "masks")) == 8


def test_a_run_that_goes_on_while_it_is_saved_is_saved_as_it_was(opened: Session, tmp_path: Path) -> None:
    run = opened.start()
    steps = opened.steps(run)
    for _ in range(5):
        next(steps)
    out = save_run(opened, run, tmp_path / "part", ["masks"], told=lambda written, of: next(steps))  # type: ignore[func-returns-value, arg-type, return-value]
    own = json.loads((out / "settings.json").read_text())["run"]
    assert run.done > 5 and own["frames"] == len(contents(out, "masks")) == 5
    assert own["command"].endswith("--stop 5")


def test_without_kinds_the_command_names_frames_that_are_there(
    opened: Session, network: STReMN, clip: Any, tmp_path: Path
) -> None:
    save_run(opened, opened.runs[0], tmp_path / "file", [])
    assert str(tmp_path / "a video.mp4") in (tmp_path / "file" / "command.sh").read_text()
    assert not (tmp_path / "file" / "frames").exists()
    made = Session.open(clip[0], truth=clip[1], checkpoint=tmp_path / "net.safetensors")
    save_run(made, made.run(), tmp_path / "made", [])
    assert " frames " in (tmp_path / "made" / "command.sh").read_text()
    assert len(list((tmp_path / "made" / "frames").iterdir())) == LENGTH


def test_a_memory_changed_by_hand_has_no_command(opened: Session, tmp_path: Path) -> None:
    out = save_run(opened, opened.runs[2], tmp_path / "changed", ["masks"])
    note = json.loads((out / "settings.json").read_text())
    assert "changed by hand" in note["run"]["no_command"] and not (out / "command.sh").exists()
    assert len(contents(out, "masks")) == LENGTH


def test_no_path_leads_out_of_the_folder(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / "link").symlink_to(outside)
    (root / "used").mkdir()
    (root / "used" / "file").write_text("mine")
    (root / "file").write_text("mine")
    assert place_in(root, "a/b") == (root / "a" / "b").resolve()
    for name in (
        "",
        " ",
        ".",
        "..",
        "../outside",
        str(outside),
        "link",
        "link/new",
        "a/../../outside/x",
        "a\0b",
    ):
        with pytest.raises(InputError, match="below"):
            place_in(root, name)
    for name in ("used", "file"):
        with pytest.raises(InputError, match="new or empty"):
            place_in(root, name)


def test_the_page_saves_and_downloads_the_same(opened: Session, tmp_path: Path) -> None:
    widget = Explorer(opened, folder=tmp_path / "here")
    ask = Asker(widget)
    about, _ = ask("export", run=1, kinds=["masks", "matte"])
    assert about["kinds"] == KINDS and about["name"] == "results/a video-oldest"
    assert "--mask '6:results/a video-oldest/given/6.png' --out" in about["command"]
    wanted = {"run": 1, "name": about["name"], "kinds": ["masks", "matte"]}
    ask("save", **wanted)
    widget.wait()
    (end,) = [c for c, _ in ask.told if c.get("finished")]
    saved = tmp_path / "here" / "results" / "a video-oldest"
    assert end["for"] == "v" and end["path"] == str(saved.resolve())
    ask("save", download=True, **wanted)
    widget.wait()
    (end,) = [c for c, _ in ask.told if c.get("finished")]
    data = b""
    while len(data) < end["size"]:
        data += ask("part", archive=end["archive"], start=len(data))[1][0]
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        packed = {n.split("/", 1)[1]: archive.read(n) for n in archive.namelist() if not n.endswith("/")}
    kinds = ("masks", "matte", "given", "trace", "command")
    assert {n: d for n, d in packed.items() if n.split("/")[0].split(".")[0] in kinds} == contents(
        saved, *kinds
    )
    ask("save", download=True, **{**wanted, "view": "another tab"})
    widget.wait()
    assert "download it again" in ask("part", archive=end["archive"], start=0)[0]["problem"]
    assert ask("part", archive=end["archive"] + 1, start=0)[1][0][:2] == b"PK"
    assert "problem" in ask("save", **wanted)[0]  # it is there now
    assert ask("export", run=1, kinds=[])[0]["name"] == "results/a video-oldest-2"
    assert "problem" in ask("save", **{**wanted, "name": "../elsewhere"})[0]
    assert "by hand" in ask("export", run=2)[0]["why"]


def test_a_trace_is_taken_along_without_weights(opened: Session, tmp_path: Path) -> None:
    first = save_run(opened, opened.runs[0], tmp_path / "first", ["masks"])
    shown = open_trace(first)
    again = save_run(shown, shown.runs[0], tmp_path / "again", ["masks"])
    assert contents(again, "masks") == contents(first, "masks")
    with pytest.raises(InputError, match="found overlay"):
        save_run(shown, shown.runs[0], tmp_path / "more", ["masks", "overlay"])
    assert not (tmp_path / "more").exists()
