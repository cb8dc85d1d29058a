"""Prediction metrics, LPIPS and losses against hand-computed numbers, loops and scikit-image."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from skimage import data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from skimage.transform import resize

from stremn.errors import InputError
from stremn.evaluation.bootstrap import bootstrap_mean
from stremn.evaluation.conventions import CONVENTIONS, convention
from stremn.evaluation.lpips import REGISTRY_FILE, SHA256, WEIGHTS_NAME, load_lpips
from stremn.evaluation.prediction import (
    PSNR_CEILING,
    absolute_error,
    copy_last_frame,
    peak_signal_to_noise,
    score_prediction,
    squared_error,
    structural,
)
from stremn.ops.prediction_losses import (
    normalised_differences,
    scale_invariant_gradient,
    shrinkage,
    shrinkage_l1_l2,
)

BLURRED, NOISY, SWAPPED = (
    0.32831,
    0.11035,
    0.25312,
)  # LPIPS of the package lpips 0.1.4 with torchvision's AlexNet


def clips(seed: int = 0, shape: tuple[int, ...] = (2, 3, 16, 20)) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = (rng.integers(0, 256, shape) / 255).astype(np.float32)
    return np.clip(truth + rng.normal(0, 0.1, shape), 0, 1).astype(np.float32), truth


def test_errors_are_sums_over_a_frame_and_clipped_where_the_code_clips() -> None:
    truth = np.full((1, 1, 2, 3), 0.5)
    predicted = np.full((1, 1, 2, 3), 1.5)  # 1.0 too high, 0.5 after clipping
    expected = {"predrnn": (6 * 0.25, 6 * 0.5), "mim": (6 * 0.25, 6 * 1.0), "openstl": (6 * 1.0, 6 * 1.0)}
    for name, (square, absolute) in expected.items():
        assert squared_error(predicted, truth, name)[0, 0] == pytest.approx(square)
        assert absolute_error(predicted, truth, name)[0, 0] == pytest.approx(absolute)


def test_errors_per_frame_against_a_loop_with_channels() -> None:
    predicted, truth = clips(1, (2, 3, 3, 8, 9))
    values = squared_error(predicted, truth, "predrnn")
    assert values.shape == (2, 3)
    for n in range(2):
        for t in range(3):
            assert values[n, t] == pytest.approx(((predicted[n, t] - truth[n, t]) ** 2).sum(), rel=1e-5)


def test_psnr_by_hand_and_against_scikit_image() -> None:
    truth = np.zeros((1, 1, 8, 8))
    assert peak_signal_to_noise(truth + 0.1, truth, "openstl")[0, 0] == pytest.approx(20.0)
    # 0.1 · 255 = 25.5 is cut to 25
    assert peak_signal_to_noise(truth + 0.1, truth, "predrnn")[0, 0] == pytest.approx(20 * np.log10(255 / 25))
    predicted, truth = clips(2)
    values = peak_signal_to_noise(predicted, truth, "openstl")
    assert values[1, 2] == pytest.approx(
        peak_signal_noise_ratio(truth[1, 2].astype(float), predicted[1, 2].astype(float), data_range=1)
    )


def test_identical_frames_count_as_the_ceiling() -> None:
    _, truth = clips(3)
    assert (peak_signal_to_noise(truth, truth, "predrnn") == PSNR_CEILING).all()
    assert score_prediction(truth, truth, "predrnn").identical_frames == 6


def test_ssim_against_scikit_image_with_each_conventions_range() -> None:
    predicted, truth = clips(4)
    a, b = (predicted[1, 1] * 255).astype(np.uint8), (truth[1, 1] * 255).astype(np.uint8)
    assert structural(predicted, truth, "predrnn")[1, 1] == pytest.approx(structural_similarity(a, b))
    wide = structural_similarity(predicted[1, 1].astype(float), truth[1, 1].astype(float), data_range=2.0)
    assert structural(predicted, truth, "mim")[1, 1] == pytest.approx(wide)
    assert structural(predicted, truth, "openstl")[1, 1] == pytest.approx(wide)


def test_ssim_of_a_pair_computed_by_hand() -> None:
    """One 7 × 7 window: the formula with sample covariance."""
    rng = np.random.default_rng(5)
    x, y = rng.random((7, 7)), rng.random((7, 7))
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    cov = np.cov(x.ravel(), y.ravel())
    expected = (2 * x.mean() * y.mean() + c1) * (2 * cov[0, 1] + c2)
    expected /= (x.mean() ** 2 + y.mean() ** 2 + c1) * (cov[0, 0] + cov[1, 1] + c2)
    assert structural(x[None, None], y[None, None], "mim")[0, 0] == pytest.approx(expected)


def test_conventions_differ_where_they_must() -> None:
    rng = np.random.default_rng(6)  # low contrast: there the data range matters most
    truth, predicted = (0.5 + 0.03 * rng.standard_normal((2, 2, 3, 16, 20))).astype(np.float32)
    ssim = {name: structural(predicted, truth, name).mean() for name in CONVENTIONS}
    assert ssim["mim"] == ssim["openstl"] > ssim["predrnn"] + 0.1
    psnr = {name: peak_signal_to_noise(predicted, truth, name).mean() for name in CONVENTIONS}
    assert psnr["predrnn"] == psnr["mim"] != psnr["openstl"]
    assert {name: CONVENTIONS[name].lpips_scaled for name in CONVENTIONS} == {
        "predrnn": False, "mim": None, "openstl": True,
    }  # fmt: skip


def test_scores_of_many_clips() -> None:
    predicted, truth = clips(7, (12, 3, 16, 16))
    scores = score_prediction(predicted, truth, "mim", lpips_reason="no file")
    assert scores.clips == 12 and scores.frames == 3 and len(scores.per_clip["ssim"] or []) == 12
    values = squared_error(predicted, truth, "mim")
    assert scores.mean["mse"] == pytest.approx(values.mean())
    assert scores.per_frame["mse"] == pytest.approx(values.mean(0).tolist())
    low, high = scores.interval["mse"] or (0.0, 0.0)
    assert low < values.mean() < high
    assert scores.mean["lpips"] is None and scores.interval["lpips"] is None
    assert "mim" in scores.reasons["lpips"]
    other = score_prediction(predicted, truth, "predrnn", lpips_reason="no file")
    assert other.reasons["lpips"] == "no file"
    assert score_prediction(predicted, truth, "mim").to_dict() == {
        **scores.to_dict(), "reasons": {"lpips": "the convention 'mim' has no LPIPS"},
    }  # fmt: skip


def test_lpips_gets_clipped_frames_in_the_conventions_scale() -> None:
    seen: list[tuple[bool, float]] = []

    class Fake:
        def distance(self, predicted: np.ndarray, truth: np.ndarray, *, scaled: bool) -> np.ndarray:
            seen.append((scaled, float(predicted.max())))
            return np.arange(len(truth), dtype=float)

    _, truth = clips(8)
    scores = score_prediction(truth + 0.5, truth, "predrnn", Fake())
    assert scores.per_frame["lpips"] == [1.5, 2.5, 3.5]
    score_prediction(truth + 0.5, truth, "openstl", Fake())
    assert seen == [(False, 1.0), (True, 1.0)]


def test_bootstrap_by_clip_and_by_group() -> None:
    values = np.repeat(np.random.default_rng(0).normal(size=8), 10)
    alone = bootstrap_mean(values)
    grouped = bootstrap_mean(values, groups=[str(i // 10) for i in range(80)])
    assert alone == bootstrap_mean(values)
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)  # ten copies are no ten observations
    expected = 1.96 * values.std() / np.sqrt(80)
    assert (alone.high - alone.low) / 2 == pytest.approx(expected, rel=0.15)
    with pytest.raises(InputError, match="80 clips, found 1"):
        bootstrap_mean(values, groups=["a"])


def test_copy_last_frame() -> None:
    observed = np.arange(2 * 3 * 4).reshape(2, 3, 2, 2) / 24
    copied = copy_last_frame(observed, 5)
    assert copied.shape == (2, 5, 2, 2) and (copied == observed[:, -1:]).all()


def test_bad_input_is_named() -> None:
    predicted, truth = clips(9)
    with pytest.raises(InputError, match="did you mean 'predrnn'"):
        convention("predrn")
    with pytest.raises(InputError, match="one shape"):
        squared_error(predicted[:1], truth, "mim")
    with pytest.raises(InputError, match="divide by 255"):
        squared_error((predicted * 255).astype(np.uint8), (truth * 255).astype(np.uint8), "mim")
    with pytest.raises(InputError, match=r"truth in \[0, 1\]"):
        squared_error(predicted * 255, truth * 255, "mim")
    with pytest.raises(InputError, match="finite"):
        squared_error(predicted * np.float32(np.nan), truth, "mim")
    with pytest.raises(InputError, match="7×7"):
        structural(predicted[..., :6, :], truth[..., :6, :], "mim")


@pytest.fixture(scope="module")
def alexnet_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """AlexNet with random weights, standing in for the real file."""
    from stremn.compat import ensure_torchvision

    ensure_torchvision()
    import torchvision

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("alexnet") / "weights.pth"
    weights = torchvision.models.alexnet(weights=None).state_dict()
    torch.save({k: v for k, v in weights.items() if k.startswith("features.")}, path)
    return path


@pytest.fixture
def empty_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    return tmp_path


def test_no_weights_gives_none_and_a_reason(empty_hub: Path, alexnet_file: Path) -> None:
    network, reason = load_lpips()
    assert network is None and WEIGHTS_NAME in reason and "not found" in reason and "\n" not in reason
    network, reason = load_lpips(alexnet_file, empty_hub / "raw")
    assert network is None  # a file with other weights is never used
    assert "SHA-256" in reason and "7be5be79" in reason and "alexnet.safetensors: not found" in reason
    assert "`stremn data get lpips-alexnet`" in reason and "\n" not in reason


def test_the_reason_does_not_name_the_home_folder(empty_hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: empty_hub)
    reason = load_lpips()[1]
    assert f": ~/checkpoints/{WEIGHTS_NAME}: not found" in reason and str(empty_hub) not in reason
    monkeypatch.setattr(Path, "home", lambda: empty_hub / "other")
    assert str(empty_hub / "checkpoints" / WEIGHTS_NAME) in load_lpips()[1]


@pytest.mark.parametrize("source", ["file", "hub"])
def test_weights_are_found_and_loaded_strictly(
    source: str, empty_hub: Path, alexnet_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = hashlib.sha256(alexnet_file.read_bytes()).hexdigest()
    monkeypatch.setitem(SHA256, ".pth", digest[:8])
    if source == "hub":
        place = empty_hub / "checkpoints" / WEIGHTS_NAME
        place.parent.mkdir()
        place.write_bytes(alexnet_file.read_bytes())
        network, where = load_lpips()
    else:
        place = alexnet_file
        network, where = load_lpips(place)
    assert network is not None and where == f"{place} (SHA-256 {digest[:16]})"
    stored = torch.load(alexnet_file, weights_only=True)
    loaded = network._network.get_submodule("net").state_dict()
    assert all(torch.equal(v, stored[f"features.{k.split('.', 1)[1]}"]) for k, v in loaded.items())
    predicted, truth = clips(10, (3, 1, 64, 64))
    distance = network.distance(predicted, truth, scaled=False)
    assert distance.shape == (3,) and (distance > 0).all()
    assert network.distance(truth, truth, scaled=True) == pytest.approx(np.zeros(3), abs=1e-7)
    by_hand = network.distance(2 * predicted - 1, 2 * truth - 1, scaled=False)
    assert network.distance(predicted, truth, scaled=True) == pytest.approx(by_hand, rel=1e-5)


def written_out(stored: dict[str, torch.Tensor], a: torch.Tensor, b: torch.Tensor) -> float:
    """LPIPS of two images (3, H, W) in [−1, 1] from a file's layers, line by line (Zhang et al., Eq. 1)."""
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    x = (torch.stack([a, b]) - shift[:, None, None]) / scale[:, None, None]
    total = 0.0
    for i in range(5):
        if i in (1, 2):
            x = F.max_pool2d(x, 3, 2)
        kernel, bias = (stored[f"AlexNet_0.Conv_{i}.{kind}"] for kind in ("weight", "bias"))
        how = {"stride": 4, "padding": 2} if i == 0 else {"padding": 2 if i == 1 else 1}
        x = F.conv2d(x, kernel, bias, **how).relu()
        one, two = x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10)
        head = stored[f"NetLinLayer_{i}.Conv_0.weight"][0]
        total += float((head * (one - two).square()).sum(0).mean())
    return total


def test_lpips_of_pictures_with_the_real_weights(root: Path, empty_hub: Path) -> None:
    """Worth something only with AlexNet's own layers and the authors' heads: both are the registry file's."""
    raw = root / "data" / "raw"
    if not (raw / REGISTRY_FILE).is_file():
        pytest.skip("needs AlexNet's weights: `stremn data get lpips-alexnet`")
    network, where = load_lpips(raw=raw)
    assert network is not None and "alexnet.safetensors (SHA-256 8ac118363741" in where
    stored = load_file(raw / REGISTRY_FILE)
    random = {
        name: torch.rand_like(weight) / weight.shape[1] if name.startswith("NetLin") else weight
        for name, weight in stored.items()
    }
    picture = (
        torch.from_numpy(resize(data.astronaut(), (96, 96), anti_aliasing=True)).permute(2, 0, 1).float()
    )
    blurred = F.avg_pool2d(picture[None], 5, 1, 2)[0]
    noisy = (picture + 0.1 * torch.randn(3, 96, 96, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    for other, expected in ((blurred, BLURRED), (noisy, NOISY), (picture.flip(0), SWAPPED)):
        found = float(network.distance(other[None].numpy(), picture[None].numpy(), scaled=True)[0])
        assert found == pytest.approx(expected, abs=2e-4)
        assert written_out(stored, 2 * picture - 1, 2 * other - 1) == pytest.approx(found, rel=1e-4)
        assert written_out(random, 2 * picture - 1, 2 * other - 1) != pytest.approx(found, rel=0.1)


def test_shrinkage_by_hand() -> None:
    residual = torch.tensor([0.0, 0.2, 1.0])
    expected = [0.0, 0.04 / 2, 1 / (1 + np.exp(10 * (0.2 - 1.0)))]
    assert shrinkage(residual).tolist() == pytest.approx(expected)
    one, two = shrinkage_l1_l2(torch.tensor([0.5, 0.0]), torch.tensor([0.0, 0.0]))
    assert float(one) == pytest.approx(0.25 / (1 + np.exp(10 * (0.2 - 0.5))) / 2)
    assert float(two) == pytest.approx(0.0625 / (1 + np.exp(10 * (0.2 - 0.25))) / 2)


def test_gradient_loss_against_a_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = torch.rand(2, 2, 6, 7, generator=generator, dtype=torch.float64)
    total = 0.0
    for h in (1, 2, 4):
        per_pixel = []
        for n in range(2):
            for i in range(6 - h):
                for j in range(7 - h):

                    def g(f: torch.Tensor, n: int = n, i: int = i, j: int = j, h: int = h) -> np.ndarray:
                        here = float(f[n, i, j])
                        there = np.array([float(f[n, i + h, j]), float(f[n, i, j + h])])
                        return (there - here) / (np.abs(there) + abs(here) + 1e-3)

                    per_pixel.append(np.sqrt(((g(a) - g(b)) ** 2).sum() + 1e-6) - 1e-3)
        total += float(np.mean(per_pixel))
    assert float(scale_invariant_gradient(a, b)) == pytest.approx(total)  # 8 and 16 do not fit


def test_gradient_loss_ignores_scale_and_has_finite_gradients_at_equality() -> None:
    frame = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(1)) * 0.5 + 0.25
    ratio = normalised_differences(frame * 2, 4, 0.0) - normalised_differences(frame, 4, 0.0)
    assert float(ratio.abs().max()) < 1e-6
    predicted = frame.clone().requires_grad_()
    loss = scale_invariant_gradient(predicted, frame)
    loss.backward()
    assert float(loss.detach()) == 0 and predicted.grad is not None and bool(predicted.grad.isfinite().all())
