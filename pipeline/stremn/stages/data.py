"""Stage 1: make the embedded data (clips, static images, walkers), or note which datasets are used in place."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from stremn.acquire.catalogue import load
from stremn.acquire.installed import describe, prepare
from stremn.data import prepared
from stremn.data.clips import VOID
from stremn.data.prepared import Source, write_source
from stremn.errors import InputError
from stremn.figures.sheets import clip_sheet, image_sheet, video_sheet
from stremn.generate.composites import ImageSettings
from stremn.generate.make import make_static, make_vos, make_walkers
from stremn.generate.procedural import ClipSettings
from stremn.generate.visits import RecurringSettings
from stremn.generate.walkers import WalkerSettings
from stremn.stages.base import Portable, Stage

ClipSet = ClipSettings | RecurringSettings | Source


class Parameters(Portable):
    """Settings of the stage."""

    vos: dict[str, ClipSet | dict[str, ClipSet]]
    """Each split of the clips: settings of generated ones, a dataset, or several by any names, all of
    which are used. A split's name begins with train, val or test.
    """
    static: ImageSettings | dict[str, Source]
    """Static images for pre-training: settings of generated ones (training photographs only), or datasets
    by any names, all of which are used.
    """
    walkers: WalkerSettings | dict[str, Source]
    """Videos for prediction: settings of generated walkers, or a dataset for train, val and test."""
    show: int = 6
    """Clips, rows of images and videos on a contact sheet."""


def check(p: Parameters, root: Path, profile: str) -> None:
    """Every dataset that a path is given for is there: told before anything is generated."""
    for source in _sources(p).values():
        if source.path is not None and not (root / source.path).exists():
            raise InputError(
                f"expected the dataset {source.dataset} of {profile}.data at {root / source.path}, found nothing "
                "there: correct the path in params.yaml"
            )


def _sources(p: Parameters) -> dict[str, Source]:
    """Datasets that are used where they lie, by their place below the stage's output."""
    found = {f"vos/{place}": one for place, one in _by_place(p.vos).items() if isinstance(one, Source)}
    for what, some in (("static", p.static), ("walkers", p.walkers)):
        if isinstance(some, dict):
            found |= {f"{what}/{name}": one for name, one in some.items()}
    return found


def make(stage: Stage[Parameters]) -> dict[str, Any]:
    """Generate what is to be generated, and note which datasets are used where they lie.

    Returns counts and fingerprints, also written to ``manifest.json``.
    """
    p = stage.parameters
    generated = {place: one for place, one in _by_place(p.vos).items() if not isinstance(one, Source)}
    manifest: dict[str, Any] = {"vos": make_vos(stage.out / "vos", generated) if generated else {}}
    for place in generated:
        write_source(stage.out / "vos" / place, Source(dataset="clips", split=Path(place).name))
    if isinstance(p.static, ImageSettings):
        manifest["static"] = make_static(stage.out / "static", p.static)
        write_source(stage.out / "static", Source(dataset="images"))
    if isinstance(p.walkers, WalkerSettings):
        manifest["walkers"] = make_walkers(stage.out / "walkers", p.walkers)
        for split in manifest["walkers"]["splits"]:
            write_source(stage.out / "walkers" / split, Source(dataset="walkers", split=split))
    manifest["datasets"] = {place: _note(stage, place, source) for place, source in _sources(p).items()}
    (stage.out / "manifest.json").write_text(json.dumps(manifest, indent=1, sort_keys=True), encoding="utf-8")
    return manifest


def _by_place(splits: Mapping[str, ClipSet | Mapping[str, ClipSet]]) -> dict[str, ClipSet]:
    """Every set of clips by its place: ``<split>``, or ``<split>/<name>`` where there are several."""
    places: dict[str, ClipSet] = {}
    for split, one in splits.items():
        if isinstance(one, Mapping):
            places |= {f"{split}/{name}": part for name, part in one.items()}
        else:
            places[split] = one
    return places


def _note(stage: Stage[Parameters], place: str, source: Source) -> dict[str, Any]:
    """Write where a dataset lies; returns the record of what it consists of."""
    known = source.dataset in load()
    folder, record = (prepare if known else describe)(source.dataset, stage.root, source.path)
    where = folder.relative_to(stage.root) if folder.is_relative_to(stage.root) else folder.resolve()
    write_source(stage.out / place, source, where, record["sha256"])
    return record


def summarise(stage: Stage[Parameters]) -> pd.DataFrame:
    """What there is: one row for each set."""
    rows = []
    for split in stage.parameters.vos:
        clips = prepared.clips(stage.out / "vos" / split)
        objects, area = [], []
        for clip in (clips[i] for i in range(len(clips))):
            objects.append(clip.objects)
            area.append(float(((clip.masks > 0) & (clip.masks != VOID)).mean()))
        rows.append(
            {
                "set": f"clips, {split}",
                "items": len(clips),
                "frames": sum(clips.length(i) for i in range(len(clips))),
                "size": "×".join(map(str, clip.masks.shape[1:])),
                "objects": sum(objects),
                "area of objects": float(np.mean(area)),
            }
        )
    static = prepared.images(stage.out / "static")
    size = "×".join(map(str, static[0][1].shape))
    rows.append({"set": "static images", "items": len(static), "frames": len(static), "size": size})
    for split in ("train", "val", "test"):
        videos = prepared.videos(stage.out / "walkers" / split)
        size, frames = "×".join(map(str, videos[0].shape[1:3])), sum(video.length for video in videos.videos)
        rows.append({"set": f"videos, {split}", "items": len(videos), "frames": frames, "size": size})
    table = pd.DataFrame(rows).set_index("set")
    stage.table("summary", table)
    stage.metrics({"clips": float(table["items"].iloc[: len(stage.parameters.vos)].sum())})
    return table


def look(stage: Stage[Parameters]) -> dict[str, Figure]:
    """Contact sheets of every set."""
    show = stage.parameters.show
    drawn: dict[str, Figure] = {}
    for split in stage.parameters.vos:
        clips = prepared.clips(stage.out / "vos" / split)
        some = [clips[i] for i in range(min(show, len(clips)))]
        drawn[f"clips_{split}"] = clip_sheet(some, f"Clips, {split}")
    static = prepared.images(stage.out / "static")
    drawn["static"] = image_sheet(
        [static[i] for i in range(min(4 * show, len(static)))], "Static images with masks"
    )
    videos = prepared.videos(stage.out / "walkers" / "train")
    drawn["walkers"] = video_sheet(videos.examples(show), "Videos for prediction")
    for name, figure in drawn.items():
        stage.figure(name, figure)
    return drawn
