"""Training a segmentation network on clips: the loss of a batch and the validation score.

Letters: B clips, T frames, O objects, H W pixels.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from stremn.data.batches import ClipBatch
from stremn.models.vos import as_vos
from stremn.tasks.rules import policy_for
from stremn.tasks.vos import rollout, segmentation_loss


def clip_loss(
    model: nn.Module,
    batch: ClipBatch,
    generator: torch.Generator,
    *,
    slots: Sequence[int] = (2, 6),
) -> dict[str, Tensor]:
    """Cross entropy of a batch of clips, segmented with a memory of a random number of slots.

    Differs: STReMN does not say so, but its 5-frame clips never fill 6 slots, and a slot that is never
    evicted teaches the update nothing. So the number of slots is drawn for each batch from ``slots``
    (smallest and largest, both included). With the first frame protected 2 slots leave no choice, and the
    gradient of the update keys is exactly 0: fine-tune from 3 on.

    The rule is the network's own; "every N" holds every frame here, as STM and STCN train.
    """
    network = as_vos(model)
    low, high = slots
    count = int(torch.randint(low, high + 1, (1,), generator=generator, device=generator.device))
    policy = policy_for(network, slots=count, every=1)
    objects = batch.present.shape[1]
    result = rollout(network, batch.frames, batch.masks, objects, policy, generator=generator, noise=True)
    return {"loss": segmentation_loss(result, batch.masks)}


@torch.no_grad()
def validation_score(
    model: nn.Module,
    batches: Sequence[ClipBatch],
    *,
    slots: int = 6,
    device: str = "cpu",
) -> dict[str, float]:
    """Mean region similarity J over all objects of held-out clips, frame 0 left out. In [0, 1]."""
    network, scores = as_vos(model), []
    for batch in batches:
        clips = batch.to(device)
        objects = clips.present.shape[1]
        policy = policy_for(network, slots=slots)
        ids = rollout(network, clips.frames, clips.masks, objects, policy).ids()
        scores.append(jaccard(ids[:, 1:], clips.masks[:, 1:], objects)[clips.present])
    return {"J": float(torch.cat(scores).mean())}


def jaccard(predicted_BTHW: Tensor, truth_BTHW: Tensor, objects: int) -> Tensor:
    """Intersection over union of each object, mean over frames: (B, O). An empty union counts as 1."""
    ids = torch.arange(1, objects + 1, device=truth_BTHW.device)[:, None, None]
    predicted, truth = predicted_BTHW[:, :, None] == ids, truth_BTHW[:, :, None] == ids
    union = (predicted | truth).flatten(3).sum(-1)
    both = (predicted & truth).flatten(3).sum(-1)
    return torch.where(union > 0, both / union.clamp_min(1), 1.0).mean(1)
