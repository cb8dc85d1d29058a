"""models.convlstm, models.predrnn and every predictor under one interface: cells, rollouts, stages."""

import json
import math
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from stremn import paths
from stremn.cli import main
from stremn.data.prepared import Source, write_source
from stremn.errors import InputError
from stremn.inference.prediction_cost import milliseconds_per_frame
from stremn.inference.prediction_stream import PredictionStream
from stremn.memory import POLICIES, Trace, make_policy
from stremn.models.checkpoints import load_model, save_model
from stremn.models.convlstm import ConvLSTM, ConvLSTMCell
from stremn.models.prediction import PredictionNetwork, as_predictor
from stremn.models.predrnn import PredRNN, STLSTMCell
from stremn.models.registry import PREDICTORS, build_model
from stremn.stages import evaluate_prediction, train_prediction
from stremn.stages.base import Stage
from stremn.tasks.prediction import predict_clips, rollout
from stremn.training.prediction_loss import LossWeights, prediction_loss

FIELDS = {
    "stremn": {"base_width": 8, "max_width": 8, "blocks": 2, "halvings": 2, "key_dim": 8, "value_dim": 8},
    "convlstm": {"hidden_dims": [5, 4], "kernel": 3, "patch": 4},
    "predrnn": {"hidden_dims": [5, 5], "kernel": 3, "patch": 4},
}
RECURRENT = ("convlstm", "predrnn")


def made(system: str, **fields: object) -> PredictionNetwork:
    torch.manual_seed(0)
    return as_predictor(build_model(system, {**FIELDS[system], **fields}, PREDICTORS))


def video(batch: int = 2, frames: int = 8, size: int = 16, channels: int = 1, seed: int = 0) -> Tensor:
    return torch.rand(batch, frames, channels, size, size, generator=torch.Generator().manual_seed(seed))


# --- the cells, against loops over scalars


def convolved(conv: nn.Module, x: Tensor) -> np.ndarray:
    """One output value after another; x: (C, h, w)."""
    weight, bias = conv.weight.detach().numpy(), conv.bias  # type: ignore[operator, union-attr]
    values, half = x.numpy(), weight.shape[-1] // 2
    out = np.zeros((len(weight), *x.shape[1:]))
    for o, i, j in product(*map(range, out.shape)):
        total = 0.0 if bias is None else float(bias.detach()[o])
        for c, di, dj in product(*map(range, weight.shape[1:])):
            a, b = i + di - half, j + dj - half
            if 0 <= a < x.shape[1] and 0 <= b < x.shape[2]:
                total += float(weight[o, c, di, dj]) * float(values[c, a, b])
        out[o, i, j] = total
    return out


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def randomised(cell: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weights in cell.parameters():
            weights.copy_(torch.randn(weights.shape, generator=generator) * 0.4)
    return cell


def maps(*channels: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(4)
    return [torch.randn(1, c, 3, 4, generator=generator) for c in channels]


@pytest.mark.parametrize("peepholes", [False, True])
def test_a_convlstm_cell_is_equation_3(peepholes: bool) -> None:
    cell = randomised(ConvLSTMCell(2, 3, 3, peepholes=peepholes))
    x, hidden, before = maps(2, 3, 3)
    raw = convolved(cell.gates, torch.cat([x, hidden], 1)[0])  # type: ignore[arg-type]
    peeps = cell.peepholes.detach().numpy() if peepholes else np.zeros((3, 3, 1, 1))  # type: ignore[union-attr]
    new_h, new_c = (t[0].detach().numpy() for t in cell(x, hidden, before))
    for d, i, j in product(range(3), range(3), range(4)):
        c = float(before[0, d, i, j])
        gate_i = sigmoid(raw[d, i, j] + peeps[0, d, 0, 0] * c)
        gate_f = sigmoid(raw[3 + d, i, j] + peeps[1, d, 0, 0] * c)
        c = gate_f * c + gate_i * math.tanh(raw[6 + d, i, j])
        gate_o = sigmoid(raw[9 + d, i, j] + peeps[2, d, 0, 0] * c)
        assert new_c[d, i, j] == pytest.approx(c, abs=1e-5)
        assert new_h[d, i, j] == pytest.approx(gate_o * math.tanh(c), abs=1e-5)


def test_a_spatiotemporal_cell_is_equation_5() -> None:
    cell = randomised(STLSTMCell(2, 3, 3))
    x, hidden, before, below = maps(2, 3, 3, 3)
    by_x, by_h = convolved(cell.from_input, x[0]), convolved(cell.from_hidden, hidden[0])  # type: ignore[arg-type]
    by_m = convolved(cell.from_memory, below[0])  # type: ignore[arg-type]
    c, m = np.zeros((3, 3, 4)), np.zeros((3, 3, 4))
    for d, i, j in product(range(3), range(3), range(4)):
        g, gate_i, gate_f = (by_x[k * 3 + d, i, j] + by_h[k * 3 + d, i, j] for k in range(3))
        c[d, i, j] = sigmoid(gate_f) * float(before[0, d, i, j]) + sigmoid(gate_i) * math.tanh(g)
        g, gate_i, gate_f = (by_x[9 + k * 3 + d, i, j] + by_m[k * 3 + d, i, j] for k in range(3))
        m[d, i, j] = sigmoid(gate_f) * float(below[0, d, i, j]) + sigmoid(gate_i) * math.tanh(g)
    both = torch.from_numpy(np.concatenate([c, m])).float()
    by_both, joined = convolved(cell.from_both, both), convolved(cell.join, both)  # type: ignore[arg-type]
    new_h, new_c, new_m = (t[0].detach().numpy() for t in cell(x, hidden, before, below))
    assert np.allclose(new_c, c, atol=1e-5) and np.allclose(new_m, m, atol=1e-5)
    for d, i, j in product(range(3), range(3), range(4)):
        gate_o = sigmoid(by_x[18 + d, i, j] + by_h[9 + d, i, j] + by_both[d, i, j])
        assert new_h[d, i, j] == pytest.approx(gate_o * math.tanh(joined[d, i, j]), abs=1e-5)


def test_the_memory_zigzags_and_the_cells_do_not() -> None:
    model = made("predrnn", hidden_dims=[5, 5, 5])
    assert isinstance(model, PredRNN)
    patches = torch.rand(1, 16, 4, 4)
    _, state = model.advance(patches, model.first_state(patches))

    def lowest(hook_from: int | None) -> tuple[Tensor, ...]:
        """H, C, M of layer 0 at the next frame, after the memory of a layer was changed at this one."""

        def changed(module, inputs, output):  # type: ignore[no-untyped-def]
            return output[0], output[1], output[2] + 1

        layers = model.layers
        handle = None if hook_from is None else layers[hook_from].register_forward_hook(changed)
        _, here = model.advance(patches, state)
        if handle is not None:
            handle.remove()
        kept = type(here)(state.layers, here.memory)  # only M differs
        hidden, cell = kept.layers[0]
        return layers[0](patches, hidden, cell, kept.memory)

    with torch.no_grad():
        plain = lowest(None)
        for layer in (1, 2):
            hidden, cell, memory = lowest(layer)
            assert not torch.allclose(memory, plain[2], atol=1e-4)
            assert not torch.allclose(hidden, plain[0], atol=1e-4)
            assert torch.equal(cell, plain[1])  # C goes on within its layer alone
    seen = model.advance(patches, state)[1].memory
    top = model.layers[2]
    assert torch.equal(seen, _memory_of(model, top, patches, state))


def _memory_of(model: PredRNN, layer: nn.Module, patches: Tensor, state) -> Tensor:  # type: ignore[no-untyped-def]
    """M as one layer puts it out."""
    found: list[Tensor] = []
    handle = layer.register_forward_hook(lambda module, inputs, output: found.append(output[2]))
    model.advance(patches, state)
    handle.remove()
    return found[0]


# --- every predictor under one interface


@pytest.mark.parametrize("output", ["frame", "change", "blend"])
@pytest.mark.parametrize("system", RECURRENT)
def test_shapes_ranges_and_gradients(system: str, output: str) -> None:
    model = made(system, output=output, in_channels=2, layer_norm=output == "blend")
    nn.init.normal_(model.predict.weight)  # type: ignore[union-attr, arg-type]
    predicted = rollout(model, video(channels=2), 4, 3)
    assert predicted.shape == (2, 3, 2, 16, 16)
    assert float(predicted.detach().min()) >= 0 and float(predicted.detach().max()) <= 1
    predicted.square().sum().backward()
    untaught = [n for n, p in model.named_parameters() if p.grad is None or float(p.grad.abs().sum()) == 0]
    assert untaught == []


def test_peepholes_are_taught() -> None:
    model = made("convlstm", peepholes=True)
    rollout(model, video(), 4, 3).square().sum().backward()
    assert all(layer.peepholes.grad.abs().amax((1, 2, 3)).min() > 0 for layer in model.layers)  # type: ignore


@pytest.mark.parametrize("system", RECURRENT)
def test_a_rollout_feeds_its_predictions_back(system: str) -> None:
    model, frames = made(system), video()
    session, seen = model.begin(make_policy("learned", slots=5)), []
    for t in range(6):
        seen.append(session.step(frames[:, t : t + 1] if t < 4 else seen[-1][:, None]))
    assert torch.allclose(rollout(model, frames, 4, 3), torch.stack(seen[3:], 1), atol=1e-6)
    other = frames.clone()
    other[:, 4:] = 0
    assert torch.equal(rollout(model, frames, 4, 3), rollout(model, other, 4, 3))
    earlier = frames.clone()
    earlier[:, 0] = 0
    assert not torch.allclose(rollout(model, frames, 4, 3), rollout(model, earlier, 4, 3), atol=1e-7)


@pytest.mark.parametrize("system", RECURRENT)
def test_patches_come_back_where_they_were(system: str) -> None:
    """A change of one patch reaches at most two patches far in one layer (PredRNN: two convolutions)."""
    model, frames = made(system, hidden_dims=[5]), video(1, 1, 32)
    other = frames.clone()
    other[..., :4, :4] = 0
    with torch.no_grad():
        difference = (rollout(model, frames, 1, 1) - rollout(model, other, 1, 1))[0, 0, 0].abs()
    assert float(difference[:4, :4].max()) > 0
    assert float(difference[12:].max()) == 0 and float(difference[:, 12:].max()) == 0


@pytest.mark.parametrize("system", RECURRENT)
def test_a_blend_starts_near_the_last_frame(system: str) -> None:
    model, frames = made(system, output="blend"), video()
    with torch.no_grad():
        predicted = rollout(model, frames, 4, 1)[:, 0]
    assert float((predicted - frames[:, 3]).abs().mean()) < 0.05
    model = made(system, output="change")
    frames = frames.clamp(0.02, 0.98)
    assert torch.allclose(rollout(model, frames, 4, 1)[:, 0], frames[:, 3], atol=1e-4)


@pytest.mark.parametrize("system", RECURRENT)
def test_training_reduces_the_loss_and_is_deterministic(system: str) -> None:
    def trained() -> list[float]:
        model, frames, losses = made(system), video(2, 6) * 0.2 + 0.7, []
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-2)
        for step in range(25):
            generator = torch.Generator().manual_seed(step)
            loss = prediction_loss(model, frames, generator, observed=4, weights=LossWeights(l1=1.0))
            optimizer.zero_grad()
            loss["loss"].backward()
            optimizer.step()
            losses.append(float(loss["l1"].detach()))
        return losses

    losses = trained()
    assert losses[-1] < 0.6 * losses[0]
    assert losses == trained()


@pytest.mark.parametrize("system", sorted(PREDICTORS))
def test_a_stream_a_batch_and_a_checkpoint_predict_the_same(system: str, tmp_path: Path) -> None:
    model, frames, path = made(system), video(3, 6), tmp_path / "model.safetensors"
    save_model(path, model, {"system": system, "fields": FIELDS[system]})
    loaded = as_predictor(load_model(path, PREDICTORS)[0])
    with torch.no_grad():
        expected = rollout(model.eval(), frames, 5, 4)
    assert torch.equal(torch.from_numpy(predict_clips(loaded, frames.numpy(), 5, 4)), expected)
    stream = PredictionStream(loaded)
    for t in range(5):
        prediction = stream.step(frames[0, t].numpy())
    streamed = [prediction, *(stream.step() for _ in range(3))]
    assert np.allclose(np.stack(streamed), expected[0].numpy(), atol=1e-5)
    assert stream.trace is not None and stream.memory is not None and stream.frame == 8
    assert (len(stream.trace.steps) > 0) == (system == "stremn")
    assert milliseconds_per_frame(loaded, frames[0].numpy(), 2) > 0


def test_without_the_read_the_memory_does_not_matter() -> None:
    frames, other = video(1, 9), video(1, 9, seed=1)
    other[:, 4:] = frames[:, 4:]  # the last stack is the same, the earlier ones differ

    def far(model: PredictionNetwork) -> float:
        with torch.no_grad():
            return float((rollout(model, frames, 7, 1) - rollout(model, other, 7, 1)).abs().max())

    assert far(made("stremn")) > 1e-5
    assert far(made("stremn", read_memory=False)) == 0


@pytest.mark.parametrize("rule", sorted(name for name, entry in POLICIES.items() if entry.unit == "feature"))
def test_rules_on_single_features_run_in_prediction(rule: str) -> None:
    trace = Trace()
    with torch.no_grad():
        predicted = rollout(made("stremn"), video(1, 8), 8, 10, make_policy(rule, slots=3), trace=trace)
    assert predicted.shape == (1, 10, 1, 16, 16) and bool(predicted.isfinite().all())
    assert [step.frame for step in trace.steps] == list(range(2, 17))


@pytest.mark.parametrize(
    ("system", "fields", "words"),
    [
        ("convlstm", {"hidden_dims": []}, "at least one layer"),
        ("convlstm", {"kernel": 4}, "odd kernel"),
        ("predrnn", {"patch": 0}, "patch"),
        ("predrnn", {"hidden_dims": [4, 5]}, "all equal"),
        ("predrnn", {"output": "delta"}, "frame, change, blend, found 'delta'"),
        ("convlstm", {"hidden_dim": [4]}, "did you mean 'hidden_dims'"),
        ("conv_lstm", {}, "expected a system of stremn, convlstm, predrnn"),
    ],
)
def test_bad_fields_give_one_line(system: str, fields: dict, words: str) -> None:
    with pytest.raises(InputError, match=words) as error:
        build_model(system, fields, PREDICTORS)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("system", RECURRENT)
def test_bad_frames_give_one_line(system: str) -> None:
    with pytest.raises(InputError, match="multiples of 4, found shape"):
        rollout(made(system), video(size=18), 2, 1)
    with pytest.raises(InputError, match="frames of 1 channels"):
        rollout(made(system), video(channels=2), 2, 1)
    with pytest.raises(TypeError, match="PredictionNetwork"):
        as_predictor(nn.Linear(1, 1))


def test_more_parameters_only_where_asked() -> None:
    """By the papers' formulas: 4 gates of ConvLSTM; 7 + 4 + 3 + 2 convolutions of ST-LSTM, and 2 of 1 × 1."""
    count = {name: sum(w.numel() for w in made(name).parameters()) for name in RECURRENT}
    patch = 16
    assert count["convlstm"] == 4 * 5 * ((16 + 5) * 9 + 1) + 4 * 4 * ((5 + 4) * 9 + 1) + (9 + 1) * patch
    cells = sum(9 * 5 * (7 * c + 4 * 5 + 3 * 5 + 2 * 5) + 7 * 5 + 2 * 5 * 5 for c in (16, 5))
    assert count["predrnn"] == cells + (5 + 1) * patch
    assert isinstance(made("convlstm"), ConvLSTM)


# --- the command and the stages


@pytest.mark.parametrize("system", RECURRENT)
def test_the_command_predicts_with_a_recurrent_system(
    system: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    for t in range(6):
        Image.fromarray(np.full((20, 24, 3), 40 * t, np.uint8)).save(tmp_path / "in" / f"{t:05d}.png")
    save_model(
        tmp_path / "m.safetensors",
        made(system),
        {"system": system, "fields": FIELDS[system], "default_size": 16},
    )
    arguments = ["predict", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--observed", "4"]
    assert main([*arguments, "--frames", "3", "--checkpoint", str(tmp_path / "m.safetensors")]) == 0
    told = capsys.readouterr().out
    assert "predicted 4 to 6" in told
    assert len(list((tmp_path / "out" / "predicted").iterdir())) == 3
    assert Trace.load(tmp_path / "out" / "trace.json").steps == []


def walkers(root: Path) -> None:
    """Moving bars of one person for training, one for validation, two for the test."""
    for split, people in (("train", [1]), ("val", [2]), ("test", [3, 4])):
        folder = paths.output(root, "tiny", "data") / "walkers" / split
        write_source(folder, Source(dataset="walkers", split=split))
        for person in people:
            frames = np.zeros((12, 16, 16), np.uint8)
            for t in range(12):
                frames[t, :, (t + person) % 16] = 200
            np.save(folder / f"person{person:02d}_walking_d1.npy", frames)
    (paths.output(root, "tiny", "data") / "manifest.json").write_text("{}", encoding="utf-8")


def stage_of(root: Path, name: str, parameters) -> Stage:  # type: ignore[no-untyped-def]
    out = paths.output(root, "tiny", name)
    out.mkdir(parents=True, exist_ok=True)
    return Stage(name, "tiny", parameters, out, root)


def test_the_stages_train_and_compare_every_system_by_name(tmp_path: Path) -> None:
    walkers(tmp_path)
    systems = {name: {"system": name, "fields": fields} for name, fields in FIELDS.items()}
    plan = {"steps": 2, "validate_every": 2, "best_metric": "SSIM", "log_every": 1}
    block = {"systems": systems, "plan": plan, "batch": 2, "observed": 4, "predicted": 2, "validation": 2}
    train = stage_of(tmp_path, "train_prediction", train_prediction.Parameters.parse(block, "t"))
    curves = train_prediction.save(train, train_prediction.train(train, train_prediction.windows(train)))
    assert set(curves) == set(PREDICTORS)
    numbers = json.loads((train.out / "metrics.json").read_text())
    assert "thread" in numbers.pop("computed")
    assert {name: set(row) for name, row in numbers.items()} == {
        name: {"parameters", "validation_SSIM", "loss", "seconds", "weights"} for name in PREDICTORS
    }

    blind = {"STReMN, blind": {"of": "stremn", "fields": {"read_memory": False}}}
    settings = {"observed": 4, "predicted": 3, "stride": 5, "show": 1, "variants": blind}
    parameters = evaluate_prediction.Parameters.parse(settings, "e")
    stage = stage_of(tmp_path, "evaluate_prediction", parameters)
    result = evaluate_prediction.predict(stage)
    names = ["stremn", "convlstm", "predrnn", "STReMN, blind", "Copy the last frame"]
    assert list(result.systems) == names
    scores = evaluate_prediction.score(stage, result)
    table = evaluate_prediction.comparison(stage, result, scores)
    assert list(table.index) == ["STReMN", "ConvLSTM", "PredRNN", "STReMN, blind", "Copy the last frame"]
    metrics = json.loads((stage.out / "metrics.json").read_text())
    assert "alexnet" in metrics["lpips_weights"]  # where they come from, or why there are none
    assert metrics["predrnn"]["parameters"] == numbers["predrnn"]["parameters"]
    assert metrics["convlstm"]["milliseconds"] > 0 and "milliseconds" not in metrics["copy"]
    ahead = metrics["copy"]["psnr_ahead_of_stremn"]
    expected = metrics["copy"]["predrnn"]["psnr"] - metrics["stremn"]["predrnn"]["psnr"]
    assert ahead == pytest.approx(expected, abs=1e-9)
    assert "psnr_ahead_of_stremn" in metrics["stremn_blind"]
    evaluate_prediction.curves(stage, scores)
    assert (
        len(evaluate_prediction.windows(stage, result)) == 1
        and (stage.out / "figures" / "per_frame.png").is_file()
    )

    for change, words in (
        ({"reference": "mim"}, "expected a reference of convlstm, predrnn, stremn, found 'mim'"),
        ({"variants": {"x": {"of": "mim", "fields": {}}}}, "expected a variant of"),
        ({"variants": {"x": {"of": "predrnn", "fields": {"patch": 8}}}}, "expected shape"),
    ):
        wrong = evaluate_prediction.Parameters.parse({**settings, **change}, "e")
        with pytest.raises(InputError, match=words):
            evaluate_prediction.networks(stage_of(tmp_path, "evaluate_prediction", wrong))
