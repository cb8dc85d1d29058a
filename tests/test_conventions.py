"""The named conventions of prediction metrics against scikit-image, frame by frame, and by hand."""

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from stremn.evaluation.conventions import CONVENTIONS
from stremn.evaluation.prediction import peak_signal_to_noise, score_prediction, structural


def pair(seed: int, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Predicted and true clips; some predicted values lie outside [0, 1]."""
    generator = np.random.default_rng(seed)
    truth = generator.random(shape)
    return truth + generator.normal(0, 0.15, shape), truth


def as_bytes(frames: np.ndarray) -> np.ndarray:
    """What PredRNN and MIM do before PSNR: clipped, times 255, cut to whole numbers."""
    return (np.clip(frames, 0, 1) * 255).astype(np.uint8)


@pytest.mark.parametrize("name", CONVENTIONS)
def test_psnr_of_every_frame_against_scikit_image(name: str) -> None:
    predicted, truth = pair(1, (2, 3, 16, 20))
    values = peak_signal_to_noise(predicted, truth, name)
    for n, t in np.ndindex(values.shape):
        if name == "openstl":
            a, b, peak = np.clip(truth[n, t], 0, 1), np.clip(predicted[n, t], 0, 1), 1.0
        else:
            a, b, peak = as_bytes(truth[n, t]), as_bytes(predicted[n, t]), 255.0
        assert values[n, t] == pytest.approx(peak_signal_noise_ratio(a, b, data_range=peak), rel=1e-5)


@pytest.mark.parametrize("name", CONVENTIONS)
def test_ssim_of_colour_frames_against_scikit_image(name: str) -> None:
    predicted, truth = pair(2, (2, 2, 3, 17, 15))
    values = structural(predicted, truth, name)
    for n, t in np.ndindex(values.shape):
        a, b, extent = np.clip(truth[n, t], 0, 1), np.clip(predicted[n, t], 0, 1), 2.0
        if name == "predrnn":
            a, b, extent = as_bytes(truth[n, t]), as_bytes(predicted[n, t]), 255.0
        expected = structural_similarity(a, b, data_range=extent, channel_axis=0)
        assert values[n, t] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "mse", "mae"), [("predrnn", 2.5, 3.0), ("mim", 2.5, 5.0), ("openstl", 7.5, 5.0)]
)
def test_means_over_frames_and_clips_by_hand(name: str, mse: float, mae: float) -> None:
    """Four wrong pixels in each of four frames: sums over a frame, then means over frames and clips.

    Errors of each of the four: 0.5; 2.0 (0.5 after clipping); 1.0; 1.5 (1.0 after clipping). Squares:
    4 · (0.25 + 4 + 1 + 2.25) / 4 = 7.5, clipped 4 · (0.25 + 0.25 + 1 + 1) / 4 = 2.5; absolute: 5, clipped 3.
    """
    truth = np.zeros((2, 2, 8, 8))
    predicted = truth.copy()
    truth[0, :, 0, :4] = 0.5
    predicted[0, 0, 0, :4], predicted[0, 1, 0, :4] = 1.0, 2.5
    predicted[1, 0, 0, :4], predicted[1, 1, 0, :4] = 1.0, 1.5
    scores = score_prediction(predicted, truth, name).mean
    assert (scores["mse"], scores["mae"]) == (pytest.approx(mse), pytest.approx(mae))
