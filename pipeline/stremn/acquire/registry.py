"""Source archives of the package registry, fetched by pip as it is configured; nothing in them is run.

pip asks a source archive for its metadata, for which it would run the archive's ``setup.py``. Here it finds,
in place of setuptools, a build backend of ours that answers with the name and version alone.
"""

import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from stremn.acquire.download import Stopped
from stremn.errors import InputError

BACKEND = """
import os, sys
__legacy__ = sys.modules[__name__]

def get_requires_for_build_wheel(settings=None):
    return []

def prepare_metadata_for_build_wheel(folder, settings=None):
    name, version = os.environ["STREMN_PACKAGE"].split("==")
    place = f"{name.replace('-', '_')}-{version}.dist-info"
    os.mkdir(os.path.join(folder, place))
    with open(os.path.join(folder, place, "METADATA"), "w") as file:
        file.write(f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n")
    return place
"""
OPTIONS = ["--no-deps", "--no-binary", ":all:", "--no-build-isolation", "--require-hashes", "--retries", "1"]


def fetch_package(package: str, sha256: str, path: Path, stop: threading.Event | None = None) -> None:
    """Fetch the source archive of a package.

    Args:
        package: ``name==version``.
        sha256: of the archive; pip refuses another one before it opens it.
        path: where the archive is to lie, under the name that it has in the registry.
        stop: when set, pip is ended.

    Raises:
        InputError: it cannot be had, or is another file.
        Stopped: ``stop`` was set.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        folder = Path(scratch)
        (folder / "setuptools").mkdir()
        (folder / "setuptools" / "__init__.py").touch()
        (folder / "setuptools" / "build_meta.py").write_text(BACKEND, encoding="utf-8")
        wanted = folder / "wanted.txt"
        wanted.write_text(f"{package} --hash=sha256:{sha256}\n", encoding="utf-8")
        command = [sys.executable, "-m", "pip", "download", "-q", *OPTIONS, "-r", str(wanted), "-d", scratch]
        ours = {"PYTHONPATH": scratch, "STREMN_PACKAGE": package, "PIP_USE_PEP517": "1"}  # pip before 25
        said = _run(command, {**os.environ, **ours}, stop or threading.Event())
        if not (folder / path.name).is_file():
            raise InputError(f"expected {package} from the package registry, found: {_reason(said)}")
        os.replace(folder / path.name, path)


def _run(command: list[str], environment: dict[str, str], stop: threading.Event) -> str:
    """What a program says until it ends, or is ended because ``stop`` was set."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    process: subprocess.Popen[str] = subprocess.Popen(command, env=environment, **streams)  # type: ignore[call-overload]
    while True:
        try:
            return process.communicate(timeout=0.2)[0]
        except subprocess.TimeoutExpired:
            if stop.is_set():
                process.terminate()
                process.wait()
                raise Stopped from None


def _reason(said: str) -> str:
    """What pip says, in the words of a person."""
    if "DO NOT MATCH THE HASHES" in said:
        return "an archive with another SHA-256 than the one named"
    if "No module named pip" in said:
        return "no pip beside this Python; install it with `python -m ensurepip`"
    if "connection broken by" in said:
        return "no network, or no registry at the address that pip is configured with"
    errors = [line for line in said.splitlines() if line.startswith("ERROR: ")]
    return (errors or ["ERROR: nothing"])[-1].removeprefix("ERROR: ")
