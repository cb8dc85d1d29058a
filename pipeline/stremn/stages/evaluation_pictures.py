"""Pictures of one test clip for stage 4: its masks by several rules, and where an object of it is read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from stremn.data import prepared
from stremn.data.clips import VOID, Clip, read_mask
from stremn.evaluation.runs import Run
from stremn.evaluation.vos import VOSScores
from stremn.figures.read_figures import read_figure
from stremn.figures.vos_figures import segmentation_strip
from stremn.inference.read_maps import read_maps
from stremn.models.checkpoints import load_model
from stremn.stages.base import Stage
from stremn.stages.runs import PREDICTIONS, clips_place, network_file
from stremn.tasks.rules import policy_for

COLUMNS = 8  # frames of a strip


def median_object(scores: VOSScores) -> tuple[str, int]:
    """Clip and id of the object at the median of J&F."""
    values = scores.by_object()
    clip, number = sorted(values, key=lambda name: values[name])[len(values) // 2].rsplit("_", 1)
    return clip, int(number)


def strip(stage: Stage[Any], clip_name: str, systems: Mapping[str, str]) -> Figure:
    """A clip's masks beside the truth. systems: name of a run → what it is called."""
    clips = prepared.clips(clips_place(stage))
    index = clips.names.index(clip_name)
    clip, frames = clips[index], clips.frame_names(index)
    rows = {"truth": clip.masks}
    for name, label in systems.items():
        rows[label] = _read(stage.out / PREDICTIONS / name / clip_name, frames)
    at = [round(i * (len(clip.masks) - 1) / (COLUMNS - 1)) for i in range(COLUMNS)]
    return segmentation_strip(
        clip.frames, rows, at=at, title=f"Masks on clip {clip_name} (median of the learned rule)"
    )


def read(stage: Stage[Any], run: Run, clip_name: str, object_id: int) -> Figure | None:
    """Where a run reads an object late in a clip (STM Fig. 5); None where no late mask shows one.

    The object's area is that of the true mask.
    """
    p = stage.parameters
    clips = prepared.clips(clips_place(stage))
    clip = clips[clips.names.index(clip_name)]
    query = late_view(clip, object_id)
    if query is None:
        return None
    frame, object_id = query
    network, _ = load_model(network_file(stage, run))
    policy = policy_for(
        network, run.policy, **{"slots": run.slots or p.slots, "every": p.every, **run.options}
    )
    maps = read_maps(
        network.to(p.device),
        clip.frames,
        clip.masks,
        policy,
        frame,
        object_id,
        side=p.side,
        device=p.device,
    )
    title = f"Where object {object_id} of clip {clip_name} is read (STM Fig. 5)"
    return read_figure(clip.frames, clip.masks, maps, title=title)


def late_view(clip: Clip, object_id: int) -> tuple[int, int] | None:
    """The frame of the clip's last third in which an object is largest, and that object's id.

    It is ``object_id`` if that one is to be seen there and was before, else another; None: no object is.
    """
    late = range(max(1, 2 * len(clip) // 3), len(clip))
    others = [i for i in range(1, min(clip.objects, VOID - 1) + 1) if i != object_id]
    for number in (object_id, *others):
        area = (clip.masks == number).sum((1, 2))
        known = area.cumsum() - area > 0
        seen = [t for t in late if area[t] and known[t]]
        if seen:
            return max(seen, key=lambda t: area[t]), number
    return None


def _read(folder: Path, frames: list[str]) -> np.ndarray:
    return np.stack([read_mask(folder / f"{frame}.png") for frame in frames])
