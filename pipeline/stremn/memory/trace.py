"""What happened in the memory, step by step. Nothing is recorded, and nothing costs, without a ``Trace``."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from torch import Tensor

from stremn.errors import InputError, short_reason
from stremn.files import load_json, replacing
from stremn.memory.incoming import Incoming
from stremn.memory.trace_file import MANY, most_read, pack, unpack

FORMAT = "stremn-trace"
VERSION, PACKED = 1, 2  # the second: a file with steps that ``trace_file.pack`` made smaller
LAST = 1 << 31  # no video has as many frames


@dataclass(frozen=True)
class TraceStep:
    """One frame's visit to the memory.

    In a memory of more than ``trace_file.MANY`` slots ``ages`` are left out, ``evictable`` where nothing was evicted,
    and ``read_mass`` is 0 but for the largest shares.

    Attributes:
        clip: clip of the batch.
        row: decision row: 0, or the object's position where each object decides for itself.
        frame: index of the incoming frame.
        action: ``append`` (into a free slot), ``evict`` (over another template) or ``skip`` (not stored).
        held_before: frame index of each slot before the write.
        held: frame index of each slot after the write.
        ages: ``frame`` − ``held`` in frames, after the write.
        scores: similarity of the incoming frame to each slot before the write (Eq. 1), with the learned
            term of its age where the network has one (``update_age``); None for rules
            that do not look at it, and while there are free slots.
        evictable: which slots could have been chosen, before the write.
        read_mass: share of the attention that each slot received when this frame was read, in [0, 1]
            and summing to 1; None for a frame that was not read (the first).
        evicted_slot, evicted_frame: what was overwritten, None where nothing was.
        counts, removed: of a memory of single features, None for slots. There every frame of which
            something is left stands where a slot would: ``held`` are these frames in order of time,
            ``counts`` how many entries each has after the write, and ``removed`` how many each frame of
            ``held_before`` lost. The action is ``evict`` where anything was removed; no single slot was.
    """

    clip: int
    row: int
    frame: int
    action: str
    held_before: list[int]
    held: list[int]
    ages: list[int]
    scores: list[float] | None
    evictable: list[bool]
    read_mass: list[float] | None
    evicted_slot: int | None
    evicted_frame: int | None
    counts: list[int] | None = None
    removed: list[int] | None = None

    def check(self) -> None:
        """ValueError where the parts of a step that was read do not fit together."""
        frames = [frame for frame in self.held if frame >= 0]
        most = max(len(self.held), len(self.held_before))
        lists = (self.ages, self.scores, self.evictable, self.read_mass, self.counts, self.removed)
        good = (
            self.action in ("append", "evict", "skip")
            and min(self.clip, self.row) >= 0
            and 0 <= self.frame < LAST
            and all(-1 <= frame <= self.frame for frame in (*self.held, *self.held_before))
            and len(set(frames)) == len(frames)
            and all(len(values or ()) <= most for values in lists)
            and (self.evicted_slot is None or 0 <= self.evicted_slot < len(self.held_before))
            and (self.evicted_frame is None or 0 <= self.evicted_frame < self.frame)
        )
        if not good:
            raise ValueError(f"a step of frame {self.frame} whose parts do not fit together")


STEPS = TypeAdapter(list[TraceStep])


@dataclass
class Trace:
    """A list of steps, filled by ``read`` and ``write``; saved as one JSON file."""

    steps: list[TraceStep] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)
    _mass: Tensor | None = field(default=None, repr=False)

    def read(self, mass_BOK: Tensor, valid_BOK: Tensor) -> None:
        """Keep the read mass of the frame that is about to be written."""
        weight = valid_BOK.any(-1, keepdim=True).to(mass_BOK.dtype)
        mean = (mass_BOK * weight).sum(1) / weight.sum(1).clamp_min(1)
        self._mass = mean.detach().float().cpu()

    def wrote(self, incoming: Incoming, weights: Tensor, scores: Tensor | None) -> None:
        """Record one decision for every clip and row."""
        chosen = weights.detach().float().cpu()
        held, evictable = incoming.held.cpu(), incoming.evictable.cpu()
        used = held.shape[-1] - 1
        for clip in range(held.shape[0]):
            for row in range(held.shape[1]):
                before = held[clip, row].tolist()
                slot = int(chosen[clip, row].argmax()) if bool(chosen[clip, row].any()) else None
                after = list(before)
                if slot is not None:
                    after[slot] = incoming.frame
                if after[-1] < 0:
                    after.pop()
                evicts, many = slot is not None and before[slot] >= 0, used > MANY
                self.steps.append(
                    TraceStep(
                        clip=clip,
                        row=row,
                        frame=incoming.frame,
                        action="skip" if slot is None else "evict" if evicts else "append",
                        held_before=before[:used],
                        held=after,
                        ages=[] if many else [incoming.frame - f for f in after],
                        scores=None if scores is None else scores[clip, row, :used].detach().cpu().tolist(),
                        evictable=[] if many and not evicts else evictable[clip, row, :used].tolist(),
                        read_mass=None if self._mass is None else most_read(self._mass[clip].tolist()),
                        evicted_slot=slot if evicts else None,
                        evicted_frame=before[slot] if evicts and slot is not None else None,
                    )
                )
        self._mass = None

    def read_entries(self, mass_BM: Tensor) -> None:
        """Keep the read mass of single features, for the frame that is about to be written."""
        self._mass = mass_BM.detach().float().cpu()

    def wrote_entries(self, frame: int, before_BM: Tensor, after_BM: Tensor, evictable_BM: Tensor) -> None:
        """Record one frame in a memory of single features, for every clip.

        Args:
            frame: index of the incoming frame.
            before_BM, after_BM: the frame that each entry comes from, −1 where free.
            evictable_BM: boolean, which entries could have been removed.
        """
        before_BM, after_BM, evictable_BM = before_BM.cpu(), after_BM.cpu(), evictable_BM.cpu()
        for clip, (before, after) in enumerate(zip(before_BM, after_BM, strict=True)):
            held_before, place, had = before[before >= 0].unique(return_inverse=True, return_counts=True)
            held, counts = after[after >= 0].unique(return_counts=True)
            left = dict(zip(held.tolist(), counts.tolist(), strict=True))
            removed = [n - left.get(f, 0) for f, n in zip(held_before.tolist(), had.tolist(), strict=True)]
            zeros = held_before.new_zeros(len(held_before))
            evictable = zeros.scatter_add(0, place, evictable_BM[clip, : len(before)][before >= 0].long()) > 0
            mass = None
            if self._mass is not None:
                share = self._mass[clip][before[: self._mass.shape[1]] >= 0]
                mass = zeros.float().scatter_add_(0, place, share).tolist()
            changed = not bool((before == after).all())
            self.steps.append(
                TraceStep(
                    clip=clip,
                    row=0,
                    frame=frame,
                    action="skip" if not changed else "evict" if any(removed) else "append",
                    held_before=held_before.tolist(),
                    held=held.tolist(),
                    ages=[frame - f for f in held.tolist()],
                    scores=None,
                    evictable=evictable.tolist(),
                    read_mass=mass,
                    evicted_slot=None,
                    evicted_frame=None,
                    counts=counts.tolist(),
                    removed=removed,
                )
            )
        self._mass = None

    def of_clip(self, clip: int) -> "Trace":
        """The steps of one clip of a batch, as its own trace."""
        steps = [TraceStep(**{**asdict(s), "clip": 0}) for s in self.steps if s.clip == clip]
        return Trace(steps, dict(self.about))

    def to_dict(self) -> dict[str, Any]:
        """Plain data: ``{"format", "version", "about", "steps": [TraceStep as a dict, …]}``."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "about": self.about,
            "steps": [asdict(step) for step in self.steps],
        }

    def to_json(self) -> str:
        """As ``to_dict``, as short as it can be: what a file holds."""
        data = self.to_dict()
        if pack(data["steps"]):
            data["version"] = PACKED
        return json.dumps(data)

    @classmethod
    def from_dict(cls, data: dict[str, Any], where: str = "the data") -> "Trace":
        """The inverse of ``to_dict`` and ``to_json``; an InputError names ``where`` if it is something else."""
        known = isinstance(data, dict) and data.get("format") == FORMAT
        if not known or data.get("version") not in (VERSION, PACKED):
            raise InputError(f"expected a {FORMAT} of version {VERSION} in {where}, found something else")
        try:
            if data["version"] == PACKED:
                unpack(data["steps"])
            steps = STEPS.validate_python(data["steps"])
            for step in steps:
                step.check()
            return cls(steps, dict(data["about"]))
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"expected complete steps in {where}, found: {short_reason(error)}") from error

    def save(self, path: Path) -> None:
        """Write JSON; the old file stays if writing fails."""
        with replacing(path) as scratch:
            scratch.write_text(self.to_json(), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "Trace":
        """Read what ``save`` wrote."""
        return cls.from_dict(load_json(path, "a trace"), str(path))
