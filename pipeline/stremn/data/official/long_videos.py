"""Long videos with sparse annotation: the three of AFB-URR (``long_video``) and LVOS.

``JPEGImages/<sequence>/<frame>.jpg`` and ``Annotations/<sequence>/<frame>.png`` of some frames, in the root,
in ``<root>/long_video`` or in ``<root>/<split>``.
"""

from pathlib import Path

from stremn.data.annotated import ClipFiles, Clips, frame_files, pair_up
from stremn.data.clips import IMAGES, MASKS
from stremn.errors import InputError
from stremn.listing import folders_in


def open_long_videos(
    root: Path | str, split: str | None = None, *, cache: bool = False, limit: int | None = None
) -> Clips:
    """Clips of which some frames have a mask; the others are void. Objects are given where a mask first has them.

    Args:
        split: LVOS: train, valid or test; AFB-URR's videos have none.
        cache: keep decoded clips in memory (a video of 2,000 frames at 480p takes 3 GB).
        limit: only the first sequences by name.

    Raises InputError, naming the path, for a missing folder, a video without a mask, or a mask without its frame.
    """
    root = Path(root)
    tops = [root / split] if split else [root / "long_video", root]
    top = next((p for p in tops if (p / IMAGES).is_dir()), None)
    if top is None or not (top / MASKS).is_dir():
        where = top or tops[-1]
        raise InputError(f"expected the folders {where / IMAGES} and {MASKS} of long videos, found none")
    names = folders_in(top / IMAGES)[:limit]
    if not names:
        raise InputError(f"expected sequences in {top / IMAGES}, found none: unpack the data first")
    files = []
    for name in names:
        pairs = pair_up(frame_files(top / IMAGES / name), top / MASKS / name, lambda t, _: False)
        if not any(mask for _, mask in pairs):
            raise InputError(
                f"expected a mask of at least one frame in {top / MASKS / name}, found none: unpack the annotations"
            )
        files.append(ClipFiles(name, pairs, keep=cache))
    return Clips(top, files, top / MASKS)
