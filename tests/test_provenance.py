"""What a log says of where a run's numbers come from."""

import subprocess
from pathlib import Path

import pytest

from stremn import paths
from stremn.provenance import BASELINE, EXPERIMENT, commit, origin


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (BASELINE, EXPERIMENT):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "a.py").write_text("a = 1\n")
    for words in (["init", "-q"], ["add", "a.py"], ["commit", "-q", "-m", "first"]):
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", "-C", str(tmp_path), *who, *words], check=True)
    return tmp_path


def test_the_commit_says_when_files_differ(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head = commit(repository)
    assert len(head) == 40
    (repository / "new.py").write_text("")  # not known to git
    assert commit(repository) == head
    (repository / "a.py").write_text("a = 2\n")
    assert commit(repository) == f"{head}-changed"
    monkeypatch.setenv(BASELINE, "f" * 40)  # an experiment of DVC
    assert commit(repository) == "f" * 40 + "-changed"


def test_without_git_nothing_is_said(tmp_path: Path) -> None:
    assert commit(tmp_path) == ""


def test_tags_of_a_stage_of_an_experiment_and_of_data_of_ones_own(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = origin(repository, "demo", "pretrain", {}, "")
    assert found["tags"]["commit"] == commit(repository) and "experiment" not in found | found["tags"]
    manifest = paths.output(repository, "demo", "data") / "manifest.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_text("{}")
    monkeypatch.setenv(EXPERIMENT, "four-slots")
    found = origin(repository, "demo", "pretrain", {}, "")
    assert found["experiment"] == found["tags"]["experiment"] == "four-slots"
    assert found["data"] == {"name": "demo", "digest": found["tags"]["data"]}
    own = repository / "my_clips"
    own.mkdir()
    (own / "clip.png").write_bytes(b"1")
    digests = set()
    for content in (b"1", b"12"):
        (own / "clip.png").write_bytes(content)
        one = origin(repository, "demo", "evaluate_vos", {"data": str(own)}, "my_clips")
        assert one["data"]["name"] == "my_clips" and one["experiment"] == "my_clips"
        digests.add(one["data"]["digest"])
    assert len(digests) == 2
