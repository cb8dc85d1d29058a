"""The conventions of published video prediction metrics, read in the code that made the numbers.

A convention is part of a metric's name: SSIM with data range 2.0 instead of 1.0 reads markedly higher on
the same pair of frames. To add one, write one entry.
"""

from dataclasses import dataclass

from stremn.errors import InputError, nearest


@dataclass(frozen=True)
class Convention:
    """How one public code computes its metrics.

    Attributes:
        source: the code.
        clip_mse, clip_mae: clip predictions to [0, 1] before the sum of squares, of absolute values.
            Both are sums over the pixels and channels of a frame, averaged over frames and clips.
        ssim_uint8: SSIM of images truncated to uint8, else of clipped float images.
        ssim_range: data range of SSIM (7 × 7 uniform window).
        psnr_uint8: PSNR of images truncated to uint8 with peak 255, else of clipped floats with peak 1.
        lpips_scaled: LPIPS inputs scaled to [−1, 1], or left in [0, 1]; None where the code has no LPIPS.
        note: what is ours.
    """

    source: str
    clip_mse: bool
    clip_mae: bool
    ssim_uint8: bool
    ssim_range: float
    psnr_uint8: bool
    lpips_scaled: bool | None
    note: str = ""


CONVENTIONS: dict[str, Convention] = {
    "predrnn": Convention(
        "PredRNN, core/trainer.py (KTH rows of STReMN Table 5)",
        True, True, True, 255.0, True, False,
        note="PredRNN's code reports no MAE; the one given here is of the clipped prediction, as its MSE",
    ),
    "mim": Convention(
        "MIM, src/trainer.py (Human3.6M rows of STReMN Table 5, as MSE/10 and MAE/100)",
        True, False, False, 2.0, True, None,
        note="SSIM without data_range, which scikit-image took as 2.0 for floats at that time",
    ),
    "openstl": Convention(
        "OpenSTL, openstl/core/metrics.py", False, False, False, 2.0, False, True,
        note="SSIM without data_range, which scikit-image took as 2.0 for floats at that time",
    ),
}  # fmt: skip


def convention(name: str) -> Convention:
    """An entry of ``CONVENTIONS``; an InputError names the nearest one."""
    if name not in CONVENTIONS:
        hint = nearest(name, CONVENTIONS)
        raise InputError(f"expected a convention of {', '.join(CONVENTIONS)}; found {name!r}{hint}")
    return CONVENTIONS[name]
