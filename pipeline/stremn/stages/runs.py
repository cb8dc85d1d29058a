"""Segmenting a folder of clips in many ways: every rule, number of slots and system is a ``Run``."""

import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from stremn import paths
from stremn.data import prepared
from stremn.data.appearances import truths_of
from stremn.data.clips import write_mask
from stremn.data.own_clips import check_clips, open_own_clips
from stremn.data.pictures import size_text
from stremn.data.prepared import Source, write_source
from stremn.errors import warn
from stremn.evaluation.runs import Compared, Run, load_runs
from stremn.figures.vos_figures import mean_over_time
from stremn.inference.folder import segment_folder
from stremn.inference.multiscale import multiscale_rollout
from stremn.inference.open import SHORTER_SIDE, default_size
from stremn.inference.oracle import ORACLE, belady
from stremn.inference.plugin import load_noted
from stremn.inference.postprocess import postprocess_folder
from stremn.memory import POLICIES, Policy
from stremn.models.checkpoints import load_model, read_meta, shipped_checkpoint
from stremn.stages.base import Stage
from stremn.tasks.rules import policy_for
from stremn.tasks.vos import rollout

PREDICTIONS, TRACES = "predictions", "traces"
OWN, TRUTH = (
    "clips",
    "truth",
)  # beside them, of clips that the data stage does not know: where they lie, their masks
LARGER = 4  # times the size that a network was trained at: beyond, it is told


def network_file(stage: Stage[Any], run: Run) -> Path:
    """The weights of a run; on clips of one's own the package's where the profile has trained none."""
    trained = paths.network(paths.output(stage.root, stage.profile, run.trained), run.network)
    if stage.parameters.data is not None and not trained.is_file():
        return shipped_checkpoint()
    return paths.network(stage.inputs(run.trained), run.network)


def own_side(data: Path, network: Path, side: int | None) -> int:
    """The shorter side in pixels at which to process clips of one's own, after all of them were looked at.

    It is the one that the network was trained at where none is set, and never above the clips' own; a warning says so
    where the clips are much larger.
    """
    size = check_clips(open_own_clips(data))
    trained = default_size(read_meta(network)) or SHORTER_SIDE
    if min(size) > LARGER * trained:
        better = "train with a larger size in params.yaml"
        if network != shipped_checkpoint():
            better += ", or use the package's network: --profile shipped"
        warn(
            f"the network was trained at {trained} pixels, the clips are {size_text(size)}: at the shorter side of "
            f"{side or trained} at which they are processed small objects are lost; {better}"
        )
    return min(side or trained, *size)


def note_own_clips(stage: Stage[Any]) -> None:
    """Note where the clips of one's own lie, and write their masks as ids, to score against, to ``truth``."""
    folder = Path(stage.parameters.data)
    write_source(stage.out / OWN, Source(dataset="own-clips"), folder)
    clips = open_own_clips(folder)
    for i, name in enumerate(clips.names):
        frames, clip = clips.frame_names(i), clips[i]
        for t in clips.annotated(i):
            (stage.out / TRUTH / name).mkdir(parents=True, exist_ok=True)
            write_mask(stage.out / TRUTH / name / f"{frames[t]}.png", clip.masks[t])


def clips_place(stage: Stage[Any]) -> Path:
    """Where the clips of the evaluation are noted."""
    p = stage.parameters
    return stage.out / OWN if p.data is not None else stage.inputs("data") / "vos" / p.split


def heading(run: Run) -> str:
    """A run's title, or its rule's with the number of slots and the network where it is not STReMN."""
    if run.title is not None:
        return run.title
    rule = POLICIES[run.policy].title if run.policy else "own rule"
    unit = "frames" if run.policy and POLICIES[run.policy].unit == "feature" else "slots"
    size = "" if run.slots is None else f", {run.slots} {unit}"
    return f"{rule}{size}" + ("" if run.network == "stremn" else f" ({run.network})")


def log_compared(stage: Stage[Any], compared: Mapping[str, Compared], titles: Mapping[str, str]) -> None:
    """Every run's numbers; in MLflow each is a run below the stage's, the best last, as the newest stands on top."""
    runs = load_runs(stage.out / "runs.json")
    for name, one in sorted(compared.items(), key=lambda item: item[1].mean.mean):
        run = runs[name].model_dump(mode="json", exclude={"title", "trace"})
        child = stage.child(_key(name), {"rule": run.pop("policy"), **run}, titles[name])
        frames, j, _ = mean_over_time([(o.frames, o.j) for o in one.scores.per_frame.values()])
        child.series("over frames/J", frames.tolist(), j.tolist())
    values = {f"{_key(name)}.{key}": v for name, one in compared.items() for key, v in one.numbers().items()}
    stage.metrics(values, headline="learned")


def _key(name: str) -> str:
    """As metrics.json has it."""
    return name.replace("@", "_slots_")


def segment_runs(
    runs: Mapping[str, Run],
    clips: Path,
    weights: Mapping[str, Path],
    out: Path,
    *,
    slots: int,
    every: int,
    batch: int,
    device: str,
    seed: int,
    side: int | None = None,
    workers: int = 0,
    plugin: dict[str, str] | None = None,
) -> dict[str, float]:
    """Write the masks of every run as ``<out>/predictions/<run>/<sequence>/<frame>.png``.

    Traces, where a run keeps them, become ``<out>/traces/<run>/<sequence>.json``.

    Args:
        clips: a place of the data stage's output.
        weights: run → file of its network.
        slots, every: where a run does not say otherwise.
        side: shorter side at which frames are processed, see ``segment_folder``.
        workers: runs side by side, each in a process with its share of the cores; 0: one after the other.
        plugin: note of the file of rules, see ``inference.plugin.note_of``.

    Returns:
        Seconds per frame of each run, of all clips in batches; post-processed runs have none.
    """
    jobs = {
        name: partial(
            _segment,
            run,
            name,
            clips,
            weights[name],
            out,
            slots,
            every,
            batch,
            device,
            seed,
            side,
            plugin,
            not workers,
        )
        for name, run in runs.items()
        if run.postprocess is None
    }
    seconds: dict[str, float] = {}
    with tqdm(total=len(jobs), desc="runs", unit="run", mininterval=5) as bar:
        if workers:
            threads = max(1, torch.get_num_threads() // workers)
            with ProcessPoolExecutor(
                workers, get_context("spawn"), torch.set_num_threads, (threads,)
            ) as pool:
                waiting = {name: pool.submit(job) for name, job in jobs.items()}
                for name, result in waiting.items():
                    seconds[name] = result.result()
                    bar.update()
        else:
            for name, job in jobs.items():
                seconds[name] = job()
                bar.update()
    for name, run in runs.items():
        if run.postprocess is not None:
            postprocess_folder(out / PREDICTIONS / run.postprocess, out / PREDICTIONS / name)
    return seconds


def _segment(
    run: Run,
    name: str,
    root: Path,
    weights: Path,
    out: Path,
    slots: int,
    every: int,
    batch: int,
    device: str,
    seed: int,
    side: int | None,
    plugin: dict[str, str] | None,
    progress: bool,
) -> float:
    if plugin is not None:  # a process of its own begins without these rules
        load_noted(plugin)
    clips = prepared.clips(root)
    network, _ = load_model(weights)
    if run.policy == ORACLE:
        policy: Policy = belady(truths_of(clips), run.slots or slots)
    else:
        policy = policy_for(
            network, run.policy, **{"slots": run.slots or slots, "every": every, **run.options}
        )
    passes = run.scales != [1.0] or run.flip
    roll = partial(multiscale_rollout, scales=run.scales, flip=run.flip) if passes else rollout
    started = time.perf_counter()
    traces = segment_folder(
        network,
        clips,
        policy,
        out / PREDICTIONS / name,
        roll=roll,
        batch=batch,
        device=device,
        trace=run.trace,
        seed=seed,
        side=side,
        description=name,
        progress=progress,
    )
    seconds = time.perf_counter() - started
    if run.trace:
        (out / TRACES / name).mkdir(parents=True)
        for clip, trace in traces.items():
            trace.about.update(rule=policy.name, slots=policy.slots, clip=clip)
            trace.save(out / TRACES / name / f"{clip}.json")
    return seconds / sum(clips.length(i) for i in range(len(clips)))
