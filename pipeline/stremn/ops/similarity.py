"""Similarity of two templates that allows motion (STReMN Eq. 1).

Letters: B clips, O objects, K slots, N positions, C channels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

MAX_ELEMENTS = 2**25  # of the position × position table that is held at once (128 MiB in float32)


def normalised(update_key: Tensor) -> Tensor:
    """Scale each position's vector (last axis) to length 1, as the cosine of Eq. 1 asks."""
    return F.normalize(update_key, dim=-1)


def template_similarity(query_BNC: Tensor, templates_BOKNC: Tensor) -> Tensor:
    """Mean over the query's positions of the best cosine with any position of a template.

    Args:
        query_BNC: update keys of the incoming frame, length 1 along C: (B, N, C), or one per
            object (B, O, N, C).
        templates_BOKNC: update keys of the slots, length 1 along C: (B, O, K, N, C).

    Returns:
        s (B, O, K) in [−1, 1] (STReMN Eq. 1). Not symmetric: each query position looks for its
        best match, wherever it lies, so a moved object still counts as the same.
    """
    query_BONC = query_BNC[:, None] if query_BNC.dim() == 3 else query_BNC
    batch, objects, slots, positions, _ = templates_BOKNC.shape
    rows = max(1, MAX_ELEMENTS // max(1, batch * objects * slots * positions))
    templates_BOKCN = templates_BOKNC.transpose(3, 4)
    total = sum(
        (part[:, :, None] @ templates_BOKCN).amax(-1).sum(-1) for part in query_BONC.split(rows, dim=2)
    )
    assert isinstance(total, torch.Tensor)
    return total / query_BONC.shape[2]
