"""Predicting how a video goes on: grey frames of one size, from disk.

T frames, H W pixels.
"""

from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from stremn.data.clips import Pixels
from stremn.data.frames import Frames
from stremn.errors import InputError, warn
from stremn.memory import Policy, Trace
from stremn.models.prediction import PredictionNetwork
from stremn.tasks.prediction import rollout

SIDE = 64  # pixels of the square frames, where a checkpoint does not say what it was made for
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class PredictedVideo:
    """Grey frames in [0, 1].

    Attributes:
        start: number of the first observed frame in the video.
        observed: the frames that were watched, (T, H, W).
        predicted: what follows, (P, H, W).
        truth: what really follows, (P, H, W); not-a-number after the end of the video.
    """

    start: int
    observed: Floats
    predicted: Floats
    truth: Floats

    @property
    def first(self) -> int:
        """Number of the first predicted frame in the video."""
        return self.start + len(self.observed)


def side_of(meta: dict[str, Any]) -> int:
    """Side in pixels of the square frames that a predictor was made for."""
    return int(meta.get("default_size", SIDE))


def grey(frame: Pixels, side: int) -> Floats:
    """A frame uint8 (H, W, 3) as a grey square (side, side) in [0, 1]; its aspect is lost, as with KTH."""
    picture = Image.fromarray(frame).convert("L").resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(picture, np.float32) / np.float32(255)


def _read(frames: Frames, start: int, observed: int, predicted: int, side: int) -> list[Floats]:
    """The frames to watch, and of those to predict as many as can be read."""
    read: list[Floats] = []
    try:
        for _, frame in islice(frames, start, start + observed + predicted):
            read.append(grey(frame, side))
    except InputError as error:
        if len(read) < observed:
            raise
        warn(f"{error}; the prediction goes on without true frames to compare with")
    return read


def predict_video(
    model: PredictionNetwork,
    frames: Frames,
    *,
    observed: int = 10,
    predicted: int = 20,
    start: int = 0,
    side: int = SIDE,
    policy: Policy | None = None,
    device: str = "cpu",
    trace: Trace | None = None,
) -> PredictedVideo:
    """Watch some frames of a video and predict the next ones; only these are read.

    Args:
        model: predictor of grey frames.
        frames: the video.
        observed, predicted: numbers of frames, at least 1.
        start: number of the first frame to watch.
        side: of the square that frames are resized to, pixels, a multiple of ``model.stride``.
        policy: the memory's update rule; None: learned with five slots.
        device: where to compute.
        trace: records the memory.

    Raises:
        InputError: a predictor of other frames, or fewer than ``start + observed`` frames in the video.
    """
    if model.in_channels != 1:
        raise InputError(f"expected a predictor of grey frames, found one of {model.in_channels} channels")
    count = frames.counted(start + observed + predicted)
    if count is not None and count < start + observed:
        raise InputError(
            f"expected at least {start + observed} frames in {frames.path} to watch {observed} from frame "
            f"{start} on, found {count}; watch fewer or start earlier"
        )
    read = _read(frames, start, observed, predicted, side)
    seen = np.stack(read[:observed])
    truth = np.full((predicted, side, side), np.nan, np.float32)
    for t, frame in enumerate(read[observed:]):
        truth[t] = frame
    clip = torch.from_numpy(seen)[None, :, None].to(device)
    with torch.no_grad():
        future = rollout(model.to(device).eval(), clip, observed, predicted, policy, trace=trace)
    return PredictedVideo(start, seen, future[0, :, 0].float().cpu().numpy(), truth)
