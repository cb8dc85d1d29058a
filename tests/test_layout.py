"""The house's rules: floors, stages' dependencies, thin notebooks, locks without local traces."""

import ast
import json
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from stremn.run import STAGES, notebook_of
from stremn.stages.base import read_parameters

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "pipeline" / "stremn"
OTHERS = ["davis", "paper", "recurring", "shipped", "systems"]
PROFILES = {"demo": ROOT / "dvc.yaml", **{name: ROOT / "profiles" / name / "dvc.yaml" for name in OTHERS}}

# What each room may import besides itself and GROUND. cli, commands and run may import all.
GROUND = {
    "errors",
    "files",
    "record",
    "listing",
    "notebooks",
    "compat",
    "settings",
    "paths",
    "fingerprint",
    "device",
    "display",
}
LOW = {"ops", "memory"}
BELOW = {*LOW, "models", "data", "tasks", "inference", "evaluation"}
FLOORS = {
    **{name: set() for name in GROUND},
    "fingerprint": {"listing"},
    "notebooks": {"files"},
    "tracking": {"mlflow_store"},
    "mlflow_store": set(),
    "provenance": {"fingerprint"},
    "ops": set(),
    "memory": {"ops"},
    "models": LOW,
    "data": set(),
    "generate": {"data"},
    "acquire": set(),
    "evaluation": {"data"},
    "tasks": {*LOW, "models", "data"},
    "inference": {*LOW, "models", "data", "tasks"},
    "training": {*LOW, "models", "data", "tasks"},
    "report": {"evaluation"},
    "figures": {"data", "inference", "evaluation"},
    "segmenting": {*LOW, "models", "data", "tasks", "inference", "figures"},
    "explore": {*BELOW, "generate", "segmenting", "figures"},
    "stages": {*BELOW, "generate", "acquire", "training", "figures", "report"},
}
DRAWING = "figures"  # changes neither data nor weights: stages that only make these do not depend on it
TRAINING = ["pretrain", "finetune", "train_prediction"]
# Plumbing between notebook and rooms: it changes no number, so no stage depends on it in DVC's graph.
PLUMBING = GROUND | {"tracking", "mlflow_store", "provenance", "__init__", "stages.base", "stages.__init__"}
NOTEBOOK_CELLS, CELL_LINES = 12, 15


# --- imports


def _modules() -> dict[str, Path]:
    """Every module of the package by dotted name below it (``memory.write``; a package: its name)."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1]) if len(parts) > 1 and parts[-1] == "__init__" else ".".join(parts)] = path
    return found


MODULES = _modules()


def _imported(tree: ast.AST) -> set[str]:
    """Modules of ours that a syntax tree imports, also inside functions, but not for types alone."""
    found: set[str] = set()
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
            found |= {f"{node.module}.{a.name}" for a in node.names}
    ours = {name.removeprefix("stremn").lstrip(".") for name in found if name.split(".")[0] == "stremn"}
    return {name for name in ours if name in MODULES}


@cache
def _imports_of(module: str) -> frozenset[str]:
    return frozenset(_imported(ast.parse(MODULES[module].read_text(encoding="utf-8"))))


def _below(start: set[str], not_through: str = "") -> set[str]:
    """Everything imported, directly or not; importing a module imports its packages too.

    Modules of the room ``not_through`` are named, but what they import is not followed.
    """
    seen: set[str] = set()
    todo = set(start)
    while todo:
        module = todo.pop()
        if module in seen:
            continue
        seen.add(module)
        if module.split(".")[0] == not_through:
            continue
        parents = {module.rsplit(".", i)[0] for i in range(1, module.count(".") + 1)}
        todo |= (set(_imports_of(module)) | {p for p in parents if p in MODULES}) - seen
    return seen


@pytest.mark.parametrize("module", sorted(m for m in MODULES if m.split(".")[0] in FLOORS))
def test_imports_go_down(module: str) -> None:
    room = module.split(".")[0]
    allowed = FLOORS[room] | {room} | (set() if room in GROUND else GROUND) | {"errors", "paths", "display"}
    reached = {name.split(".")[0] for name in _imports_of(module)}
    assert reached <= allowed, f"{module} reaches up or sideways to {sorted(reached - allowed)}"


def test_no_module_imports_itself_through_others() -> None:
    """Also inside functions; a package is what its ``__init__`` imports."""
    left = {module: _imports_of(module) for module in MODULES}
    while outside := [m for m in left if not left[m] & left.keys() or all(m not in o for o in left.values())]:
        left = {m: others for m, others in left.items() if m not in outside}
    assert not left, f"import circles among {sorted(left)}"


def test_every_room_has_a_floor() -> None:
    above = {"__init__", "__main__", "cli", "commands", "run", ""}
    assert {m.split(".")[0] for m in MODULES} - set(FLOORS) <= above


@pytest.mark.parametrize("stage", STAGES)
def test_stages_do_not_import_each_other(stage: str) -> None:
    others = {m for m in _imports_of(f"stages.{stage}") if m.startswith("stages.")}
    assert others <= {"stages.base", "stages.networks", "stages.runs", "stages.evaluation_pictures"}


def test_scoring_never_sees_a_model() -> None:
    reached = {r for m in MODULES if m.startswith("evaluation") for r in _below({m})}
    assert not {m for m in reached if m.split(".")[0] in ("models", "training")}


def test_only_its_store_imports_mlflow() -> None:
    users = [
        m for m, path in MODULES.items() if re.search(r"^\s*(import|from) mlflow", path.read_text(), re.M)
    ]
    assert users == ["mlflow_store"]


# --- the graph


def _graph(profile: str) -> dict[str, Any]:
    return yaml.safe_load(PROFILES[profile].read_text(encoding="utf-8"))


@pytest.mark.parametrize("profile", OTHERS)
def test_profiles_have_the_same_stages(profile: str) -> None:
    demo, other = _graph("demo"), _graph(profile)
    stages = {n: {k: v for k, v in s.items() if k != "wdir"} for n, s in other["stages"].items()}
    assert {s["wdir"] for s in other["stages"].values()} == {"../.."}
    stages["evaluate_vos"]["deps"] = [
        dep.replace(f"${{{profile}.", "${demo.") for dep in stages["evaluate_vos"]["deps"]
    ]
    assert stages == demo["stages"]
    assert list(stages) == ["code", *STAGES]
    assert demo["vars"] == [{"profile": "demo"}]
    assert other["vars"] == [{"profile": profile}, f"../../params.yaml:{profile}"]


@pytest.mark.parametrize("profile", PROFILES)
def test_the_evaluation_alone_depends_on_the_plugin(profile: str) -> None:
    using = [
        n for n, s in _graph(profile)["stages"].items() if f"${{{profile}.evaluate_vos.plugin}}" in s["deps"]
    ]
    assert using == ["evaluate_vos"]


def _blocks() -> list[tuple[str, str]]:
    content = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    return [(profile, stage) for profile, blocks in content.items() for stage in blocks]


@pytest.mark.parametrize(("profile", "stage"), _blocks())
def test_every_block_is_valid(profile: str, stage: str) -> None:
    read_parameters(ROOT, profile, stage)


@pytest.mark.parametrize("profile", [*PROFILES, "tiny"])
def test_a_profile_has_a_block_for_every_stage(profile: str) -> None:
    assert {stage for name, stage in _blocks() if name == profile} == set(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_tracks_its_notebook_and_its_parameters(stage: str) -> None:
    entry = _graph("demo")["stages"][stage]
    assert entry["cmd"] == f"stremn run {stage} --profile ${{profile}}"
    assert entry["params"] == [f"${{profile}}.{stage}"]
    notebook = notebook_of(ROOT, stage)
    assert f"data/code/${{profile}}/{notebook.stem}.py" in entry["deps"]
    assert notebook.relative_to(ROOT).as_posix() in _graph("demo")["stages"]["code"]["deps"]
    assert not [
        dep for dep in entry["deps"] if dep.endswith(".ipynb")
    ]  # it carries the outputs of who opened it


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_all_that_it_imports(stage: str) -> None:
    deps = [ROOT / d for d in _graph("demo")["stages"][stage]["deps"] if d.startswith("pipeline/")]
    assert all(d.exists() for d in deps)
    cells = [c.source for c in nbformat.read(notebook_of(ROOT, stage), 4).cells if c.cell_type == "code"]
    start = {f"stages.{stage}"} | _imported(ast.parse("\n".join(cells)))
    drawing = DRAWING if stage in ["data", *TRAINING] else ""
    for module in _below(start, not_through=drawing) - PLUMBING - {"", "stages"}:
        path = MODULES[module]
        if module.split(".")[0] == drawing:
            continue
        assert any(d == path or d in path.parents for d in deps), f"{stage} imports {module}, not in its deps"


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_the_outputs_that_it_reads(stage: str) -> None:
    deps = " ".join(_graph("demo")["stages"][stage]["deps"])
    read = set(re.findall(r"inputs\(\"(\w+)\"\)", MODULES[f"stages.{stage}"].read_text()))
    for earlier in read:
        where = "data/prepared/${profile}" if earlier == "data" else f"data/runs/${{profile}}/{earlier}/"
        assert where in deps, f"{stage} reads {earlier}, which is not in its deps"
    assert "notebook.ipynb" not in deps  # an executed notebook carries the time


@pytest.mark.parametrize("stage", TRAINING)
def test_a_training_stage_depends_on_little_that_it_does_not_import(stage: str) -> None:
    deps = [ROOT / d for d in _graph("demo")["stages"][stage]["deps"] if d.startswith("pipeline/")]
    held = {m for m, path in MODULES.items() if any(d == path or d in path.parents for d in deps)}
    unused = held - _below({f"stages.{stage}"}, not_through=DRAWING)
    assert len(unused) <= len(held) / 10, f"{len(unused)} of {len(held)} not imported: {sorted(unused)}"


# --- notebooks


def _notebooks() -> list[Path]:
    return sorted(p for p in (ROOT / "notebooks").rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)


@pytest.mark.parametrize("path", _notebooks(), ids=lambda p: p.name)
def test_notebooks_are_stored_without_outputs(path: Path) -> None:
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        assert not cell.get("outputs") and cell.get("execution_count") is None


@pytest.mark.parametrize("stage", STAGES)
def test_stage_notebooks_are_thin(stage: str) -> None:
    cells = nbformat.read(notebook_of(ROOT, stage), 4).cells
    code = [c.source for c in cells if c.cell_type == "code"]
    assert cells[0].cell_type == "markdown" and cells[0].source.startswith("# ")
    assert len(code) <= NOTEBOOK_CELLS
    assert max(len(source.strip().splitlines()) for source in code) <= CELL_LINES
    for source in code:
        assert not re.search(r"^\s*[%!]", source, re.M), "magics do not belong into a stage"
        for node in ast.walk(ast.parse(source)):
            assert not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda))
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert "/" not in node.value and "\\" not in node.value, f"a path literal: {node.value!r}"


@pytest.mark.parametrize("stage", STAGES)
def test_stage_notebooks_take_one_parameter(stage: str) -> None:
    cells = nbformat.read(notebook_of(ROOT, stage), 4).cells
    (head,) = [c for c in cells if "parameters" in c.metadata.get("tags", [])]
    assert head.source == 'profile: str = "demo"'


# --- the environment


def _pins() -> dict[str, str]:
    lines = [x.strip() for x in (ROOT / "requirements.txt").read_text().splitlines()]
    lines = [x for x in lines if x and not x.startswith("#")]
    for line in lines:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", line), f"not an exact pin: {line}"
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}


def test_the_lock_satisfies_the_project() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = _pins()
    extras = [text for extra in project["optional-dependencies"].values() for text in extra]
    for text in [*project["dependencies"], *extras]:
        wanted = Requirement(text)
        assert wanted.specifier.contains(pins[canonicalize_name(wanted.name)]), text


def test_conda_reads_the_same_lock() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    plain = [d for d in environment["dependencies"] if isinstance(d, str)]
    (nested,) = [d["pip"] for d in environment["dependencies"] if isinstance(d, dict)]
    assert "pip" in plain and any(d.startswith("python=3.11") for d in plain)
    assert nested == ["-r requirements.txt"]


def _kept_files() -> list[Path]:
    """What git keeps or would keep."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git repository")
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def test_nothing_points_to_one_machine() -> None:
    folders = "|".join(["work/main", "work/shared", "opt/py" + "pi", "root/", r"home/\w+/", "tmp/plan"])
    local = re.compile(rf"(?<![\w.])/({folders})|file:" + "///[a-z]")
    for path in _kept_files():
        if path.suffix in (".safetensors", ".png", ".jpg", ".gif", ".mp4", ".npy") or path == Path(__file__):
            continue
        found = local.search(path.read_text(encoding="utf-8"))
        assert not found, f"{path.relative_to(ROOT)}: {found and found.group()}"


def test_no_lock_names_a_registry() -> None:
    hosts = re.compile(r"py" + r"pi\.org|pythonhosted|download\.pytorch|index-url|find-links")
    for name in ("requirements.txt", "environment.yml", "pyproject.toml", "Makefile", ".ci/run"):
        assert not hosts.search((ROOT / name).read_text()), name
