"""``stremn predict``."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from stremn.data.video import DIGITS, open_frames
from stremn.device import choose
from stremn.errors import InputError
from stremn.figures.prediction_figures import prediction_strip
from stremn.figures.style import save
from stremn.memory import Trace, make_policy
from stremn.models.checkpoints import load_model, shipped_checkpoint
from stremn.models.prediction import PredictionNetwork, as_predictor
from stremn.models.registry import PREDICTORS
from stremn.segmenting.outputs import check_output, output_folder
from stremn.segmenting.predict_video import Predicted, predict_video, side_of

PREDICTED, STRIP, TRACE = "predicted", "strip.png", "trace.json"
RESULTS = (PREDICTED, STRIP, TRACE)


def predict(
    video: Path,
    out: Path,
    *,
    checkpoint: Path | None = None,
    observed: int = 10,
    predicted: int = 20,
    start: int = 0,
    slots: int = 5,
    device: str = "cpu",
    overwrite: bool = False,
) -> str:
    """Predict how a video goes on; returns what to tell the user."""
    frames = open_frames(video)
    check_output(out, RESULTS, overwrite=overwrite)
    model, meta = _load(checkpoint)
    trace = Trace()
    result = predict_video(
        model,
        frames,
        observed=observed,
        predicted=predicted,
        start=start,
        side=side_of(meta),
        policy=make_policy("learned", slots=slots),
        device=choose(device),
        trace=trace,
    )
    with output_folder(out, RESULTS, overwrite=overwrite) as scratch:
        _write(scratch, result)
        trace.about |= {"video": video.name, "start": start, "observed": observed, "predicted": predicted}
        trace.save(scratch / TRACE)
    last = result.first + predicted - 1
    return f"watched frames {start} to {result.first - 1}, predicted {result.first} to {last}: {out}"


def _weights(checkpoint: Path | None) -> Path:
    if checkpoint is not None:
        return checkpoint
    try:
        return shipped_checkpoint("predictor")
    except InputError:
        raise InputError(
            "expected --checkpoint FILE, found none: no predictor comes with the package; train one with "
            "`stremn run data` and `stremn run train_prediction`, which writes "
            "data/runs/demo/train_prediction/networks/stremn/model.safetensors"
        ) from None


def _load(checkpoint: Path | None) -> tuple[PredictionNetwork, dict[str, Any]]:
    path = _weights(checkpoint)
    try:
        model, meta = load_model(path, PREDICTORS)
    except InputError as error:
        raise InputError(f"expected the checkpoint of a predictor: {error}") from None
    return as_predictor(model), meta


def _write(folder: Path, result: Predicted) -> None:
    (folder / PREDICTED).mkdir()
    for number, frame in enumerate(result.predicted, result.first):
        pixels = (frame * 255).round().astype(np.uint8)
        Image.fromarray(pixels).save(folder / PREDICTED / f"{number:0{DIGITS}d}.png")
    rows = {"predicted": result.predicted}
    save(prediction_strip(result.observed, result.truth, rows), folder / STRIP)
