"""Kill the pipeline at random moments and let ``dvc repro`` go on: is the result that of an undisturbed run?

    python benchmarks/kills.py --kills 100 --rounds 10 --seed 0

A copy of the repository runs a stage of the profile ``tiny``, pre-training with more steps, once undisturbed. Then,
in each round, ``dvc repro`` is started and killed (SIGKILL) at a random moment again and again: all its processes at
once, or only DVC, the stage or the notebook. The last ``dvc repro`` of a round may end. Its outputs are compared with
the undisturbed ones byte by byte (but for times), and what may be left over is looked for.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import yaml

ROOT = Path(__file__).resolve().parents[1]
KEPT = ("Makefile", "dvc.yaml", "params.yaml", "notebooks", "pipeline", ".dvcignore")
MADE = ("data", "dvc.lock", "mlflow.db", "mlartifacts", ".dvc")
BEFORE = "before"  # beside the copy: what is in it when the rounds begin
VICTIMS = ("all", "dvc", "stage", "notebook")
STOPPED = "no kill: DVC stopped at a file that it had half written (make after-a-kill)"
TIMED = ("notebook.ipynb", "seconds")  # a file and keys that hold times
STEPS = {"steps": 40, "checkpoint_every": 7, "log_every": 3, "validate_every": 10}


def copy_repository(folder: Path) -> None:
    """A copy whose graph is the profile ``tiny`` with trainings that take some seconds."""
    for name in KEPT:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(source, folder / name)
    graph = (folder / "dvc.yaml").read_text(encoding="utf-8")
    graph = graph.replace("profile: demo", "profile: tiny").replace("data/runs/demo/", "data/runs/tiny/")
    (folder / "dvc.yaml").write_text(graph, encoding="utf-8")
    settings = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
    settings["tiny"]["pretrain"]["plan"] |= STEPS
    settings["tiny"]["pretrain"]["steps"] = {"stremn-age": 0, "stm": 10, "stcn": 0, "stremn-1": 0}
    (folder / "params.yaml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    subprocess.run(["dvc", "init", "--no-scm", "--quiet"], cwd=folder, env=environment(folder), check=True)


def environment(folder: Path) -> dict[str, str]:
    """Of a program that runs in the copy, on the copy's package, on one thread."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return {**kept, "PATH": path, "PYTHONPATH": str(folder / "pipeline"), "OMP_NUM_THREADS": "1"}


def start(folder: Path, target: str) -> subprocess.Popen[bytes]:
    """``dvc repro`` in the copy; what it says goes to a file."""
    log = (folder / "log.txt").open("ab")
    command = ["dvc", "repro", target]
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment(folder),
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def processes(dvc: int) -> dict[str, psutil.Process]:
    """Those of a pipeline that are alive: DVC, the stage's runner and its notebook."""
    try:
        whole = psutil.Process(dvc)
        found = {"dvc": whole}
        for child in whole.children(recursive=True):
            command = " ".join(child.cmdline())
            if "ipykernel" in command:
                found["notebook"] = child
            elif "stremn" in command:
                found["stage"] = child
    except psutil.NoSuchProcess:
        return {}
    return found


def kill(folder: Path, target: str, moment: float, victim: str, *, inside: bool = False) -> str | None:
    """Start, wait, kill; returns what was going on then, None where all had ended before.

    inside: the moment is counted from the beginning of a stage and not of DVC.
    """
    dvc = start(folder, target)
    while inside and dvc.poll() is None and "stage" not in processes(dvc.pid):
        time.sleep(0.1)
    try:
        if not dvc.wait(moment):
            return None
        subprocess.run(
            ["make", "-s", "after-a-kill", f"BIN={Path(sys.executable).parent}"], cwd=folder, check=True
        )
        return STOPPED
    except subprocess.TimeoutExpired:
        pass
    alive = processes(dvc.pid)
    where = "between stages"
    if stage := alive.get("stage"):
        try:
            where = stage.cmdline()[-3] + (", notebook" if "notebook" in alive else ", start or end")
        except (psutil.NoSuchProcess, IndexError):
            where = "end of a stage"
    hit = alive if victim == "all" or victim not in alive else {victim: alive[victim]}
    for process in hit.values():
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    if "dvc" in hit:
        dvc.wait()
    else:  # DVC ends by itself when its stage has
        dvc.wait(120)
    return where


def outputs(folder: Path) -> dict[str, Any]:
    """Every file of the outputs without what holds times."""
    found: dict[str, Any] = {}
    for root in ("data/prepared/tiny", "data/runs/tiny"):
        for path in sorted(p for p in (folder / root).rglob("*") if p.is_file()):
            if path.name in TIMED:
                continue
            content: Any = path.read_bytes()
            if path.name == "metrics.json":
                content = untimed(json.loads(content))
            found[path.relative_to(folder).as_posix()] = content
    return found


def untimed(value: Any) -> Any:
    """A table without its times."""
    if isinstance(value, dict):
        return {k: untimed(v) for k, v in value.items() if k not in TIMED}
    return value


def curves(folder: Path) -> dict[str, Any]:
    """What MLflow holds of the finished run of each stage, and how many runs there are of each status."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("tiny")
    runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time"])
    values: dict[str, Any] = {}
    for run in (r for r in runs if r.info.status == "FINISHED"):
        for name in (n for n in run.data.metrics if not n.endswith("seconds")):
            points = client.get_metric_history(run.info.run_id, name)
            values[f"{run.info.run_name} {name}"] = sorted((p.step, p.value) for p in points)
    return {"values": values, "statuses": Counter(run.info.status for run in runs)}


def left_over(folder: Path) -> Iterator[str]:
    """Scratch files, saved progress, unsent logs, runs that seem to go on."""
    for path in (folder / "data").rglob("*"):
        if path.name.endswith((".tmp", ".old")) or path.name in (".lock", "progress.pt", "events.jsonl"):
            yield path.relative_to(folder).as_posix()
    if going_on := curves(folder)["statuses"]["RUNNING"]:
        yield f"{going_on} runs RUNNING in MLflow"


def kills_in(where: Counter[str]) -> int:
    """How many of what happened are kills."""
    return sum(times for what, times in where.items() if what != STOPPED)


def one_round(
    folder: Path, target: str, kills: int, longest: float, chance: random.Random
) -> tuple[Counter[str], float]:
    """Kills from a copy that has data only to the end; what was going on at each, and seconds."""
    for name in MADE:
        path, kept = folder / name, folder.with_name(BEFORE) / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        if kept.is_dir():
            shutil.copytree(kept, path, symlinks=True)
        elif kept.exists():
            shutil.copy2(kept, path)
    began, where = time.perf_counter(), Counter[str]()
    while kills_in(where) < kills:
        victim, moment = chance.choice(VICTIMS), chance.uniform(0.5, 0.75 * longest)
        if (what := kill(folder, target, moment, victim, inside=chance.random() < 0.5)) is None:
            break  # it has come to its end
        where[what if what == STOPPED else f"{victim}: {what}"] += 1
    if start(folder, target).wait() and kill(folder, target, 600, "all") is not None:
        raise SystemExit(f"the last dvc repro failed:\n{(folder / 'log.txt').read_text()[-3000:]}")
    return where, time.perf_counter() - began


def main(arguments: list[str] | None = None) -> int:
    """Returns 1 if a round ended otherwise than the undisturbed run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", default="pretrain", help="stage to come to")
    options = parser.parse_args(arguments)
    chance, bad, hits = random.Random(options.seed), 0, Counter[str]()
    with TemporaryDirectory() as name:
        folder = Path(name) / "copy"
        folder.mkdir()
        copy_repository(folder)
        start(folder, "data").wait()
        for kept in (folder / made for made in MADE if made != "mlflow.db" and (folder / made).exists()):
            copy = folder.with_name(BEFORE) / kept.name
            copy.parent.mkdir(exist_ok=True)
            shutil.copytree(kept, copy, symlinks=True) if kept.is_dir() else shutil.copy2(kept, copy)
        _, usual = one_round(folder, options.target, 0, 0, chance)
        wanted, logged = outputs(folder), curves(folder)["values"]
        print(f"undisturbed: {usual:.0f} s, {len(wanted)} files, {len(logged)} curves", flush=True)
        number = 0
        while (left := options.kills - kills_in(hits)) > 0:
            number += 1
            where, seconds = one_round(
                folder,
                options.target,
                min(left, -(-options.kills // options.rounds)),
                usual,
                chance,
            )
            hits += where
            found = outputs(folder)
            other = [k for k in wanted.keys() | found.keys() if wanted.get(k) != found.get(k)]
            other += [] if curves(folder)["values"] == logged else ["MLflow's curves"]
            other += left_over(folder)
            bad += bool(other)
            verdict = f"differs: {', '.join(sorted(other))}" if other else "the same"
            print(f"round {number}: {kills_in(where)} kills, {seconds:.0f} s: {verdict}", flush=True)
    print(f"\n{kills_in(hits)} kills in {number} rounds, {bad} of which ended otherwise than undisturbed")
    for what, times in sorted(hits.items()):
        print(f"{times:4d}  {what}")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
