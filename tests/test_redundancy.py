"""Redundancy: which template tells what no other tells; the judge of looks that learns it; training on returns."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from stremn.data.appearances import DUPLICATE, NEVER_AGAIN, WORTHLESS, Truth, needed_in, truths_of
from stremn.data.clips import Clip, write_clip
from stremn.data.folders import open_clip_folder
from stremn.data.returns import AFTER, Returns
from stremn.data.sampling import ClipSampler
from stremn.errors import InputError
from stremn.evaluation.headroom import returns
from stremn.generate.make import make_vos
from stremn.generate.visits import RecurringSettings
from stremn.inference.folder import segment_folder
from stremn.inference.oracle import belady
from stremn.memory import MemoryBuffer, MemoryState, Template, Trace, make_policy, write
from stremn.memory.redundancy import BEFORE, UNSEEN, learned_redundancy, similarities_on_objects
from stremn.models.stremn import STReMN
from stremn.models.update import Judge
from stremn.ops.similarity import normalised
from stremn.tasks.rules import policy_for, usable_rules
from stremn.tasks.vos import rollout
from stremn.training.looks import Described, DescribedClips, look_loss

H, W, LOOKS = 3, 4, 5


def shows(look: int | None, frame: int, background: int = 0) -> Template:
    """A frame whose object shows a look, on two positions; None: the object is hidden."""
    key, cover = torch.zeros(1, 1, LOOKS + 8, H, W), torch.zeros(1, 1, H, W)
    key[:, :, LOOKS + background] = 1
    if look is not None:
        place = (frame % H, frame % 3)
        for column in (place[1], place[1] + 1):
            key[0, 0, :, place[0], column] = 0
            key[0, 0, look, place[0], column] = 1
            cover[0, 0, place[0], column] = 1
    present = torch.ones(1, 1, dtype=torch.bool)
    return Template(
        key,
        key.clone(),
        key.clone(),
        key[:, 0],
        frame,
        present,
        torch.full((1, 1), frame == 0),
        foreground=cover,
    )


def held(
    row: list[int | None], slots: int, name: str = "redundancy", judge: Judge | None = None
) -> list[list[int]]:
    """Frames in memory after each frame of a row of looks, as the buffer holds them and as the value does."""
    policy = make_policy(name, slots=slots)
    memory, state, out = MemoryBuffer(policy), MemoryState.empty(), []
    for frame, look in enumerate(row):
        one = replace(shows(look, frame, background=frame % 7), judge=judge)
        memory.write(one)
        with torch.no_grad():
            state = write(state, one, policy)
        assert torch.equal(memory.state.frame_index, state.frame_index)
        out.append(sorted(state.frame_index[0, 0].tolist()))
    return out


def test_every_look_is_kept_though_the_latest_is_most_like_the_incoming() -> None:
    row = [0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 3]
    after = held(row, slots=5)
    assert {row[frame] for frame in after[-1]} == {0, 1, 2, 3}
    # rule F compares with the incoming frame alone, and loses a look for copies of another
    assert {row[frame] for frame in held(row, slots=5, name="most_similar")[-1]} < {0, 1, 2, 3}


def test_a_hidden_object_is_redundant() -> None:
    assert held([0, 1, None, 2, 3, 4], slots=5)[-1] == [0, 1, 3, 4, 5]


def seeing_judge() -> Judge:
    """A judge whose looks are the keys' own: another look is at right angles."""
    judge = Judge(LOOKS + 8)
    judge.embed = lambda described: normalised(described[..., :LOOKS])  # type: ignore[method-assign]
    return judge


def test_a_look_that_the_frames_before_did_not_show_goes() -> None:
    row: list[int | None] = [0, 0, 1, 1, 1, 4, 2, 2, 2, 3, 3, 3, 3]  # 4 is a flash: unlike everything
    assert 5 in held(row, slots=5)[-1]
    after = held(row, slots=5, name="learned_redundancy", judge=seeing_judge())
    assert 5 not in after[-1] and {row[frame] for frame in after[-1]} == {0, 1, 2, 3}


def test_learned_redundancy_by_hand() -> None:
    judge, policy, state = seeing_judge(), make_policy("learned_redundancy", slots=4), MemoryState.empty()
    for frame, look in enumerate([0, 1, 1, None]):
        state = write(state, replace(shows(look, frame), judge=judge), policy)
    same, other = (float(torch.sigmoid(8 * (torch.tensor(cosine) - 0.5))) for cosine in (1.0, 0.0))
    # frame 0 has nothing before it; 1 has 0, and 0's own look for the four frames before the clip; 3 is hidden
    before = [1.0 * same, other, (same + 4 * other) / 5, other]
    nearest = [other, same, same, other]
    found = learned_redundancy(state, replace(shows(2, 4), judge=judge))[0, 0]
    expected = [near + 1 - seen for near, seen in zip(nearest, before, strict=True)]
    assert found.tolist() == pytest.approx(expected, abs=1e-5)


def test_late_objects_and_resumed_memories_keep_their_looks() -> None:
    judge, policy = seeing_judge(), make_policy("learned_redundancy", slots=4)
    memory = MemoryBuffer(policy)
    for frame, look in enumerate([0, 1, 1, 2]):
        memory.write(replace(shows(look, frame), judge=judge))
    memory.add_objects(1)
    late = shows(3, 4)
    two = {
        name: getattr(late, name).expand(-1, 2, *[-1] * (getattr(late, name).ndim - 2))
        for name in ("key", "value", "update_key", "present", "given", "foreground")
    }
    memory.write(replace(late, **two, judge=judge))
    looks_BOKAE = memory.state.looks
    assert looks_BOKAE is not None
    slot = int(memory.state.frame_index[0, 1].argmax())
    own, before = looks_BOKAE[0, :, slot, 0], looks_BOKAE[0, :, slot, 1:]
    assert torch.equal(before[1], own[1].expand(BEFORE, -1))  # of the late object nothing is known
    assert not torch.equal(before[0, 0], own[0])
    again = MemoryBuffer(policy, MemoryState(**memory.state.tensors(), size=memory.state.size))
    for one in (memory, again):
        one.write(replace(shows(0, 5), **{k: v.clone() for k, v in two.items()}, frame=5, judge=judge))
    assert torch.equal(memory.state.looks, again.state.looks)  # type: ignore[arg-type]


def test_similarities_on_objects_by_hand() -> None:
    g = torch.Generator().manual_seed(0)
    keys = torch.nn.functional.normalize(torch.randn(1, 2, 3, 6, 4, generator=g), dim=-1)
    covers = torch.rand(1, 2, 3, 6, generator=g) * (torch.rand(1, 2, 3, 6, generator=g) > 0.5)
    found = similarities_on_objects(keys, covers)[0]
    for o in range(2):
        for i in range(3):
            for j in range(3):
                best = (keys[0, o, i] @ keys[0, o, j].T).max(1).values
                expected = float((best @ covers[0, o, i] + UNSEEN) / (covers[0, o, i].sum() + UNSEEN))
                assert float(found[o, i, j]) == pytest.approx(expected, abs=1e-5)


def test_a_network_without_a_judge_says_how_to_get_one() -> None:
    network = STReMN(backbone="tiny", key_dim=8, value_dim=16, update_dim=8, decoder_dims=[8, 8, 8])
    assert "learned_redundancy" not in usable_rules(network) and "redundancy" in usable_rules(network)
    with pytest.raises(InputError, match="`judge`"):
        policy_for(network, "learned_redundancy")
    network.add_judge()
    assert policy_for(network, "learned_redundancy", slots=4).slots == 4
    with pytest.raises(InputError, match="`judge`"):
        held([0, 1, 2, 3], slots=3, name="learned_redundancy")


def test_needed_in_ranks_as_belady() -> None:
    shown = np.array([[0], [1], [2], [-1], [2], [1], [3], [0]])
    truth = Truth(shown, shown < 0)
    assert needed_in(truth, 3, [0, 1], 4, [0]) == WORTHLESS
    assert needed_in(truth, 2, [0, 1, 4], 4, [0]) == DUPLICATE
    assert needed_in(truth, 1, [0, 2], 4, [0]) == 0 and needed_in(truth, 0, [1, 2], 4, [0]) == 2
    assert needed_in(truth, 2, [0, 1], 5, [0]) == NEVER_AGAIN


def test_the_judge_learns_which_looks_are_the_same() -> None:
    torch.manual_seed(0)
    judge = Judge(8)
    optimizer = torch.optim.Adam(judge.parameters(), lr=1e-2)
    keys = torch.nn.functional.one_hot(torch.arange(4), 16).float() * 2
    row = [0, 1, 2, 3] * 6

    def batch(seed: int) -> Described:
        noise = 0.5 * torch.randn(1, len(row), 16, generator=torch.Generator().manual_seed(seed))
        return Described([keys[row][None] + noise], [Truth(np.array(row)[:, None], np.zeros((24, 1), bool))])

    def right() -> float:
        with torch.no_grad():
            return float(look_loss(judge, batch(1000), torch.Generator())["right"])

    before = right()
    for step in range(100):
        optimizer.zero_grad()
        look_loss(judge, batch(step), torch.Generator())["loss"].backward()
        optimizer.step()
    assert before < 0.8 < 0.9 < right()


def test_the_loss_of_looks_by_hand() -> None:
    judge = seeing_judge()
    row = [0, 1, 1, 2]
    keys = torch.nn.functional.one_hot(torch.tensor(row), 2 * (LOOKS + 8)).float()[None]
    worthless = np.array([[False], [False], [False], [True]])
    found = look_loss(judge, Described([keys], [Truth(np.array(row)[:, None], worthless)]), torch.Generator())
    # the pair (1, 2) is the same, four ordered pairs are not; frame 3 is worthless
    log = torch.nn.functional.logsigmoid
    expected = -(log(torch.tensor(4.0)) + log(torch.tensor(4.0))) / 2
    assert float(found["loss"].detach()) == pytest.approx(float(expected), abs=1e-5)
    assert float(found["right"]) == 1


@pytest.fixture(scope="module")
def recurring(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("recurring")
    make_vos(
        root / "vos", {"train/recurring": RecurringSettings(kind="recurring", clips=2, length=120, size=32)}
    )
    return root / "vos" / "train" / "recurring"


def test_frames_of_a_return_show_what_comes_back_first(recurring: Path) -> None:
    clips = open_clip_folder(recurring, "")
    draws = Returns.of(clips, late=2)
    rng = np.random.default_rng(0)
    for clip in range(2):
        truth = draws.truths[clip]
        assert truth is not None
        backs = returns(truth.shown[:, 0])
        for _ in range(50):
            frames = draws.draw(rng, clip, 6)
            assert frames is not None and len(frames) == 6 and np.all(np.diff(frames) > 0)
            back = max(t for t in backs if t <= frames[-2])
            assert frames[-3] < back <= frames[-2] < frames[-1] < back + AFTER
            assert truth.shown[frames[0], 0] == truth.shown[back, 0] and truth.useful[frames[0], 0]
    assert Returns([None]).draw(rng, 0, 6) is None


def test_a_sampler_without_returns_draws_what_it_always_drew(recurring: Path) -> None:
    clips = open_clip_folder(recurring, "")
    plain, never, always = (
        ClipSampler(clips, batch=2, frames=5, objects=1, size=32, max_skip=2, seed=3, returns=of, share=share)
        for of, share in ((None, 0.5), (Returns.of(clips), 0.0), (Returns.of(clips), 1.0))
    )
    assert not torch.equal(plain.batch(0).frames, always.batch(0).frames)
    assert torch.equal(plain.batch(0).frames, plain.batch(0).frames)
    assert never.batch(0).frames.shape == always.batch(0).frames.shape


def test_clips_are_described_by_what_the_network_makes_of_the_true_masks(
    recurring: Path, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    network = STReMN(backbone="tiny", key_dim=8, value_dim=16, update_dim=8, decoder_dims=[8, 8, 8]).eval()
    clips = open_clip_folder(recurring, "")
    batch = DescribedClips(network, clips, batch=3, seed=0).batch(0)
    keys, clip = next(
        (keys, clips[i])
        for keys, truth in zip(batch.keys, batch.truths, strict=True)
        for i, known in enumerate(truths_of(clips))
        if np.array_equal(truth.shown, known.shown)
    )
    frame = next(t for t in range(40, 120) if (clip.masks[t] == 1).any())
    with torch.no_grad():
        query = network.encode_query(
            torch.from_numpy(clip.frames[frame]).permute(2, 0, 1)[None].float() / 255
        )
        mask = torch.from_numpy(clip.masks[frame] == 1)[None, None].float()
        key = network.encode_memory(query, mask)[0][0, 0].flatten(-2)
    cover = torch.nn.functional.adaptive_avg_pool2d(mask, query.key.shape[-2:]).flatten()
    mean = (key * cover).sum(-1) / cover.sum()
    deviation = ((key - mean[:, None]).square() * cover).sum(-1).div(cover.sum()).sqrt()
    assert torch.allclose(keys[0, frame], torch.cat([mean, deviation]), atol=1e-4)
    (tmp_path / "plain" / "JPEGImages").mkdir(parents=True)
    with pytest.raises(InputError, match="kind: recurring"):
        DescribedClips(network, type(clips)(tmp_path, []), batch=2)


def test_the_oracle_segments_a_folder_with_what_its_clips_show(recurring: Path) -> None:
    torch.manual_seed(0)
    network = STReMN(backbone="tiny", key_dim=8, value_dim=16, update_dim=8, decoder_dims=[8, 8, 8])
    clips = open_clip_folder(recurring, "")
    truths = truths_of(clips)
    folder = segment_folder(network, clips, belady(truths, slots=4), batch=2, trace=True, progress=False)
    for i, name in enumerate(clips.names):
        alone = Trace()
        frames = torch.from_numpy(clips[i].frames).permute(0, 3, 1, 2)[None].float() / 255
        masks = torch.from_numpy(clips[i].masks)[None]
        with torch.no_grad():
            rollout(network, frames, masks, clips[i].objects, belady([truths[i]], slots=4), trace=alone)
        assert [step.held for step in folder[name].steps] == [step.held for step in alone.steps]
    assert folder[clips.names[0]].steps[-1].held != folder[clips.names[1]].steps[-1].held


def test_clips_that_do_not_know_their_appearances_have_no_oracle(tmp_path: Path) -> None:
    clip = Clip("a", np.zeros((3, 8, 8, 3), np.uint8), np.ones((3, 8, 8), np.uint8), 1)
    write_clip(tmp_path, clip)
    with pytest.raises(InputError, match="kind: recurring"):
        truths_of(open_clip_folder(tmp_path, ""))
