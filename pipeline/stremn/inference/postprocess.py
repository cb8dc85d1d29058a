"""Post-processing: parts of an object that lie far from where it was are dropped (STReMN Sec. 4.1.1).

It works on label maps after the segmentation and never feeds back into the memory, so results with and
without it come from the same segmentation. Off unless a caller asks for it.

Silent: the paper says "far away from the object in the previous frame" and leaves the details to a
supplement that does not have them. Here:

- A part is a connected component (8 neighbours) of one object's mask. Its distance is that of its nearest
  pixel to the nearest pixel of the object's previous mask, in units of the square root of that mask's area.
- The previous mask is the post-processed one, so that a dropped part does not invite the next.
- What is dropped becomes background: label maps know no second choice.
- A late object's first mask is kept whole, and so is every mask that was given.
- A vanished object (or one of which everything was dropped) is compared with its last mask that was not
  empty, and the distance allowed grows with the frames since then: it may come back, the later the farther.

Letters: T frames, H W pixels.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from stremn.data.clips import read_mask, write_mask
from stremn.errors import InputError
from stremn.listing import files_in, folders_in

Ids = NDArray[np.integer]
FAR = 1.0
"""Distance, in units of the previous mask's size (√area) per frame, beyond which a part is far."""
NEIGHBOURS = np.ones((3, 3), int)


@dataclass
class FarParts:
    """Post-processing of a stream, frame by frame.

    >>> clean = FarParts()
    >>> for frame in frames:
    ...     ids_HW = clean(stream.ids(stream.step(frame)))

    Attributes:
        far: parts beyond ``far`` · √area of the previous mask · frames since it are dropped; above 0.
    """

    far: float = FAR
    _frame: int = field(default=0, repr=False)
    _seen: dict[int, tuple[int, NDArray[np.bool_]]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not self.far > 0:
            raise InputError(f"expected a distance above 0 for far parts, found {self.far}: try {FAR}")

    def __call__(self, ids_HW: Ids, given: Collection[int] = ()) -> Ids:
        """The frame without its far parts, a new array where something was dropped.

        Args:
            ids_HW: object ids (H, W), 0 is background; the same size in every call.
            given: ids whose mask was given in this frame; they are kept whole.

        Raises:
            InputError: not a map of integers.
        """
        ids_HW = np.asarray(ids_HW)
        if ids_HW.ndim != 2 or not np.issubdtype(ids_HW.dtype, np.integer):
            raise InputError(f"expected object ids as integers (H, W), found {ids_HW.dtype} {ids_HW.shape}")
        kept = ids_HW.copy()
        for number in np.unique(ids_HW[ids_HW != 0]).tolist():
            mask = ids_HW == number
            if number in self._seen and number not in given:
                before, previous = self._seen[number]
                reach = self.far * math.sqrt(np.count_nonzero(previous)) * (self._frame - before)
                near = near_parts(mask, previous, reach)
                kept[mask & ~near] = 0
                mask = near
            if mask.any():
                self._seen[number] = (self._frame, mask)
        self._frame += 1
        return kept


def near_parts(mask_HW: NDArray[np.bool_], previous_HW: NDArray[np.bool_], reach: float) -> NDArray[np.bool_]:
    """The components of a mask within ``reach`` pixels of ``previous_HW``, which is not empty."""
    parts, count = ndimage.label(mask_HW, NEIGHBOURS)
    touches = np.bincount(parts[previous_HW], minlength=count + 1) > 0
    touches[0] = False
    if touches[1:].all():  # the usual case, without a distance map
        return mask_HW
    distance = ndimage.distance_transform_edt(~previous_HW)
    nearest = ndimage.minimum(distance, parts, np.arange(count + 1))
    near = touches | (np.asarray(nearest) <= reach)
    near[0] = False
    return near[parts]


def postprocess(ids_THW: Ids, far: float = FAR, given: dict[int, Collection[int]] | None = None) -> Ids:
    """A clip without far parts.

    Args:
        ids_THW: object ids (T, H, W), 0 is background.
        far: see ``FarParts``.
        given: for each frame with given masks the ids that were given. An object's first mask is kept
            anyway, so this is needed only for corrections later on.

    Returns:
        Object ids (T, H, W) of the same type; a pixel keeps its id or becomes 0.

    Raises:
        InputError: ``far`` not above 0, not a stack of integer maps.
    """
    ids_THW = np.asarray(ids_THW)
    if ids_THW.ndim != 3:
        raise InputError(f"expected object ids (T, H, W), found shape {ids_THW.shape}")
    clean, given = FarParts(far), given or {}
    return np.stack([clean(ids, given.get(t, ())) for t, ids in enumerate(ids_THW)])


def postprocess_folder(source: Path, out: Path, far: float = FAR) -> int:
    """Post-process saved results, ``<source>/<sequence>/<frame>.png`` to ``<out>/<sequence>/<frame>.png``.

    Args:
        source: a folder that ``segment_folder`` wrote; frames are taken in natural order.
        out: another folder.
        far: see ``FarParts``.

    Returns:
        Pixels that were dropped.

    Raises:
        InputError: no sequences in ``source``, ``out`` the same folder.
    """
    sequences = [source / name for name in folders_in(source)]
    if not sequences:
        raise InputError(f"expected folders of masks in {source}, found none: segment the clips first")
    if out.resolve() == source.resolve():
        raise InputError(f"expected another folder than {source} for post-processed masks, found the same")
    dropped = 0
    for folder in sequences:
        clean = FarParts(far)
        (out / folder.name).mkdir(parents=True, exist_ok=True)
        for path in files_in(folder, (".png",)):
            ids = read_mask(path)
            kept = clean(ids)
            dropped += int(np.count_nonzero(kept != ids))
            write_mask(out / folder.name / path.name, kept)
    return dropped
