"""A researcher's own rule in one file, and own clips in a folder: checked, and evaluated without training."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from stremn import paths, resume_stream
from stremn.cli import main
from stremn.data.clips import Clip, write_clip, write_mask
from stremn.data.own_clips import check_clips, open_own_clips
from stremn.data.prepared import Source, write_source
from stremn.errors import InputError, InputWarning
from stremn.explore import page
from stremn.explore.session import Session
from stremn.generate.procedural import ClipSettings, make_clip
from stremn.inference.open import open_stream
from stremn.inference.plugin import load_plugin
from stremn.memory import POLICIES, Trace
from stremn.models.checkpoints import save_model
from stremn.models.stremn import STReMN
from stremn.segmenting.video_writer import VideoWriter
from stremn.stages import evaluate_vos
from stremn.stages.base import checked_parameters
from test_contributing import PAGE, example

FIELDS: dict[str, Any] = {
    "backbone": "tiny",
    "key_dim": 8,
    "value_dim": 8,
    "update_dim": 8,
    "decoder_dims": (8, 8, 8),
}
HEAD = "import torch\nfrom stremn import memory_rule\nfrom stremn.memory import POLICIES\n"
RULE = '@memory_rule("Mine")\ndef {}(incoming):\n    return {}\n'
OLDEST = "POLICIES['oldest'].rule(incoming)"


@pytest.fixture(autouse=True)
def only_the_package_s_rules() -> Iterator[None]:
    before = dict(POLICIES)
    yield
    POLICIES.clear()
    POLICIES.update(before)


@pytest.fixture(scope="module")
def clip() -> Clip:
    return make_clip(ClipSettings(length=10, size=32, objects=1), "test", 0)


@pytest.fixture
def project(tmp_path: Path, clip: Clip, root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one clip and a network; it is the working folder and has a video ``dog.mp4``."""
    block = "{slots: 3, learned_slots: [3], rules: [learned, oldest], plugin: plugins, device: cpu}"
    (tmp_path / "params.yaml").write_text(f"demo:\n  evaluate_vos: {block}\n  cost: {{slots: 3}}\n")
    notebook = "notebooks/04_evaluate_vos.ipynb"
    (tmp_path / "notebooks").mkdir()
    (tmp_path / notebook).write_bytes((root / notebook).read_bytes())
    (tmp_path / "plugins").mkdir()
    data = paths.output(tmp_path, "demo", "data")
    write_clip(data / "vos" / "test", clip)
    write_source(data / "vos" / "test", Source(dataset="clips", split="test"))
    torch.manual_seed(0)
    for stage in ("pretrain", "finetune"):
        file = paths.network(paths.output(tmp_path, "demo", stage), "stremn")
        save_model(file, STReMN(**FIELDS), {"system": "stremn", "fields": FIELDS})
    with VideoWriter(tmp_path / "dog.mp4", 10) as video:
        for frame in clip.frames:
            video.write(frame)
    write_mask(tmp_path / "dog.png", clip.masks[0])
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def commands(heading: str) -> list[list[str]]:
    """The commands of a section's block without a language, in words."""
    section = PAGE.read_text(encoding="utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    (block,) = re.findall(r"```\n(stremn .*?)```", section, re.S)
    return [line.split("#")[0].split()[1:] for line in block.splitlines()]


def test_contributing_s_rule_by_the_commands_beside_it(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "my_rule.py").write_text(example("Add a memory rule"))
    served: list[dict[str, Any]] = []
    monkeypatch.setattr(page, "serve", lambda settings, **_: served.append(settings))
    shown = commands("Add a memory rule")
    assert [words[0] for words in shown] == ["segment", "explore", "run"]
    for words in shown:
        assert main(words) == 0, capsys.readouterr().err
    trace = Trace.load(project / "results" / "spread" / "trace.json")
    assert trace.about["policy"] == "spread"
    assert f"plugin={str(project / 'my_rule.py')!r}" in page.page(served[0]).cells[0].source
    out = paths.runs(project, "demo") / "evaluate_vos-my_rule"
    table = pd.read_csv(out / "tables" / "systems.csv", index_col=0)
    assert {"Spread evenly", "Learned (STReMN)", "(A) Remove oldest"} <= set(table.index)
    assert json.loads((out / "runs.json").read_text())["spread"]["trace"]
    assert (out / "traces" / "spread").is_dir()
    assert not paths.output(
        project, "demo", "evaluate_vos"
    ).exists()  # the profile's own results stay as they were


def test_the_folder_of_the_profile_is_read_and_may_be_empty(project: Path) -> None:
    checked = checked_parameters(project, "demo", "evaluate_vos", {})
    assert isinstance(checked, evaluate_vos.Parameters)
    assert evaluate_vos.with_own_rules(checked, project).rules == ["learned", "oldest"]
    for name in ("b", "a"):
        (project / "plugins" / f"{name}.py").write_text(HEAD + RULE.format(f"rule_{name}", OLDEST))
    assert evaluate_vos.with_own_rules(checked, project).rules == ["learned", "oldest", "rule_a", "rule_b"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "found nothing there"),
        ("def spread(:", "SyntaxError.*line 1"),
        ("\n\nspread = 1 / 0", "ZeroDivisionError.*line 3"),
        ("import no_such_module", "ModuleNotFoundError.*line 1"),
        ("x = 1", "expected a rule in .*found none"),
        (HEAD + RULE.format("oldest", OLDEST), "'oldest', which is taken"),
        (HEAD + "POLICIES['oldest'] = POLICIES['newest']", "'oldest', which is taken"),
        (HEAD + 2 * RULE.format("twice", OLDEST), "'twice', which is taken"),
        (HEAD + "POLICIES['mine'] = len", "an Entry"),
        (HEAD + "POLICIES['../mine'] = POLICIES['newest']", "letters, digits"),
        (HEAD + '@memory_rule("Mine", fixd=True)\ndef mine(i): ...', "fixd"),
        ("\x00", "found"),
    ],
)
@pytest.mark.parametrize("command", ["segment", "explore", "run"])
def test_a_wrong_file_is_one_line_and_leaves_the_rules_as_they_were(
    project: Path, capsys: pytest.CaptureFixture[str], text: str | None, words: str, command: str
) -> None:
    if text is not None:
        (project / "my_rule.py").write_text(text)
    (shown,) = [line for line in commands("Add a memory rule") if line[0] == command]
    before = dict(POLICIES)
    assert main(shown) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and re.search(words, err), err
    assert before == POLICIES
    assert not (project / "data" / "runs" / "demo" / "evaluate_vos-my_rule").exists()
    assert not (project / "mlflow.db").exists()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("incoming.held.float() * 0 + 1", "a row"),
        ("incoming.evictable.float()[..., :-1]", r"found \(1, 1, 0\)"),
        ("None", "found NoneType"),
        ("0.5 * POLICIES['oldest'].rule(incoming)", "a row"),
        ("(~incoming.occupied).float()", "a new slot where all 3"),
    ],
)
def test_a_rule_that_answers_nonsense_is_told(tmp_path: Path, clip: Clip, answer: str, words: str) -> None:
    file = tmp_path / "my_rule.py"
    entry = f"POLICIES['mine'] = Entry(lambda incoming: {answer}, 'Mine', 'here', fixed=True)"
    file.write_text(f"{HEAD}from stremn.memory.policies import Entry\n{entry}")
    stream = open_stream(plugin=file, slots=3)
    with pytest.raises(InputError, match=f"rule 'mine' of my_rule.py: expected weights .*{words}"):
        for t, frame in enumerate(clip.frames):
            stream.step(frame, None if t else clip.masks[0])


def test_a_file_may_be_read_again_and_entered_as_the_package_s_rules_are(tmp_path: Path, clip: Clip) -> None:
    file = tmp_path / "my_rule.py"
    file.write_text(
        HEAD
        + "from dataclasses import replace\n"
        + "POLICIES['mine'] = replace(POLICIES['newest'], title='x')"
    )
    assert load_plugin(file) == ["mine"] == load_plugin(file)
    kept = {}
    for rule, plugin in (("mine", file), ("newest", None)):
        stream = open_stream(plugin=plugin, policy=rule, slots=2)
        for t, frame in enumerate(clip.frames):
            last = stream.step(frame, None if t else clip.masks[0])
        kept[rule] = last
    assert torch.equal(kept["mine"], kept["newest"])
    file.write_text(HEAD + RULE.format("other", OLDEST))
    assert load_plugin(file) == ["other"] and "mine" not in POLICIES


def test_several_rules_in_a_file_need_a_name(tmp_path: Path) -> None:
    file = tmp_path / "my_rule.py"
    file.write_text(HEAD + RULE.format("one", OLDEST) + RULE.format("two", OLDEST))
    with pytest.raises(InputError, match=r"expected one rule .*found one, two"):
        open_stream(plugin=file)
    assert open_stream(plugin=file, policy="two").policy.name == "two"


def test_a_saved_stream_knows_its_plugin(tmp_path: Path, clip: Clip) -> None:
    file, saved = tmp_path / "my_rule.py", tmp_path / "s.safetensors"
    file.write_text(HEAD + RULE.format("mine", OLDEST))
    stream = open_stream(plugin=file, slots=2)
    for t, frame in enumerate(clip.frames[:5]):
        stream.step(frame, None if t else clip.masks[0])
    stream.save(saved)
    del POLICIES["mine"]  # another process begins without it
    with pytest.raises(InputError, match=r"my_rule.py\), found none named: it is a program"):
        resume_stream(saved)  # a saved file may be somebody else's
    again = resume_stream(saved, plugin=file)
    assert all(torch.equal(again.step(f), stream.step(f)) for f in clip.frames[5:])
    file.write_text(file.read_text() + "\n# changed")
    with pytest.raises(InputError, match="as they were at the beginning"):
        resume_stream(saved, plugin=file)


def test_a_race_of_the_explorer_has_the_rule(tmp_path: Path, clip: Clip) -> None:
    (tmp_path / "my_rule.py").write_text(HEAD + RULE.format("mine", OLDEST))
    session = Session.open(clip.frames, truth=clip.masks, plugin=tmp_path / "my_rule.py", slots=3)
    assert "mine" in session.rules()
    mine, oldest = session.race(["mine", "oldest"])
    assert all(np.array_equal(mine.masks[t], oldest.masks[t]) for t in range(len(clip.frames)))


def test_only_the_evaluation_takes_a_plugin(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "cost", "--plugin", "my_rule.py"]) == 2
    assert "stage evaluate_vos, found cost" in capsys.readouterr().err


# --- clips of one's own

LAYOUTS = {  # folders of a clip's frames and masks
    "DAVIS": ("JPEGImages/480p/{}", "Annotations/480p/{}"),
    "YouTube-VOS": ("JPEGImages/{}", "Annotations/{}"),
    "plain": ("frames/{}", "masks/{}"),
    "by clip": ("{}/frames", "{}/masks"),
}


def write_own(
    root: Path, clip: Clip, layout: str, names: tuple[str, ...] = ("a", "b"), grey: bool = True
) -> Path:
    """Clips in a layout; masks are grey 0 and 255 of every second frame."""
    for name in names:
        images, masks = (root / part.format(name) for part in LAYOUTS[layout])
        images.mkdir(parents=True)
        masks.mkdir(parents=True)
        for t in range(len(clip)):
            Image.fromarray(clip.frames[t]).save(images / f"{t:03d}.png")
            if t % 2 == 0:
                mask = (clip.masks[t] > 0).astype(np.uint8)
                Image.fromarray(mask * 255 if grey else mask).save(masks / f"{t:03d}.png")
    return root


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_of_clips_is_found(tmp_path: Path, clip: Clip, layout: str) -> None:
    clips = open_own_clips(write_own(tmp_path / "mine", clip, layout))
    assert clips.names == ["a", "b"] and check_clips(clips) == (32, 32)
    assert clips.annotated(1) == [0, 2, 4, 6, 8]
    assert (clips[1].frames == clip.frames).all()
    assert ((clips[0].masks[::2] == 1) == (clip.masks[::2] > 0)).all() and clips[0].objects == 1


def test_a_folder_may_be_one_clip_and_splits_are_named(tmp_path: Path, clip: Clip) -> None:
    one = write_own(tmp_path / "one", clip, "by clip", ("a",)) / "a"
    assert open_own_clips(one).names == ["a"]
    for split in ("train", "valid"):
        write_own(tmp_path / "set" / split, clip, "YouTube-VOS")
    with pytest.raises(InputError, match=r"found the splits train, valid: name one, such as .*set/train"):
        open_own_clips(tmp_path / "set")
    assert open_own_clips(tmp_path / "set", "valid").names == ["a", "b"]


def test_all_rules_on_clips_of_ones_own_by_the_package_s_network(
    project: Path, clip: Clip, capsys: pytest.CaptureFixture[str]
) -> None:
    for stage in ("data", "pretrain", "finetune"):  # nothing was generated or trained
        shutil.rmtree(paths.output(project, "demo", stage))
    write_own(project / "mine", clip, "plain")
    assert main(["run", "evaluate_vos", "--data", "mine"]) == 0, capsys.readouterr().err
    out = paths.runs(project, "demo") / "evaluate_vos-mine"
    table = pd.read_csv(out / "tables" / "systems.csv", index_col=0)
    assert {"Learned (STReMN)", "(A) Remove oldest"} <= set(table.index) and len(table) == 3
    scores = json.loads((out / "scores.json").read_text())["learned"]
    assert scores["per_frame"]["a_1"]["frames"] == [2, 4, 6, 8] or len(scores["per_frame"]["a_1"]["J"]) == 4
    write_own(project / "other" / "mine", clip, "plain")
    assert main(["run", "evaluate_vos", "--data", "other/mine"]) == 2
    assert "move the folder away" in capsys.readouterr().err


def _broken(folder: Path, how: str) -> None:
    masks = sorted((folder / "masks" / "b").iterdir())
    if how == "none":
        shutil.rmtree(folder)
    elif how == "empty":
        shutil.rmtree(folder / "masks")
    elif how == "size":
        Image.fromarray(np.ones((8, 8), np.uint8)).save(masks[-1])
    elif how == "damaged":
        masks[-1].write_bytes(b"no picture")
    elif how == "first only":
        for path in masks[1:]:
            path.unlink()
    elif how == "background":
        for path in masks:
            Image.fromarray(np.zeros((32, 32), np.uint8)).save(path)
    elif how == "names":
        (folder / "masks" / "b").rename(folder / "masks" / "c")
        (folder / "masks" / "a").rename(folder / "masks" / "d")
    elif how == "colours":
        noise = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
        Image.fromarray(noise).save(masks[-1])


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("none", "expected a folder of clips"),
        ("empty", "expected clips in .*frames"),
        ("size", "expected a mask of 32x32.*8x8"),
        ("damaged", "008.png"),
        ("first only", "to score against, found none"),
        ("background", "expected a mask with an object in clip b"),
        ("names", "name them as the folders of frames"),
        ("colours", "mask of object ids"),
    ],
)
def test_wrong_clips_are_one_line_before_anything_is_done(
    project: Path, clip: Clip, capsys: pytest.CaptureFixture[str], how: str, words: str
) -> None:
    _broken(write_own(project / "mine", clip, "plain"), how)
    assert main(["run", "evaluate_vos", "--data", "mine"]) == 2
    err = capsys.readouterr().err
    assert err.count("error") == 1 and re.search(words, err), err
    assert not (project / "mlflow.db").exists()


def test_a_network_of_small_clips_says_so(project: Path, clip: Clip) -> None:
    file = paths.network(paths.output(project, "demo", "finetune"), "stremn")
    save_model(file, STReMN(**FIELDS), {"system": "stremn", "fields": FIELDS, "default_size": 8})
    write_own(project / "mine", clip, "plain")
    changes = {"data": str(project / "mine")}
    checked_parameters(project, "demo", "evaluate_vos", changes)  # four times as large: not yet
    save_model(file, STReMN(**FIELDS), {"system": "stremn", "fields": FIELDS, "default_size": 7})
    with pytest.warns(InputWarning, match=r"trained at 7 pixels, the clips are 32.32: .*--profile shipped"):
        checked_parameters(project, "demo", "evaluate_vos", changes)


def test_clips_in_params_belong_to_the_stage_data(project: Path) -> None:
    settings = project / "params.yaml"
    settings.write_text(settings.read_text().replace("plugin: plugins", "data: mine"))
    with pytest.raises(InputError, match="expected clips in the block data"):
        checked_parameters(project, "demo", "evaluate_vos", {})


def test_a_wrong_path_of_a_dataset_is_told_before_anything_is_generated(
    project: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generated = "{clips: 1, length: 8, size: 32}"
    vos = f"{{train: {generated}, val: {generated}, test: {{dataset: own-clips, path: data/raw/lab}}}}"
    others = "static: {images: 2, size: 40}, walkers: {train: 1, val: 1, test: 1, length: 14, size: 32}"
    (project / "params.yaml").write_text(f"demo:\n  data: {{vos: {vos}, {others}}}\n")
    (project / "notebooks" / "01_data.ipynb").write_bytes((root / "notebooks" / "01_data.ipynb").read_bytes())
    assert main(["run", "data"]) == 2
    assert re.search(r"dataset own-clips .*data/raw/lab, found nothing", capsys.readouterr().err)
