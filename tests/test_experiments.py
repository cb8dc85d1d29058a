"""Experiments as the walkthroughs teach them: every command is there, works, and changes something."""

import re
import shlex
from pathlib import Path

import nbformat
import pytest
import yaml
from dvc.cli import parse_args

from stremn import paths
from stremn.cli import main
from stremn.commands.set import changed
from stremn.errors import InputError
from stremn.evaluation.runs import Run, save_runs
from stremn.memory import Trace, TraceStep
from stremn.stages import memory
from stremn.stages.base import Stage
from test_dag import Copy, touching

ROOT = Path(__file__).resolve().parents[1]
BOOKS = sorted((ROOT / "notebooks" / "learn").glob("*.ipynb"))
KNOWN = {"git", "for", "done", "stremn", "dvc", "make"}
SETTING = re.compile(r"(\w+\.[\w.]+)=(.+)")


def taught() -> list[list[str]]:
    """The commands of the walkthroughs' shell blocks, in words."""
    cells = [c.source for path in BOOKS for c in nbformat.read(path, 4).cells if c.cell_type == "markdown"]
    blocks = re.findall(r"```bash\n(.*?)```", "\n".join(cells), re.S)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    return [shlex.split(line) for line in lines if line and not line.startswith("#")]


def test_every_taught_setting_changes_something() -> None:
    content = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    settings = [match for words in taught() for word in words if (match := SETTING.fullmatch(word))]
    assert len(settings) >= 6
    for key, value in (match.groups() for match in settings):
        there = content
        for part in key.split("."):
            there = there[part]
        assert "$" in value or yaml.safe_load(value) != there, f"{key} is {value} already"


def test_every_taught_command_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a copy with git, on the tiny profile, whose stages only touch their outputs; all of DVC's are parsed, one runs."""
    copy = Copy(tmp_path)
    graph = yaml.safe_load((tmp_path / "dvc.yaml").read_text(encoding="utf-8").replace("${profile}", "tiny"))
    for name, stage in graph["stages"].items():
        stage["cmd"] = touching(graph, name)
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump(graph, sort_keys=False), encoding="utf-8")
    (tmp_path / ".gitignore").write_text("/data/\n__pycache__/\n")
    (tmp_path / ".dvc" / "config").write_text("[core]\n    analytics = false\n")
    for words in ("init -q", "config user.email a@b.c", "config user.name a", "add -A", "commit -qm all"):
        copy("git", *words.split())
    copy("dvc", "repro", "--quiet")
    copy("git", "add", "-A")
    copy("git", "commit", "-qm", "results")
    monkeypatch.chdir(tmp_path)
    settings = (tmp_path / "params.yaml").read_text(encoding="utf-8")
    ran = 0
    for words in taught():
        assert words[0] in KNOWN, words
        if words[0] == "make":
            assert f"{words[1]}:" in (ROOT / "Makefile").read_text(encoding="utf-8")
        elif words[0] == "dvc":
            parse_args(words[1:])  # it leaves where a command or option is unknown
        elif words[:2] == ["stremn", "set"]:
            tiny = [w.replace("demo.", "tiny.").replace("slots=[3,5]", "slots=[3,4]") for w in words[1:]]
            assert main(tiny) == 0
            now = (tmp_path / "params.yaml").read_text(encoding="utf-8")
            assert sum(a != b for a, b in zip(settings.split("\n"), now.split("\n"), strict=True)) == 1
            stages = copy.changed()
            assert "finetune" in stages or stages == {"evaluate_vos"}
            if not ran:
                copy("dvc", "exp", "run", "-n", "four-slots")
                assert copy.changed() == set() and "four-slots" in copy("dvc", "exp", "list", "--name-only")
            ran += 1
            (tmp_path / "params.yaml").write_text(settings, encoding="utf-8")
    assert ran == 2


TEXT = """demo:
  data: &data {clips: 3}  # few
  evaluate_vos:
    slots: 6  # K
    rules: [learned, oldest]
    runs:
      a: {slots: 2}
other:
  data: *data
"""


@pytest.mark.parametrize(
    ("assignment", "line"),
    [
        ("demo.evaluate_vos.slots=4", "    slots: 4  # K"),
        ("demo.evaluate_vos.rules=[learned]", "    rules: [learned]"),
        ("demo.evaluate_vos.runs.a.slots=3", "      a: {slots: 3}"),
        ("demo.data.clips=5", "  data: &data {clips: 5}  # few"),
    ],
)
def test_one_value_changes_and_nothing_else(assignment: str, line: str) -> None:
    new, _ = changed(TEXT, assignment)
    different = [b for a, b in zip(TEXT.split("\n"), new.split("\n"), strict=True) if a != b]
    assert different == [line]


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("demo.evaluate_vos.slot=4", "did you mean 'slots'"),
        ("demo.evaluate_vos.slots", "expected KEY=VALUE"),
        ("demo.evaluate_vos.slots=", "expected KEY=VALUE"),
        ("demo.evaluate_vos.slots=[4", "expected a value in YAML"),
        ("other.data.clips=4", "shared with other blocks"),
        ("demo.evaluate_vos.runs={}", "found a block"),
    ],
)
def test_a_wrong_assignment_is_one_line(assignment: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        changed(TEXT, assignment)


def test_set_checks_the_block_and_writes_all_or_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("demo:\n  evaluate_vos: {slots: 6, side: null}\n")
    assert main(["set", "demo.evaluate_vos.slots=4", "demo.evaluate_vos.side=many"]) == 2
    assert "side" in capsys.readouterr().err
    assert "slots: 6" in (tmp_path / "params.yaml").read_text()
    assert main(["set", "demo.evaluate_vos.slots=4", "demo.evaluate_vos.side=120"]) == 0
    assert (tmp_path / "params.yaml").read_text() == "demo:\n  evaluate_vos: {slots: 4, side: 120}\n"


def test_the_memory_stage_follows_the_evaluation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Walkthrough 9 evaluates with four slots where the stage had six, and there are no traces of some rules."""
    folder = paths.output(tmp_path, "demo", "evaluate_vos")
    runs = {
        "learned": Run(policy="learned", slots=4, trace=True),
        "oldest": Run(policy="oldest", slots=4, trace=True),
        "newest": Run(policy="newest", slots=4),
        "learned@6": Run(policy="learned", slots=6, trace=True),
    }
    step = TraceStep(0, 0, 0, "append", [], [0], [0], None, [], None, None, None)
    for name in ("learned", "oldest", "learned@6"):
        (folder / "traces" / name).mkdir(parents=True)
        Trace([step]).save(folder / "traces" / name / "a.json")
    save_runs(runs, folder / "runs.json")
    stage = Stage(
        "memory", "demo", memory.Parameters(rules=["learned", "oldest", "newest"]), tmp_path / "out", tmp_path
    )
    assert set(memory.load(stage)) == {("learned", 4), ("oldest", 4), ("learned", 6)}
    assert (stage.parameters.slots, stage.parameters.learned_slots) == (4, [4, 6])
    assert "left out: newest, learned with 5 slots, learned with 7 slots" in capsys.readouterr().out
    stage.parameters = memory.Parameters(slots=3)
    with pytest.raises(InputError, match="rule learned, 3 slots"):
        memory.load(stage)
