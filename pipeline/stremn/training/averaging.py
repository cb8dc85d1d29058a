"""Averaging the weights of the best validation checkpoints (STReMN Sec. 4.2)."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

Weights = dict[str, Tensor]


@dataclass
class Best:
    """The ``keep`` best sets of weights so far.

    Attributes:
        keep: how many are kept.
        kept: (value, step, weights), largest value first.
    """

    keep: int = 1
    kept: list[tuple[float, int, Weights]] = field(default_factory=list)

    @property
    def value(self) -> float | None:
        """The best value, None before the first offer."""
        return self.kept[0][0] if self.kept else None

    def offer(self, value: float, step: int, model: nn.Module) -> None:
        """Keep a copy of the weights if they are among the best; not-a-number never is."""
        if value != value:
            return
        weights = {name: t.detach().cpu().clone() for name, t in model.state_dict().items()}
        self.kept = sorted([*self.kept, (value, step, weights)], key=lambda k: (-k[0], k[1]))[: self.keep]

    def average(self) -> Weights:
        """Mean of the kept weights; integer tensors are the best one's."""
        first = self.kept[0][2]
        return {
            name: torch.stack([w[name] for _, _, w in self.kept]).mean(0) if t.is_floating_point() else t
            for name, t in first.items()
        }
