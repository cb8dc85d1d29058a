"""The checkpoint that comes with the package: what its description says, and that it follows objects."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import stremn
from stremn.data.clips import Clip
from stremn.data.datasets import open_clips
from stremn.evaluation.region import region_similarity
from stremn.generate.procedural import ClipSettings, make_clip
from stremn.inference.open import default_size
from stremn.models.checkpoints import load_model, read_meta, shipped_checkpoint, to_bytes


def followed(clip: Clip, size: int | None = None) -> tuple[float, float]:
    """Mean J of all objects after the first frame: of the network, and of keeping the first mask.

    size: shorter side that the network looks at; None: the clip's own.
    """
    stream = stremn.open_stream(size=size)
    ids = [
        stream.ids(stream.step(frame, clip.masks[0] if t == 0 else None))
        for t, frame in enumerate(clip.frames)
    ]
    truth = clip.masks[1:]
    objects = [o for o in np.unique(clip.masks[0]) if o]
    ours = [region_similarity(np.stack(ids[1:]) == o, truth == o).mean() for o in objects]
    kept = [
        region_similarity(np.broadcast_to(clip.masks[0] == o, truth.shape), truth == o).mean()
        for o in objects
    ]
    return float(np.mean(ours)), float(np.mean(kept))


@pytest.mark.parametrize("natural", [0.0, 1.0])
def test_it_follows_objects_of_generated_clips(natural: float) -> None:
    """Photographs of the test group and a seed that no profile has: scenes that it has not seen."""
    settings = ClipSettings(length=20, size=96, objects=2, natural=natural, seed=91)
    ours, kept = np.mean([followed(make_clip(settings, "test", n)) for n in range(3)], axis=0)
    assert ours > 0.5 and ours > kept + 0.3


def test_it_follows_a_real_dog(shared: Callable[[str], Path]) -> None:
    clips = open_clips("davis-2016", shared("DAVIS"), "val")
    size = default_size(read_meta(shipped_checkpoint()))
    ours, kept = followed(clips.take(clips.names.index("dog"), list(range(12))), size)
    assert ours > 0.6 and ours > kept + 0.2


def test_its_description_is_of_this_file(root: Path) -> None:
    path = shipped_checkpoint()
    told = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert told["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.stat().st_size <= 10 * 2**20
    table = pd.read_csv(root / "results/shipped/evaluate_vos/tables/systems.csv", index_col=0)
    for name, row in {"learned": "Learned (STReMN)", "first_mask": "Keep the first mask"}.items():
        assert 100 * told["test_scores"][name]["J&F-Mean"] == pytest.approx(table.loc[row, "J&F"], abs=0.01)


def test_a_checkpoint_has_the_same_bytes_for_the_same_weights() -> None:
    # else DVC would train on from equal weights again
    model, meta = load_model(shipped_checkpoint())
    assert len({to_bytes(model, meta) for _ in range(8)}) == 1
