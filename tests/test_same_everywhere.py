"""Numbers that travel: a training ends with the same bits whatever the CPU, its load and its number of cores."""

import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from stremn.device import SAME_EVERYWHERE

TRAINING = """
import hashlib
from functools import partial

import numpy as np
from stremn.data.batches import ClipBatch
from stremn.generate.procedural import ClipSettings, make_clip
from stremn.models.registry import build_model
from stremn.training.clip_loss import clip_loss
from stremn.training.loop import Plan, fit, seed_everything
import torch

seed_everything(0)
clips = [make_clip(ClipSettings(clips=2, length=24, size=64, seed=0), "train", index) for index in (0, 1)]
frames = torch.from_numpy(np.stack([clip.frames[:6] for clip in clips])).permute(0, 1, 4, 2, 3).float() / 255
masks = torch.from_numpy(np.stack([clip.masks[:6] == 1 for clip in clips])).long()
batch = ClipBatch(frames, masks, torch.ones(2, 1, dtype=torch.bool))
fields = dict(backbone="tiny", key_dim=16, value_dim=32, update_dim=8, decoder_dims=[16, 16, 8])
model = build_model("stremn", fields)
plan = Plan(steps=4, learning_rate=1e-3, log_every=4)
fit(model, lambda start, stop: iter([batch] * (stop - start)), partial(clip_loss, slots=(3, 3)), plan, seed=0)
print(hashlib.sha256(frames.numpy().tobytes()).hexdigest()[:16])
print(hashlib.sha256(b"".join(w.numpy().tobytes() for w in model.state_dict().values())).hexdigest()[:16])
"""

DATA_AND_WEIGHTS = ["04ec055d4973e181", "c516125f92a2f7c7"]  # of an AMD EPYC with AVX2
KNOWN = (
    platform.machine() == "x86_64"
    and torch.backends.cpu.get_cpu_capability().startswith("AVX")
    and version("torch").split("+")[0] == "2.13.0"
)


def hashes(**environment: str) -> list[str]:
    """Of the data and of the weights after a few steps, in a process with this environment."""
    clean = {name: value for name, value in os.environ.items() if name not in SAME_EVERYWHERE}
    path = str(Path(__file__).parents[1] / "pipeline")
    done = subprocess.run(
        [sys.executable, "-c", TRAINING],
        env={**clean, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.skipif(not KNOWN, reason="the committed bits are of torch 2.13.0 on x86 CPUs with AVX2")
def test_data_and_weights_have_the_committed_bits() -> None:
    assert hashes(**SAME_EVERYWHERE) == DATA_AND_WEIGHTS
    # and the hash sees the last digits of another instruction set
    assert hashes(**SAME_EVERYWHERE | {"MKL_CBWR": "AVX2"}) != DATA_AND_WEIGHTS
