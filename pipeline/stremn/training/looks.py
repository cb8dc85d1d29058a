"""Teach a network's judge which templates show the same look of an object.

Everything but the judge is frozen: what it sees of a clip's templates is computed once, with the true masks; then
pairs of frames of generated clips, which know their appearances, say what is the same and what is not.

Differs: STReMN learns its update from the loss of the segmentation alone, through the choice of a slot. A pair of
frames says at once what such a choice would show only when the look comes back.

T frames, O objects, C channels of the keys, H W pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stremn.data.annotated import Clips
from stremn.data.appearances import Truth, find_truths
from stremn.data.clips import VOID
from stremn.errors import InputError
from stremn.memory.state import tokens
from stremn.models.update import Judge, describe
from stremn.models.vos import VOSNetwork
from stremn.tasks.segmenter import encoded
from stremn.tasks.sizes import padding

CHUNK = 40  # frames encoded at once


@dataclass(frozen=True)
class Described:
    """The templates of clips as the judge sees them.

    Attributes:
        keys: of each clip ``models.update.describe`` of its templates, (O, T, 2C).
        truths: what each clip shows.
    """

    keys: Sequence[Tensor]
    truths: Sequence[Truth]

    def to(self, device: torch.device | str) -> "Described":
        """The same on a device."""
        return Described([keys.to(device) for keys in self.keys], self.truths)


class DescribedClips:
    """Batches of the clips that know their appearances; a clip is encoded when it is first used.

    Args:
        network: makes the templates; it is not changed.
        clips: generated ones; those that do not know their appearances are left out.
        batch: clips per step.
        seed: of the order.

    Raises:
        InputError: no clip knows its appearances.
    """

    def __init__(self, network: VOSNetwork, clips: Clips, batch: int, seed: int = 0) -> None:
        self.network, self.clips, self.size, self.seed = network, clips, batch, seed
        self.truths = {i: truth for i, truth in enumerate(find_truths(clips)) if truth is not None}
        self._encoded: dict[int, Tensor] = {}
        if not self.truths:
            raise InputError(
                f"expected generated clips that know their appearances in {clips.root}, found none: "
                "set `kind: recurring` for some of the training clips, or leave `judge` out"
            )

    def batch(self, step: int) -> Described:
        """The clips of a step, drawn at random."""
        rng = np.random.default_rng([self.seed, step])
        chosen = [int(i) for i in rng.choice(list(self.truths), self.size)]
        for clip in {*chosen} - self._encoded.keys():
            self._encoded[clip] = self._encode(clip)
        return Described([self._encoded[i] for i in chosen], [self.truths[i] for i in chosen])

    @torch.no_grad()
    def _encode(self, index: int) -> Tensor:
        clip = self.clips[index]
        frames = torch.from_numpy(clip.frames).permute(0, 3, 1, 2).float() / 255
        ids = torch.arange(1, clip.objects + 1)[:, None, None]
        masks = torch.from_numpy(np.where(clip.masks == VOID, 0, clip.masks))[:, None] == ids
        device = next(self.network.parameters()).device
        found = []
        for some, known in zip(frames.split(CHUNK), masks.split(CHUNK), strict=True):
            query = encoded(self.network, some.to(device))
            pad = padding(some.shape[-2], some.shape[-1], self.network.stride)
            inside = F.pad(known.float().to(device), pad)
            key = self.network.encode_memory(query, inside)[0]
            covers = F.adaptive_avg_pool2d(inside, (key.shape[-2], key.shape[-1])).flatten(-2)
            found.append(describe(tokens(key).expand(*covers.shape[:2], -1, -1), covers))
        return torch.cat(found).transpose(0, 1)


def look_loss(model: nn.Module, batch: Described, generator: torch.Generator) -> dict[str, Tensor]:
    """Cross entropy of the judge's probability that two frames show the same look of an object.

    Pairs of useful frames of the same clip; the same and different ones weigh equally.

    Args:
        model: the ``Judge``.
        batch: see ``DescribedClips``.
        generator: not used, nothing is drawn.

    Returns:
        ``loss``, and ``right``: the share of pairs told right, the mean over the same and the different ones.
    """
    assert isinstance(model, Judge)
    losses, right = [], []
    for keys_OTC, truth in zip(batch.keys, batch.truths, strict=True):
        for column, keys_TC in enumerate(keys_OTC):
            useful = torch.from_numpy(np.flatnonzero(truth.useful[:, column])).to(keys_TC.device)
            shown = torch.from_numpy(truth.shown[:, column]).to(keys_TC.device)[useful]
            looks = model.embed(keys_TC[useful])
            logits, same = model.same_logits(looks, looks), shown[:, None] == shown
            other = ~torch.eye(len(shown), dtype=torch.bool, device=same.device)
            for pairs, answer in ((same & other, 1.0), (~same, 0.0)):
                if pairs.any():
                    told = logits[pairs]
                    losses.append(F.binary_cross_entropy_with_logits(told, torch.full_like(told, answer)))
                    right.append(((told > 0) == bool(answer)).float().mean())
    if not losses:
        raise InputError("expected clips that show an object twice, found none: use longer ones")
    return {"loss": torch.stack(losses).mean(), "right": torch.stack(right).mean()}
