"""Where an object is read in the memory: the attention of its positions over the kept frames (STM Fig. 5).

Letters: K slots, M = K·h·w memory positions, n query positions, T frames, C channels, H W pixels, h w
feature map.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from stremn.data.clips import VOID
from stremn.errors import InputError
from stremn.inference.folder import small_frames
from stremn.memory import FeatureState, MemoryState, Policy
from stremn.memory.state import EMPTY
from stremn.models.vos import VOSNetwork
from stremn.ops.attention import Affinity, augmented
from stremn.tasks.segmenter import encoded
from stremn.tasks.sizes import padding, to_working_size
from stremn.tasks.vos import rollout

COVERED = 0.5  # share of a position that an object covers where it counts as inside
CHUNK = 256  # query positions at a time


@dataclass(frozen=True)
class ReadMaps:
    """Where the positions of one object in one query frame read.

    Attributes:
        object_id: whose positions.
        query: index of the query frame.
        frames: index of each kept frame that the object is read from, ascending (K).
        maps: float32 (K, h, w), the attention of the object's positions, added up and divided by its sum;
            all of it sums to 1.
        positions: n, the number of query positions.
        extent: left, right, bottom and top edge of a map in pixels of the clip's frames, rows counted
            downwards from 0; padding reaches beyond them.
    """

    object_id: int
    query: int
    frames: list[int]
    maps: NDArray[np.float32]
    positions: int
    extent: tuple[float, float, float, float]

    @property
    def share(self) -> list[float]:
        """Share of the attention that each kept frame receives; they sum to 1."""
        return self.maps.sum((1, 2), dtype=np.float64).tolist()


def read_weights(
    query_nC: Tensor,
    keys_MC: Tensor,
    seen_M: Tensor | None = None,
    *,
    affinity: Affinity = "dot",
    top_k: int | None = None,
) -> Tensor:
    """The weights of the space-time read for some query positions (STM Eq. 2).

    Args:
        query_nC, keys_MC: query keys and memory keys.
        seen_M: boolean, which memory positions hold something, at least one of them; None: all.
        affinity, top_k: see ``ops.attention.space_time_read``.

    Returns:
        (n, M), each row sums to 1.
    """
    query, keys = augmented(query_nC[None], keys_MC[None, None], affinity)
    scores_nM = query[0] @ keys[0, 0].T
    if seen_M is not None:
        scores_nM = scores_nM.masked_fill(~seen_M, -torch.inf)
    if top_k is None or top_k >= scores_nM.shape[1]:
        return scores_nM.softmax(-1)
    best_nk, at_nk = scores_nM.topk(top_k, -1)
    return torch.zeros_like(scores_nM).scatter(-1, at_nk, best_nk.softmax(-1))


@torch.inference_mode()
def read_maps(
    network: VOSNetwork,
    frames: NDArray[np.uint8],
    masks: NDArray[np.integer],
    policy: Policy,
    frame: int,
    object_id: int,
    *,
    side: int | None = None,
    device: str = "cpu",
    generator: torch.Generator | None = None,
) -> ReadMaps:
    """Segment a clip up to a frame, and see where the pixels inside one object's area read there.

    Args:
        network: a VOS system in evaluation mode, on ``device``.
        frames: RGB (T, H, W, 3).
        masks: object ids (T, H, W). The rollout uses first appearances alone; the mask of the query
            frame says which positions are the object's: those it covers by half, or the most covered ones.
        policy: a rule on whole templates.
        frame: the query; the memory is the one it finds, before it is written itself.
        side: shorter side in pixels at which frames are processed; None: native size.
        generator: of the random rules.

    Raises:
        InputError: a rule on single features, a frame outside the clip, an object that the query frame does
            not show or that nothing is known of before it.
    """
    _check(masks, policy, frame, object_id)
    known = masks[:frame]
    objects = int(known.max(initial=0, where=known != VOID))
    images = small_frames(frames[: frame + 1], side).to(device)
    ids = torch.from_numpy(np.ascontiguousarray(masks[: frame + 1])).to(device)
    state = rollout(network, images[None], ids[None], objects, policy, generator=generator).state
    assert isinstance(state, MemoryState)
    pad = padding(images.shape[-2], images.shape[-1], network.stride)
    key_Chw = encoded(network, images[-1:]).key[0]
    inside_hw = _inside(masks[frame] == object_id, images.shape[-2:], pad, key_Chw.shape[-2:]).to(device)
    query_nC = key_Chw[:, inside_hw].T
    held, maps = _maps(state, query_nC, object_id - 1, network.affinity, network.top_k)
    edges = _extent(pad, images.shape[-2:], masks.shape[-2:])
    return ReadMaps(object_id, frame, held, maps.cpu().numpy(), len(query_nC), edges)


def _check(masks: NDArray[np.integer], policy: Policy, frame: int, object_id: int) -> None:
    if policy.entry.unit == "feature":
        raise InputError(
            f"expected a rule on whole templates, found {policy.name!r}: name another, such as 'learned'"
        )
    if not 1 <= frame < len(masks):
        raise InputError(
            f"expected a query frame from 1 to {len(masks) - 1}, found {frame}: choose one of these"
        )
    if not 1 <= object_id < VOID or not (masks[:frame] == object_id).any():
        raise InputError(
            f"expected an object that appears before frame {frame}, found {object_id}: choose another or a later frame"
        )
    if not (masks[frame] == object_id).any():
        raise InputError(
            f"expected object {object_id} in the mask of frame {frame}, found none: choose another frame"
        )


def _inside(
    area_HW: NDArray[np.bool_], small: torch.Size, pad: tuple[int, int, int, int], size: torch.Size
) -> Tensor:
    """Boolean (h, w): the positions that an area covers by half; where there are none, those it covers most."""
    area = to_working_size(torch.from_numpy(area_HW)[None, None].float(), small, masks=True)
    cover_hw = F.adaptive_avg_pool2d(F.pad(area, pad), (size[0], size[1]))[0, 0]
    return cover_hw >= min(COVERED, float(cover_hw.max()))


def attention(
    state: MemoryState | FeatureState,
    query_nC: Tensor,
    row: int,
    *,
    affinity: Affinity = "dot",
    top_k: int | None = None,
) -> Tensor:
    """Where some query positions read for one object, averaged over them.

    Args:
        state: the memory of one clip.
        query_nC: query keys.
        row: the object's row in the state; the memory holds something for it.
        affinity, top_k: of the network, see ``read_weights``.

    Returns:
        (M,), the share of each memory position; they sum to 1.
    """
    group = min(row, state.keys.shape[1] - 1)  # keys of the image alone are shared by all objects
    if isinstance(state, MemoryState):
        keys_MC, seen_M = state.keys[0, group].flatten(0, 1), state.valid[0, row]
        seen_M = seen_M.repeat_interleave(state.keys.shape[3])
    else:
        keys_MC, seen_M = state.keys[0, group], state.visible[0, row]
    total_M = keys_MC.new_zeros(len(keys_MC))
    for part_nC in query_nC.split(CHUNK):
        total_M += read_weights(part_nC, keys_MC, seen_M, affinity=affinity, top_k=top_k).sum(0)
    return total_M / total_M.sum()


def _maps(
    state: MemoryState, query_nC: Tensor, row: int, affinity: Affinity, top_k: int | None
) -> tuple[list[int], Tensor]:
    """Kept frames of an object, ascending, and its maps (K, h, w), which sum to 1."""
    maps_Khw = attention(state, query_nC, row, affinity=affinity, top_k=top_k).view(-1, *state.size)
    held_K = state.frame_index[0, row]
    order = [k for k in held_K.argsort().tolist() if held_K[k] != EMPTY]
    return held_K[order].tolist(), maps_Khw[order]


def _extent(
    pad: tuple[int, int, int, int], small: torch.Size, own: tuple[int, ...]
) -> tuple[float, float, float, float]:
    """``ReadMaps.extent`` of maps over padded frames of size ``small`` for frames of size ``own``, (H, W)."""
    left, right, top, bottom = pad
    (height, width), down, across = small, own[0] / small[0], own[1] / small[1]
    return -left * across, (width + right) * across, (height + bottom) * down, -top * down
