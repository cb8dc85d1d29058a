"""Teach a network's judge of templates to evict as Belady's rule does, which sees the truth.

Everything but the judge is frozen: a clip's templates are encoded once, with the true masks, and then the game of slots
is played on them without reading or decoding. Where Belady's rule and the judge differ, the cross entropy
of the judge's scores says so. The game goes on with the judge's own choice most of the time, so that it meets the
memories that it makes itself (DAgger, Ross et al., AISTATS 2011).

Differs: STReMN learns its update from the loss of the segmentation alone.

T frames, O objects, N positions, C channels, H W pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stremn.data.annotated import Clips
from stremn.data.appearances import Truth, find_truths, needed_in
from stremn.data.clips import VOID
from stremn.errors import InputError
from stremn.memory.redundancy import similarities_on_objects
from stremn.memory.state import tokens
from stremn.models.update import Judge
from stremn.models.vos import VOSNetwork
from stremn.tasks.segmenter import encoded
from stremn.tasks.sizes import padding

CHUNK = 40  # frames encoded at once
SCALE = 10.0  # of the scores in the cross entropy: similarities lie close together


@dataclass(frozen=True)
class Game:
    """A clip as the judge sees it.

    values (1, O, T, N, C) and covers (1, O, T, N) of all its templates, and what it shows.
    """

    values: Tensor
    covers: Tensor
    truth: Truth

    def to(self, device: torch.device | str) -> "Game":
        """The same on a device."""
        return Game(self.values.to(device), self.covers.to(device), self.truth)


class Games:
    """Games of the clips that know their appearances, one a step; the templates of a clip are encoded once.

    Args:
        network: makes the templates; it is not changed.
        clips: generated ones; those that do not know their appearances are left out.
        most: clips to use, which bounds the memory.
        seed: of the order.

    Raises:
        InputError: no clip knows its appearances.
    """

    def __init__(self, network: VOSNetwork, clips: Clips, most: int, seed: int = 0) -> None:
        self.network, self.clips, self.seed = network, clips, seed
        self.truths = {i: truth for i, truth in enumerate(find_truths(clips)) if truth is not None}
        self.usable = list(self.truths)[:most]
        self._encoded: dict[int, Game] = {}
        if not self.usable:
            raise InputError(
                f"expected generated clips that know their appearances in {clips.root}, found none: "
                "set `kind: recurring` for some of the training clips, or leave `imitation` out"
            )

    def batch(self, step: int) -> Game:
        """The game of a step: every clip once before any comes again."""
        turn, place = divmod(step, len(self.usable))
        clip = self.usable[int(np.random.default_rng([self.seed, turn]).permutation(len(self.usable))[place])]
        if clip not in self._encoded:
            self._encoded[clip] = self._encode(clip)
        return self._encoded[clip]

    @torch.no_grad()
    def _encode(self, index: int) -> Game:
        clip = self.clips[index]
        frames = torch.from_numpy(clip.frames).permute(0, 3, 1, 2).float() / 255
        ids = torch.arange(1, clip.objects + 1)[:, None, None]
        masks = torch.from_numpy(np.where(clip.masks == VOID, 0, clip.masks))[:, None] == ids
        device = next(self.network.parameters()).device
        parts = []
        for some, known in zip(frames.split(CHUNK), masks.split(CHUNK), strict=True):
            query = encoded(self.network, some.to(device))
            pad = padding(some.shape[-2], some.shape[-1], self.network.stride)
            inside = F.pad(known.float().to(device), pad)
            value = self.network.encode_memory(query, inside)[1]
            parts.append(
                (tokens(value), F.adaptive_avg_pool2d(inside, (value.shape[-2], value.shape[-1])).flatten(-2))
            )
        values_TONC, covers_TON = (torch.cat(part) for part in zip(*parts, strict=True))
        return Game(values_TONC.transpose(0, 1)[None], covers_TON.transpose(0, 1)[None], self.truths[index])


def imitation_loss(
    model: nn.Module,
    game: Game,
    generator: torch.Generator,
    *,
    slots: Sequence[int] = (4, 6),
    follow_oracle: float = 0.3,
) -> dict[str, Tensor]:
    """Cross entropy of the judge's scores with Belady's choices, over one game of slots.

    Args:
        model: the ``Judge``.
        game: see ``Games``.
        generator: of the number of slots and of who chooses.
        slots: smallest and largest number of slots, both included; the first frame stays.
        follow_oracle: how often the game goes on with Belady's choice and not with the judge's.

    Returns:
        ``loss``, and ``agreement``: the share of the judge's choices that Belady's rule could have made.
    """
    assert isinstance(model, Judge)
    alike_TT = similarities_on_objects(model.keys(game.values), game.covers)[0].mean(0)
    worthless_T = model.worthless(game.values, game.covers)[0].mean(0)
    low, high = slots
    count = int(torch.randint(low, high + 1, (1,), generator=generator, device=generator.device))
    guided = torch.rand(len(alike_TT), generator=generator, device=generator.device) < follow_oracle
    known, columns = alike_TT.detach().cpu().numpy(), range(game.truth.shown.shape[1])
    held: list[int] = []
    losses, agreed = [], []
    for frame in range(len(alike_TT)):
        if len(held) >= count:
            pool, present = held[1:], [*held, frame]  # the first frame's mask was given: it stays
            late = np.array(
                [needed_in(game.truth, s, [o for o in present if o != s], frame, columns) for s in pool]
            )
            nearest = [max((o for o in present if o != s), key=known[s].__getitem__) for s in pool]
            scores = SCALE * (alike_TT[pool, nearest] + worthless_T[pool])
            good = torch.from_numpy(late == late.max()).to(scores.device)
            losses.append(-scores.log_softmax(0)[good].logsumexp(0))
            choice = int(scores.argmax())
            agreed.append(good[choice])
            if guided[frame]:
                choice = int(late.argmax())
            held.remove(pool[choice])
        held.append(frame)
    if not losses:
        raise InputError(
            f"expected clips of more than {count} frames, found {len(alike_TT)}: use longer ones"
        )
    return {"loss": torch.stack(losses).mean(), "agreement": torch.stack(agreed).float().mean()}
