"""Segmenting a folder of clips and saving the masks: what the evaluation scores.

Letters: B clips, T frames, H W pixels.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from stremn.data.clips import ClipFolder, write_mask
from stremn.memory import Policy, Trace
from stremn.tasks.vos import Rollout, rollout


def segment_folder(
    network: nn.Module,
    clips: ClipFolder,
    policy: Policy,
    out: Path | None = None,
    *,
    roll: Callable[..., Rollout] = rollout,
    batch: int = 8,
    device: str = "cpu",
    trace: bool = False,
    seed: int = 0,
    description: str = "",
    progress: bool = True,
) -> dict[str, Trace]:
    """Segment every clip from its objects' first masks and write one palette PNG per frame.

    Args:
        network: a VOS system, in evaluation mode.
        clips: with ground truth, of which only first appearances are looked at.
        policy: the memory's update rule.
        out: result folder ``<out>/<sequence>/<frame>.png``; None: nothing is written.
        roll: ``tasks.vos.rollout``, or one with its arguments, such as ``tasks.multiscale.multiscale_rollout``.
        batch: clips of equal size, length and number of objects that run side by side.
        trace: record the memory of every clip.
        seed: of the random rules; a clip's choices do not depend on its neighbours in the batch.
        progress: show it.

    Returns:
        A trace for each clip name, empty where ``trace`` is off.
    """
    traces: dict[str, Trace] = {}
    width = 1 if policy.entry.random else batch
    network.to(device).eval()
    with tqdm(
        total=len(clips), desc=description or policy.name, unit="clip", mininterval=5, disable=not progress
    ) as bar:
        for members in _alike(clips, width):
            names, group = [clips.names[i] for i in members], [clips[i] for i in members]
            frames = np.stack([clip.frames for clip in group])
            masks = torch.from_numpy(np.stack([clip.masks for clip in group]).astype(np.int64)).to(device)
            images = torch.from_numpy(frames).to(device).permute(0, 1, 4, 2, 3).float() / 255
            recorder = Trace() if trace else None
            generator = torch.Generator(device).manual_seed(seed * 1_000_003 + sum(map(ord, names[0])))
            with torch.inference_mode():
                result = roll(
                    network,  # type: ignore[arg-type]
                    images,
                    masks,
                    group[0].objects,
                    policy,
                    generator=generator,
                    trace=recorder,
                )
            for row, name in enumerate(names):
                if out is not None:
                    write_masks(out / name, result.ids()[row].cpu().numpy(), clips.frame_names(members[row]))
                traces[name] = recorder.of_clip(row) if recorder else Trace()
            bar.update(len(names))
    return traces


def _alike(clips: ClipFolder, width: int) -> Iterator[list[int]]:
    """Numbers of clips of equal shape and number of objects, in batches."""
    order = sorted(range(len(clips)), key=lambda i: (clips[i].masks.shape, clips[i].objects, clips.names[i]))
    for _, same in groupby(order, key=lambda i: (clips[i].masks.shape, clips[i].objects)):
        members = list(same)
        yield from (members[at : at + width] for at in range(0, len(members), width))


def write_masks(folder: Path, ids_THW: NDArray[np.integer], names: Sequence[str]) -> None:
    """One palette PNG per frame, ``<folder>/<name>.png``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, ids in zip(names, ids_THW, strict=True):
        write_mask(folder / f"{name}.png", ids)
