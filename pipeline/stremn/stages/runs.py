"""Segmenting a folder of clips in many ways: every rule, number of slots and system is a ``Run``."""

import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import torch
from tqdm import tqdm

from stremn import paths
from stremn.data import prepared
from stremn.inference.folder import segment_folder
from stremn.inference.multiscale import multiscale_rollout
from stremn.inference.postprocess import postprocess_folder
from stremn.memory import POLICIES
from stremn.models.checkpoints import load_model
from stremn.settings import Settings
from stremn.tasks.rules import rule_for
from stremn.tasks.vos import rollout

PREDICTIONS, TRACES = "predictions", "traces"


class Run(Settings):
    """One way to segment the clips.

    Attributes:
        network: its name in the training stages.
        trained: after which stage its weights are taken.
        policy: entry of ``memory.POLICIES``; None: the network's own rule.
        slots: K, or frames' worth of features; None: the stage's.
        options: more settings of the rule, see ``memory.make_policy``.
        scales, flip: several passes, see ``inference.multiscale``.
        postprocess: name of another run; its masks without far parts, see ``inference.postprocess``.
        trace: keep what happened in the memory.
        title: what it is called in tables; None: the rule's title.
    """

    network: str = "stremn"
    trained: Literal["finetune", "pretrain"] = "finetune"
    policy: str | None = None
    slots: int | None = None
    options: dict[str, Any] = {}
    scales: list[float] = [1.0]
    flip: bool = False
    postprocess: str | None = None
    trace: bool = False
    title: str | None = None

    def heading(self) -> str:
        """The title, or the rule's with its number of slots and the network where it is not STReMN."""
        if self.title is not None:
            return self.title
        rule = POLICIES[self.policy].title if self.policy else "own rule"
        unit = "frames" if self.policy and POLICIES[self.policy].unit == "feature" else "slots"
        size = "" if self.slots is None else f", {self.slots} {unit}"
        return f"{rule}{size}" + ("" if self.network == "stremn" else f" ({self.network})")


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
) -> dict[str, float]:
    """Write the masks of every run as ``<out>/predictions/<run>/<sequence>/<frame>.png``.

    Traces, where a run keeps them, become ``<out>/traces/<run>/<sequence>.json``.

    Args:
        clips: a place of the data stage's output.
        weights: training stage → its folder.
        slots, every: where a run does not say otherwise.
        side: shorter side at which frames are looked at, see ``segment_folder``.
        workers: runs side by side, each in a process with its share of the cores; 0: one after the other.

    Returns:
        Seconds per frame of each run, of all clips in batches; post-processed runs have none.
    """
    jobs = {
        name: partial(
            _segment, run, name, clips, weights, out, slots, every, batch, device, seed, side, not workers
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
    weights: Mapping[str, Path],
    out: Path,
    slots: int,
    every: int,
    batch: int,
    device: str,
    seed: int,
    side: int | None,
    progress: bool,
) -> float:
    clips = prepared.clips(root)
    network, _ = load_model(paths.network(weights[run.trained], run.network))
    policy = rule_for(network, run.policy, **{"slots": run.slots or slots, "every": every, **run.options})
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
