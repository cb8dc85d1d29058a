"""The examples of CONTRIBUTING.md are complete and work."""

import re
from pathlib import Path

import numpy as np
import torch

from stremn.data.clips import Clip, write_clip
from stremn.data.datasets import DATASETS, open_clips
from stremn.inference.plugin import load_plugin
from stremn.memory import POLICIES, MemoryState, Template, make_policy, write

PAGE = Path(__file__).parents[1] / "CONTRIBUTING.md"


def example(heading: str) -> str:
    section = PAGE.read_text(encoding="utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.S)
    lines = [line for line in code.splitlines() if line.strip() and not line.startswith(("import", "from"))]
    assert len(lines) <= 20
    return code


def template(frame: int) -> Template:
    torch.manual_seed(frame)
    key, one = torch.randn(1, 1, 4, 2, 2), torch.ones(1, 1, dtype=torch.bool)
    return Template(key, key, key, key[:, 0], frame, one, one if frame == 0 else ~one)


def test_the_rule(tmp_path: Path) -> None:
    file = tmp_path / "my_rule.py"
    file.write_text(example("Add a memory rule"))
    try:
        assert load_plugin(file) == ["spread"]
        policy, state = make_policy("spread", slots=3), MemoryState.empty()
        held = []
        for frame in range(5):
            state = write(state, template(frame), policy)
            held.append(sorted(state.frame_index[0, 0].tolist()))
        # of 1 and 2 either is one frame after another: the first goes; then 3 is next to 2
        assert held == [[0], [0, 1], [0, 1, 2], [0, 2, 3], [0, 2, 4]]
    finally:
        del POLICIES["spread"]


def test_the_dataset(tmp_path: Path) -> None:
    frames, masks = np.zeros((2, 16, 16, 3), np.uint8), np.ones((2, 16, 16), np.uint8)
    write_clip(tmp_path / "test", Clip("a", frames, masks, 1))
    for ours, theirs in (("JPEGImages", "frames"), ("Annotations", "masks")):
        (tmp_path / "test" / ours).rename(tmp_path / "test" / theirs)
    exec(compile(example("Add a dataset"), str(PAGE), "exec"), {})
    try:
        clips = open_clips("lab", tmp_path, "test", limit=1)
        assert clips.names == ["a"] and (clips[0].masks == 1).all()
    finally:
        del DATASETS["lab"]
