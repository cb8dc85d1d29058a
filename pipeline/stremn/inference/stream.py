"""Segmenting a stream: one frame in, one set of probabilities out, memory of constant size.

Letters: O objects, H W pixels.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from stremn.device import choose
from stremn.errors import DAMAGED, InputError, short_reason
from stremn.files import parse_json, replacing
from stremn.inference.multiscale import Passes
from stremn.inference.plugin import load_same, note_of
from stremn.inference.precision import choose_precision, with_precision
from stremn.inference.saved import Place, check_held, first_memories, saved_policy
from stremn.inference.settings import StreamSettings
from stremn.memory import FeatureState, MemoryState, Policy, Trace, make_memory
from stremn.models.checkpoints import fitted_network
from stremn.models.vos import VOSNetwork
from stremn.tasks.sizes import scaled_size, to_working_size

FORMAT, OLD_FORMAT = "stremn-stream 2", "stremn-stream 1"  # the old one has a single scale
NETWORK, RANDOM, TRACE = "network.", "random", "trace"
HEADER_BYTES = 2**18  # of a saved stream, at most


class Stream:
    """A video in progress. Make one with ``stremn.open_stream``.

    Args:
        network: a VOS system in evaluation mode.
        policy: the memory's update rule.
        meta: ``{"system", "fields", …}`` of the network, kept in saved streams.
        settings: ``size``, ``scales``, ``flip``, ``trace``, ``seed``, ``precision`` and ``device`` are used
            here: what comes before them has become network and policy. None: the defaults.
    """

    def __init__(
        self,
        network: VOSNetwork,
        policy: Policy,
        meta: dict[str, Any],
        settings: StreamSettings | None = None,
    ) -> None:
        settings = settings or StreamSettings()
        self.settings, self.device = settings, choose(settings.device)
        self.network = network.to(self.device).eval()
        self.precision = choose_precision(settings.precision, self.device)
        self._net = with_precision(self.network, self.precision, self.device)
        self.policy, self.meta = policy, meta
        self._plugin = None if settings.plugin is None else note_of(settings.plugin)
        self.trace = Trace() if settings.trace else None
        self.object_ids: list[int] = []
        self.removed: set[int] = set()
        self.frame = 0
        self._frame_size: tuple[int, int] | None = None
        self._passes = Passes(self._net, policy, settings.scales, settings.flip)
        self._generator = torch.Generator(self.device).manual_seed(settings.seed)

    @property
    def memory(self) -> MemoryState | FeatureState:
        """The memory as it is now: views that the next step may change. With several scales the first one's.

        With ``flip`` it is that of two clips, the second mirrored.
        """
        return self._passes.memories[0].state

    @torch.inference_mode()
    def step(self, frame: NDArray[np.uint8], mask: NDArray[np.integer] | None = None) -> Tensor:
        """Segment the next frame.

        Args:
            frame: RGB, uint8 (H, W, 3), the same size in every step.
            mask: object ids (H, W), 0 is background; needed in the first step. In a later step the ids
                that occur in it are given (new objects, or corrections); other objects are segmented.
                A removed object whose mask is given is there again.

        Returns:
            Probabilities, float32 (O + 1, H, W), background first, then ``object_ids`` in their order;
            they sum to 1 at each pixel. Removed objects keep their place, with 0.

        Raises:
            InputError: wrong type, shape or size, a first step without a mask or with an empty one.
        """
        image, given_HW = self._checked(frame, mask)
        given_ids = [] if given_HW is None else [i for i in np.unique(given_HW).tolist() if i != 0]
        seen, new = self._known(given_ids)
        for memory in self._passes.memories:
            memory.add_objects(new)
        size = scaled_size(frame.shape[0], frame.shape[1], self.settings.size)
        logits = self._passes.step(
            to_working_size(image, size),
            self._planes(given_HW, size) if given_HW is not None and given_ids else None,
            self.frame,
            seen_BO=seen,
            given_BO=torch.tensor([[i in given_ids for i in self.object_ids]], device=self.device),
            generator=self._generator,
            trace=self.trace,
        )
        self.frame += 1
        return self._probabilities(logits, frame.shape[:2])

    @torch.inference_mode()
    def remove_object(self, number: int) -> None:
        """Segment an object no longer, from the next step on; the memory forgets it.

        Args:
            number: its id. It stays in ``object_ids``, its probabilities are 0.

        Raises:
            InputError: an id that is not there, or no longer.
        """
        here = [i for i in self.object_ids if i not in self.removed]
        if number not in here:
            there = ", ".join(map(str, here)) or "no objects"
            raise InputError(f"expected an object to remove of {there}, found {number}: check the id")
        self.removed.add(number)
        for memory in self._passes.memories:
            memory.forget(self.object_ids.index(number))

    def _planes(self, ids_HW: NDArray[np.integer], size: tuple[int, int]) -> Tensor:
        """Masks (1, O, h, w) in [0, 1] of all objects at the working size."""
        ids = torch.as_tensor(ids_HW.astype(np.int64), device=self.device)
        numbers = torch.tensor(self.object_ids, device=self.device)[:, None, None]
        return to_working_size((ids[None] == numbers).float()[None], size, masks=True)

    def _known(self, given_ids: list[int]) -> tuple[Tensor, int]:
        """Objects to read from the memory, boolean (1, O), and how many are new; these join the others."""
        known = [i not in self.removed for i in self.object_ids]
        new = [i for i in given_ids if i not in self.object_ids]
        self.object_ids += new
        self.removed -= set(given_ids)
        return torch.tensor([known + [False] * len(new)], device=self.device), len(new)

    def _probabilities(self, logits: Tensor, size: tuple[int, ...]) -> Tensor:
        """A step's result (O + 1, H, W) at the frame's size, from log odds."""
        if logits.shape[-2:] != size:
            logits = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
        if self.removed:
            gone = [i in self.removed for i in [0, *self.object_ids]]
            logits[:, torch.tensor(gone, device=logits.device)] = -torch.inf
        return logits.softmax(1)[0].float().cpu()

    def ids(self, probabilities: Tensor) -> NDArray[np.int64]:
        """Object ids (H, W) of one step's probabilities."""
        return np.array([0, *self.object_ids])[probabilities.argmax(0).numpy()]

    def _checked(
        self, frame: NDArray[np.uint8], mask: NDArray[np.integer] | None
    ) -> tuple[Tensor, NDArray[np.integer] | None]:
        frame = np.asarray(frame)
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            raise InputError(f"expected a frame of uint8 (H, W, 3), found {frame.dtype} {frame.shape}")
        size = (frame.shape[0], frame.shape[1])
        if self._frame_size not in (None, size):
            raise InputError(f"expected frames of {self._frame_size} pixels as before, found {size}")
        if mask is not None:
            mask = np.asarray(mask)
            if not np.issubdtype(mask.dtype, np.integer) or mask.shape != size:
                raise InputError(
                    f"expected a mask of integer object ids of {size} pixels, found {mask.dtype} {mask.shape}"
                )
            if mask.min() < 0:
                raise InputError(f"expected object ids of 0 and above, found {mask.min()}")
        if not self.object_ids and (mask is None or not mask.any()):
            found = "none" if mask is None else "an empty one"
            raise InputError(f"expected a mask with at least one object in the first step, found {found}")
        self._frame_size = size
        image = torch.from_numpy(np.ascontiguousarray(frame)).to(self.device)
        return image.permute(2, 0, 1)[None].float() / 255, mask

    def _tensors(self) -> dict[str, Tensor]:
        """Network, memories and generator, as they are saved."""
        tensors = {NETWORK + k: v for k, v in self.network.state_dict().items()}
        for number, memory in enumerate(self._passes.memories):
            held = memory.state.tensors() if memory.state.slots else {}
            tensors |= {_memory(number) + name: tensor for name, tensor in held.items()}
        tensors[RANDOM] = self._generator.get_state()
        return tensors

    def saved_bytes(self) -> int:
        """About the size of the file that ``save`` writes, and not less."""
        steps = self.trace.steps if self.trace is not None else []
        written = len(steps) * len(repr(steps[-1])) if steps else 0  # the last one is among the longest
        return HEADER_BYTES + written + sum(tensor.nbytes for tensor in self._tensors().values())

    def save(self, path: str | Path) -> None:
        """Write everything that later steps depend on, the network included, to one safetensors file."""
        tensors = self._tensors()
        states = [memory.state for memory in self._passes.memories]
        if self.trace is not None:
            tensors[TRACE] = _as_bytes(self.trace)
        about = {
            "meta": self.meta,
            "policy": asdict(self.policy),
            "size": self.settings.size,
            "precision": self.precision,
            "object_ids": self.object_ids,
            "removed": sorted(self.removed),
            "frame": self.frame,
            "frame_size": self._frame_size,
            "memory_sizes": [state.size for state in states],
            "scales": self.settings.scales,
            "flip": self.settings.flip,
            "plugin": self._plugin,
        }
        try:
            with replacing(Path(path)) as scratch:
                save_file(
                    {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()},
                    scratch,
                    metadata={"format": FORMAT, "about": json.dumps(about)},
                )
        except (OSError, SafetensorError) as error:
            raise InputError(f"expected to write the stream to {path}, could not: {error}") from error


def resume_stream(path: str | Path, device: str = "cpu", plugin: str | Path | None = None) -> Stream:
    """Continue a stream that ``Stream.save`` wrote; the next steps give the same probabilities bit for bit.

    Args:
        path: of the file.
        device: where to compute.
        plugin: the file of rules that the stream was made with; it is a program, so that no saved file names it.

    Raises:
        InputError: no such file, not a saved stream; rules of one's own that are not named, or have changed.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise InputError(f"expected a stream saved by stremn at {path}, found: {error}") from error
    if header.get("format") not in (FORMAT, OLD_FORMAT):
        raise InputError(f"expected a stream saved by stremn ({FORMAT}) at {path}, found another file")
    try:
        about = parse_json(header["about"], "the description of a stream", str(path))
        return _continued(about, tensors, path, device, plugin)
    except InputError:
        raise
    except DAMAGED as error:
        raise InputError(
            f"expected a whole saved stream at {path}, found a damaged one ({short_reason(error)}): save it again"
        ) from error


def _continued(
    about: dict[str, Any],
    tensors: dict[str, Tensor],
    path: str | Path,
    device: str,
    plugin: str | Path | None,
) -> Stream:
    """The stream that a file describes."""
    meta = about["meta"]
    network = fitted_network(meta, _under(tensors, NETWORK), str(path))
    names = ("size", "precision", "scales", "flip")  # older files have fewer
    noted = None if about.get("plugin") is None else load_same(about["plugin"], plugin)
    known = {name: about[name] for name in names if name in about}
    settings = StreamSettings(**known, device=device, plugin=noted)
    stream = Stream(network, saved_policy(about["policy"]), meta, settings)
    steps = about.get("trace")
    if TRACE in tensors:
        steps = parse_json(tensors[TRACE].numpy().tobytes(), "a trace", str(path))
    stream.trace = None if steps is None else Trace.from_dict(steps, str(path))
    place = Place(**{n: about[n] for n in Place.model_fields if n in about})
    stream.object_ids, stream.frame, stream.removed = list(place.object_ids), place.frame, set(place.removed)
    stream._frame_size = place.frame_size
    like = first_memories(stream._passes, network, len(stream.object_ids), stream._generator)
    memories = []
    for number, (size, kind) in enumerate(zip(place.memory_sizes or (place.memory_size,), like, strict=True)):
        held = {k: v.to(stream.device) for k, v in _under(tensors, _memory(number)).items()}
        if size[0] and not held:
            raise ValueError(f"the tensors {_memory(number)}* are missing")
        if held:
            check_held(held, kind, size)
        memories.append(make_memory(stream.policy, held, size))
    stream._passes = Passes(stream._net, stream.policy, settings.scales, settings.flip, memories)
    stream._generator.set_state(tensors[RANDOM])
    return stream


def _memory(number: int) -> str:
    """What the names of the tensors of a scale's memory start with."""
    return f"memory{number or ''}."


def _as_bytes(trace: Trace) -> Tensor:
    """A trace's JSON, uint8; the header of a safetensors file has no room for a long one (100 MB)."""
    return torch.from_numpy(np.frombuffer(trace.to_json().encode(), np.uint8).copy())


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
