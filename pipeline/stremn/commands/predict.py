"""``stremn predict``. Everything heavy is imported when it runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stremn.commands.options import Checkpoint, Device, Overwrite, Slots
from stremn.errors import InputError

if TYPE_CHECKING:
    from stremn.models.prediction import PredictionNetwork
    from stremn.segmenting.predict_video import PredictedVideo

PREDICTED, STRIP, TRACE = "predicted", "strip.png", "trace.json"
RESULTS = (PREDICTED, STRIP, TRACE)

Video = Annotated[
    Path,
    typer.Argument(metavar="VIDEO_OR_FOLDER", help="A video file, or a folder of images in natural order."),
]
Out = Annotated[Path, typer.Option(metavar="DIR", help="Folder for the results; new, or empty.")]
Observed = Annotated[int, typer.Option(min=1, help="Frames to watch.")]
Predicted = Annotated[int, typer.Option(min=1, help="Frames to predict.")]
Start = Annotated[int, typer.Option(min=0, help="Number of the first frame to watch, from 0.")]


def predict(
    video: Video,
    out: Out,
    checkpoint: Checkpoint = None,
    observed: Observed = 10,
    frames: Predicted = 20,
    start: Start = 0,
    slots: Slots = 5,
    device: Device = "cpu",
    overwrite: Overwrite = False,
) -> None:
    """Watch some frames of a video and predict the next ones, in grey and at the checkpoint's size.

    Writes `DIR/predicted/*.png` (named by their number in the video), `DIR/strip.png` (observed, true
    and predicted frames side by side) and `DIR/trace.json` (what happened in the memory).

    Example:

    `stremn predict walk.mp4 --out walk --checkpoint data/runs/demo/train_prediction/networks/stremn/model.safetensors`
    """
    from stremn.data.video import open_frames
    from stremn.segmenting.interrupt import Interrupt
    from stremn.segmenting.outputs import output_folder

    opened = open_frames(video)
    with Interrupt(), output_folder(out, RESULTS, overwrite=overwrite) as output:
        from stremn.device import choose
        from stremn.memory import Trace, make_policy
        from stremn.segmenting.predict_video import predict_video, side_of

        model, meta = _open_predictor(checkpoint)
        trace = Trace()
        result = predict_video(
            model,
            opened,
            observed=observed,
            predicted=frames,
            start=start,
            side=side_of(meta),
            policy=make_policy("learned", slots=slots),
            device=choose(device),
            trace=trace,
        )
        _write_pictures(output.folder, result)
        trace.about |= {"video": video.name, "start": start, "observed": observed, "predicted": frames}
        trace.save(output.folder / TRACE)
    last = result.first + frames - 1
    print(f"watched frames {start} to {result.first - 1}, predicted {result.first} to {last}: {out}")


def _open_predictor(checkpoint: Path | None) -> "tuple[PredictionNetwork, dict[str, Any]]":
    """A predictor and the description in its checkpoint; None: the one that comes with the package."""
    from stremn.models.checkpoints import load_model, shipped_checkpoint
    from stremn.models.prediction import as_predictor
    from stremn.models.registry import PREDICTORS

    try:
        path = checkpoint or shipped_checkpoint("predictor")
    except InputError:
        raise InputError(
            "expected --checkpoint FILE, found none: no predictor comes with the package; train one with "
            "`stremn run data` and `stremn run train_prediction`, which writes "
            "data/runs/demo/train_prediction/networks/stremn/model.safetensors"
        ) from None
    try:
        model, meta = load_model(path, PREDICTORS)
    except InputError as error:
        raise InputError(f"expected the checkpoint of a predictor: {error}") from None
    return as_predictor(model), meta


def _write_pictures(folder: Path, result: "PredictedVideo") -> None:
    """The predicted frames as PNGs, and the strip of all."""
    import numpy as np
    from PIL import Image

    from stremn.data.frames import DIGITS
    from stremn.figures.prediction_figures import prediction_strip
    from stremn.figures.style import save

    (folder / PREDICTED).mkdir()
    for number, frame in enumerate(result.predicted, result.first):
        pixels = (frame * 255).round().astype(np.uint8)
        Image.fromarray(pixels).save(folder / PREDICTED / f"{number:0{DIGITS}d}.png")
    rows = {"predicted": result.predicted}
    save(prediction_strip(result.observed, result.truth, rows), folder / STRIP)
