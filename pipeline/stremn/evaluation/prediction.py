"""Video prediction metrics: pure functions of arrays, each with a named convention.

MSE, MAE, PSNR, SSIM and LPIPS of published tables come from different code with different clipping,
sums, data ranges and rounding, so a number without its convention cannot be compared:
``evaluation.conventions`` states what each code does.

Letters: N clips, T frames, C channels, H W pixels.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from stremn.errors import InputError
from stremn.evaluation.bootstrap import Groups, bootstrap_mean
from stremn.evaluation.conventions import convention

Array = NDArray[Any]

PSNR_CEILING = 100.0  # dB; of two identical frames, whose PSNR is infinite and cannot be averaged
SSIM_WINDOW = 7  # scikit-image's default, used by all three codes


class PerceptualDistance(Protocol):
    """What ``score_prediction`` needs of ``evaluation.lpips.Lpips``."""

    def distance(self, predicted: Array, truth: Array, *, scaled: bool) -> Array:
        """(M, C, H, W) twice, in [0, 1] → (M,)."""


def squared_error(predicted: Array, truth: Array, name: str) -> Array:
    """MSE of the tables: sum of squares over a frame's pixels and channels, (N, T).

    Args (of this and the next three): predicted, truth: (N, T, H, W) or (N, T, C, H, W), truth in
    [0, 1]; name: the convention.
    """
    predicted, truth = _frames(predicted, truth)
    return np.square(_clipped(predicted, convention(name).clip_mse) - truth).sum((2, 3, 4), dtype=np.float64)


def absolute_error(predicted: Array, truth: Array, name: str) -> Array:
    """MAE of the tables: sum of absolute differences over a frame's pixels and channels, (N, T)."""
    predicted, truth = _frames(predicted, truth)
    return np.abs(_clipped(predicted, convention(name).clip_mae) - truth).sum((2, 3, 4), dtype=np.float64)


def peak_signal_to_noise(predicted: Array, truth: Array, name: str) -> Array:
    """PSNR of each frame in dB, (N, T).

    Differs: two identical frames, infinite in all three codes, count as ``PSNR_CEILING``.
    """
    predicted, truth = _frames(predicted, truth)
    predicted = _clipped(predicted, True)
    peak = 1.0
    if convention(name).psnr_uint8:
        predicted, truth, peak = _truncated(predicted), _truncated(truth), 255.0
    error = np.square(predicted.astype(np.float64) - truth).mean((2, 3, 4))
    with np.errstate(divide="ignore"):
        return np.minimum(10 * np.log10(peak**2 / error), PSNR_CEILING)


def structural(predicted: Array, truth: Array, name: str) -> Array:
    """SSIM of each frame by scikit-image, mean over channels, (N, T)."""
    predicted, truth = _frames(predicted, truth)
    if min(truth.shape[-2:]) < SSIM_WINDOW:
        raise InputError(
            f"SSIM needs frames of at least 7×7 pixels, found {truth.shape[-2]}×{truth.shape[-1]}"
        )
    rule = convention(name)
    predicted = _clipped(predicted, True)
    if rule.ssim_uint8:
        predicted, truth = _truncated(predicted), _truncated(truth)
    else:
        predicted, truth = predicted.astype(np.float64), truth.astype(np.float64)
    values = [
        structural_similarity(a, b, data_range=rule.ssim_range, channel_axis=0)
        for a, b in zip(
            predicted.reshape(-1, *truth.shape[2:]), truth.reshape(-1, *truth.shape[2:]), strict=True
        )
    ]
    return np.asarray(values, dtype=np.float64).reshape(truth.shape[:2])


METRICS: dict[str, Callable[[Array, Array, str], Array]] = {
    "mse": squared_error,
    "mae": absolute_error,
    "psnr": peak_signal_to_noise,
    "ssim": structural,
}


@dataclass(frozen=True)
class PredictionScores:
    """Scores of N predicted clips.

    Attributes:
        convention: its name.
        clips, frames: N and T.
        mean: metric → mean over clips and frames; None where it could not be computed.
        interval: metric → 95 % bootstrap interval of the mean over clips (percentiles).
        per_frame: metric → T means over clips, first predicted frame first.
        per_clip: metric → N means over frames, for paired comparisons.
        identical_frames: predicted frames equal to the truth, whose PSNR is the ceiling.
        reasons: metric → why it is None.
        drawn: what the bootstrap of the intervals drew again: 80 clips, 4 people, …
    """

    convention: str
    clips: int
    frames: int
    mean: dict[str, float | None]
    interval: dict[str, tuple[float, float] | None]
    per_frame: dict[str, list[float] | None]
    per_clip: dict[str, list[float] | None]
    identical_frames: int
    reasons: dict[str, str]
    drawn: str

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def score_prediction(
    predicted: Array,
    truth: Array,
    name: str,
    lpips: PerceptualDistance | None = None,
    *,
    lpips_reason: str = "no LPIPS network was given",
    groups: Groups | Sequence[str] | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> PredictionScores:
    """All metrics of one convention, per frame and overall, with bootstrap intervals.

    Args:
        predicted, truth: (N, T, H, W) or (N, T, C, H, W); truth in [0, 1].
        name: the convention.
        lpips: the perceptual distance; None gives a null LPIPS with ``lpips_reason``.
        groups: N labels of what is drawn again as a whole (``bootstrap.groups_of_windows``: windows of
            one person are not independent); by default each clip on its own.
        resamples, seed: of the bootstrap.
    """
    rule = convention(name)
    values: dict[str, Array | None] = {key: metric(predicted, truth, name) for key, metric in METRICS.items()}
    values["lpips"], reasons = None, {}
    if rule.lpips_scaled is None:
        reasons["lpips"] = f"the convention {name!r} has no LPIPS"
    elif lpips is None:
        reasons["lpips"] = lpips_reason
    else:
        a, b = _frames(predicted, truth)
        flat = (-1, *b.shape[2:])
        distance = lpips.distance(_clipped(a, True).reshape(flat), b.reshape(flat), scaled=rule.lpips_scaled)
        values["lpips"] = distance.reshape(b.shape[:2])
    count, frames = np.asarray(truth).shape[:2]
    labels = groups.labels if isinstance(groups, Groups) else groups
    drawn = f"{count} clips" if labels is None else f"{len(set(labels))} groups"
    psnr = values["psnr"]
    assert psnr is not None
    clips = {key: None if v is None else v.mean(1) for key, v in values.items()}
    return PredictionScores(
        convention=name,
        clips=count,
        frames=frames,
        mean={key: None if v is None else float(v.mean()) for key, v in values.items()},
        interval={
            key: None if v is None else bootstrap_mean(v, groups=labels, resamples=resamples, seed=seed)[1:3]
            for key, v in clips.items()
        },
        per_frame={key: None if v is None else v.mean(0).tolist() for key, v in values.items()},
        per_clip={key: None if v is None else v.tolist() for key, v in clips.items()},
        identical_frames=int((psnr >= PSNR_CEILING).sum()),
        reasons=reasons,
        drawn=str(groups) if isinstance(groups, Groups) else drawn,
    )


def copy_last_frame(observed: Array, count: int) -> Array:
    """Baseline: the last observed frame, ``count`` times. (N, T, …) → (N, count, …)."""
    return np.repeat(observed[:, -1:], count, axis=1)


def _frames(predicted: Array, truth: Array) -> tuple[Array, Array]:
    """Both as (N, T, C, H, W) of one floating type, or an InputError."""
    predicted, truth = np.asarray(predicted), np.asarray(truth)
    if predicted.shape != truth.shape or truth.ndim not in (4, 5) or truth.size == 0:
        raise InputError(
            "expected prediction and truth of one shape (N, T, H, W) or (N, T, C, H, W), "
            f"found {predicted.shape} and {truth.shape}"
        )
    if truth.dtype.kind != "f" or predicted.dtype.kind != "f":
        raise InputError(
            f"expected floating point frames in [0, 1], found {predicted.dtype} and {truth.dtype}: "
            "divide by 255"
        )
    if not (np.isfinite(predicted).all() and truth.min() >= 0 and truth.max() <= 1):
        raise InputError("expected finite predictions and a truth in [0, 1]: are the frames divided by 255?")
    return (predicted[:, :, None], truth[:, :, None]) if truth.ndim == 4 else (predicted, truth)


def _clipped(frames: Array, clip: bool) -> Array:
    return np.clip(frames, 0, 1) if clip else frames


def _truncated(frames: Array) -> NDArray[np.uint8]:
    """As the codes do: multiplied by 255 and cut, not rounded."""
    return (frames * 255).astype(np.uint8)
