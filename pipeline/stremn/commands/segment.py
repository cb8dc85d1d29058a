"""``stremn segment``."""

from pathlib import Path

from stremn.data.outputs import check_output
from stremn.data.video import by, first_mask, open_frames


def segment(
    video: Path,
    mask: Path,
    out: Path,
    *,
    checkpoint: Path | None = None,
    policy: str = "learned",
    slots: int = 6,
    every: int = 5,
    size: int | None = None,
    device: str = "cpu",
    objects: int | None = None,
    overwrite: bool = False,
) -> str:
    """Segment a video; returns what to tell the user. The cheap checks come before PyTorch is loaded."""
    frames = open_frames(video)
    given = first_mask(mask, frames, objects)

    from stremn.device import choose
    from stremn.models.checkpoints import read_meta
    from stremn.tasks.open import open_stream, shipped_checkpoint
    from stremn.tasks.segment_video import RESULTS, segment_video, working_size

    check_output(out, RESULTS, overwrite=overwrite)
    weights = checkpoint or shipped_checkpoint()
    side = working_size(frames, read_meta(weights), size)
    stream = open_stream(
        checkpoint=weights, policy=policy, slots=slots, every=every, device=choose(device), size=side
    )
    done = segment_video(stream, frames, given, out, overwrite=overwrite)
    ids = ", ".join(map(str, done.objects))
    return (
        f"{done.frames} frames of {by(frames.size)} (looked at with a shorter side of {side}), "
        f"object{'s' * (len(done.objects) > 1)} {ids}, {done.frames / done.seconds:.1f} frames/s: {out}"
    )
