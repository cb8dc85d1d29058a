"""Segmentation of clips and streams with small networks."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file

import stremn
from stremn.data.clips import Clip, read_mask, write_clip
from stremn.data.folders import open_clip_folder
from stremn.errors import InputError
from stremn.inference.folder import segment_folder
from stremn.inference.settings import StreamSettings
from stremn.inference.stream import Stream
from stremn.memory import Trace, make_policy
from stremn.models.backbones import BACKBONES, make_backbone
from stremn.models.checkpoints import load_model, save_model
from stremn.models.stremn import STReMN
from stremn.tasks.sizes import padding
from stremn.tasks.vos import first_appearances, rollout, segmentation_loss

FIELDS = {"backbone": "tiny", "key_dim": 8, "value_dim": 8, "update_dim": 8, "decoder_dims": (8, 8, 8)}


def network(seed: int = 0, **fields: object) -> STReMN:
    torch.manual_seed(seed)
    return STReMN(**{**FIELDS, **fields}).eval()  # type: ignore[arg-type]


def clip(
    frames: int = 9, height: int = 36, width: int = 44, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    images = torch.rand(1, frames, 3, height, width, generator=g)
    masks = torch.zeros(1, frames, height, width, dtype=torch.long)
    masks[:, :, 4:20, 4:20] = 1
    masks[:, 3:, 22:32, 22:40] = 2  # appears late
    return images, masks


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    save_model(path, network(), {"system": "stremn", "fields": FIELDS})
    return path


def as_frame(image_3HW: torch.Tensor) -> NDArray[np.uint8]:
    return (image_3HW.permute(1, 2, 0) * 255).round().byte().numpy()


@pytest.mark.parametrize("keys", ["memory", "image"])
@pytest.mark.parametrize("skips", [False, True])
def test_rollout_gives_probabilities_and_gradients_everywhere(keys: str, skips: bool) -> None:
    model = network(keys=keys, affinity="l2", decoder_skips=skips).train()
    images, masks = clip()
    result = rollout(
        model, images, masks, 2, make_policy("learned", slots=3), noise=True, generator=torch.Generator()
    )
    segmentation_loss(result, masks).backward()
    assert result.ids().shape == masks.shape
    torch.testing.assert_close(result.logits[4].softmax(1).sum(1), torch.ones(1, 36, 44))
    silent = [n for n, p in model.named_parameters() if p.grad is None or float(p.grad.abs().sum()) == 0]
    assert silent == []


def test_only_first_appearances_are_looked_at() -> None:
    images, masks = clip()
    other = masks.clone()
    other[:, 5:] = 0  # later ground truth
    a, b = (rollout(network(), images, m, 2, make_policy("oldest", slots=3)) for m in (masks, other))
    assert all(torch.equal(x, y) for x, y in zip(a.logits, b.logits, strict=True))
    assert torch.equal(a.ids()[:, 0], masks[:, 0])
    assert first_appearances(masks, 2)[0].nonzero().tolist() == [[0, 0], [3, 1]]
    assert bool((a.ids()[:, :3] != 2).all()) and torch.equal(a.ids()[:, 3] == 2, masks[:, 3] == 2)


def test_batched_clips_equal_single_clips() -> None:
    clips = [clip(seed=s) for s in (1, 2)]
    policy = make_policy("learned", slots=3)
    both = rollout(network(), torch.cat([c[0] for c in clips]), torch.cat([c[1] for c in clips]), 2, policy)
    for row, (images, masks) in enumerate(clips):
        alone = rollout(network(), images, masks, 2, policy)
        for x, y in zip(both.logits, alone.logits, strict=True):
            torch.testing.assert_close(x[row : row + 1], y, atol=2e-4, rtol=1e-3)


def test_the_value_and_the_buffer_give_the_same_masks() -> None:
    images, masks = clip()
    policy = make_policy("learned", slots=3)
    with torch.no_grad():
        fast = rollout(network(), images, masks, 2, policy)
    slow = rollout(network(), images, masks, 2, policy)
    for x, y in zip(fast.logits, slow.logits, strict=True):
        torch.testing.assert_close(x, y.detach(), atol=1e-4, rtol=1e-4)
    assert torch.equal(fast.state.frame_index, slow.state.frame_index)


def test_trace_of_a_rollout_covers_every_frame() -> None:
    images, masks = clip()
    trace = Trace()
    with torch.no_grad():
        rollout(network(), images, masks, 2, make_policy("learned", slots=3), trace=trace)
    assert [s.frame for s in trace.steps] == list(range(9))


def test_stream_equals_the_rollout(checkpoint: Path) -> None:
    images, masks = clip(height=40, width=48)
    images = (images * 255).round() / 255
    stream = stremn.open_stream(checkpoint=checkpoint, slots=3)
    with torch.no_grad():
        expected = rollout(network(), images, masks, 2, make_policy("learned", slots=3))
    for t in range(9):
        given = masks[0, t].numpy() if t in (0, 3) else None
        if t == 3:
            given = np.where(given == 2, 2, 0)  # only the new object
        p = stream.step(as_frame(images[0, t]), given)
        assert p.dtype == torch.float32 and p.shape == ((2 if t < 3 else 3), 40, 48)
        torch.testing.assert_close(p.sum(0), torch.ones(40, 48))
        torch.testing.assert_close(p, expected.logits[t].softmax(1)[0, : len(p)], atol=1e-4, rtol=1e-3)
    assert stream.trace is not None and len(stream.trace.steps) == 9


def test_stream_equals_the_evaluation_at_a_smaller_size(tmp_path: Path) -> None:
    images, masks = clip(height=60, width=76)
    frames = (images[0] * 255).round().byte().permute(0, 2, 3, 1).numpy()
    write_clip(tmp_path / "clips", Clip("a", frames, masks[0].numpy().astype(np.uint8), 2), quality=100)
    clips, policy = open_clip_folder(tmp_path, "clips"), make_policy("learned", slots=3)
    segment_folder(network(), clips, policy, tmp_path / "out", side=34, progress=False)
    stream, seen = Stream(network(), policy, {}, StreamSettings(size=34)), {0}
    for t, (frame, mask) in enumerate(zip(clips[0].frames, clips[0].masks, strict=True)):
        new = np.where(np.isin(mask, [*seen]), 0, mask)
        seen |= set(np.unique(mask).tolist())
        ids = stream.ids(stream.step(frame, new if new.any() else None))
        assert np.array_equal(read_mask(tmp_path / "out" / "a" / f"{t:05d}.png"), ids)
    assert seen == {0, 1, 2}


@pytest.mark.parametrize("rule", ["learned", "random_select", "every_n"])
def test_a_saved_stream_goes_on_bit_for_bit(checkpoint: Path, tmp_path: Path, rule: str) -> None:
    images, masks = clip()
    whole = stremn.open_stream(checkpoint=checkpoint, policy=rule, slots=3, size=32)
    stopped = stremn.open_stream(checkpoint=checkpoint, policy=rule, slots=3, size=32)
    for t in range(9):
        given = masks[0, t].numpy() if t in (0, 6) else None
        if t == 5:
            stopped.save(tmp_path / "stream.safetensors")
            stopped = stremn.resume_stream(tmp_path / "stream.safetensors")
        a, b = (s.step(as_frame(images[0, t]), given) for s in (whole, stopped))
        assert torch.equal(a, b)
    assert whole.trace == stopped.trace


@pytest.mark.parametrize("trace", [True, False])
def test_a_long_trace_is_not_in_the_header(checkpoint: Path, tmp_path: Path, trace: bool) -> None:
    """safetensors refuses to read a header above 100 MB, which every_n reached at about 5,000 frames."""
    stream, path = stremn.open_stream(checkpoint=checkpoint, size=32, trace=trace), tmp_path / "stream"
    images, masks = clip()
    stream.step(as_frame(images[0, 0]), masks[0, 0].numpy())
    if stream.trace is not None:
        stream.trace.about["long"] = "x" * 200_000
    stream.save(path)
    assert int.from_bytes(path.read_bytes()[:8], "little") < 100_000
    assert stremn.resume_stream(path).trace == stream.trace


def saved(path: Path) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    """Header and tensors of a saved stream."""
    with safe_open(path, "pt") as file:
        return file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def test_a_stream_of_an_earlier_version_is_read(checkpoint: Path, tmp_path: Path) -> None:
    """The trace in the header, one memory, nothing about scales and precision."""
    stream, path = stremn.open_stream(checkpoint=checkpoint, size=32), tmp_path / "stream"
    images, masks = clip()
    stream.step(as_frame(images[0, 0]), masks[0, 0].numpy())
    stream.save(path)
    header, tensors = saved(path)
    about = json.loads(header["about"]) | {"trace": json.loads(tensors.pop("trace").numpy().tobytes())}
    (about["memory_size"],) = about.pop("memory_sizes")
    about = {k: v for k, v in about.items() if k not in ("scales", "flip", "precision")}
    save_file(tensors, path, {"format": "stremn-stream 1", "about": json.dumps(about)})
    older = stremn.resume_stream(path)
    assert older.trace == stream.trace
    frame = as_frame(images[0, 1])
    assert torch.equal(older.step(frame), stream.step(frame))


def test_a_damaged_stream_is_refused_in_one_line(checkpoint: Path, tmp_path: Path) -> None:
    stream, path = stremn.open_stream(checkpoint=checkpoint, size=32), tmp_path / "stream"
    images, masks = clip()
    stream.step(as_frame(images[0, 0]), masks[0, 0].numpy())
    stream.save(path)
    header, tensors = saved(path)
    about = json.loads(header["about"])
    emptied = {name: tensor for name, tensor in tensors.items() if not name.startswith("memory")}
    for kept, said in (
        (tensors, {k: v for k, v in about.items() if k != "policy"}),
        (tensors, {**about, "policy": {**about["policy"], "unheard_of": 1}}),
        (tensors, {**about, "policy": {**about["policy"], "name": "unheard_of"}}),
        (tensors, {**about, "frame_size": 3}),
        ({k: v for k, v in tensors.items() if k != "random"}, about),
        (emptied, about),  # it would go on with an empty memory
    ):
        save_file(kept, path, {**header, "about": json.dumps(said)})
        with pytest.raises(InputError, match=r"a whole saved stream at .*, found a damaged one") as error:
            stremn.resume_stream(path)
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="size"):
        stremn.open_stream(checkpoint=checkpoint, size=0)


def test_stream_returns_frames_in_their_own_size(checkpoint: Path) -> None:
    stream = stremn.open_stream(checkpoint=checkpoint, size=24)
    frame, mask = np.zeros((50, 70, 3), np.uint8), np.zeros((50, 70), np.uint8)
    mask[10:30, 10:30] = 7
    assert stream.step(frame, mask).shape == (2, 50, 70)
    assert set(np.unique(stream.ids(stream.step(frame)))) <= {0, 7}


def test_stream_refuses_bad_input_in_one_line(checkpoint: Path) -> None:
    frame, mask = np.zeros((40, 40, 3), np.uint8), np.zeros((40, 40), np.int64)
    mask[5:9, 5:9] = 1
    cases = [
        (frame, None, "first step, found none"),
        (frame, mask * 0, "found an empty one"),
        (frame.astype(np.float32), mask, "uint8"),
        (frame[..., 0], mask, r"\(H, W, 3\)"),
        (frame, mask[:20], "mask of integer object ids"),
        (frame, mask.astype(float), "integer"),
        (frame, mask - 1, "0 and above"),
    ]
    for bad_frame, bad_mask, words in cases:
        with pytest.raises(InputError, match=words) as error:
            stremn.open_stream(checkpoint=checkpoint).step(bad_frame, bad_mask)  # type: ignore[arg-type]
        assert "\n" not in str(error.value)
    stream = stremn.open_stream(checkpoint=checkpoint)
    stream.step(frame, mask)
    with pytest.raises(InputError, match="as before"):
        stream.step(frame[:30])


def test_checkpoints_refuse_what_does_not_fit(checkpoint: Path, tmp_path: Path) -> None:
    model, meta = load_model(checkpoint)
    assert meta["system"] == "stremn" and not model.training
    with pytest.raises(InputError, match="no file there"):
        load_model(tmp_path / "absent")
    (tmp_path / "pickle.pt").write_bytes(b"\x80\x04]\x94.")
    with pytest.raises(InputError, match="safetensors"):
        load_model(tmp_path / "pickle.pt")
    save_model(tmp_path / "wide", network(key_dim=16), {"system": "stremn", "fields": FIELDS})
    with pytest.raises(InputError, match="expected shape"):
        load_model(tmp_path / "wide")
    save_model(tmp_path / "other", network(keys="image"), {"system": "stremn", "fields": FIELDS})
    with pytest.raises(InputError, match="missing"):
        load_model(tmp_path / "other")
    save_model(tmp_path / "odd", network(), {"system": "stremn", "fields": {**FIELDS, "key_dims": 1}})
    with pytest.raises(InputError, match="did you mean 'key_dim'"):
        load_model(tmp_path / "odd")


def test_padding_is_symmetric_to_the_stride() -> None:
    assert padding(33, 48, 16) == (0, 0, 7, 8)


@pytest.mark.parametrize("name", BACKBONES)
def test_backbones_have_the_promised_maps(name: str) -> None:
    maps = make_backbone(name, channels_in=5)(torch.zeros(1, 5, 64, 64))
    entry = BACKBONES[name]
    assert [(m.shape[1], 64 // m.shape[-1]) for m in maps] == list(
        zip(entry.channels, entry.strides, strict=True)
    )


def test_open_stream_refuses_weights_of_another_task(tmp_path: Path) -> None:
    meta = {"system": "stremn", "task": "prediction", "fields": {}}
    save_model(tmp_path / "predictor", torch.nn.Linear(1, 1), meta)
    with pytest.raises(InputError, match=r"for segmentation in .*predictor, found 'stremn' for prediction"):
        stremn.open_stream(checkpoint=tmp_path / "predictor")
