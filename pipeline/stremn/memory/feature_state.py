"""What a memory of single features holds, and what a template brings to it.

Letters: B clips, O objects, G key groups (1 or O), M entries, N = h·w positions of a frame, C channels.
"""

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from stremn.memory.state import EMPTY, Template, template_tokens


@dataclass(frozen=True)
class FeatureState:
    """The entries in use. Every tensor has its entries on axis 2; those of length 1 before it are shared
    by all objects.

    Attributes:
        keys: (B, G, M, Ck).
        values: (B, O, M, Cv).
        update_keys: length 1 along the last axis, (B, O, M, Cu); Cu = 0 where the rule does not compare them.
        frame_index: int64 (B, 1, M), the frame an entry comes from, when it was also written; −1 where free.
        position: int64 (B, 1, M), its place in that frame, row by row, 0…N − 1.
        given: boolean (B, 1, M), some object's mask was given in that frame.
        visible: boolean (B, O, M), the object was there in that frame.
        index: float64 (B, 1, M), use of the entry since it was written (``Policy.index``).
        size: (h, w).
    """

    keys: Tensor
    values: Tensor
    update_keys: Tensor
    frame_index: Tensor
    position: Tensor
    given: Tensor
    visible: Tensor
    index: Tensor
    size: tuple[int, int] = (0, 0)

    @classmethod
    def empty(cls) -> "FeatureState":
        """No entries, no shapes, no device: the first template decides them."""
        nothing = torch.empty(0, 0, 0)
        whole = nothing.long()
        return cls(nothing, nothing, nothing, whole, whole, nothing.bool(), nothing.bool(), nothing.double())

    @property
    def slots(self) -> int:
        """Frames' worth of entries in use, a part of one counted as one."""
        return -(-self.frame_index.shape[2] // max(1, self.size[0] * self.size[1]))

    def tensors(self) -> dict[str, Tensor]:
        """The tensors by name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "size"}

    def bytes(self) -> int:
        """Size of all entries in use in bytes."""
        return sum(t.numel() * t.element_size() for t in self.tensors().values())


def template_entries(template: Template, update_keys: bool) -> dict[str, Tensor]:
    """The features of a template as entries that nothing has used yet, by the names of ``FeatureState``."""
    new = template_tokens(template)
    batch, objects, positions, _ = new["values"].shape
    if not update_keys:
        new["update_keys"] = new["values"].new_empty(batch, objects, positions, 0)
    present, shape = template.present, (batch, 1, positions)
    given = (template.given & present).any(1)
    new["frame_index"] = torch.full(shape, template.frame, device=present.device)
    new["position"] = torch.arange(positions, device=present.device).expand(shape)
    new["given"] = given[:, None, None].expand(shape)
    new["visible"] = present[..., None].expand(-1, -1, positions)
    new["index"] = torch.zeros(shape, dtype=torch.float64, device=present.device)
    return new


def reserved(entries: dict[str, Tensor], capacity: int) -> dict[str, Tensor]:
    """Tensors with room for ``capacity`` entries, the first of them ``entries``, the rest free."""
    room = {}
    for name, tensor in entries.items():
        fill = EMPTY if name == "frame_index" else 0
        room[name] = tensor.new_full((*tensor.shape[:2], capacity, *tensor.shape[3:]), fill)
        room[name][:, :, : tensor.shape[2]] = tensor
    return room
