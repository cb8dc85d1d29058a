"""The loop: learning, stopping and resuming, averaging, schedules."""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stremn.errors import InputError
from stremn.figures.curves import loss_figure
from stremn.training.averaging import Best
from stremn.training.clip_loss import jaccard
from stremn.training.loop import Plan, fit
from stremn.training.resume import History, Progress

PLAN = Plan(steps=60, learning_rate=0.05, log_every=10, checkpoint_every=20)


@dataclass
class Batch:
    x: Tensor

    def to(self, device: str) -> "Batch":
        return Batch(self.x.to(device))


def batches(start: int, stop: int) -> Iterator[Batch]:
    for step in range(start, stop):
        yield Batch(torch.randn(8, 3, generator=torch.Generator().manual_seed(step)))


def loss(model: nn.Module, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
    noise = torch.randn(8, 1, generator=generator) * 0.1
    return {"loss": (model(batch.x) - batch.x.sum(1, keepdim=True) - noise).square().mean()}


def fresh() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(3, 1)


def test_it_learns_and_writes_history() -> None:
    model, logged = fresh(), []
    history = fit(model, batches, loss, PLAN, seed=0, log=lambda step, row: logged.append(step))
    assert history.rows[-1]["loss"] < 0.2 * history.rows[0]["loss"]
    assert logged == [10, 20, 30, 40, 50, 60] and not model.training
    assert loss_figure(history.rows, title="a line").axes


def test_a_stopped_run_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole, stopped = fresh(), fresh()
    one = fit(whole, batches, loss, PLAN, seed=0)

    def interrupted(start: int, stop: int) -> Iterator[Batch]:
        for step, batch in enumerate(batches(start, stop), start):
            if step == 47:
                raise KeyboardInterrupt
            yield batch

    with pytest.raises(KeyboardInterrupt):
        fit(stopped, interrupted, loss, PLAN, seed=0, progress=Progress(tmp_path, {}))
    again = nn.Linear(3, 1)  # other weights: the checkpoint's count
    two = fit(again, batches, loss, PLAN, seed=0, progress=Progress(tmp_path, {}))
    assert torch.equal(whole.weight, again.weight)  # type: ignore[arg-type]
    assert [r["loss"] for r in one.rows] == [r["loss"] for r in two.rows]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_the_step_that_is_going_on(tmp_path: Path, number: signal.Signals) -> None:
    whole, again, steps = fresh(), nn.Linear(3, 1), iter(range(100))
    one = fit(whole, batches, loss, PLAN, seed=0)

    def signalled(*arguments: Any) -> dict[str, Tensor]:
        if next(steps) == 46:
            signal.raise_signal(number)
            signal.raise_signal(number)  # Slurm, and the end of what started us
        return loss(*arguments)

    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        fit(fresh(), batches, signalled, PLAN, seed=0, progress=Progress(tmp_path, {}))
    assert signal.getsignal(number) is before
    logged: list[int] = []
    two = fit(
        again,
        lambda start, stop: batches(start, stop) if start == 47 else pytest.fail(f"goes on at {start}"),
        loss,
        PLAN,
        seed=0,
        progress=Progress(tmp_path, {}),
        log=lambda step, row: logged.append(step),
    )
    assert torch.equal(whole.weight, again.weight)  # type: ignore[arg-type]
    assert one.rows == two.rows  # also the mean over steps before and after the stop
    assert logged == [10, 20, 30, 40, 50, 60]  # the curve is whole again


def killed_at(replace: int, after: bool, folder: Path) -> bool:
    """Train in a process that kills itself before or after its n-th rename; whether it came so far."""
    if process := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal.SIGKILL
    left, rename = iter(range(replace, -1, -1)), os.replace

    def die(*arguments: Any) -> None:
        if last := next(left) == 0:
            after and rename(*arguments)
            os.kill(os.getpid(), signal.SIGKILL)
        assert not last
        rename(*arguments)

    os.replace = die
    fit(fresh(), batches, loss, PLAN, seed=0, progress=Progress(folder, {}))
    os._exit(0)


def test_kills_around_every_rename_end_with_the_same_weights(tmp_path: Path) -> None:
    whole = fresh()
    one = fit(whole, batches, loss, PLAN, seed=0)
    for number in range(100):
        folder = tmp_path / str(number)
        if not killed_at(number // 2, bool(number % 2), folder):
            break
        again = fresh()
        progress = Progress(folder, {})
        two = fit(again, batches, loss, PLAN, seed=0, progress=progress)
        assert torch.equal(whole.weight, again.weight) and one.rows == two.rows  # type: ignore[arg-type]
        progress.forget()
        assert not folder.exists()
    assert number == 12  # a note and weights at each of three checkpoints


def test_what_a_killed_process_was_writing_goes(tmp_path: Path) -> None:
    place = Progress(tmp_path, {}).place
    place.mkdir()
    (place / ".progress.pt.123.tmp").write_bytes(b"half")
    fit(fresh(), batches, loss, PLAN, seed=0, progress=Progress(tmp_path, {}))
    assert not list(place.glob("*.tmp"))


def test_experiments_side_by_side_leave_each_other_alone(tmp_path: Path) -> None:
    one, two = Progress(tmp_path, {"seed": 1}, "exps/a"), Progress(tmp_path, {"seed": 2}, "exps/b")
    for progress, step in ((one, 3), (two, 30), (Progress(tmp_path, {"seed": 3}), 60)):
        assert progress.why_anew() is None  # of another experiment, not of an earlier setting
        progress.save(fresh(), torch.optim.SGD(fresh().parameters(), 0.1), Best(), History(), step)
    assert one.place.is_dir() and two.place.is_dir()


def test_the_same_training_twice_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stremn.training.resume.PATIENCE", 0)
    one, two = Progress(tmp_path, {}), Progress(tmp_path, {})
    one.hold()
    whole, again = fresh(), fresh()
    fit(whole, batches, loss, PLAN, seed=0)
    fit(again, batches, loss, PLAN, seed=0, progress=two)
    assert torch.equal(whole.weight, again.weight) and two.place != one.place  # type: ignore[arg-type]
    two.forget()
    assert one.place.is_dir()


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    place = Progress(tmp_path, {}).place
    place.mkdir()
    (place / "progress.pt").write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(InputError, match=r"progress\.pt"):
        fit(fresh(), batches, loss, PLAN, seed=0, progress=Progress(tmp_path, {}))


def test_the_best_weights_are_averaged() -> None:
    values = iter([1.0, 5.0, float("nan"), 4.0, 2.0, 3.0])
    seen: list[Tensor] = []

    def validate(model: nn.Module) -> dict[str, float]:
        seen.append(model.weight.detach().clone())  # type: ignore[operator,union-attr]
        return {"score": next(values)}

    model = fresh()
    plan = PLAN.model_copy(update={"validate_every": 10, "best_metric": "score", "keep_best": 2})
    history = fit(model, batches, loss, plan, seed=0, validate=validate)
    assert history.best == 5.0
    torch.testing.assert_close(model.weight, (seen[1] + seen[3]) / 2)


def test_schedules() -> None:
    plan = Plan(steps=110, learning_rate=1.0, schedule="cosine", final_learning_rate=0.1, warmup=10)
    assert [round(plan.rate(s), 6) for s in (0, 9, 10, 60, 110)] == [0.1, 1.0, 1.0, 0.55, 0.1]


class Encoders(nn.Module):
    """Two encoders, one of which sees masks, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.query_encoder = nn.Conv2d(3, 2, 1)
        self.memory_encoder = nn.Sequential(nn.Conv2d(5, 2, 1, bias=False), nn.Conv2d(2, 2, 1, bias=False))
        self.head = nn.Linear(2, 1)

    def forward(self, x: Tensor) -> Tensor:
        image = x[:, :, None, None]
        with_masks = torch.cat([image, image[:, :2]], 1)
        return self.head((self.query_encoder(image) + self.memory_encoder(with_masks)).flatten(1))


@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_encoders_learn_at_their_share_of_the_rate(share: float) -> None:
    torch.manual_seed(0)
    model = Encoders()
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    fit(model, batches, loss, Plan(steps=1, learning_rate=1e-3, backbone_rate=share), seed=0)
    for name, weight in model.named_parameters():  # Adam's first step is the rate, whatever the gradient
        slow = "encoder" in name and name != "memory_encoder.0.weight"
        moved = (weight - before[name]).abs().max().item()
        assert moved == pytest.approx(1e-3 * (share if slow else 1), rel=1e-2)
        assert weight.requires_grad == (share > 0 or not slow)


def test_a_gradient_that_is_not_finite_stops_the_run() -> None:
    def broken(model: nn.Module, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        return {"loss": model(batch.x).sum() * float("nan")}

    with pytest.raises(FloatingPointError, match="step 0"):
        fit(fresh(), batches, broken, PLAN, seed=0)


def test_progress_that_cannot_be_written_leaves_the_earlier_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = fresh()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    progress = Progress(tmp_path, {})
    progress.save(model, optimizer, Best(), History(), 3)

    def half(content: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("torch.save", half)
    with pytest.raises(OSError, match="No space"):
        progress.save(model, optimizer, Best(), History(), 4)
    assert sorted(p.name for p in progress.place.iterdir()) == ["origin.json", "progress.pt"]
    assert progress.load(model, optimizer, Best(), History()) == 3


def test_a_damaged_note_of_another_training_does_not_stop_this_one(tmp_path: Path) -> None:
    for name, text in (("cut", '{"step": 3, "ori'), ("empty", "{}")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "origin.json").write_text(text, encoding="utf-8")
    progress = Progress(tmp_path, {"seed": 1})
    assert progress.why_anew() is None
    fit(fresh(), batches, loss, PLAN, seed=0, progress=progress)
    assert progress.place.is_dir()


def paused(folder: Path, origin: dict[str, Any], step: int) -> Progress:
    """A training of another origin that was stopped after a checkpoint."""

    def interrupted(start: int, stop: int) -> Iterator[Batch]:
        yield from batches(start, step)
        raise KeyboardInterrupt

    progress = Progress(folder, origin)
    with pytest.raises(KeyboardInterrupt):
        fit(fresh(), interrupted, loss, PLAN, seed=0, progress=progress)
    return progress


ORIGIN: dict[str, Any] = {
    "parameters": {"plan": {"steps": 60}, "batch": 4},
    "data": {"vos": {"sha256": "a"}},
    "starting weights": "b",
    "code": {"memory/write.py": "c", "ops/gumbel.py": "d"},
}


@pytest.mark.parametrize(
    ("part", "value", "words"),
    [
        ("parameters", {"plan": {"steps": 70}, "batch": 4}, "other parameters (plan.steps: 60, now 70);"),
        ("parameters", {"plan": {"steps": 60}}, "other parameters (batch: 4, now None);"),
        ("data", {"vos": {"sha256": "z"}}, "other data (vos.sha256);"),
        ("starting weights", "z", "other starting weights;"),
        ("code", {"memory/write.py": "z", "ops/gumbel.py": "d"}, "other code (memory/write.py);"),
        (
            "code",
            {f"ops/{i}.py": "z" for i in range(4)},
            "code (memory/write.py, ops/gumbel.py, ops/0.py, 3 more);",
        ),
    ],
)
def test_a_paused_training_that_cannot_go_on_says_what_changed(
    tmp_path: Path, part: str, value: object, words: str
) -> None:
    assert Progress(tmp_path, ORIGIN).why_anew() is None  # nothing was paused
    paused(tmp_path, ORIGIN, 45)
    assert Progress(tmp_path, ORIGIN).why_anew() is None  # it goes on
    told = Progress(tmp_path, {**ORIGIN, part: value}).why_anew()
    assert told is not None and words in told and "step 40" in told and "\n" not in told


def test_progress_of_earlier_settings_stays_until_it_is_passed(tmp_path: Path) -> None:
    old = paused(tmp_path, ORIGIN, 45)
    new = paused(tmp_path, {**ORIGIN, "starting weights": "z"}, 30)
    assert new.place.is_dir() and old.place.is_dir()  # at 20 of 40 steps
    assert old.load(fresh(), torch.optim.Adam(fresh().parameters()), Best(), History()) == 40
    new.forget()
    assert old.place.is_dir()  # also after a new training that ended before
    new = paused(tmp_path, {**ORIGIN, "starting weights": "z"}, 45)
    assert new.place.is_dir() and not old.place.exists()
    new.forget()
    assert not tmp_path.exists()


def test_jaccard_by_hand() -> None:
    truth = torch.tensor([[[[1, 1, 2, 0]]]])
    predicted = torch.tensor([[[[1, 0, 2, 2]]]])
    assert jaccard(predicted, truth, 3).tolist() == [[0.5, 0.5, 1.0]]
