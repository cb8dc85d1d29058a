"""The equations against loops and known properties."""

import math

import pytest
import torch
from torch import Tensor

from stremn.ops.aggregation import aggregation_logits
from stremn.ops.attention import space_time_read
from stremn.ops.gumbel import gumbel_noise, straight_through
from stremn.ops.similarity import normalised, template_similarity


def read_by_loops(
    query: Tensor, keys: Tensor, values: Tensor, affinity: str, top_k: int | None, valid: Tensor
) -> Tensor:
    """Eq. 5 for one clip, position by position."""
    objects, positions = values.shape[0], query.shape[0]
    out = torch.zeros(objects, positions, values.shape[-1])
    for o in range(objects):
        memory = keys[min(o, keys.shape[0] - 1)]
        for i in range(positions):
            logits = []
            for j in range(memory.shape[0]):
                product = (
                    (query[i] * memory[j]).sum()
                    if affinity == "dot"
                    else -((query[i] - memory[j]) ** 2).sum()
                )
                logits.append(
                    product / math.sqrt(query.shape[1]) if valid[o, j] else torch.tensor(-torch.inf)
                )
            logits_M = torch.stack(logits)
            if top_k is not None:
                logits_M[logits_M < logits_M.sort(descending=True).values[top_k - 1]] = -torch.inf
            out[o, i] = logits_M.softmax(0) @ values[o]
    return out


@pytest.mark.parametrize("affinity", ["dot", "l2"])
@pytest.mark.parametrize("top_k", [None, 3])
@pytest.mark.parametrize("groups", [1, 2])
def test_read_equals_the_loop(affinity: str, top_k: int | None, groups: int) -> None:
    g = torch.Generator().manual_seed(0)
    query = torch.randn(2, 5, 4, generator=g)
    keys = torch.randn(2, groups, 12, 4, generator=g)
    values = torch.randn(2, 2, 12, 7, generator=g)
    valid = torch.ones(2, 2, 12, dtype=torch.bool)
    valid[1, 1, :4] = False
    found = space_time_read(query, keys, values, affinity=affinity, top_k=top_k, valid_BOM=valid)
    for b in range(2):
        expected = read_by_loops(query[b], keys[b], values[b], affinity, top_k, valid[b])
        torch.testing.assert_close(found[b], expected, rtol=1e-4, atol=1e-5)


def test_reading_constant_values_gives_the_constant() -> None:
    read = space_time_read(torch.randn(1, 6, 8), torch.randn(1, 1, 20, 8), torch.full((1, 3, 20, 5), 2.5))
    torch.testing.assert_close(read, torch.full((1, 3, 6, 5), 2.5))


def test_similarity_equals_the_loop_and_allows_motion() -> None:
    g = torch.Generator().manual_seed(1)
    query, slots = torch.randn(1, 6, 3, generator=g), torch.randn(1, 2, 4, 6, 3, generator=g)
    found = template_similarity(normalised(query), normalised(slots))
    for o in range(2):
        for k in range(4):
            best = [
                max(float(torch.cosine_similarity(query[0, p], slots[0, o, k, q], dim=0)) for q in range(6))
                for p in range(6)
            ]
            assert found[0, o, k].item() == pytest.approx(sum(best) / 6, abs=1e-5)
    shuffled = query[:, torch.randperm(6, generator=g)]
    moved = template_similarity(normalised(query), normalised(shuffled)[:, None, None])
    torch.testing.assert_close(moved, torch.ones(1, 1, 1))


def test_similarity_in_small_parts_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    query, slots = normalised(torch.randn(1, 50, 3)), normalised(torch.randn(1, 2, 4, 50, 3))
    whole = template_similarity(query, slots)
    monkeypatch.setattr("stremn.ops.similarity.MAX_ELEMENTS", 3000)
    torch.testing.assert_close(template_similarity(query, slots), whole)


def test_straight_through_is_one_hot_and_never_forbidden() -> None:
    scores = torch.randn(200, 5)
    allowed = torch.rand(200, 5) > 0.4
    allowed[:, 2] = True
    chosen = straight_through(scores, allowed, noise=True)
    assert set(chosen.unique().tolist()) <= {0.0, 1.0}
    assert torch.equal(chosen.sum(-1), torch.ones(200))
    assert bool(allowed[chosen.bool()].all())


def test_straight_through_has_the_gradient_of_the_softmax() -> None:
    scores = torch.tensor([0.3, -0.2, 0.9], requires_grad=True)
    worth = torch.tensor([1.0, 2.0, 5.0])
    allowed = torch.tensor([True, True, False])
    (straight_through(scores, allowed, temperature=0.7) * worth).sum().backward()
    twin = scores.detach().clone().requires_grad_()
    ((twin / 0.7).masked_fill(~allowed, -torch.inf).softmax(0) * worth).sum().backward()
    torch.testing.assert_close(scores.grad, twin.grad)


def test_gumbel_noise_samples_the_softmax() -> None:
    logits = torch.tensor([0.0, 1.0, 2.0])
    g = torch.Generator().manual_seed(0)
    draws = straight_through(
        logits.expand(20_000, 3), torch.ones(20_000, 3, dtype=torch.bool), noise=True, generator=g
    )
    torch.testing.assert_close(draws.mean(0), logits.softmax(0), atol=0.015, rtol=0)
    noise = gumbel_noise(torch.empty(100_000), g)
    assert noise.mean().item() == pytest.approx(0.5772, abs=0.02)
    assert bool(torch.isfinite(noise).all())


def test_soft_aggregation_by_hand() -> None:
    p = torch.tensor([0.8, 0.5]).view(1, 2, 1, 1)
    background = 0.2 * 0.5
    odds = torch.tensor([background / (1 - background), 4.0, 1.0])
    torch.testing.assert_close(aggregation_logits(p).softmax(1).flatten(), odds / odds.sum())


def test_absent_object_takes_nothing_and_extremes_are_finite() -> None:
    p = torch.tensor([[0.7, 0.0], [1.0, 1.0], [0.0, 0.0]]).view(3, 2, 1, 1).requires_grad_()
    aggregated = aggregation_logits(p).softmax(1)
    assert aggregated[0, 2].item() < 1e-6
    torch.testing.assert_close(aggregated.sum(1), torch.ones(3, 1, 1))
    aggregation_logits(p).sum().backward()
    assert p.grad is not None and bool(torch.isfinite(p.grad).all())
