"""A system on a video, to be looked into: no widget, no browser.

>>> session = Session.open(clip.frames, truth=clip.masks, slots=5)
>>> run = session.run()
>>> session.heat(run, 20, x=40, y=50).share             # where this pixel reads (STM Fig. 5)
>>> other = session.what_if(run, 20, drop=2)            # the same from frame 20 on, without slot 2
>>> session.race(["learned", "oldest"])
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stremn.data.clips import Pixels, without_void
from stremn.device import choose
from stremn.errors import InputError
from stremn.explore import changes, edits
from stremn.explore.engine import Engine
from stremn.explore.frozen import FrozenPolicy
from stremn.explore.heat import Heat
from stremn.explore.history import BUDGET, History
from stremn.explore.masks import Given, first_seen
from stremn.explore.pictures import Pictures, pictures
from stremn.explore.runs import Run, about, protected, region
from stremn.explore.viewer import MemoryViewer
from stremn.inference.open import open_system, working_size
from stremn.inference.settings import StreamSettings
from stremn.memory import POLICIES, Memory, MemoryBuffer, Policy
from stremn.models.vos import VOSNetwork
from stremn.tasks.rules import usable_rules


class Session:
    """A system, a video, and the runs made so far.

    Args:
        network: a VOS system in evaluation mode; None: files are shown, nothing is computed.
        video: frames uint8 (T, H, W, 3), or a path, or ``Pictures``.
        policy: the rule of the first run.
        given: frame → ids (H, W) given there; default: each object's first appearance in ``truth``.
        truth: ids (H, W) of each frame, where they are known.
        meta: ``{"system": …}`` of the network.
        size: shorter side in pixels at which frames are processed.
        seed: of the random rules.
        budget: bytes for the memories of one run.
        settings: by which network and rule were opened, where they were.

    Attributes:
        runs: all runs, the original first.
        given: the masks that new runs are given; None: none yet.
    """

    def __init__(
        self,
        network: VOSNetwork | None,
        video: Pictures | Path | str | Sequence[Pixels] | Pixels,
        policy: Policy | None = None,
        *,
        given: Mapping[int, Pixels] | None = None,
        truth: Sequence[Pixels] | Pixels | None = None,
        meta: Mapping[str, Any] | None = None,
        size: int | None = None,
        device: str = "cpu",
        seed: int = 0,
        budget: int = BUDGET,
        settings: StreamSettings | None = None,
    ) -> None:
        self.pictures = pictures(video)
        self.network, self.policy, self.truth = network, policy, truth
        self.meta, self.size, self.device = dict(meta or {}), size, device
        self.seed, self.budget = seed, budget
        self.runs: list[Run] = []
        self.given: Given | None = None
        self.settings = settings
        self._viewer = (
            None
            if network is None
            else MemoryViewer(Engine(network, self.pictures, size=size, device=device))
        )
        if policy is not None and policy.per_object:
            raise InputError(
                "expected one decision for all objects to look at, found per_object: leave it off"
            )
        if given is None and truth is not None and network is not None:
            given = first_seen(truth)
        if given is not None:
            self.give(given)

    @classmethod
    def open(
        cls,
        video: Pictures | Path | str | Sequence[Pixels] | Pixels,
        mask: Pixels | None = None,
        *,
        truth: Sequence[Pixels] | Pixels | None = None,
        settings: StreamSettings | None = None,
        **fields: Any,
    ) -> "Session":
        """A session by names.

        Args:
            video, truth: see the class.
            mask: ids (H, W) of the first frame; 255 beside other ids is void and becomes background.
            settings, fields: see ``stremn.open_stream``; size None: the checkpoint's, at most the frames' own.

        Raises:
            InputError: see ``open_stream``; several views of a frame, or a precision other than float32.
        """
        settings = StreamSettings.parse({**dict(settings or {}), **fields}, "explorer")
        if settings.several_views or settings.precision != "float32":
            raise InputError(
                "expected one scale, no flip and float32 to look inside, found others: leave them out"
            )
        shown = pictures(video)
        network, policy, meta = open_system(settings)
        device = choose(settings.device)
        network.to(device).eval()
        given = None if mask is None else {0: without_void(np.asarray(mask))}
        return cls(
            network, shown, policy, given=given, truth=truth, meta=meta,
            size=working_size(meta, shown.size, settings.size), device=device, seed=settings.seed, settings=settings,
        )  # fmt: skip

    @property
    def viewer(self) -> MemoryViewer:
        """What looks into runs; an InputError without a network."""
        if self._viewer is None:
            raise InputError("expected weights to compute with, found only a trace: give a checkpoint")
        return self._viewer

    @property
    def engine(self) -> Engine:
        """What computes; an InputError without a network."""
        return self.viewer.engine

    @property
    def can_run(self) -> bool:
        """Whether there is all that a run needs: a network and a first mask."""
        return self.given is not None

    def give(self, masks: Mapping[int, Pixels]) -> None:
        """Set the masks that new runs are given, by frame: ids (H, W)."""
        if self.network is None:
            raise InputError(
                "expected weights to segment with, found none: open the explorer with a checkpoint"
            )
        self.given = Given(masks, self.pictures.size)

    def start(self, name: str = "original", policy: Policy | None = None, given: Given | None = None) -> Run:
        """A new run with no frame done yet, added to ``runs``; see ``steps``."""
        if self.given is None:
            raise InputError("expected a mask of the first frame to begin with, found none: give or draw it")
        given = given or self.given
        run = Run(name, given.all_objects, policy or self.policy, given, history=History(self.budget))
        return self.add(run)

    def steps(self, run: Run) -> Iterator[int]:
        """Go on with a run, frame by frame, to the end of the video; yields each finished frame."""
        assert run.history is not None and run.policy is not None and run.given is not None
        if run.done > run.start or run.parent is not None:
            memory, generator = self.memory(run, run.done)
        else:
            generator = torch.Generator(self.device).manual_seed(self.seed)
            memory = edits.fitted(MemoryBuffer(run.policy), run.policy)
        frozen = run.policy.frozen if isinstance(run.policy, FrozenPolicy) else ()
        for frame in range(run.done, len(self.pictures)):
            began = time.perf_counter()
            run.history.keep(frame, memory, generator)
            ids, opacity = self.engine.step(frame, run.given, memory, generator, run.trace)
            if frozen:
                run.trace.steps[-1] = protected(run.trace.steps[-1], frozen)
            run.seconds.append(time.perf_counter() - began)
            run.masks.append(ids)  # type: ignore[union-attr]
            run.mattes.append(opacity)
            truth = None if self.truth is None else np.asarray(self.truth[frame])
            run.j.append(region(ids, truth, run.objects, run.given.objects(frame + 1)))
            yield frame
        run.trace.about |= about(run, self.pictures, self.size, self.meta.get("system"))

    def run(self, name: str = "original", policy: Policy | None = None) -> Run:
        """A whole run."""
        return self._finished(self.start(name, policy))

    def heat(self, run: Run, frame: int, x: float, y: float, *, whole: bool = False) -> Heat:
        """Where a pixel of a frame reads in each slot.

        Args:
            x, y: pixel, from the upper left.
            whole: average over all positions of the object (or background) that lies there, as STM Fig. 5.

        Raises:
            InputError: a frame that was not read (the first), or no run to look into.
        """
        return self._viewer_of(run).heat(run, frame, x, y, whole=whole)

    def what_if(
        self,
        run: Run,
        frame: int,
        *,
        drop: int | None = None,
        freeze: int | None = None,
        swap: tuple[int, int] | None = None,
        rule: str | None = None,
        slots: int | None = None,
    ) -> Run:
        """The same from ``frame`` on with a change, beside the original.

        Args:
            run: the original, which stays as it is.
            frame: the change is there when this frame is read.
            drop: a slot that is emptied.
            freeze: a slot whose template is never evicted.
            swap: (slot, frame): the slot holds the template of an earlier frame instead.
            rule: another entry of ``POLICIES``.
            slots: another K; the oldest templates go where it is less, given masks last.

        Raises:
            InputError: no such frame, slot or rule.
        """
        change = {"drop": drop, "freeze": freeze, "swap": swap, "rule": rule, "slots": slots}
        return self._finished(self.changed(run, frame, **change))

    def changed(self, run: Run, frame: int, **change: Any) -> Run:
        """As ``what_if``, not yet computed."""
        default = None if self.policy is None else self.policy.slots
        return self.add(changes.changed(self._viewer_of(run), run, frame, default_slots=default, **change))

    def corrected(self, run: Run, masks: Mapping[int, Pixels]) -> Run:
        """The same with more given masks, by frame: ids (H, W). Not yet computed; before the first it agrees.

        Raises:
            InputError: nothing new among them.
        """
        return self.add(changes.corrected(self._viewer_of(run), run, masks))

    def rules(self) -> list[str]:
        """Rules that this system can use."""
        return list(POLICIES) if self.network is None else usable_rules(self.network)

    def race(self, rules: Iterable[str] | None = None, slots: int | None = None) -> list[Run]:
        """The same video under several rules, all of them by default."""
        return [self._finished(run) for run in self.racers(rules, slots)]

    def racers(
        self, rules: Iterable[str] | None = None, slots: int | None = None, like: Run | None = None
    ) -> list[Run]:
        """As ``race``, not yet computed; a run that is there already is not made again.

        Args:
            like: a run whose given masks all of them have; None: the session's.
        """
        assert self.policy is not None
        given = (like and like.given) or self.given
        runs = []
        for name in self.rules() if rules is None else rules:
            policy = changes.other_policy(self.engine.network, self.policy, name, slots)
            known = [run for run in self.runs if given is not None and run.equals(policy, given)]
            runs.append(known[0] if known else self.start(POLICIES[policy.name].title, policy, given))
        return runs

    def memory(self, run: Run, frame: int) -> tuple[Memory, torch.Generator]:
        """The memory of a run before ``frame``, a copy, and the generator as it was then."""
        return self.viewer.memory(run, frame)

    def _viewer_of(self, run: Run) -> MemoryViewer:
        if run.history is None:
            raise InputError(
                "expected a run made here, found only its trace: segment it again to look inside or change it"
            )
        return self.viewer

    def _finished(self, run: Run) -> Run:
        for _ in self.steps(run):
            pass
        return run

    def add(self, run: Run) -> Run:
        """Put a run into ``runs``."""
        self.runs.append(run)
        return run
