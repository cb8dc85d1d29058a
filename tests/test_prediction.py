"""tasks.prediction*, models.predictor: rollout, stream, memory, gradients."""

import numpy as np
import pytest
import torch
from torch import Tensor

from stremn.errors import InputError
from stremn.inference.prediction_stream import PredictionStream
from stremn.memory import POLICIES, Trace, make_policy, read, write
from stremn.memory.state import MemoryState
from stremn.models.checkpoints import load_model, save_model
from stremn.models.predictor import VideoPredictor
from stremn.models.predictor_memory import memorise, stack_at
from stremn.models.registry import build_model
from stremn.tasks.prediction import predict_clips, rollout
from stremn.training.prediction_loss import LossWeights, loss_terms, prediction_loss

TINY = {
    "base_width": 8, "max_width": 16, "blocks": 4, "halvings": 2,
    "key_dim": 8, "value_dim": 8, "update_dim": 8,
}  # fmt: skip


def tiny(**fields: object) -> VideoPredictor:
    torch.manual_seed(0)
    return VideoPredictor(**{**TINY, **fields})  # type: ignore[arg-type]


def video(batch: int = 2, frames: int = 12, size: int = 16, channels: int = 1, seed: int = 0) -> Tensor:
    return torch.rand(batch, frames, channels, size, size, generator=torch.Generator().manual_seed(seed))


def test_stacks_are_consecutive_and_repeat_the_first_frame() -> None:
    frames = torch.arange(5.0).view(1, 5, 1, 1, 1).expand(2, 5, 1, 4, 4)
    held = [stack_at(frames, t, 3)[0, :, 0, 0].tolist() for t in range(5)]
    assert held == [[0, 0, 0], [0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 4]]
    colour = torch.stack([frames[:, :, 0], frames[:, :, 0] + 10], 2)
    assert stack_at(colour, 3, 2)[0, :, 0, 0].tolist() == [2, 12, 3, 13]


def test_the_papers_shape_of_the_network() -> None:
    model = VideoPredictor()
    strides = [[c.stride[0] for c in block if isinstance(c, torch.nn.Conv2d)] for block in model.encoder]
    assert strides == [[2, 1], [2, 1], [2, 1], [1, 1], [1, 1], [1, 1]]
    assert [block[3].out_channels for block in model.encoder] == [32, 64, 128, 256, 256, 256]
    ups = [[c.stride[0] for c in b if isinstance(c, torch.nn.ConvTranspose2d)] for b in model.decoder]
    assert ups == [[1, 1], [1, 1], [1, 1], [2, 1], [2, 1], [2, 1]]
    features = model.encode(torch.rand(1, 3, 64, 64))
    assert features.feature.shape == (1, 256, 8, 8) and features.skips == ()


@pytest.mark.parametrize("output", ["frame", "change", "blend"])
@pytest.mark.parametrize("skips", [False, True])
def test_every_variant_makes_frames_in_range_and_learns(output: str, skips: bool) -> None:
    model = tiny(output=output, skips=skips, halvings=3)
    frames = video(size=16)
    torch.nn.init.normal_(model.predict.weight)
    predicted = rollout(model, frames, 5, 3)
    assert predicted.shape == (2, 3, 1, 16, 16)
    assert float(predicted.detach().min()) >= 0 and float(predicted.detach().max()) <= 1
    predicted.sum().backward()
    taught = {n for n, p in model.named_parameters() if p.grad is not None and float(p.grad.abs().sum()) > 0}
    assert {n for n, _ in model.named_parameters() if "update" not in n} <= taught


def test_a_change_starts_as_a_copy_of_the_last_frame() -> None:
    frames = video().clamp(0.02, 0.98)
    predicted = rollout(tiny(output="change"), frames, 6, 4)
    assert torch.allclose(predicted, frames[:, 5:6].expand_as(predicted), atol=1e-4)


def test_a_blend_keeps_the_last_frame_where_nothing_is_new() -> None:
    model, frames = tiny(output="blend"), video()
    with torch.no_grad():
        model.predict.bias[-1] = -50.0  # type: ignore[index]
        predicted = rollout(model, frames, 6, 4)
        assert torch.allclose(predicted, frames[:, 5:6].expand_as(predicted), atol=1e-6)
        model.predict.bias[-1] = 50.0  # type: ignore[index]
        model.predict.bias[0] = 50.0  # type: ignore[index]
        assert float(rollout(model, frames, 6, 4).min()) > 0.999


def test_rollout_is_what_the_paper_says() -> None:
    """Against a plain loop: write the stacks up to t − 1, read with stack t, feed the prediction back."""
    model, frames, policy = tiny(), video(), make_policy("learned", slots=3)
    seen = list(frames[:, :6].unbind(1))
    state, expected, first = MemoryState.empty(), [], True
    for t in range(2, 9):
        stack = model.encode(torch.cat(seen[t - 2 : t + 1], 1))
        if t >= 5:
            value = read(state, model.query_key(stack.feature))[:, 0]
            expected.append(model.decode(stack, value))
            seen.append(expected[-1])
        state = write(state, memorise(model, stack, t, first=first), policy)
        first = False
    assert torch.allclose(rollout(model, frames, 6, 4, policy), torch.stack(expected, 1), atol=1e-5)


def test_only_the_observed_frames_are_looked_at() -> None:
    model, frames = tiny(), video()
    other = frames.clone()
    other[:, 6:] = 0
    with torch.no_grad():
        assert torch.equal(rollout(model, frames, 6, 5), rollout(model, other, 6, 5))


def test_in_place_memory_equals_the_value() -> None:
    model, frames = tiny(), video()
    with torch.no_grad():
        in_place = rollout(model, frames, 6, 12)
    assert torch.allclose(rollout(model, frames, 6, 12), in_place, atol=1e-5)


@pytest.mark.parametrize(
    "rule", sorted(name for name, entry in POLICIES.items() if entry.unit == "slot" and not entry.judged)
)
def test_free_running_of_any_length_keeps_to_its_slots(rule: str) -> None:
    model, trace = tiny(), Trace()
    with torch.no_grad():
        predicted = rollout(model, video(1, 8), 8, 40, make_policy(rule, slots=5), trace=trace)
    assert predicted.shape == (1, 40, 1, 16, 16) and bool(predicted.isfinite().all())
    assert [s.frame for s in trace.steps] == list(range(2, 47))
    held = [len(s.held) for s in trace.steps]
    if POLICIES[rule].fixed:
        assert max(held) == 5 and held[-1] == 5
        assert all(2 in s.held and s.frame in s.held for s in trace.steps)  # the first and the newest
    evictions = [s for s in trace.steps if s.action == "evict"]
    assert all(s.evicted_frame in s.held_before and s.evicted_frame not in s.held for s in evictions)
    if rule == "learned":
        assert len(evictions) == 40 and all(s.scores is not None for s in evictions)
    assert all(sum(s.read_mass or [1.0]) == pytest.approx(1.0, abs=1e-4) for s in trace.steps[1:])


def test_gradient_reaches_the_update_keys_when_templates_are_evicted() -> None:
    def gradients(slots: int) -> list[float]:
        model = tiny()
        policy = make_policy("learned", slots=slots)
        loss = rollout(model, video(), 6, 4, policy, noise=True, generator=torch.Generator().manual_seed(1))
        (loss - 0.5).square().sum().backward()
        heads = (model.query_update.weight.grad, model.memory_update.weight.grad)
        return [0.0 if g is None else float(g.abs().sum()) for g in heads]

    assert all(g > 0 for g in gradients(3))
    assert gradients(20) == [0.0, 0.0]  # nothing is evicted, nothing to learn


def test_loss_of_a_batch() -> None:
    model, frames = tiny(), video()
    generator = torch.Generator().manual_seed(3)
    terms = prediction_loss(model, frames, generator, observed=6)
    assert set(terms) == {"loss", "shrinkage_l1", "shrinkage_l2", "gradient"}
    assert float(terms["loss"].detach()) == pytest.approx(
        sum(float(v.detach()) for k, v in terms.items() if k != "loss"), rel=1e-5
    )
    again = prediction_loss(model, frames, torch.Generator().manual_seed(3), observed=6)
    assert torch.equal(terms["loss"], again["loss"])
    weights = LossWeights(shrinkage_l1=0, shrinkage_l2=0, gradient=0, l1=2, l2=0.5)
    named = loss_terms(frames[:, :1], frames[:, 1:2], weights)
    difference = frames[:, 0] - frames[:, 1]
    assert float(named["l1"]) == pytest.approx(float(difference.abs().mean()))
    assert set(named) == {"l1", "l2"}
    total = prediction_loss(model, frames, torch.Generator(), observed=6, weights=weights)
    found = {name: float(value.detach()) for name, value in total.items()}
    assert found["loss"] == pytest.approx(2 * found["l1"] + 0.5 * found["l2"], rel=1e-5)


def test_the_number_of_slots_varies_between_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    from stremn.training import prediction_loss as module

    seen: list[int | None] = []

    def spy(model, batch, observed, ahead, policy, *, generator, noise):  # type: ignore[no-untyped-def]
        assert noise and isinstance(generator, torch.Generator)
        seen.append(policy.slots)
        return batch[:, observed:]

    monkeypatch.setattr(module, "rollout", spy)
    generator = torch.Generator().manual_seed(0)
    for _ in range(60):
        prediction_loss(tiny(), video(1), generator, observed=6)
    assert set(seen) == {2, 3, 4, 5}


def test_training_reduces_the_loss() -> None:
    model, frames = tiny(), video(2, 8) * 0.2 + 0.7
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for step in range(25):
        loss = prediction_loss(
            model, frames, torch.Generator().manual_seed(step), observed=5, weights=LossWeights(l1=1.0)
        )
        optimizer.zero_grad()
        loss["loss"].backward()
        optimizer.step()
        losses.append(float(loss["l1"].detach()))
    assert losses[-1] < 0.6 * losses[0]


def test_a_stream_predicts_what_a_rollout_predicts() -> None:
    model, frames = tiny(), video(1)
    stream = PredictionStream(model)
    for t in range(6):
        prediction = stream.step(frames[0, t].numpy())
    streamed = [prediction, *(stream.step() for _ in range(5))]
    with torch.no_grad():
        expected = rollout(model, frames, 6, 6)[0].numpy()
    assert np.allclose(np.stack(streamed), expected, atol=1e-5)
    assert stream.frame == 11 and stream.memory.slots == 5 and stream.trace is not None
    assert [s.frame for s in stream.trace.steps] == list(range(2, 11))


@pytest.mark.parametrize("observed", [1, 2, 3])
def test_few_observed_frames_read_the_query_alone(observed: int) -> None:
    model, frames = tiny(), video(1)
    stack = model.encode(stack_at(frames[:, :observed], observed - 1, 3))
    own = write(MemoryState.empty(), memorise(model, stack, 0, first=True), make_policy("previous"))
    expected = model.decode(stack, read(own, model.query_key(stack.feature))[:, 0])
    assert torch.allclose(rollout(model, frames, observed, 1)[:, 0], expected, atol=1e-6)
    trace = Trace()
    rollout(model, frames, observed, 5, trace=trace)
    assert trace.steps[0].frame == 2  # the first complete stack


def test_many_clips_in_batches_and_colour() -> None:
    model = tiny(in_channels=3, stack=2)
    clips = video(5, 7, channels=3).numpy()
    predicted = predict_clips(model, clips, 4, 3, batch=2)
    assert predicted.shape == (5, 3, 3, 16, 16) and predicted.dtype == np.float32
    assert np.allclose(predicted, predict_clips(model, clips, 4, 3, batch=5), atol=1e-5)


def test_saved_and_loaded(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path, systems = tmp_path / "predictor.safetensors", {"predictor": VideoPredictor}
    meta = {"system": "predictor", "fields": {**TINY, "output": "blend", "skips": True}}
    model = build_model("predictor", meta["fields"], systems)  # type: ignore[arg-type]
    save_model(path, model, meta)
    loaded, found = load_model(path, systems)
    with torch.no_grad():
        assert torch.equal(rollout(loaded, video(), 5, 2), rollout(model.eval(), video(), 5, 2))  # type: ignore[arg-type]
    assert found == meta


def test_bad_input_is_named() -> None:
    model = tiny()
    with pytest.raises(InputError, match="multiples of 4, found shape"):
        rollout(model, video(size=18), 5, 1)
    with pytest.raises(InputError, match="stacks of 3 frames of 1 channels"):
        rollout(model, video(channels=2), 5, 1)
    with pytest.raises(InputError, match="1 ≤ observed ≤ 12"):
        rollout(model, video(), 13, 1)
    with pytest.raises(InputError, match="predicted ≥ 1"):
        rollout(model, video(), 5, 0)
    with pytest.raises(InputError, match="frame, change, blend, found 'delta'"):
        tiny(output="delta")
    with pytest.raises(InputError, match="halvings"):
        tiny(halvings=9)
    stream = PredictionStream(model)
    with pytest.raises(InputError, match="first step, found none"):
        stream.step()
    with pytest.raises(InputError, match="frame of floats"):
        stream.step(np.zeros((16, 16), np.uint8))
    stream.step(np.zeros((16, 16), np.float32))
    with pytest.raises(InputError, match="as before"):
        stream.step(np.zeros((1, 20, 16), np.float32))
