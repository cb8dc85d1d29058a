"""What is taken along of a run: what ``stremn segment`` writes, the settings, and the command that does the same."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from stremn.data.clips import write_mask
from stremn.data.frames import DIGITS, Frames
from stremn.data.video import ImageFolder
from stremn.errors import InputError
from stremn.explore.equivalent import command
from stremn.explore.folder import Folder
from stremn.explore.runs import Run, about
from stremn.explore.session import Session
from stremn.files import replacing, write_json
from stremn.memory import Trace
from stremn.segmenting.outputs import output_folder
from stremn.segmenting.segment_run import RESULTS, TRACE
from stremn.segmenting.sources import ClipRange
from stremn.segmenting.stopped import GIVEN
from stremn.segmenting.writers import DEFAULT, Writers, parse_kinds

KINDS = ("masks", "binary", "overlay", "matte", "matte-video", "cutout", "side-by-side")
WITH_MATTE = {"matte", "matte-video", "cutout"}
FRAMES, SETTINGS, COMMAND = "frames", "settings.json", "command.sh"
Told = Callable[[int, int], None]


def place_in(folder: Path, name: str) -> Path:
    """The folder of that name below ``folder``.

    Raises:
        InputError: it leads out of it, also over a link, or something is there.
    """
    root = folder.resolve()
    out = Folder(root).path(name.strip())
    if out == root:
        raise InputError(f"expected the name of a folder below {root}, found {name!r}: choose another")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"expected a new or empty folder, found {out} in use: choose another name")
    return out


def kinds_of(session: Session, run: Run) -> tuple[str, ...]:
    """Kinds of output that a run has: all of them, fewer where only its trace and its masks are known."""
    if run.masks is None:
        return ()
    known = KINDS if run.mattes else tuple(kind for kind in KINDS if kind not in WITH_MATTE)
    return tuple(k for k in known if k in ("masks", "binary")) if session.pictures.blank else known


def save_run(
    session: Session, run: Run, out: Path, kinds: Collection[str] = DEFAULT, told: Told | None = None
) -> Path:
    """Write a run into a new folder, complete or not at all; masks, videos and mattes as ``stremn segment`` does.

    Beside them: the given masks, ``settings.json``, ``command.sh`` with the command that does the same, and the
    frames where they have no file of their own.

    Args:
        told: called with the number of frames that are written, and of all.

    Raises:
        InputError: a folder that is in use, a kind that the run does not have, no frame done.
    """
    wanted = parse_kinds(tuple(kinds)) if kinds else ()
    missing = [kind for kind in wanted if kind not in kinds_of(session, run)]
    if missing:
        raise InputError(f"expected something that this run has, found {missing[0]}: leave it out")
    done = run.done
    if not done:
        raise InputError("expected a run with at least one finished frame, found none: let it begin first")
    with output_folder(out, (*RESULTS, FRAMES, SETTINGS, COMMAND)) as output:
        folder = output.folder
        frames = ClipRange(_source(session, done, folder), 0, done)
        if wanted:
            with Writers(folder, wanted, frames) as writers:
                _write(writers, run, frames, told)
            writers.remove_extra()
        Trace(run.trace.steps[:done], run.trace.about | _about(session, run)).save(folder / TRACE)
        _write_settings(session, run, folder, wanted, frames, done)
    return out


def _source(session: Session, done: int, folder: Path) -> Frames:
    """The frames of a run, from their file or folder; else written into a folder beside the results."""
    known = session.pictures.frames
    if (
        known is not None and not known.without
    ):  # the command cannot name pictures that are none of its frames
        return known
    (folder / FRAMES).mkdir()
    pictures = session.pictures.again()
    for number in range(done):
        with replacing(folder / FRAMES / f"{number:0{DIGITS}d}.png") as scratch:
            Image.fromarray(pictures[number]).save(scratch, format="PNG")
    return ImageFolder(folder / FRAMES)


def _write(writers: Writers, run: Run, frames: ClipRange, told: Told | None) -> None:
    assert run.masks is not None and frames.count is not None
    for number, (name, frame) in enumerate(frames):
        ids = run.masks[number]
        opacity = run.mattes[number] if run.mattes else np.where(ids > 0, 255, 0)
        background = 1 - opacity[None] / 255
        writers.write_pictures(name, frame, ids, background, run.objects)
        writers.write_videos(frame, ids, background)
        if told is not None:
            told(number + 1, frames.count)


def _write_settings(
    session: Session, run: Run, folder: Path, kinds: tuple[str, ...], frames: ClipRange, done: int
) -> None:
    given = {} if run.given is None else run.given.masks
    if given:
        (folder / GIVEN).mkdir()
    for frame, ids in given.items():
        write_mask(folder / GIVEN / f"{frame}.png", ids)
    settings = session.settings
    known = {} if settings is None else settings.model_dump(mode="json", exclude_defaults=True)
    about = _about(session, run)
    known |= {
        name: about[name] for name in ("system", "policy", "slots", "size") if about.get(name) is not None
    }
    own = {"name": run.name, "frames": done, "given": list(given), "objects": run.objects}
    video = FRAMES if (folder / FRAMES).is_dir() else str(frames.path.resolve())
    try:
        masks = {f: f"{GIVEN}/{f}.png" for f in given}
        text = command(session, run, video, masks, "again", kinds or DEFAULT, done)
        (folder / COMMAND).write_text(f"#!/bin/sh\n# in this folder\n{text}\n", encoding="utf-8")
        own["command"] = text
    except InputError as reason:
        own["no_command"] = str(reason)
    write_json(folder / SETTINGS, {"run": own, "settings": known})


def _about(session: Session, run: Run) -> dict[str, Any]:
    if run.policy is None:
        return {}
    return about(run, session.pictures, session.size, session.meta.get("system"))
