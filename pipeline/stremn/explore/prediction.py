"""A predictor on a video: observed, predicted and true frames, the error, and the slots.

T frames, H W pixels.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stremn.errors import InputError
from stremn.explore.pictures import Pictures
from stremn.inference.prediction_stream import PredictionStream
from stremn.memory import Trace, TraceStep
from stremn.models.checkpoints import load_model
from stremn.models.prediction import as_predictor
from stremn.models.registry import PREDICTORS
from stremn.segmenting.predict_video import grey, side_of

Floats = NDArray[np.float32]


ERROR_TOP = 0.5  # absolute error that is drawn brightest


@dataclass(frozen=True)
class PredictedFrame:
    """One frame of a prediction, grey in [0, 1].

    Attributes:
        frame: its number in the video.
        observed: whether the predictor saw it; else it saw its own prediction.
        truth: (H, W), None after the end of the video.
        predicted: (H, W), None for the first frame.
        step: the visit to the memory from which this frame was predicted, that of the frame before it; None
            where there was none.
    """

    frame: int
    observed: bool
    truth: Floats | None
    predicted: Floats | None
    step: TraceStep | None

    @property
    def error(self) -> Floats | None:
        """|predicted − truth|, (H, W)."""
        return None if self.truth is None or self.predicted is None else np.abs(self.predicted - self.truth)

    @property
    def square_error(self) -> float | None:
        """Mean over the pixels of (predicted − truth)²."""
        return None if self.error is None else float(np.square(self.error).mean())


class Predictions:
    """A predictor's look at a video: it watches, then goes on by itself.

    Args:
        video: the frames.
        checkpoint: of a predictor with slots.
        observed, predicted: numbers of frames.
        start: first frame that is watched.

    Raises:
        InputError: weights of another task, or fewer frames than are to be watched.
    """

    def __init__(
        self,
        video: Pictures,
        checkpoint: Path | str,
        *,
        observed: int = 10,
        predicted: int = 20,
        start: int = 0,
        device: str = "cpu",
    ) -> None:
        path = Path(checkpoint)
        if start + observed > len(video):
            raise InputError(f"expected at least {start + observed} frames to watch, found {len(video)}")
        try:
            model, meta = load_model(path, PREDICTORS)
        except InputError as error:
            raise InputError(f"expected the checkpoint of a predictor: {error}") from None
        self.side = side_of(meta)
        self.video, self.start, self.observed, self.predicted = video, start, observed, predicted
        self._stream = PredictionStream(as_predictor(model), device=device)
        self._frames: list[PredictedFrame] | None = None

    def frames(self) -> list[PredictedFrame]:
        """All frames; computed when they are first asked for."""
        if self._frames is None:
            self._frames = self._computed()
        return self._frames

    def _computed(self) -> list[PredictedFrame]:
        out: list[PredictedFrame] = []
        expected: Floats | None = None
        for n in range(self.observed + self.predicted):
            number, seen = self.start + n, n < self.observed
            truth = grey(self.video[number], self.side) if number < len(self.video) else None
            out.append(PredictedFrame(number, seen, truth, expected, None))
            expected = self._stream.step(truth[None] if seen and truth is not None else None)[0]
        steps = {s.frame: s for s in (self._stream.trace or Trace()).steps}
        return [replace(f, step=steps.get(n - 1)) for n, f in enumerate(out)]

    def answer(self, content: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        """A frame for the browser, by its place ``at`` from 0; without one the first that is not observed.

        Returns:
            facts: ``shown`` of "truth", "predicted" and "error", ``slots``, ``errors`` (mean square error of
            every frame, None where it is unknown); and uint8 pictures (side, side) of those shown, the error
            from 0 to ``error_top``, then of the slots.
        """
        frames = self.frames()
        at = max(0, min(len(frames) - 1, int(content.get("at", self.observed))))
        now = frames[at]
        error = None if now.error is None else np.minimum(1, now.error / ERROR_TOP)
        named = {"truth": now.truth, "predicted": now.predicted, "error": error}
        shown = {name: picture for name, picture in named.items() if picture is not None}
        slots, kept = self._slots(frames, now)
        fields = {
            "at": at,
            "count": len(frames),
            "start": self.start,
            "observed": self.observed,
            "side": self.side,
            "shown": list(shown),
            "error_top": ERROR_TOP,
            "errors": [f.square_error for f in frames],
            "slots": slots,
        }
        pictures = [*shown.values(), *kept]
        return fields, [np.clip(255 * p + 0.5, 0, 255).astype(np.uint8).tobytes() for p in pictures]

    def _slots(
        self, frames: list[PredictedFrame], now: PredictedFrame
    ) -> tuple[list[dict[str, Any]], list[Floats]]:
        """The slots that were read to predict a frame, and what each holds."""
        step = now.step
        if step is None:
            return [], []
        rows, pictures = [], []
        for slot, held in enumerate(step.held_before):
            kept = frames[held]
            picture = kept.truth if kept.observed else kept.predicted
            if picture is None:
                continue
            rows.append(
                {
                    "slot": slot,
                    "frame": kept.frame,
                    "observed": kept.observed,
                    "age": step.frame - held,
                    "mass": None if step.read_mass is None else step.read_mass[slot],
                    "score": None if step.scores is None else step.scores[slot],
                    "evictable": step.evictable[slot],
                    "next": slot == step.evicted_slot,
                }
            )
            pictures.append(picture)
        return rows, pictures
