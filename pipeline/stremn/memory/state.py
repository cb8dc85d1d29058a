"""What the memory holds, as a value.

Letters: B clips, O objects, G key groups (1 or O), K slots in use, N = h·w positions, C channels,
h w feature map.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Protocol

import torch
from torch import Tensor

from stremn.memory.policy import Policy
from stremn.ops.attention import Affinity
from stremn.ops.similarity import normalised

EMPTY = -1  # frame index of a slot that holds nothing for an object


@dataclass(frozen=True)
class Fusion:
    """A network's fusion of templates, see ``memory.fusion``.

    Attributes:
        cell: X_i (leaving), X_j (staying), both (P, N, C), and (h, w) → X̂_j (P, N, C).
        strategy: which templates take over: entry of ``memory.fusion.STRATEGIES`` (Table 6 and the text above it).
        keys: the cell's keys are stored, too; False for keys of the image alone.
    """

    cell: Callable[[Tensor, Tensor, tuple[int, int]], Tensor]
    strategy: str
    keys: bool = True


class Judge(Protocol):
    """Tells which templates show the same look of an object, see ``models.update.Judge``."""

    def look(self, keys_BONC: Tensor, covers_BON: Tensor) -> Tensor:
        """Which look of the object a template shows, (B, O, E)."""
        ...

    def same(self, looks_IE: Tensor, others_JE: Tensor) -> Tensor:
        """Probability that a look is the same as another one, (…, I, J) in [0, 1]."""
        ...


@dataclass(frozen=True)
class Template:
    """One frame on its way into the memory: X_t of STReMN Fig. 1, already turned into keys and values.

    The key, value and update-key maps are affine convolutions of the memory encoder's output and the
    selection weights of Eq. 4 sum to 1, so storing their outputs equals storing X_t, and they are
    computed once per frame.

    Attributes:
        key: (B, G, Ck, h, w); G = 1 where the key is the image's alone, else one per object.
        value: (B, O, Cv, h, w).
        update_key: U^M of Eq. 1, (B, O, Cu, h, w).
        update_query: U^Q of Eq. 1, from the query encoder, (B, Cu, h, w); or one per object, (B, O, Cu, h, w).
        frame: index of the frame in its clip.
        present: boolean (B, O); False where the object has not appeared yet.
        given: boolean (B, O); True where the mask was given and not predicted.
        logit_scale: factor of the scores before the Gumbel-softmax (1 in the paper).
        age_score: what a slot's age in frames adds to its score; None: nothing, as in the paper.
        fusion: the network's fusion module, None where it has none (see ``memory.fusion``).
        cover: share of each position that the object covers, (B, O, 1, h, w) in [0, 1]; None unless a
            regulariser asks for it (see ``ops.affinity_regularisers``).
        foreground: probability of each object at each position, (B, O, h, w); None where nothing is known of it.
        judge: the network's judge of looks, for the rule ``learned_redundancy``; None where it has none.
        affinity: how the network compares keys, for rules that look at the read.
    """

    key: Tensor
    value: Tensor
    update_key: Tensor
    update_query: Tensor
    frame: int
    present: Tensor
    given: Tensor
    logit_scale: Tensor | float = 1.0
    age_score: Callable[[Tensor], Tensor] | None = None
    fusion: Fusion | None = None
    cover: Tensor | None = None
    foreground: Tensor | None = None
    judge: Judge | None = None
    affinity: Affinity = "dot"


def tokens(maps: Tensor) -> Tensor:
    """Feature maps (…, C, h, w) as one row per position: (…, h·w, C), contiguous."""
    return maps.flatten(-2).transpose(-1, -2).contiguous()


@dataclass(frozen=True)
class MemoryState:
    """The slots of B clips × O objects. Never changed in place: ``write`` returns a new state.

    Attributes:
        keys: (B, G, K, N, Ck).
        values: (B, O, K, N, Cv).
        update_keys: U^M, length 1 along its last axis, (B, O, K, N, Cu).
        frame_index: int64 (B, O, K), the frame each slot comes from, −1 where it is empty.
        given: boolean (B, O, K), the slot's mask was given.
        size: (h, w).
        covers: ``Template.cover`` of the slots, (B, O, K, N, 1); None where the templates have none.
        looks: see ``redundancy.looks``, (B, O, K, 1 + BEFORE, E); None where the rule does not ask for them.
    """

    keys: Tensor
    values: Tensor
    update_keys: Tensor
    frame_index: Tensor
    given: Tensor
    size: tuple[int, int] = (0, 0)
    covers: Tensor | None = None
    looks: Tensor | None = None

    @classmethod
    def empty(cls) -> "MemoryState":
        """A memory without slots, shapes or device: the first ``write`` decides them."""
        nothing = torch.empty(0)
        return cls(nothing, nothing, nothing, torch.empty(0, 0, 0, dtype=torch.long), nothing.bool())

    @property
    def slots(self) -> int:
        """Slots in use (K)."""
        return self.frame_index.shape[2]

    @property
    def valid(self) -> Tensor:
        """Boolean (B, O, K): the slot holds something for the object."""
        return self.frame_index != EMPTY

    def tensors(self) -> dict[str, Tensor]:
        """The tensors by name: five, and ``covers`` and ``looks`` where there are any."""
        found = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "size"}
        return {name: tensor for name, tensor in found.items() if tensor is not None}

    def bytes(self) -> int:
        """Size of all slots in bytes."""
        return sum(t.numel() * t.element_size() for t in self.tensors().values())


def covered(template: Template) -> Tensor:
    """Share of each position that the object covers, (B, O, N) in [0, 1]; 1 where the template knows of no object."""
    if template.foreground is None:
        return torch.ones_like(template.value[:, :, 0]).flatten(-2)
    return template.foreground.flatten(-2)


def template_tokens(template: Template, policy: Policy | None = None) -> dict[str, Tensor]:
    """The rows of a template in the layout of the state: key, value, update key, and what a rule asks for besides."""
    sees_objects = policy is not None and policy.entry.sees_objects
    key = tokens(template.key)
    if policy is not None and policy.per_object and key.shape[1] == 1:
        key = key.expand(-1, template.value.shape[1], -1, -1)
    rows = {
        "keys": key,
        "values": tokens(template.value),
        "update_keys": normalised(tokens(template.update_key)),
    }
    if template.cover is not None:
        rows["covers"] = tokens(template.cover)
    elif sees_objects:
        rows["covers"] = covered(template)[..., None]
    return rows
