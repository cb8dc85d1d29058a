"""Multi-scale testing and post-processing: what is done to a segmentation after the network."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import stremn
from stremn.data.clips import Clip, read_mask, write_clip, write_mask
from stremn.data.folders import open_clip_folder
from stremn.errors import InputError
from stremn.inference.folder import segment_folder
from stremn.inference.multiscale import SCALES, multiscale_rollout
from stremn.inference.postprocess import FarParts, postprocess, postprocess_folder
from stremn.inference.settings import StreamSettings
from stremn.inference.stream import Stream, resume_stream
from stremn.memory import Trace, make_policy
from stremn.models.checkpoints import save_model
from stremn.models.registry import build_model
from stremn.models.stremn import STReMN
from stremn.models.vos import Query
from stremn.tasks.vos import Rollout, rollout

# --- post-processing, drawn by hand


def drawn(*boxes: tuple[int, int, int, int, int], height: int = 20, width: int = 60) -> np.ndarray:
    """A label map with boxes (id, top, left, bottom, right)."""
    ids = np.zeros((height, width), np.uint8)
    for number, top, left, bottom, right in boxes:
        ids[top:bottom, left:right] = number
    return ids


BODY = (1, 4, 4, 8, 8)  # 4 × 4 pixels: one size is 4 pixels


@pytest.mark.parametrize(("gap", "kept"), [(1, True), (4, True), (5, False), (40, False)])
def test_a_part_is_dropped_beyond_one_size_of_the_previous_mask(gap: int, kept: bool) -> None:
    left = 7 + gap  # the last column of the body is 7
    part = (1, 4, left, 8, left + 3)
    clean = postprocess(np.stack([drawn(BODY), drawn(BODY, part)]))
    assert np.array_equal(clean[1], drawn(BODY, part) if kept else drawn(BODY))


def test_the_reach_grows_with_the_size_of_the_mask_and_with_far() -> None:
    big, part = (1, 0, 0, 16, 16), (1, 4, 25, 8, 28)  # 16 pixels of size, 10 away
    assert np.array_equal(postprocess(np.stack([drawn(big), drawn(big, part)]))[1], drawn(big, part))
    assert np.array_equal(postprocess(np.stack([drawn(big), drawn(big, part)]), far=0.5)[1], drawn(big))


def test_distance_is_to_the_nearest_pixel_and_a_part_stays_or_goes_whole() -> None:
    long = (1, 4, 10, 8, 58)  # begins 3 columns from the body, ends far away
    assert np.array_equal(postprocess(np.stack([drawn(BODY), drawn(long)]))[1], drawn(long))
    diagonal = drawn(BODY)
    diagonal[range(8, 18), range(8, 18)] = 1  # joined to the body by corners only
    assert np.array_equal(postprocess(np.stack([drawn(BODY), diagonal]))[1], diagonal)


def test_a_dropped_part_does_not_invite_the_next() -> None:
    far = (1, 4, 40, 8, 44)
    clean = postprocess(np.stack([drawn(BODY)] + [drawn(BODY, far)] * 5))
    assert np.array_equal(clean, np.stack([drawn(BODY)] * 6))


def test_objects_do_not_disturb_each_other() -> None:
    other = (2, 4, 40, 8, 44)
    frames = [drawn(BODY, other), drawn(BODY, (1, 10, 40, 14, 44), other)]
    assert np.array_equal(postprocess(np.stack(frames))[1], drawn(BODY, other))


def test_a_late_object_and_a_given_mask_are_kept_whole() -> None:
    late = [(2, 2, 20, 5, 23), (2, 14, 50, 17, 53)]  # two parts far apart
    frames = np.stack([drawn(BODY), drawn(BODY), drawn(BODY, *late)])
    assert np.array_equal(postprocess(frames), frames)
    moved = np.stack([drawn(BODY), drawn((1, 4, 50, 8, 54))])
    assert not postprocess(moved)[1].any()
    assert np.array_equal(postprocess(moved, given={1: [1]}), moved)


@pytest.mark.parametrize("absent", [0, 3, 9])
def test_a_vanished_object_may_come_back_the_later_the_farther(absent: int) -> None:
    back = drawn((1, 4, 31, 8, 35))  # 24 columns away: six sizes
    frames = np.stack([drawn(BODY), *[drawn()] * absent, back])
    assert postprocess(frames)[-1].any() == (absent + 1 >= 6)


def test_online_equals_the_clip_and_input_is_left_alone() -> None:
    g = np.random.default_rng(0)
    frames = (g.random((8, 20, 60)) > 0.97).astype(np.int64) * g.integers(1, 3, (8, 20, 60))
    before, online = frames.copy(), FarParts(0.5)
    clean = postprocess(frames, 0.5)
    assert np.array_equal(clean, np.stack([online(ids) for ids in frames]))
    assert np.array_equal(frames, before) and clean.dtype == frames.dtype
    assert ((clean == frames) | (clean == 0)).all() and (clean != frames).any()


def test_saved_results_are_post_processed_from_folder_to_folder(tmp_path: Path) -> None:
    far = drawn(BODY, (1, 4, 40, 8, 44))
    (tmp_path / "raw" / "clip").mkdir(parents=True)
    for t, ids in enumerate([drawn(BODY), far]):
        write_mask(tmp_path / "raw" / "clip" / f"{t:05d}.png", ids)
    assert postprocess_folder(tmp_path / "raw", tmp_path / "clean") == 16
    assert np.array_equal(read_mask(tmp_path / "clean" / "clip" / "00001.png"), drawn(BODY))
    assert np.array_equal(read_mask(tmp_path / "raw" / "clip" / "00001.png"), far)
    for source, out in [("raw", "raw"), ("absent", "clean")]:
        with pytest.raises(InputError, match="expected"):
            postprocess_folder(tmp_path / source, tmp_path / out)


def test_post_processing_refuses_bad_input() -> None:
    for bad in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="above 0"):
            FarParts(bad)
    with pytest.raises(InputError, match=r"\(T, H, W\)"):
        postprocess(drawn())
    with pytest.raises(InputError, match="integers"):
        postprocess(np.zeros((2, 4, 4)))


# --- multi-scale testing

FIELDS = {"backbone": "tiny", "key_dim": 8, "value_dim": 8, "update_dim": 8, "decoder_dims": (8, 8, 8)}
SMALL: dict[str, dict[str, Any]] = {
    "stm": {"backbone": "tiny", "key_dim": 8, "value_dim": 8, "decoder_dim": 8},
    "stcn": {
        "backbone": "tiny",
        "value_backbone": "tiny",
        "key_dim": 8,
        "value_dim": 8,
        "decoder_dims": (8, 8, 8),
    },
}


def network(**fields: object) -> STReMN:
    torch.manual_seed(0)
    return STReMN(**{**FIELDS, **fields}).eval()  # type: ignore[arg-type]


def clip(
    frames: int = 7, height: int = 36, width: int = 44, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    images = (torch.rand(1, frames, 3, height, width, generator=g) * 255).round() / 255
    masks = torch.zeros(1, frames, height, width, dtype=torch.long)
    masks[:, :, 4:20, 4:20] = 1
    masks[:, 3:, 22:32, 22:40] = 2  # appears late
    return images, masks


def probabilities(result: Rollout) -> torch.Tensor:
    return torch.stack([logits.softmax(1) for logits in result.logits])


@pytest.mark.parametrize("rule", ["learned", "random_drop"])
@pytest.mark.parametrize("keys", ["memory", "image"])
def test_one_scale_equals_the_rollout(rule: str, keys: str) -> None:
    model, policy, (images, masks) = network(keys=keys), make_policy(rule, slots=3), clip()
    traces = Trace(), Trace()
    with torch.no_grad():
        plain = rollout(
            model, images, masks, 2, policy, generator=torch.Generator().manual_seed(1), trace=traces[0]
        )
    several = multiscale_rollout(
        model,
        images,
        masks,
        2,
        policy,
        scales=(1.0,),
        flip=False,
        generator=torch.Generator().manual_seed(1),
        trace=traces[1],
    )
    assert torch.equal(probabilities(several), probabilities(plain))
    assert torch.equal(several.state.frame_index, plain.state.frame_index)
    assert [s.held for s in traces[0].steps] == [s.held for s in traces[1].steps]


@pytest.mark.parametrize("size", [None, 32, 64])
@pytest.mark.parametrize("rule", ["learned", "random_drop", "lfu"])
def test_a_saved_stream_of_several_scales_goes_on_bit_for_bit(
    size: int | None, rule: str, tmp_path: Path
) -> None:
    images, masks = clip()
    policy, meta = make_policy(rule, slots=3, every=2), {"system": "stremn", "fields": FIELDS}
    settings = StreamSettings(size=size, scales=(1.0, 1.3), flip=True)
    model = build_model("stremn", FIELDS)
    whole, stopped = (Stream(model, policy, meta, settings) for _ in range(2))
    for t in range(7):
        given = {0: masks[0, 0], 3: torch.where(masks[0, 3] == 2, 9, 0), 5: masks[0, 5] % 2}.get(t)
        frame = (images[0, t].permute(1, 2, 0) * 255).byte().numpy()
        if t == 4:
            stopped.save(tmp_path / "stream")
            stopped = resume_stream(tmp_path / "stream")
        a, b = (s.step(frame, None if given is None else given.numpy()) for s in (whole, stopped))
        assert torch.equal(a, b)
    assert stopped.object_ids == [1, 9] and whole.trace == stopped.trace
    assert (stopped.settings.scales, stopped.settings.flip) == ((1.0, 1.3), True)
    stopped.remove_object(9)
    assert float(stopped.step(frame)[2].max()) == 0


@pytest.mark.parametrize("size", [None, 32])
def test_two_equal_scales_give_what_one_gives(size: int | None) -> None:
    images, masks = clip()
    policy = make_policy("oldest", slots=3)
    plain, doubled = (
        Stream(network(), policy, {}, StreamSettings(size=size, scales=s)) for s in ((1.0,), (1.0, 1.0))
    )
    for t in range(4):
        frame = (images[0, t].permute(1, 2, 0) * 255).byte().numpy()
        a, b = (s.step(frame, masks[0, 0].numpy() if t == 0 else None) for s in (plain, doubled))
        torch.testing.assert_close(b, a, atol=1e-6, rtol=0)  # the mean of two equal passes


def test_passes_are_averaged_as_probabilities_at_the_frames_own_size() -> None:
    """The second frame rests on given masks alone, so each pass can be had from a plain rollout."""
    images, masks = clip(frames=2, height=32, width=48)
    policy, model = make_policy("learned", slots=3), network()
    views = []
    for scale in (1, 2):
        for mirrored in (False, True):
            size = (32 * scale, 48 * scale)
            frames = F.interpolate(images[0], size=size, mode="bilinear", antialias=True)[None]
            ids = masks.repeat_interleave(scale, -1).repeat_interleave(scale, -2)
            if mirrored:
                frames, ids = frames.flip(-1), ids.flip(-1)
            with torch.no_grad():
                logits = rollout(model, frames, ids, 1, policy).logits[1]
            own = F.interpolate(logits, size=(32, 48), mode="bilinear", antialias=True).softmax(1)
            views.append(own.flip(-1) if mirrored else own)
    found = multiscale_rollout(model, images, masks, 1, policy, scales=(1.0, 2.0), flip=True)
    torch.testing.assert_close(found.logits[1].softmax(1), torch.stack(views).mean(0), atol=1e-5, rtol=1e-4)
    assert float((views[0] - views[3]).abs().max()) > 1e-3  # the passes do differ


def test_a_mirrored_video_gives_the_mirrored_masks_only_with_flip() -> None:
    images, masks = clip(height=32, width=48)
    policy = make_policy("oldest", slots=3)
    gaps = []
    for flip in (True, False):
        a, b = (
            probabilities(multiscale_rollout(network(), x, m, 2, policy, scales=(1.0, 1.5), flip=flip))
            for x, m in ((images, masks), (images.flip(-1), masks.flip(-1)))
        )
        gaps.append(float((a - b.flip(-1)).abs().max()))
    assert gaps[0] < 1e-4 < 1e-2 < gaps[1]


def test_the_merged_label_goes_into_every_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    model, (images, masks) = network(), clip(frames=3, height=32, width=48)
    seen: list[torch.Tensor] = []
    encode = model.encode_memory

    def spy(query: Query, masks_BOHW: torch.Tensor) -> tuple[torch.Tensor, ...]:
        seen.append(masks_BOHW)
        return encode(query, masks_BOHW)

    monkeypatch.setattr(model, "encode_memory", spy)
    policy = make_policy("learned", slots=3)
    result = multiscale_rollout(model, images, masks, 1, policy, scales=(1.0, 2.0), flip=True)
    assert len(seen) == 4  # two scales, and the last frame is not stored
    merged = result.logits[1].softmax(1)[:, 1:]
    torch.testing.assert_close(seen[2], torch.cat([merged, merged.flip(-1)]), atol=1e-6, rtol=1e-5)
    large = F.interpolate(merged, size=(64, 96), mode="bilinear")
    torch.testing.assert_close(seen[3], torch.cat([large, large.flip(-1)]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("system", ["stm", "stcn"])
def test_every_system_runs_at_several_scales(system: str) -> None:
    torch.manual_seed(0)
    model = build_model(system, SMALL[system]).eval()
    images, masks = clip(frames=4)
    policy = make_policy("every_n", every=2)
    trace = Trace()
    result = multiscale_rollout(model, images, masks, 2, policy, scales=(1.0, 1.3), trace=trace)
    torch.testing.assert_close(probabilities(result).sum(2), torch.ones(4, 1, 36, 44))
    assert [(s.clip, s.frame) for s in trace.steps] == [(0, t) for t in range(4)]
    with torch.no_grad():
        plain = rollout(model, images, masks, 2, policy)
    alone = multiscale_rollout(model, images, masks, 2, policy, scales=(1.0,), flip=False)
    torch.testing.assert_close(probabilities(alone), probabilities(plain), atol=1e-5, rtol=0)


def test_multi_scale_refuses_what_it_cannot_do() -> None:
    images, masks = clip(frames=2)
    for scales in ((), (0.0, 1.0), (1.0, float("nan"))):
        with pytest.raises(InputError, match="scales above 0"):
            multiscale_rollout(network(), images, masks, 2, make_policy("learned"), scales=scales)


def test_a_folder_of_clips_at_several_scales_and_post_processed(tmp_path: Path) -> None:
    g = np.random.default_rng(0)
    for name in ("a", "b"):
        _, masks = clip(frames=4, height=32, width=48)
        frames = g.integers(0, 256, (4, 32, 48, 3), dtype=np.uint8)
        write_clip(tmp_path / "data", Clip(name, frames, masks[0].numpy().astype(np.uint8), 2))
    clips, policy = open_clip_folder(tmp_path, "data"), make_policy("learned", slots=3)
    roll = partial(multiscale_rollout, scales=(1.0, 1.5), flip=True)
    both, alone = (
        segment_folder(
            network(), clips, policy, tmp_path / f"out{b}", roll=roll, batch=b, trace=True, progress=False
        )
        for b in (2, 1)
    )
    assert {n: [s.held for s in t.steps] for n, t in both.items()} == {
        n: [s.held for s in t.steps] for n, t in alone.items()
    }
    assert [s.frame for s in both["b"].steps] == [0, 1, 2, 3]
    postprocess_folder(tmp_path / "out2", tmp_path / "clean")
    for path in sorted((tmp_path / "out2").rglob("*.png")):
        ids = read_mask(path)
        other = read_mask(tmp_path / "out1" / path.relative_to(tmp_path / "out2"))
        assert (ids != other).mean() < 0.01  # other batches, other rounding
        clean = read_mask(tmp_path / "clean" / path.relative_to(tmp_path / "out2"))
        assert ((clean == ids) | (clean == 0)).all()


def test_a_stream_is_opened_at_several_scales_by_name(tmp_path: Path) -> None:
    save_model(tmp_path / "weights", network(), {"system": "stremn", "fields": FIELDS})
    images, masks = clip(frames=3)
    several = stremn.open_stream(checkpoint=tmp_path / "weights", slots=3, scales=SCALES, flip=True)
    plain = stremn.open_stream(checkpoint=tmp_path / "weights", slots=3)
    assert several.settings.scales == SCALES and several.settings.flip and not plain.settings.flip
    with torch.no_grad():
        expected = multiscale_rollout(network(), images, masks, 1, make_policy("learned", slots=3))
    for t in range(3):
        frame = (images[0, t].permute(1, 2, 0) * 255).byte().numpy()
        found = several.step(frame, masks[0, 0].numpy() if t == 0 else None)
        torch.testing.assert_close(found, expected.logits[t].softmax(1)[0], atol=1e-4, rtol=1e-3)
    assert several.memory.slots == 3
