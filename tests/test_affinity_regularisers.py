"""AMM's regularisers of the affinity: off they are not there, on they do what the supplementary says."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from stremn.data.batches import ClipBatch
from stremn.errors import InputError
from stremn.memory import make_policy
from stremn.models.registry import build_model
from stremn.models.stcn import STCN
from stremn.ops.affinity_regularisers import AffinityRegulariser, dropped, reallocation_bias
from stremn.ops.attention import space_time_read
from stremn.tasks.vos import rollout
from stremn.training.clip_loss import clip_loss

SMALL: dict[str, Any] = {
    "backbone": "tiny", "value_backbone": "tiny", "key_dim": 8, "value_dim": 16, "decoder_dims": (16, 8, 8)
}  # fmt: skip
ON = [{"affinity_dropout": 0.5}, {"feature_reallocation": True}]
ON += [ON[0] | ON[1]]


def network(**fields: Any) -> STCN:
    torch.manual_seed(0)
    model = build_model("stcn", {**SMALL, **fields})
    assert isinstance(model, STCN)
    return model


def batch() -> ClipBatch:
    g = torch.Generator().manual_seed(3)
    masks = torch.zeros(2, 4, 32, 32, dtype=torch.long)
    masks[:, :, 2:16, 2:16] = 1
    masks[:, 1:, 18:30, 12:30] = 2  # appears late
    return ClipBatch(torch.rand(2, 4, 3, 32, 32, generator=g), masks, torch.ones(2, 2, dtype=torch.bool))


def loss_of(model: STCN, seed: int = 5) -> Tensor:
    return clip_loss(model.train(), batch(), torch.Generator().manual_seed(seed))["loss"]


def random_read(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(*s, generator=g) for s in ((2, 5, 4), (2, 1, 7, 4), (2, 3, 7, 6)))  # type: ignore[return-value]


# --- the terms


@pytest.mark.parametrize("affinity", ["dot", "l2"])
@pytest.mark.parametrize("top_k", [None, 4])
def test_a_bias_is_added_to_the_affinity(affinity: Any, top_k: int | None) -> None:
    query, keys, values = random_read()
    g = torch.Generator().manual_seed(1)
    bias = torch.randn(2, 3, 5, 7, generator=g)
    valid = torch.rand(2, 3, 7, generator=g) > 0.3
    read = space_time_read(query, keys, values, affinity=affinity, top_k=top_k, valid_BOM=valid, bias=bias)
    for b in range(2):
        for o in range(3):
            for n in range(5):
                k, q = keys[b, 0], query[b, n]
                score = k @ q if affinity == "dot" else -(k - q).square().sum(-1)
                score = (score / 2 + bias[b, o, n]).masked_fill(~valid[b, o], -math.inf)
                if top_k:
                    score[score < score.sort(descending=True).values[top_k - 1]] = -math.inf
                torch.testing.assert_close(
                    read[b, o, n], score.softmax(0) @ values[b, o], atol=1e-5, rtol=1e-4
                )


def test_dropout_cuts_a_share_and_never_all() -> None:
    g = torch.Generator().manual_seed(0)
    cut = dropped((2, 1, 200, 300), 0.3, None, g, torch.device("cpu"))
    assert abs(float(cut.float().mean()) - 0.3) < 0.005  # 3 standard deviations are 0.004
    valid = torch.tensor([[[True, False, False], [True, True, True]]])
    cut = dropped((1, 1, 4000, 3), 0.9, valid, g, torch.device("cpu"))
    assert cut.shape == (1, 2, 4000, 3)
    left = (~cut & valid[:, :, None]).any(-1)
    assert bool(left.all())
    assert not cut[0, 0, :, 0].any()  # the only one that may be read always stays
    every = 0.9**3  # a row of three that would lose all keeps all
    assert abs(float((~cut[0, 1]).all(-1).float().mean()) - (every + 0.1**3)) < 0.03


def test_what_is_left_after_dropout_sums_to_one() -> None:
    query, keys, values = random_read()
    regulariser = AffinityRegulariser(0.5, generator=torch.Generator().manual_seed(0))
    read = space_time_read(query, keys, torch.ones_like(values), bias=regulariser.bias(query, keys))
    torch.testing.assert_close(read, torch.ones_like(read))
    a, b = (
        AffinityRegulariser(0.5, generator=torch.Generator().manual_seed(s)).bias(query, keys) for s in (1, 1)
    )
    assert torch.equal(a, b) and not torch.equal(a, regulariser.bias(query, keys))


@pytest.mark.parametrize("affinity", ["dot", "l2"])
def test_reallocation_ranks_the_objects_positions(affinity: Any) -> None:
    query, keys, _ = random_read()
    shown = torch.rand(2, 3, 7, generator=torch.Generator().manual_seed(2)) > 0.4
    shown[1, 2] = False  # an object that nothing shows
    bias = reallocation_bias(query, keys, shown, affinity)
    for b in range(2):
        total = [
            float(sum(q @ k if affinity == "dot" else -(q - k).square().sum() for q in query[b]))
            for k in keys[b, 0]
        ]
        for o in range(3):
            mine = [i for i in range(7) if shown[b, o, i]]
            ranked = sorted(mine, key=lambda i: -total[i])
            factors = bias[b, o].exp()
            for i in range(7):
                expected = (ranked.index(i) + 1) / ((len(mine) + 1) / 2) if i in mine else 1.0
                assert float(factors[i]) == pytest.approx(expected, rel=1e-5)
            if mine:
                assert float(factors[mine].mean()) == pytest.approx(1, rel=1e-5)


# --- in training


@pytest.mark.parametrize("fields", ON)
def test_off_and_in_evaluation_nothing_changes(
    fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = network()
    assert plain.train().affinity_regulariser is None
    assert torch.equal(loss_of(plain), loss_of(network(affinity_dropout=0.0, feature_reallocation=False)))
    on = network(**fields)
    assert not torch.equal(loss_of(plain), loss_of(on))
    assert plain.state_dict().keys() == on.state_dict().keys()
    assert on.eval().affinity_regulariser is None
    clips = batch()
    policy = make_policy("every_n", every=1)
    for grad in (True, False):
        with torch.set_grad_enabled(grad):
            a, b = (rollout(m.eval(), clips.frames, clips.masks, 2, policy) for m in (plain, on))
        assert all(torch.equal(x, y) for x, y in zip(a.logits, b.logits, strict=True))
        assert getattr(b.state, "covers", None) is None


@pytest.mark.parametrize("fields", ON)
def test_the_steps_generator_decides_and_gradients_flow(fields: dict[str, Any]) -> None:
    torch.manual_seed(11)  # the global generator plays no part
    first = loss_of(network(**fields))
    model = network(**fields)
    torch.manual_seed(12)
    again = loss_of(model)
    assert torch.equal(first, again)
    again.backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None or not bool(p.grad.isfinite().all())]
    assert silent == []
    assert float(model.key.weight.grad.abs().sum()) > 0  # type: ignore[union-attr]
    if "affinity_dropout" in fields:
        assert not torch.equal(first, loss_of(network(**fields), seed=6))


def test_the_memory_knows_where_objects_are_only_while_it_must() -> None:
    clips, policy = batch(), make_policy("every_n", every=1)
    model = network(feature_reallocation=True).train()
    state = rollout(model, clips.frames, clips.masks, 2, policy).state
    covers: Tensor = state.covers  # type: ignore[union-attr,assignment]
    assert covers.shape[:3] == state.frame_index.shape and not covers.requires_grad  # type: ignore[union-attr]
    side = int(covers.shape[3] ** 0.5)
    first = covers[0, 0, 0, :, 0].view(side, side)
    exact = torch.nn.functional.interpolate(
        (clips.masks[:1, :1] == 1).float(), size=(side, side), mode="area"
    )[0, 0]
    torch.testing.assert_close(first, exact, atol=1e-5, rtol=0)
    assert set(state.tensors()) == {"keys", "values", "update_keys", "frame_index", "given", "covers"}
    with torch.no_grad():  # a network left in training mode still segments
        assert len(rollout(model, clips.frames, clips.masks, 2, policy).logits) == 4


def test_bad_shares_are_told() -> None:
    for wrong in (-0.1, 1.0):
        with pytest.raises(InputError, match="affinity_dropout"):
            network(affinity_dropout=wrong)
    query, keys, _ = random_read()
    read: Callable[..., Tensor] = AffinityRegulariser(reallocation=True).bias
    with pytest.raises(ValueError, match="objects' positions"):
        read(query, keys)
