"""Stage 1: make the embedded data (clips, static images, walkers)."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from stremn.data.clips import ClipFolder
from stremn.data.composites import ImageSettings
from stremn.data.images import StaticFolder
from stremn.data.make import make_static, make_vos, make_walkers
from stremn.data.procedural import ClipSettings
from stremn.data.sheets import clip_sheet, image_sheet, video_sheet
from stremn.data.walkers import WalkerSettings
from stremn.data.windows import files, read_video
from stremn.settings import Settings
from stremn.stages.base import Stage


class Parameters(Settings):
    """Settings of the stage.

    Attributes:
        vos: settings of each split of the clips; a split's name begins with train, val or test.
        static: static images for pre-training (training photographs only).
        walkers: articulated figures for prediction.
        show: clips, rows of images and videos on a contact sheet.
    """

    vos: dict[str, ClipSettings]
    static: ImageSettings
    walkers: WalkerSettings
    show: int = 6


def make(stage: Stage[Parameters]) -> dict[str, Any]:
    """Generate everything; returns counts and fingerprints, also written to ``manifest.json``."""
    p = stage.parameters
    manifest = {
        "vos": make_vos(stage.out / "vos", p.vos),
        "static": make_static(stage.out / "static", p.static),
        "walkers": make_walkers(stage.out / "walkers", p.walkers),
    }
    (stage.out / "manifest.json").write_text(json.dumps(manifest, indent=1, sort_keys=True), encoding="utf-8")
    return manifest


def summarise(stage: Stage[Parameters]) -> pd.DataFrame:
    """What there is: one row for each set."""
    rows = []
    for split in stage.parameters.vos:
        clips = ClipFolder(stage.out / "vos" / split)
        masks = [clips[i].masks for i in range(len(clips))]
        rows.append(
            {
                "set": f"clips, {split}",
                "items": len(clips),
                "frames": int(sum(len(m) for m in masks)),
                "size": "×".join(map(str, masks[0].shape[1:])),
                "objects": sum(int(m.max()) for m in masks),
                "area of objects": float(np.mean([(m > 0).mean() for m in masks])),
            }
        )
    static = StaticFolder(stage.out / "static")
    size = "×".join(map(str, static[0][1].shape))
    rows.append({"set": "static images", "items": len(static), "frames": len(static), "size": size})
    for split in ("train", "val", "test"):
        videos = [read_video(path) for path in files(stage.out / "walkers" / split)]
        size = "×".join(map(str, videos[0].shape[1:]))
        rows.append(
            {"set": f"walkers, {split}", "items": len(videos), "frames": sum(map(len, videos)), "size": size}
        )
    table = pd.DataFrame(rows).set_index("set")
    stage.table("summary", table)
    stage.metrics({"clips": float(table["items"].iloc[: len(stage.parameters.vos)].sum())})
    return table


def look(stage: Stage[Parameters]) -> dict[str, Figure]:
    """Contact sheets of every set."""
    show = stage.parameters.show
    drawn: dict[str, Figure] = {}
    for split in stage.parameters.vos:
        clips = ClipFolder(stage.out / "vos" / split)
        some = [clips[i] for i in range(min(show, len(clips)))]
        drawn[f"clips_{split}"] = clip_sheet(some, f"Generated clips, {split}")
    static = StaticFolder(stage.out / "static")
    drawn["static"] = image_sheet(
        [static[i] for i in range(min(4 * show, len(static)))], "Static images with masks"
    )
    drawn["walkers"] = video_sheet(
        _walkers(stage.out / "walkers" / "train"), "Walkers: six actions, one person"
    )
    for name, figure in drawn.items():
        stage.figure(name, figure)
    return drawn


def _walkers(folder: Path) -> list[tuple[str, np.ndarray]]:
    """The first video of each action."""
    first: dict[str, Path] = {}
    for path in files(folder):
        first.setdefault(path.stem.split("_")[1], path)
    return [(action, read_video(path)) for action, path in first.items()]
