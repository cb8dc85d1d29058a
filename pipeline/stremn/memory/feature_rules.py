"""Rules that remove single features: which entries make room for the incoming frame (AMM Sec. III-D)?

A rule is a function of ``Entries`` and returns one score per entry; the entries with the lowest scores
go. Equal scores: the entry of the older frame goes first, then the one that comes first in its frame (row
by row). Free entries and protection are seen to by ``FeatureMemory``. To add a rule, write such a
function and one line with ``unit="feature"`` in ``policies.POLICIES``.

Letters: B clips, M entries.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Entries:
    """What a rule may look at when a frame arrives and room is needed.

    Attributes:
        frame: index of the incoming frame.
        held: int64 (B, M), the frame each entry comes from, −1 where free.
        index: float64 (B, M), how much each entry was used since it was written (see ``Policy.index``).
        similarity: ``similarity("update_keys")`` or ``similarity("keys")``: the best cosine between the
            entry and any position of the incoming frame, mean over the objects that see the entry,
            (B, M) in [−1, 1]; computed when asked.
    """

    frame: int
    held: Tensor
    index: Tensor
    similarity: Callable[[str], Tensor]

    @property
    def age(self) -> Tensor:
        """Int64 (B, M): frames since the entry was written, at least 1."""
        return (self.frame - self.held).clamp_min(1)


def least_frequently_used(entries: Entries) -> Tensor:
    """LFU = index / age (AMM Sec. III-D1): uses per frame in the memory."""
    return entries.index / entries.age


def learned_features(entries: Entries) -> Tensor:
    """Eq. 1 of STReMN turned to single entries: what the incoming frame's update keys say again goes first.

    Eq. 1 averages over the incoming frame the best match in a template. Here each entry is a template of
    one position: its score is its best match in the incoming frame, by the same update keys. They were
    trained to compare whole frames; nothing is trained anew.
    """
    return -entries.similarity("update_keys")


def similar_features(entries: Entries) -> Tensor:
    """As ``learned_features`` by the read keys, trained or not: rule F of STReMN turned to entries."""
    return -entries.similarity("keys")
