"""From a decoder's frame to upright RGB pixels. H W pixels."""

import sys
from typing import Any

import numpy as np
from av.sidedata.sidedata import Type
from numpy.typing import NDArray

from stremn.data.clips import Pixels

PQ, HLG = 16, 18  # transfer functions of HDR, as FFmpeg numbers them (ITU-T H.273)
WHITE = 203.0  # cd/m² of white in HDR (ITU-R BT.2408)
KNEE = 0.6  # of WHITE: darker light stays as it is, brighter light is rolled off
TO_709 = np.array(  # linear BT.2020 to BT.709 (ITU-R BT.2087)
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)


def rgb(frame: Any, matrix: NDArray[np.int32] | None) -> Pixels:
    """Pixels of a decoded frame, uint8 (H, W, 3): upright as the file says, HDR as a usual screen can show it.

    Args:
        frame: PyAV's.
        matrix: ``display_matrix`` of the file's first frame.
    """
    pixels = tone_mapped(frame) if frame.color_trc in (PQ, HLG) else frame.to_ndarray(format="rgb24")
    return oriented(pixels, matrix)


def display_matrix(frame: Any) -> NDArray[np.int32] | None:
    """The matrix (3, 3) by which a frame is shown, in FFmpeg's fixed point; None: as it is stored.

    To be asked of one frame only: PyAV's side data and their frame hold each other, until Python looks for such
    circles, which holds dozens of frames in memory meanwhile.
    """
    data = frame.side_data.get(Type.DISPLAYMATRIX)
    return None if data is None else np.frombuffer(bytes(data), np.int32, 9).reshape(3, 3)


def turned(matrix: NDArray[np.int32] | None) -> bool:
    """Whether width and height change places."""
    return matrix is not None and abs(int(matrix[0, 1])) > abs(int(matrix[0, 0]))


def oriented(pixels: Pixels, matrix: NDArray[np.int32] | None) -> Pixels:
    """Pixels turned and mirrored as the matrix says, to the nearest right angle.

    A pixel (x, y) is shown at (a x + c y, b x + d y), where the matrix' rows begin with a b and c d.
    """
    if matrix is None:
        return pixels
    (a, b), (c, d) = matrix[0, :2].tolist(), matrix[1, :2].tolist()
    if turned(matrix):
        pixels, a, d = pixels.swapaxes(0, 1), c, b
    return np.ascontiguousarray(pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def tone_mapped(frame: Any) -> Pixels:
    """A frame of HDR video (PQ or HLG, BT.2020) as 8-bit BT.709.

    The rule: light relative to a white of 203 cd/m²; up to 0.6 of it nothing changes, above it
    the brightest channel m becomes 0.6 + 0.4 (1 − exp((0.6 − m) / 0.4)), the others in proportion.
    """
    light = _light(frame.color_trc)[
        frame.to_ndarray(format="rgb48" + ("le" if sys.byteorder == "little" else "be"))
    ]
    if frame.color_trc == HLG:  # a screen of 1000 cd/m² shows scene light to the power of 1.2
        luma = light @ np.array([0.2627, 0.6780, 0.0593], np.float32)
        light = light * (1000 / WHITE * np.maximum(luma, 1e-6) ** np.float32(0.2))[..., None]
    light = np.maximum(light @ TO_709.T, 0)
    most = light.max(-1, keepdims=True)
    rolled = KNEE + (1 - KNEE) * (1 - np.exp((KNEE - most) / (1 - KNEE)))
    light *= np.where(most > KNEE, rolled / np.maximum(most, 1e-6), 1)
    return (255 * light ** np.float32(1 / 2.2) + 0.5).astype(np.uint8)


def _light(transfer: int) -> NDArray[np.float32]:
    """Light of each 16-bit value: relative to WHITE (PQ), or of the scene in [0, 1] (HLG)."""
    e = np.linspace(0, 1, 2**16)
    if transfer == PQ:  # SMPTE ST 2084
        p = e ** (32 / 2523)
        light = 10000 / WHITE * (np.maximum(p - 0.8359375, 0) / (18.8515625 - 18.6875 * p)) ** (8192 / 1305)
    else:  # ARIB STD-B67
        light = np.where(e <= 0.5, e**2 / 3, (np.exp((e - 0.55991073) / 0.17883277) + 0.28466892) / 12)
    return light.astype(np.float32)
