"""Segmenting a folder of clips and saving the masks: what the evaluation scores.

Letters: B clips, T frames, H W pixels.
"""

import zlib
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from stremn.data.annotated import Clips
from stremn.data.clips import Clip, write_mask
from stremn.inference.oracle import Belady
from stremn.memory import Policy, Trace
from stremn.models.vos import VOSNetwork
from stremn.tasks.sizes import scaled_size, to_working_size
from stremn.tasks.vos import Rollout, rollout


def segment_folder(
    network: VOSNetwork,
    clips: Clips,
    policy: Policy,
    out: Path | None = None,
    *,
    roll: Callable[..., Rollout] = rollout,
    batch: int = 8,
    device: str = "cpu",
    trace: bool = False,
    seed: int = 0,
    side: int | None = None,
    description: str = "",
    progress: bool = True,
) -> dict[str, Trace]:
    """Segment every clip from its objects' first masks and write one palette PNG per frame.

    Args:
        network: a VOS system, in evaluation mode.
        clips: with ground truth, of which only first appearances are used.
        policy: the memory's update rule; the oracle's knows what each of the clips shows.
        out: result folder ``<out>/<sequence>/<frame>.png``; None: nothing is written.
        roll: ``tasks.vos.rollout``, or one with its arguments, such as ``inference.multiscale.multiscale_rollout``.
        batch: clips of equal size, length and number of objects that run side by side.
        trace: record the memory of every clip.
        seed: of the random rules; a clip's choices do not depend on its neighbours in the batch.
        side: shorter side in pixels at which frames are processed; None: native size. Given masks are shrunk
            as in a stream, by area; masks are written at the frames' own size, from log odds brought
            back to it.
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
            images, masks, size = _batch(group, side)
            recorder = Trace() if trace else None
            rule = policy.of(members) if isinstance(policy, Belady) else policy
            generator = torch.Generator(device).manual_seed(seed * 1_000_003 + zlib.crc32(names[0].encode()))
            with torch.inference_mode():
                result = roll(
                    network,
                    images.to(device),
                    masks.to(device),
                    group[0].objects,
                    rule,
                    generator=generator,
                    trace=recorder,
                )
            ids = _ids(result, size)
            for row, name in enumerate(names):
                if out is not None:
                    write_masks(out / name, ids[row].cpu().numpy(), clips.frame_names(members[row]))
                traces[name] = recorder.of_clip(row) if recorder else Trace()
            bar.update(len(names))
    return traces


def _batch(group: Sequence[Clip], side: int | None) -> tuple[Tensor, Tensor, tuple[int, int]]:
    """Frames (B, T, 3, h, w) in [0, 1] at the working size, ids (B, T, H, W), and the clips' own size (H, W)."""
    height, width = group[0].masks.shape[-2:]
    frames = torch.stack([small_frames(clip.frames, side) for clip in group])
    return frames, torch.stack([torch.from_numpy(clip.masks) for clip in group]), (height, width)


def small_frames(frames_THW3: NDArray[np.uint8], side: int | None) -> Tensor:
    """A clip's frames (T, 3, h, w) in [0, 1] with a shorter side of ``side``; None: native size."""
    frames = torch.from_numpy(np.ascontiguousarray(frames_THW3)).permute(0, 3, 1, 2)
    size = scaled_size(frames.shape[-2], frames.shape[-1], side)
    return torch.cat([to_working_size(frame.float() / 255, size) for frame in frames.split(1)])


def _ids(result: Rollout, size: tuple[int, int]) -> Tensor:
    """Object ids (B, T, H, W) at the clips' own size."""
    if tuple(result.logits[0].shape[-2:]) == size:
        return result.ids()
    large = (F.interpolate(frame, size, mode="bilinear", align_corners=False) for frame in result.logits)
    return torch.stack([frame.argmax(1) for frame in large], 1)


def _alike(clips: Clips, width: int) -> Iterator[list[int]]:
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
