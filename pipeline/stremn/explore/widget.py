"""The explorer: one widget for JupyterLab and for the page (``stremn explore``).

The browser asks, Python answers with what is visible: a frame and its mask as JPEG and PNG, small pictures of
the kept frames, numbers as bytes. Nothing else is sent.
"""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from stremn.errors import InputError
from stremn.explore import packing
from stremn.explore.asked import DRAWING, Answer, Asked, joined, questions
from stremn.explore.drawing import Drawing
from stremn.explore.export import Export
from stremn.explore.folder import Folder
from stremn.explore.runs import Run
from stremn.explore.session import Session
from stremn.explore.worker import Worker
from stremn.figures import browser as images

PARTS = (
    *(
        "core",
        "charts",
        "timeline",
        "stage",
        "slots",
        "whatif",
        "race",
        *DRAWING,
        "take",
        "help",
        "prediction",
    ),
    *("controls", "opening", "explorer"),
)
Opens = Callable[[dict[str, Any]], tuple[Session, Any, Drawing]]


def script() -> str:
    """The JavaScript of the widget."""
    return joined(*PARTS)


class Explorer(Asked):
    """Look into the memory of a session.

    Args:
        session: with or without runs; where it has none and can make one, one is made in the background.
        predictions: what the tab "prediction" shows.
        drawing: the masks that are drawn in the page.
        folder: results are saved in it; None: the working folder.
        opens: what a form that was filled in names; None: nothing else can be opened.
        opened: what the form shows.
    """

    _esm = script()

    def __init__(
        self,
        session: Session,
        predictions: Any = None,
        drawing: Drawing | None = None,
        *,
        folder: Path | str | None = None,
        opens: Opens | None = None,
        opened: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.folder = Path.cwd() if folder is None else Path(folder)
        self._opens, self._opened = opens, opened or {}
        self._worker = Worker(self._told)
        self._export = Export(self.folder, lambda fields: self.send({"tell": "export", **fields}))
        self._show(session, predictions, drawing)

    def _show(self, session: Session, predictions: Any, drawing: Drawing | None) -> None:
        self.session, self.predictions = session, predictions
        self.drawing = drawing or Drawing.here(session.pictures, Folder(self.folder.resolve()))
        self.drawing.tell = lambda message: self.send(message)
        self._asks |= questions(self.drawing)
        if not session.runs and session.can_run:
            self._compute(session.start())

    def wait(self) -> None:
        """Until no run is being computed or saved (for scripts and tests)."""
        self._worker.wait()
        self._export.wait()

    def _told(self, run: Run, frame: int, finished: bool, problem: str | None) -> None:
        with contextlib.suppress(ValueError):
            number = self.session.runs.index(run)
            self.send(
                {"tell": "progress", "run": number, "frame": frame, "finished": finished, "problem": problem}
            )

    def _compute(self, run: Run) -> None:
        self._worker.add(run, lambda: self.session.steps(run))

    def _run(self, content: dict[str, Any]) -> Run:
        return self.session.runs[int(content["run"])]

    def _ask_hello(self, content: dict[str, Any], buffers: list[Any]) -> Answer:
        fields, out = packing.about(self.session)
        return {
            **fields,
            **self._ask_runs(content, buffers)[0],
            "predicts": self.predictions is not None,
        }, out

    def _ask_runs(self, content: dict[str, Any], buffers: list[Any]) -> Answer:
        runs = [
            packing.run_summary(self.session, run, n) | {"state": self._state(run)}
            for n, run in enumerate(self.session.runs)
        ]
        return {"runs": runs, "busy": self._worker.busy, "can_run": self.session.can_run}, []

    def _state(self, run: Run) -> str:
        done = run.done >= len(self.session.pictures) or run.history is None
        return self._worker.state(run) or ("done" if done else "stopped")

    def _ask_run(self, content: dict[str, Any], buffers: list[Any]) -> Answer:
        return packing.whole_run(self._run(content))

    def _ask_view(self, content: dict[str, Any], buffers: list[Any]) -> Answer:
        """A frame, its masks in one or two runs, their slots, and the heat of a pixel.

        Buffers: JPEG of the frame; outline of the truth, empty where none is; for each run its mask, empty
        where none is, and float32 heat maps (K, h, w), empty where none are. With ``pictures`` false only the
        heat: the browser has the rest.
        """
        frame = int(content["frame"])
        wanted = bool(content.get("pictures", True))
        picture = images.jpeg(self.session.pictures[frame]) if wanted else b""
        truth = self.session.truth if wanted else None
        outline = (
            images.outline_png(np.asarray(truth[frame]))
            if truth is not None and content.get("truth")
            else b""
        )
        out, parts = [picture, outline], []
        for number in content["runs"]:
            run = self.session.runs[int(number)]
            part = packing.one_step(run, frame) if frame < run.done else None
            known = wanted and run.masks is not None and frame < len(run.masks)
            out.append(images.mask_png(run.masks[frame]) if known else b"")  # type: ignore[index]
            heat = self._heat(run, frame, content.get("pixel"))
            out.append(heat.pop("bytes", b""))
            parts.append({"step": part, "heat": heat or None})
        return {"frame": frame, "parts": parts}, out

    def _heat(self, run: Run, frame: int, pixel: dict[str, Any] | None) -> dict[str, Any]:
        if pixel is None or run.history is None or not 0 < frame < run.done:
            return {}
        found = self.session.heat(run, frame, pixel["x"], pixel["y"], whole=bool(pixel.get("whole")))
        return {
            "slots": found.slots,
            "share": found.share,
            "size": list(found.maps.shape),
            "window": self.session.engine.geometry.window(),
            "positions": found.positions,
            "bytes": found.maps.float().contiguous().numpy().tobytes(),
        }

    def _ask_thumbs(self, content: dict[str, Any], buffers: list[Any]) -> Answer:
        run, frames = self._run(content), [int(f) for f in content["frames"]][:64]
        masks = run.masks
        out = []
        for frame in frames:
            ids = masks[frame] if masks is not None and frame < len(masks) else None
            out.append(images.thumb(self.session.pictures[frame], ids))
        return {"frames": frames}, out

    def _ask_change(self, content: dict[str, Any], buffers: list[Any]) -> Answer:
        what = {
            k: content[k] for k in ("drop", "freeze", "swap", "rule", "slots") if content.get(k) is not None
        }
        if "swap" in what:
            what["swap"] = (int(what["swap"][0]), int(what["swap"][1]))
        self._compute(self.session.changed(self._run(content), int(content["frame"]), **what))
        return {**self._ask_runs(content, buffers)[0], "made": len(self.session.runs) - 1}, []

    def _ask_race(self, content: dict[str, Any], buffers: list[Any]) -> Answer:
        """Runs of some rules on the video, as ``run`` is given its masks; those that are there are not made again."""
        rules, like = content.get("rules"), self._run(content) if "run" in content else None
        runs = self.session.racers(rules, content.get("slots"), like)
        for run in runs:
            if self._state(run) == "stopped":
                self._compute(run)
        made = [self.session.runs.index(run) for run in runs]
        return {**self._ask_runs(content, buffers)[0], "made": made}, []

    def _ask_stop(self, content: dict[str, Any], buffers: list[Any]) -> Answer:
        self._worker.stop()
        return {}, []

    def _ask_resume(self, content: dict[str, Any], buffers: list[Any]) -> Answer:
        """Go on with a run that was stopped."""
        if self._state(self._run(content)) == "stopped":
            self._compute(self._run(content))
        return self._ask_runs(content, buffers)

    def _ask_mask(self, content: dict[str, Any], buffers: list[Any]) -> Answer:
        """Ids (H, W) of a frame in a run, to draw on; empty where none are known. Buffer: uint8."""
        run, frame = self._run(content) if self.session.runs else None, int(content["frame"])
        if run is None or run.masks is None or frame >= len(run.masks):
            return {}, [b""]
        return {}, [np.ascontiguousarray(run.masks[frame], np.uint8).tobytes()]

    def _ask_segment(self, content: dict[str, Any], buffers: list[Any]) -> Answer:
        """Segment from drawn masks: anew from all drawn where one is of frame 0, else ``run`` from the first on.

        Buffers: uint8 ids (H, W) for each of ``frames``.
        """
        shape = self.session.pictures.size
        drawn = {
            int(frame): np.frombuffer(buffer, np.uint8).reshape(shape)
            for frame, buffer in zip(content["frames"], buffers, strict=True)
        }
        session = self.session
        if 0 in drawn or not session.can_run:
            self._worker.stop()
            session.give(self.drawing.drawn() | drawn)
            run = session.start(f"drawn mask {1 + sum(r.name.startswith('drawn') for r in session.runs)}")
        else:
            before = self._run(content)
            run = session.corrected(before, drawn)
            self._worker.stop(before)
        self._compute(run)
        return {**self._ask_runs(content, buffers)[0], "made": session.runs.index(run)}, []

    def _ask_export(self, content: dict[str, Any], buffers: list[Any]) -> Answer:
        """What a run has to be taken along, and the command that does the same."""
        run = self._run(content)
        return self._export.about(self.session, run, content.get("name"), list(content.get("kinds", ()))), []

    def _ask_save(self, content: dict[str, Any], buffers: list[Any]) -> Answer:
        """Begin to save a run: into a folder, or as an archive to be downloaded."""
        save = self._export.download if content.get("download") else self._export.save
        save(
            self.session,
            self._run(content),
            str(content["name"]),
            list(content["kinds"]),
            str(content["view"]),
        )
        return {}, []

    def _ask_part(self, content: dict[str, Any], buffers: list[Any]) -> Answer:
        """Some bytes of an archive."""
        return {}, [self._export.part(int(content["archive"]), int(content["start"]))]

    def _ask_opened(self, content: dict[str, Any], buffers: list[Any]) -> Answer:
        """What the form to open something else shows."""
        return {"opened": self._opened}, []

    def _ask_folder(self, content: dict[str, Any], buffers: list[Any]) -> Answer:
        """Names of what lies in a folder that may be opened."""
        return {"files": self.drawing.folder.listing(str(content["folder"]))}, []

    def _ask_open(self, content: dict[str, Any], buffers: list[Any]) -> Answer:
        """Show something else, in all tabs."""
        if self._opens is None:
            raise InputError(
                "expected a page that was opened with files, found one of a session: open it anew"
            )
        wanted = {name: content.get(name) for name in ("video", "mask", "checkpoint", "size", "slots")}
        shown = self._opens(wanted)
        self._worker.stop()
        self.wait()
        self._opened = wanted
        self._show(*shown)
        self.send({"tell": "opened"})
        return {}, []

    def _ask_prediction(self, content: dict[str, Any], buffers: list[Any]) -> Answer:
        if self.predictions is None:
            raise InputError(
                "expected weights of a predictor, found none: open the explorer with --predictor FILE"
            )
        return self.predictions.answer(content)
