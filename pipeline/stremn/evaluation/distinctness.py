"""How different the templates of a memory are from each other (STReMN Sec. 4.3: "distinct appearances")."""

from collections.abc import Mapping, Sequence

import numpy as np


def distinctness(descriptors: np.ndarray) -> float:
    """Mean cosine distance of all pairs, in [0, 2]. descriptors: float (N, C), N ≥ 2; NaN below that.

    0: all the same up to scale. A descriptor of length zero counts as orthogonal to every other.
    """
    vectors = np.asarray(descriptors, np.float64).reshape(len(descriptors), -1)
    count = len(vectors)
    if count < 2:
        return float("nan")
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    cosines = unit @ unit.T
    return float(1 - (cosines.sum() - np.trace(cosines)) / (count * (count - 1)))


def thumbnails(frames: np.ndarray, size: int = 8) -> np.ndarray:
    """Descriptors that need no network: mean colours of size × size cells, minus the mean of all frames.

    frames: (T, H, W, 3) or (T, H, W), uint8 or float, H and W at least ``size``; gives float64 (T, C).
    """
    frames = np.asarray(frames, np.float64)
    _, height, width = frames.shape[:3]
    rows = np.linspace(0, height, size, endpoint=False).astype(int)
    columns = np.linspace(0, width, size, endpoint=False).astype(int)
    sums = np.add.reduceat(np.add.reduceat(frames, rows, axis=1), columns, axis=2)
    areas = np.outer(np.diff([*rows, height]), np.diff([*columns, width]))
    cells = sums / (areas[..., None] if frames.ndim == 4 else areas)
    flat = cells.reshape(len(frames), -1)
    return flat - flat.mean(axis=0)


def kept_distinctness(
    kept: Mapping[str, Sequence[Sequence[int]]], descriptors: Sequence[np.ndarray]
) -> dict[str, np.ndarray]:
    """Distinctness of what each rule kept at the end of each clip: rule → float64 (clips,).

    kept: rule → for every clip, the frames kept. descriptors: for every clip, (T, C) of all its frames.
    """
    return {
        rule: np.array([distinctness(d[list(frames)]) for frames, d in zip(clips, descriptors, strict=True)])
        for rule, clips in kept.items()
    }
