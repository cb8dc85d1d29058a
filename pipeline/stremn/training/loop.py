"""The training loop of every task.

A batch is a function of its step number, so a run that stops and resumes sees the same batches
as one that never stopped.
"""

import math
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from stremn.settings import Settings
from stremn.training.averaging import Best
from stremn.training.resume import load_progress, save_progress

Schedule = Literal["constant", "cosine"]
LossFunction = Callable[[nn.Module, Any, torch.Generator], dict[str, Tensor]]


@dataclass
class History:
    """What happened: one row of numbers per logged step, and where the time went.

    Attributes:
        rows: ``{"step": …, "loss": …, …}`` in order; validation rows have other names.
        seconds: time spent in this call and earlier ones of the same run.
        best: the best validation value, None without validation.
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    best: float | None = None

    @property
    def last_loss(self) -> float:
        """The training loss that was logged last."""
        return next(row["loss"] for row in reversed(self.rows) if "loss" in row)


class Plan(Settings):
    """How to train.

    Attributes:
        steps: optimiser steps in all.
        learning_rate: of Adam at the start.
        schedule: ``constant``, or ``cosine`` down to ``final_learning_rate``.
        final_learning_rate: where the cosine ends.
        warmup: steps of linear warm-up.
        weight_decay: decoupled (AdamW); 0: Adam, as in the papers.
        clip_gradient: largest norm of the gradient; None: not clipped.
        log_every: steps between logged losses (their mean is logged).
        validate_every: steps between validations; 0: never.
        best_metric: validation value that decides which weights are kept; None: the last ones.
        best_mode: ``max`` or ``min``.
        keep_best: how many of the best weights are averaged at the end (STReMN Sec. 4.2).
        checkpoint_every: steps between resumable checkpoints.
        seed: of weights, batches and noise.
    """

    steps: int
    learning_rate: float = 1e-4
    schedule: Schedule = "constant"
    final_learning_rate: float = 0.0
    warmup: int = 0
    weight_decay: float = 0.0
    clip_gradient: float | None = None
    log_every: int = 20
    validate_every: int = 0
    best_metric: str | None = None
    best_mode: Literal["max", "min"] = "max"
    keep_best: int = 1
    checkpoint_every: int = 200
    seed: int = 0

    def rate(self, step: int) -> float:
        """Learning rate of a step."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        if self.schedule == "constant":
            return self.learning_rate
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        half = (self.learning_rate - self.final_learning_rate) / 2
        return self.final_learning_rate + half * (1 + math.cos(math.pi * done))


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and PyTorch."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  (what libraries draw from)
    torch.manual_seed(seed)


def fit(
    model: nn.Module,
    batches: Callable[[int, int], Iterator[Any]],
    loss: LossFunction,
    plan: Plan,
    *,
    resume_dir: Path | None = None,
    log: Callable[[int, dict[str, float]], None] = lambda step, row: None,
    validate: Callable[[nn.Module], dict[str, float]] | None = None,
    device: str = "cpu",
    description: str = "training",
) -> History:
    """Train ``model`` in place.

    Args:
        batches: ``batches(start, stop)`` yields the batches of those steps; each has ``.to(device)``.
        loss: ``loss(model, batch, generator)`` gives named scalars; ``"loss"`` is minimised.
        resume_dir: where progress is saved; what is found there is continued.
        log: called with a step and its numbers.
        validate: numbers of the model on held-out data.

    Returns:
        The history; afterwards the model holds the last weights, or the average of the best ones.
    """
    model.to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay)
    best = Best(plan.best_mode, plan.keep_best)
    history, start = History(), 0
    if resume_dir is not None:
        start = load_progress(resume_dir, model, optimizer, best, history)
    started, before = time.perf_counter(), history.seconds
    recent: list[dict[str, float]] = []
    bar = tqdm(total=plan.steps, initial=start, desc=description, mininterval=5, unit="step")
    try:
        for step, batch in enumerate(batches(start, plan.steps), start):
            recent.append(_one_step(model, batch.to(device), loss, optimizer, plan, step, device))
            bar.update()
            done = step + 1
            history.seconds = before + time.perf_counter() - started
            if done % plan.log_every == 0 or done == plan.steps:
                row = {name: float(np.mean([r[name] for r in recent])) for name in recent[0]}
                bar.set_postfix(loss=f"{row['loss']:.4f}")
                _record(history, done, row, log)
                recent.clear()
            if validate and plan.validate_every and (done % plan.validate_every == 0 or done == plan.steps):
                _validated(model, validate, plan, best, history, done, log)
            if resume_dir is not None and (done % plan.checkpoint_every == 0 or done == plan.steps):
                save_progress(resume_dir, model, optimizer, best, history, done)
    finally:
        bar.close()
    if plan.best_metric is not None and best.kept:
        model.load_state_dict(best.average())
    history.best = best.value
    model.eval()
    return history


def _one_step(
    model: nn.Module,
    batch: Any,
    loss: LossFunction,
    optimizer: torch.optim.Optimizer,
    plan: Plan,
    step: int,
    device: str,
) -> dict[str, float]:
    """One optimiser step; the noise of a step depends on the seed and the step alone."""
    generator = torch.Generator(device).manual_seed(plan.seed * 1_000_003 + step)
    for group in optimizer.param_groups:
        group["lr"] = plan.rate(step)
    terms = loss(model, batch, generator)
    optimizer.zero_grad(set_to_none=True)
    terms["loss"].backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), plan.clip_gradient or math.inf)
    if not bool(torch.isfinite(norm)):
        raise FloatingPointError(f"the gradient at step {step} is not finite (loss {float(terms['loss'])})")
    optimizer.step()
    return {name: float(value.detach()) for name, value in terms.items()} | {"learning_rate": plan.rate(step)}


def _record(
    history: History, step: int, row: dict[str, float], log: Callable[[int, dict[str, float]], None]
) -> None:
    history.rows.append({"step": step, **row})
    log(step, row)


def _validated(
    model: nn.Module,
    validate: Callable[[nn.Module], dict[str, float]],
    plan: Plan,
    best: Best,
    history: History,
    step: int,
    log: Callable[[int, dict[str, float]], None],
) -> None:
    model.eval()
    with torch.no_grad():
        row = {f"validation_{name}": value for name, value in validate(model).items()}
    model.train()
    _record(history, step, row, log)
    if plan.best_metric is not None:
        best.offer(row[f"validation_{plan.best_metric}"], step, model)
