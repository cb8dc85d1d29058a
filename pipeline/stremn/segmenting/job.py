"""What a run segments and writes."""

from dataclasses import dataclass
from pathlib import Path

from stremn.segmenting.sources import ClipRange
from stremn.segmenting.user_masks import UserMasks


@dataclass(frozen=True)
class Job:
    """Everything that decides the results, besides the stream.

    Attributes:
        frames: the range of the video.
        given: masks and removals.
        out: folder of the results.
        checkpoint: file of the weights.
        checkpoint_hash: of its content when the run was begun; it need not be there later.
        write: kinds of output, entries of ``segmenting.writers.OUTPUTS``.
        postprocess: drop far parts, see ``inference.postprocess``.
    """

    frames: ClipRange
    given: UserMasks
    out: Path
    checkpoint: Path
    checkpoint_hash: str
    write: tuple[str, ...]
    postprocess: bool = False
