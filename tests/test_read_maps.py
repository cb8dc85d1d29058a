"""Where an object is read in the memory (STM Fig. 5): against explicit loops, and its figure."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from stremn.data.clips import Clip
from stremn.errors import InputError
from stremn.figures import style
from stremn.figures.read_figures import read_figure
from stremn.inference.read_maps import ReadMaps, read_maps, read_weights
from stremn.memory import MemoryState, Trace, make_policy
from stremn.models.stremn import STReMN
from stremn.ops.attention import space_time_read
from stremn.stages.evaluation_pictures import late_view
from stremn.tasks.vos import rollout

FIELDS = {"backbone": "tiny", "key_dim": 8, "value_dim": 8, "update_dim": 8, "decoder_dims": (8, 8, 8)}
STRIDE = 8


def network(**fields: object) -> STReMN:
    torch.manual_seed(0)
    model = STReMN(**{**FIELDS, **fields}).eval()  # type: ignore[arg-type]
    assert model.stride == STRIDE
    return model


def clip(height: int = 40, width: int = 48) -> tuple[np.ndarray, np.ndarray]:
    frames = np.random.default_rng(0).integers(0, 256, (9, height, width, 3), np.uint8)
    masks = np.zeros((9, height, width), np.uint8)
    masks[:, 4:20, 4:21] = 1
    masks[3:, 24:34, 22:40] = 2  # appears late
    return frames, masks


def state_before(model: STReMN, frames: np.ndarray, masks: np.ndarray, slots: int, frame: int) -> MemoryState:
    """The memory that a frame finds, by a whole rollout of the clip cut behind the frame before."""
    images = torch.from_numpy(frames[:frame]).permute(0, 3, 1, 2)[None].float() / 255
    ids = torch.from_numpy(masks[:frame].astype(np.int64))[None]
    with torch.no_grad():  # a trace makes the rollout write its last frame too
        state = rollout(model, images, ids, 2, make_policy("learned", slots=slots), trace=Trace()).state
    assert isinstance(state, MemoryState)
    return state


def by_loops(
    model: STReMN, state: MemoryState, frame: np.ndarray, area: np.ndarray, row: int
) -> dict[int, np.ndarray]:
    """Kept frame → its map, by STM Eq. 2 written out for every pair of positions."""
    key = model.encode_query(torch.from_numpy(frame).permute(2, 0, 1)[None].float() / 255).key[0]
    key = key.detach().double().numpy()
    keys = state.keys[0, row if state.keys.shape[1] > 1 else 0].double().numpy()  # (K, N, C)
    held = state.frame_index[0, row].tolist()
    height, width = key.shape[1:]
    total = {t: np.zeros(height * width) for t in held if t >= 0}
    for y in range(height):
        for x in range(width):
            if area[y * STRIDE : (y + 1) * STRIDE, x * STRIDE : (x + 1) * STRIDE].mean() < 0.5:
                continue
            scores = {}
            for k, t in enumerate(held):
                for n in range(height * width) if t >= 0 else ():
                    if model.affinity == "dot":
                        score = float(key[:, y, x] @ keys[k, n])
                    else:
                        score = -float(((key[:, y, x] - keys[k, n]) ** 2).sum())
                    scores[t, n] = score / math.sqrt(len(key))
            if model.top_k is not None:
                scores = dict(sorted(scores.items(), key=lambda item: -item[1])[: model.top_k])
            whole = sum(math.exp(s) for s in scores.values())
            for (t, n), s in scores.items():
                total[t][n] += math.exp(s) / whole
    everything = sum(one.sum() for one in total.values())
    return {t: one.reshape(height, width) / everything for t, one in total.items()}


@pytest.mark.parametrize(
    ("fields", "object_id"),
    [
        ({}, 1),
        ({}, 2),
        ({"keys": "image", "affinity": "l2"}, 1),
        ({"keys": "image", "affinity": "l2", "top_k": 4}, 2),
    ],
)
def test_maps_against_loops(fields: dict[str, object], object_id: int) -> None:
    model, (frames, masks) = network(**fields), clip()
    found = read_maps(model, frames, masks, make_policy("learned", slots=4), 6, object_id)
    state = state_before(model, frames, masks, 4, 6)
    expected = by_loops(model, state, frames[6], masks[6] == object_id, object_id - 1)
    assert found.frames == sorted(expected) and min(found.frames) == (0 if object_id == 1 else 3)
    np.testing.assert_allclose(found.maps, [expected[t] for t in found.frames], atol=1e-5)
    assert found.maps.sum() == pytest.approx(1, abs=1e-5) and sum(found.share) == pytest.approx(1, abs=1e-5)
    assert found.maps.shape[1:] == (5, 6) and found.extent == (0, 48, 40, 0)


@pytest.mark.parametrize(("affinity", "top_k"), [("dot", None), ("l2", None), ("l2", 5)])
def test_the_weights_are_those_of_the_read(affinity: str, top_k: int | None) -> None:
    query, keys, values = (torch.randn(n, 8, generator=torch.Generator().manual_seed(n)) for n in (7, 30, 30))
    seen = torch.arange(30) % 3 > 0
    options = {"affinity": affinity, "top_k": top_k}
    weights = read_weights(query, keys, seen, **options)  # type: ignore[arg-type]
    read = space_time_read(
        query[None], keys[None, None], values[None, None], valid_BOM=seen[None, None], **options
    )  # type: ignore[arg-type]
    torch.testing.assert_close(weights @ values, read[0, 0])
    assert bool((weights[:, ~seen] == 0).all())


def test_what_comes_after_the_query_does_not_matter() -> None:
    model, (frames, masks) = network(), clip()
    policy = make_policy("oldest", slots=3)
    whole = read_maps(model, frames, masks, policy, 5, 1)
    cut = read_maps(model, frames[:6], masks[:6], policy, 5, 1)
    assert whole.frames == [0, 3, 4] == cut.frames and np.array_equal(whole.maps, cut.maps)
    masks[4] = 255  # a frame that nobody annotated
    assert np.array_equal(read_maps(model, frames, masks, policy, 5, 1).maps, whole.maps)


def test_padding_and_resizing_keep_the_place() -> None:
    model, policy = network(), make_policy("every_n")
    frames, masks = clip(36, 44)  # padded by 2 on each side
    assert read_maps(model, frames, masks, policy, 5, 1).extent == (-2, 46, 38, -2)
    frames, masks = clip(80, 96)
    small = read_maps(model, frames, masks, policy, 5, 1, side=40)
    assert small.extent == (0, 96, 80, 0) and small.maps.shape == (3, 5, 6)
    assert small.positions == 1 and read_maps(model, frames, masks, policy, 5, 1).positions == 5


def test_a_tiny_object_is_one_position() -> None:
    model, (frames, masks) = network(), clip()
    masks[5][masks[5] == 1] = 0
    masks[5, 9:11, 12:13] = 1
    found = read_maps(model, frames, masks, make_policy("learned", slots=3), 5, 1)
    assert found.positions == 1 and found.maps.sum() == pytest.approx(1, abs=1e-5)


def test_bad_input_is_told_in_one_line() -> None:
    model, (frames, masks) = network(), clip()
    masks[8] = 0
    cases = [
        ("lfu", 5, 1, "whole templates"),
        ("learned", 0, 1, "from 1 to 8"),
        ("learned", 9, 1, "from 1 to 8"),
    ]
    cases += [("learned", 3, 2, "before frame 3"), ("learned", 8, 1, "frame 8, found none")]
    for rule, frame, object_id, words in cases:
        with pytest.raises(InputError, match=words) as error:
            read_maps(model, frames, masks, make_policy(rule), frame, object_id)
        assert "\n" not in str(error.value)


# The figure, and the view that the stage chooses for it


def test_the_late_view_is_the_largest_one_in_the_last_third() -> None:
    frames, masks = clip()
    masks[7, 4:22, 4:30] = 1
    view = Clip("a", frames, masks, 2)
    assert late_view(view, 1) == (7, 1) and late_view(view, 2)[1] == 2  # type: ignore[index]
    masks[6:][masks[6:] == 2] = 0
    assert late_view(view, 2) == (7, 1), "object 2 is gone, the other is shown"
    masks[1:] = 255
    assert late_view(Clip("a", frames, masks, 2), 1) is None, "no late frame is annotated"
    masks[1:] = 0
    masks[8, :9, :9] = 2
    assert late_view(Clip("a", frames, masks, 2), 2) is None, "nothing is known of it before"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("kept", "pictures"), [(1, 3), (6, 7), (20, 14)])
def test_figure_shows_the_query_and_the_most_read_frames(tmp_path: Path, kept: int, pictures: int) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (30, 24, 32, 3), np.uint8)
    masks = np.zeros((30, 24, 32), np.uint8)
    masks[::2, 4:12, 0:15] = 3  # touches the border, and is not to be seen in every frame
    heat = np.random.default_rng(1).random((kept, 3, 4), np.float32)
    maps = ReadMaps(3, 28, list(range(kept)), heat / heat.sum(), 5, (-1.0, 33.0, 24.0, 0.0))
    figure = read_figure(frames, masks, maps)
    assert style.save(figure, tmp_path / "read.png", dots=40).stat().st_size > 1000
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles[0] == "query: frame 28" and len(titles) == 1 + min(kept, 13)
    named = [int(title.split(":")[0].removeprefix("frame ")) for title in titles[1:]]
    assert named == sorted(sorted(maps.frames, key=lambda t: -maps.share[t])[:13])
    assert figure.get_suptitle() and any(text.get_text().endswith(".") for text in figure.texts)
    assert len(figure.axes) == pictures + 1  # and the colour bar
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim() == (-0.5, 31.5)
