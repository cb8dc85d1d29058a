"""The training loop of every task.

A batch is a function of its step number, and the noise of a step of the seed and that number, so a run that stops and
resumes sees the same batches and the same noise as one that never stopped.
"""

import math
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from tqdm import tqdm

from stremn.settings import Settings
from stremn.training.averaging import Best
from stremn.training.resume import History, Progress

MEMORY_CHANNELS = 5  # what a memory encoder sees: RGB, the object's mask, the other objects'
Schedule = Literal["constant", "cosine"]
Log = Callable[[int, dict[str, float]], None]
LossFunction = Callable[[nn.Module, Any, torch.Generator], dict[str, Tensor]]


class Plan(Settings):
    """How to train."""

    steps: int = Field(ge=0)
    """Optimiser steps in all."""
    learning_rate: float = 1e-4
    """Of Adam at the start."""
    schedule: Schedule = "constant"
    """``constant``, or ``cosine`` down to ``final_learning_rate``."""
    final_learning_rate: float = 0.0
    """Where the cosine ends."""
    warmup: int = Field(default=0, ge=0)
    """Steps of linear warm-up."""
    backbone_rate: float = 1.0
    """Learning rate of the encoders as a share of the others': small keeps ImageNet's features, 0 freezes them."""
    clip_gradient: float | None = None
    """Largest norm of the gradient; None: not clipped."""
    log_every: int = Field(default=20, ge=1)
    """Steps between logged losses (their mean is logged)."""
    validate_every: int = Field(default=0, ge=0)
    """Steps between validations; 0: never."""
    best_metric: str | None = None
    """Validation value whose largest decides which weights are kept; None: the last ones."""
    keep_best: int = Field(default=1, ge=1)
    """How many of the best weights are averaged at the end (STReMN Sec. 4.2)."""
    checkpoint_every: int = Field(default=200, ge=1)
    """Steps between resumable checkpoints."""

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
    seed: int,
    progress: Progress | None = None,
    log: Log = lambda step, row: None,
    validate: Callable[[nn.Module], dict[str, float]] | None = None,
    device: str = "cpu",
    description: str = "training",
) -> History:
    """Train ``model`` in place.

    Args:
        batches: ``batches(start, stop)`` yields the batches of those steps; each has ``.to(device)``.
        loss: ``loss(model, batch, generator)`` gives named scalars; ``"loss"`` is minimised.
        seed: of the noise.
        progress: where it is saved; what is found there is continued. Ctrl-C and SIGTERM then end the training
            after the step that is going on, which is saved.
        log: called with a step and its numbers.
        validate: numbers of the model on held-out data.

    Returns:
        The history; afterwards the model holds the last weights, or the average of the best ones.

    Raises:
        KeyboardInterrupt: it was stopped.
    """
    model.to(device).train()
    optimizer = torch.optim.Adam(_groups(model, plan.backbone_rate), lr=plan.learning_rate)
    best, history = Best(plan.keep_best), History()
    with _stoppable(progress) as stopped:
        start = progress.load(model, optimizer, best, history) if progress else 0
        for row in history.rows:
            log(int(row["step"]), {name: value for name, value in row.items() if name != "step"})
        started, before = time.perf_counter(), history.seconds
        bar = tqdm(total=plan.steps, initial=start, desc=description, mininterval=5, unit="step")
        for step, batch in enumerate(batches(start, plan.steps), start):
            generator = torch.Generator(device).manual_seed(seed * 1_000_003 + step)
            terms = _one_step(model, batch.to(device), loss, optimizer, plan, step, generator)
            history.recent.append(terms)
            bar.update()
            done, last = step + 1, step + 1 == plan.steps
            history.seconds = before + time.perf_counter() - started
            if done % plan.log_every == 0 or last:
                row = {name: float(np.mean([r[name] for r in history.recent])) for name in terms}
                bar.set_postfix(loss=f"{row['loss']:.4f}")
                _record(history, done, row, log)
                history.recent.clear()
            if validate and plan.validate_every and (done % plan.validate_every == 0 or last):
                _validated(model, validate, plan, best, history, done, log)
            stop = stopped()
            if progress and (done % plan.checkpoint_every == 0 or last or stop):
                progress.save(model, optimizer, best, history, done)
            if stop:
                raise KeyboardInterrupt
        bar.close()
    if plan.best_metric is not None and best.kept:
        model.load_state_dict(best.average())
    history.best = best.value
    model.eval()
    return history


@contextmanager
def _stoppable(progress: Progress | None) -> Iterator[Callable[[], bool]]:
    """Holds the progress; meanwhile Ctrl-C and SIGTERM are kept for the question whether to stop, between two steps."""
    if progress is None:
        yield lambda: False
        return
    asked: list[int] = []
    main = threading.current_thread() is threading.main_thread()  # Python gives signals to no other
    signals = (signal.SIGINT, signal.SIGTERM) if main else ()
    before = [signal.signal(number, lambda number, _: asked.append(number)) for number in signals]
    try:
        progress.hold()
        yield lambda: bool(asked)
    finally:
        progress.release()
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def _groups(model: nn.Module, backbone_rate: float) -> list[dict[str, Any]]:
    """Parameters by the share of the learning rate that they have; frozen ones are in no group.

    The first convolution of a memory encoder, which sees masks too, is new to them and has the whole rate.
    """
    if backbone_rate == 1:
        return [{"params": [*model.parameters()], "share": 1.0}]
    encoders: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, weight in model.named_parameters():
        sees_masks = weight.ndim == 4 and weight.shape[1] == MEMORY_CHANNELS
        (encoders if "encoder." in name and not sees_masks else others).append(weight)
    if not backbone_rate:
        for weight in encoders:
            weight.requires_grad_(False)
        return [{"params": others, "share": 1.0}]
    return [{"params": others, "share": 1.0}, {"params": encoders, "share": backbone_rate}]


def _one_step(
    model: nn.Module,
    batch: Any,
    loss: LossFunction,
    optimizer: torch.optim.Optimizer,
    plan: Plan,
    step: int,
    generator: torch.Generator,
) -> dict[str, float]:
    """One optimiser step."""
    for group in optimizer.param_groups:
        group["lr"] = plan.rate(step) * group["share"]
    terms = loss(model, batch, generator)
    optimizer.zero_grad(set_to_none=True)
    terms["loss"].backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), plan.clip_gradient or math.inf)
    if not bool(torch.isfinite(norm)):
        raise FloatingPointError(f"the gradient at step {step} is not finite (loss {float(terms['loss'])})")
    optimizer.step()
    return {name: float(value.detach()) for name, value in terms.items()} | {"learning_rate": plan.rate(step)}


def _record(history: History, step: int, row: dict[str, float], log: Log) -> None:
    history.rows.append({"step": step, **row})
    log(step, row)


def _validated(
    model: nn.Module,
    validate: Callable[[nn.Module], dict[str, float]],
    plan: Plan,
    best: Best,
    history: History,
    step: int,
    log: Log,
) -> None:
    model.eval()
    with torch.no_grad():
        row = {f"validation_{name}": value for name, value in validate(model).items()}
    model.train()
    _record(history, step, row, log)
    if plan.best_metric is not None:
        best.offer(row[f"validation_{plan.best_metric}"], step, model)
