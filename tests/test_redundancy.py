"""Redundancy and worth: which template tells what no other tells; the judge that learns it; training on returns."""

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
from stremn.memory.redundancy import UNSEEN, similarities_on_objects
from stremn.models.stremn import STReMN
from stremn.models.update import Judge
from stremn.tasks.rules import policy_for, usable_rules
from stremn.tasks.vos import rollout
from stremn.training.imitation import SCALE, Game, Games, imitation_loss

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


def test_a_worthless_look_stays_unless_the_judge_knows_it() -> None:
    row = [0, 1, 4, 2, 3, 3, 3]  # 4 is a flash: unlike everything
    assert 2 in held(row, slots=5)[-1]
    judge = Judge(LOOKS + 8, key_dim=LOOKS + 8, width=1)
    with torch.no_grad():
        judge.key.weight.copy_(torch.eye(LOOKS + 8))
        judge.first.weight.zero_()
        judge.first.weight[0, (LOOKS + 8) + 4] = 1  # mean value 4 where the object is
        judge.first.bias.zero_()
        judge.last.weight.fill_(2.0)
    assert 2 not in held(row, slots=5, name="learned_redundancy", judge=judge)[-1]
    assert {row[f] for f in held(row, slots=5, name="learned_redundancy", judge=judge)[-1]} == {0, 1, 2, 3}


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
    with pytest.raises(InputError, match="`imitation`"):
        policy_for(network, "learned_redundancy")
    network.add_judge()
    assert policy_for(network, "learned_redundancy", slots=4).slots == 4
    with pytest.raises(InputError, match="`imitation`"):
        held([0, 1, 2, 3], slots=3, name="learned_redundancy")


def test_needed_in_ranks_as_belady() -> None:
    shown = np.array([[0], [1], [2], [-1], [2], [1], [3], [0]])
    truth = Truth(shown, shown < 0)
    assert needed_in(truth, 3, [0, 1], 4, [0]) == WORTHLESS
    assert needed_in(truth, 2, [0, 1, 4], 4, [0]) == DUPLICATE
    assert needed_in(truth, 1, [0, 2], 4, [0]) == 0 and needed_in(truth, 0, [1, 2], 4, [0]) == 2
    assert needed_in(truth, 2, [0, 1], 5, [0]) == NEVER_AGAIN


def game(row: list[int], flashes: set[int] = frozenset()) -> Game:  # type: ignore[assignment]
    """A game on perfect features; a flash is a look of its own."""
    looks = [4 if t in flashes else look for t, look in enumerate(row)]
    templates = [shows(look, t, background=t % 7) for t, look in enumerate(looks)]
    values = torch.stack([t.value[0].flatten(-2).transpose(-1, -2) for t in templates], 1)[None]
    covers = torch.stack([t.foreground[0].flatten(-2) for t in templates], 1)[None]  # type: ignore[index]
    return Game(
        values, covers, Truth(np.array(row)[:, None], np.isin(np.arange(len(row)), list(flashes))[:, None])
    )


def row_of(seed: int) -> tuple[list[int], set[int]]:
    rng = np.random.default_rng(seed)
    row = [int(look) for look in rng.permutation(4) for _ in range(8)] * 2
    return row, {int(t) for t in rng.choice(np.arange(1, len(row)), 8, replace=False)}


def test_the_judge_learns_what_belady_does() -> None:
    torch.manual_seed(0)
    judge = Judge(LOOKS + 8)
    optimizer = torch.optim.Adam(judge.parameters(), lr=1e-2)

    def agreement() -> float:
        with torch.no_grad():
            g = torch.Generator().manual_seed(1)
            return float(
                np.mean(
                    [float(imitation_loss(judge, game(*row_of(s)), g)["agreement"]) for s in range(50, 55)]
                )
            )

    before = agreement()
    for step in range(40):
        optimizer.zero_grad()
        imitation_loss(judge, game(*row_of(step)), torch.Generator().manual_seed(step))["loss"].backward()
        optimizer.step()
    assert before < 0.8 < 0.9 < agreement()


def test_the_loss_of_imitation_by_hand() -> None:
    one = game([0, 0, 1, 0, 2])
    judge = Judge(LOOKS + 8, key_dim=LOOKS + 8)
    with torch.no_grad():
        judge.key.weight.copy_(torch.eye(LOOKS + 8))
    found = imitation_loss(judge, one, torch.Generator(), slots=(4, 4), follow_oracle=0.0)
    # frame 4 comes to the slots 0, 1, 2, 3: 1 and 3 are duplicates of 0 (similarity 1), 2 is like nothing
    unlike = UNSEEN / (2 + UNSEEN)
    scores = torch.tensor([1.0, unlike, 1.0]) * SCALE
    expected = -scores.log_softmax(0)[[0, 2]].logsumexp(0)
    assert (
        float(found["loss"].detach()) == pytest.approx(float(expected), abs=1e-4)
        and float(found["agreement"]) == 1
    )


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


def test_games_are_what_the_network_makes_of_the_true_masks(recurring: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = STReMN(backbone="tiny", key_dim=8, value_dim=16, update_dim=8, decoder_dims=[8, 8, 8]).eval()
    clips = open_clip_folder(recurring, "")
    games = Games(network, clips, most=2, seed=0)
    assert games.batch(0) is not games.batch(1) and games.batch(2) in (games.batch(0), games.batch(1))
    one = games.batch(0)
    clip = clips[0] if one.truth is games.truths[0] else clips[1]
    frame = 50
    with torch.no_grad():
        query = network.encode_query(
            torch.from_numpy(clip.frames[frame]).permute(2, 0, 1)[None].float() / 255
        )
        masks = torch.stack([torch.from_numpy(clip.masks[frame] == o + 1) for o in range(clip.objects)])[
            None
        ].float()
        value = network.encode_memory(query, masks)[1].flatten(-2).transpose(-1, -2)
    assert torch.allclose(one.values[:, :, frame], value, atol=1e-5)
    (tmp_path / "plain" / "JPEGImages").mkdir(parents=True)
    with pytest.raises(InputError, match="kind: recurring"):
        Games(network, type(clips)(tmp_path, []), most=2)


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
