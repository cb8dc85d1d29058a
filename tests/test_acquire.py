"""Downloads from a server that misbehaves, archives that cannot be trusted: nothing damaged is accepted."""

import hashlib
import io
import random
import socket
import struct
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import urllib3
from rich.progress import Progress, TaskID

from loopback import Site, serve
from stremn.acquire import download as downloading
from stremn.acquire import get as getting
from stremn.acquire.catalogue import Entry
from stremn.acquire.checks import check_file
from stremn.acquire.download import Download, Stopped, fetch
from stremn.acquire.get import get
from stremn.acquire.installed import Places, find_installed, state
from stremn.acquire.sources import fetch_drive
from stremn.acquire.unpack import unpack
from stremn.errors import InputError, short_reason

BODY = random.Random(0).randbytes(700_001)
PAGE = b"<!DOCTYPE html>\n<html><title>Quota exceeded</title></html>"


@pytest.fixture(scope="module")
def server() -> Iterator[Site]:
    with serve() as site:
        yield site


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TRIES": 3, "PAUSE": 0.01, "LONGEST_PAUSE": 0.05, "TIMEOUT": 5}.items():
        monkeypatch.setattr(downloading, name, value)


@pytest.fixture
def site(server: Site) -> Site:
    server.pages.clear()
    server.sent.clear()
    server.asked.clear()
    server.if_range.clear()
    return server


def sha(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def download(site: Site, tmp_path: Path, name: str = "x.bin", **known: Any) -> Download:
    return Download(name, f"{site.url}/{name}", tmp_path / name, **known)


def load(want: Download, progress: Progress | None = None) -> str:
    return fetch(want, progress or Progress(disable=True), threading.Event())


def nothing_left(folder: Path) -> bool:
    return not [p for p in folder.rglob("*") if p.is_file()]


# --- one file


def test_a_cut_download_goes_on_and_fetches_each_byte_once(site: Site, tmp_path: Path) -> None:
    site.put("x.bin", BODY, cuts=[200_000, 450_000])
    want, progress = download(site, tmp_path), Progress(disable=True)
    assert load(want, progress) == sha(BODY)
    assert want.path.read_bytes() == BODY
    assert site.asked["x.bin"] == ["", "bytes=200000-", "bytes=450000-"]
    assert site.if_range["x.bin"] == ["", '"one"', '"one"']
    assert site.sent["x.bin"] == progress.tasks[0].completed == progress.tasks[0].total == len(BODY)
    assert [p.name for p in tmp_path.iterdir()] == ["x.bin"]


def test_a_later_run_goes_on_where_the_last_one_gave_up(site: Site, tmp_path: Path) -> None:
    site.put("x.bin", BODY, cuts=[300_000] * 3)
    want = download(site, tmp_path)
    with pytest.raises(InputError, match=r"300000 of 700001 bytes|failed connection"):
        load(want)
    assert want.part.stat().st_size == 300_000 and not want.path.exists()
    site.put("x.bin", BODY)
    site.sent.clear()
    assert load(want) == sha(BODY)
    assert site.sent["x.bin"] == len(BODY) - 300_000


def test_a_server_without_ranges_starts_again(site: Site, tmp_path: Path) -> None:
    site.put("x.bin", BODY, cuts=[300_000], ranges=False)
    want = download(site, tmp_path)
    assert load(want) == sha(BODY) and want.path.read_bytes() == BODY
    assert site.sent["x.bin"] == 300_000 + len(BODY)


@pytest.mark.parametrize("how", [{"etag": '"two"'}, {"etag": 'W/"two"'}, {"etag": '"two"', "polite": False}])
def test_a_file_that_changed_meanwhile_is_not_pieced_together(site: Site, tmp_path: Path, how: Any) -> None:
    other = BODY[::-1]
    site.put("x.bin", BODY, cuts=[300_000] * 3)
    want = download(site, tmp_path)
    with pytest.raises(InputError):
        load(want)
    site.put("x.bin", other, **how)
    assert load(want) == sha(other) and want.path.read_bytes() == other


def test_a_weak_etag_is_not_sent_back(site: Site, tmp_path: Path) -> None:
    site.put("x.bin", BODY, cuts=[300_000], etag='W/"one"')
    assert load(download(site, tmp_path)) == sha(BODY)
    assert site.if_range["x.bin"] == ["", ""]  # RFC 9110, 13.1.5: a weak ETag may not stand there


def test_a_partial_file_of_another_address_is_not_used(site: Site, tmp_path: Path) -> None:
    site.put("x.bin", BODY, cuts=[300_000] * 3)
    want = download(site, tmp_path)
    with pytest.raises(InputError):
        load(want)
    site.put("y.bin", BODY[::-1])
    moved = Download("x.bin", f"{site.url}/y.bin", want.path)
    assert load(moved) == sha(BODY[::-1]) and site.sent["y.bin"] == len(BODY)


def test_a_spoilt_partial_file_is_fetched_anew(site: Site, tmp_path: Path) -> None:
    site.put("x.bin", BODY, cuts=[300_000] * 3)
    want = download(site, tmp_path, checksums={"sha256": sha(BODY)})
    with pytest.raises(InputError):
        load(want)
    want.part.write_bytes(bytes(300_000))
    assert load(want) == sha(BODY) and want.path.read_bytes() == BODY


@pytest.mark.parametrize("statuses", [[503], [503, 429]])
def test_a_server_that_recovers_is_asked_again(site: Site, tmp_path: Path, statuses: list[int]) -> None:
    site.put("x.bin", BODY, statuses=list(statuses))
    assert load(download(site, tmp_path)) == sha(BODY)
    assert len(site.asked["x.bin"]) == len(statuses) + 1


def test_a_server_that_stays_away_is_given_up(site: Site, tmp_path: Path) -> None:
    site.put("x.bin", BODY, statuses=[503] * 9)
    with pytest.raises(InputError, match=r"503 .*3 times"):
        load(download(site, tmp_path))
    assert len(site.asked["x.bin"]) == 3 and nothing_left(tmp_path)


def test_a_pause_that_the_server_asks_for_is_kept_and_can_be_stopped(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.put("x.bin", BODY, statuses=[503], retry_after="1")
    monkeypatch.setattr(downloading, "LONGEST_PAUSE", 60)
    start = time.monotonic()
    assert load(download(site, tmp_path)) == sha(BODY)
    assert time.monotonic() - start >= 1
    site.put("y.bin", BODY, statuses=[503], retry_after="3600")
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    with pytest.raises(Stopped):
        fetch(download(site, tmp_path, "y.bin"), Progress(disable=True), stop)
    assert time.monotonic() - start < 30 and len(site.asked["y.bin"]) == 1


def test_a_missing_file_is_told_at_once(site: Site, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found the answer 404"):
        load(download(site, tmp_path))
    assert len(site.asked["x.bin"]) == 1 and nothing_left(tmp_path)


@pytest.mark.parametrize(
    ("name", "body", "how", "known", "message"),
    [
        ("x.zip", PAGE, {"kind": "application/zip"}, {}, "found a web page"),
        ("x.bin", PAGE, {"kind": "text/html; charset=utf-8"}, {}, "found a web page"),
        ("x.txt", PAGE, {"kind": "text/plain"}, {}, "found a web page"),
        ("x.zip", b"no archive at all" * 99, {}, {}, "found other content"),
        ("x.npy", BODY, {}, {}, "found other content"),
        ("x.zip", b"PK\x03\x04" + BODY, {}, {}, "without its end"),
        ("x.bin", BODY, {}, {"size": 700_000}, "the server announces 700001"),
        ("x.bin", BODY, {"length": False}, {"size": 700_000}, "700000 bytes"),
        ("x.bin", BODY, {"claim": 800_000}, {}, "of 800000 bytes|failed connection"),
        ("x.bin", BODY, {"claim": 600_000}, {"size": 700_001}, "the server announces 600000"),
        ("x.bin", BODY, {"claim": 600_000}, {"checksums": {"sha1": "0" * 40}}, "sha1"),
        ("x.bin", BODY, {"length": False}, {}, "a size or a checksum"),
        ("x.bin", BODY, {}, {"checksums": {"sha256": "0" * 64}}, "with sha256 0000"),
        ("x.bin", BODY, {}, {"checksums": {"md5": "0" * 32}}, "with md5 0000"),
        ("x.bin", b"", {}, {}, "an empty file"),
    ],
)
def test_what_is_not_the_file_is_refused(
    site: Site, tmp_path: Path, name: str, body: bytes, how: Any, known: Any, message: str
) -> None:
    site.put(name, body, **how)
    with pytest.raises(InputError, match=message) as error:
        load(download(site, tmp_path, name, **known))
    assert not (tmp_path / name).exists()
    assert "\n" not in str(error.value)
    if "web page" in message or "other content" in message or "with " in message:
        assert nothing_left(tmp_path)


def test_the_first_digits_of_a_checksum_are_compared(site: Site, tmp_path: Path) -> None:
    site.put("x.bin", BODY)
    assert load(download(site, tmp_path, checksums={"sha256": sha(BODY)[:8]}))
    with pytest.raises(InputError):
        load(Download("z.bin", f"{site.url}/x.bin", tmp_path / "z.bin", checksums={"sha256": "00000000"}))


def test_a_full_disk_is_told_before_the_first_byte(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.put("x.bin", BODY)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("U", (), {"free": 1000})())
    with pytest.raises(InputError, match="expected room for"):
        load(download(site, tmp_path))
    assert nothing_left(tmp_path)


def test_stopping_keeps_the_partial_file(site: Site, tmp_path: Path) -> None:
    go, stop = threading.Event(), threading.Event()
    site.put("x.bin", BODY * 3, slow=go)
    want = download(site, tmp_path)

    class Watch(Progress):
        def advance(self, task_id: TaskID, advance: float = 1) -> None:
            stop.set()
            go.set()

    threading.Timer(0.1, go.set).start()
    with pytest.raises(Stopped):
        fetch(want, Watch(disable=True), stop)
    have = want.part.stat().st_size
    assert 0 < have < len(BODY) * 3
    assert load(want) == sha(BODY * 3) and site.asked["x.bin"] == ["", f"bytes={have}-"]


def test_size_and_every_checksum_are_compared(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(b"abc")
    known = {"md5": "900150983cd24fb0d6963f7d28e17f72", "sha1": "a9993e364706816aba3e25717850c26c9cd0d89d"}
    assert check_file(path, "x.bin", "", 3, known) == sha(b"abc")
    with pytest.raises(InputError, match="expected 4 bytes of"):
        check_file(path, "x.bin", "", 4, known)
    with pytest.raises(InputError, match="with sha1"):
        check_file(path, "x.bin", "", 3, known | {"sha1": "b" * 40})


# --- Google Drive


def _gdown(monkeypatch: pytest.MonkeyPatch, body: bytes | None) -> list[dict[str, Any]]:
    """Stand in for gdown: writes ``body``, or fails as on a used-up quota."""
    import gdown

    calls: list[dict[str, Any]] = []

    def download(**how: Any) -> str:
        calls.append(how)
        if body is None:
            raise gdown.exceptions.FileURLRetrievalError("Too many users have viewed\nthis file recently")
        how["progress"](len(body), len(body))
        Path(how["output"]).write_bytes(body)
        return str(how["output"])

    monkeypatch.setattr(gdown, "download", download)
    return calls


def test_drive_files_pass_the_same_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    want = Download("x.bin", "", tmp_path / "x.bin")
    calls = _gdown(monkeypatch, BODY)
    assert fetch_drive("an-id", want, Progress(disable=True), threading.Event()) == sha(BODY)
    assert calls[0]["id"] == "an-id" and calls[0]["resume"] and not calls[0]["use_cookies"]
    for body, message in ((PAGE, "web page"), (None, "Too many users have viewed this file"), (b"", "empty")):
        _gdown(monkeypatch, body)
        other = Download("y.bin", "", tmp_path / "y.bin")
        with pytest.raises(InputError, match=message):
            fetch_drive("an-id", other, Progress(disable=True), threading.Event())
        assert not other.path.exists() and not other.part.exists()


def test_our_call_fits_the_installed_gdown() -> None:
    import inspect

    import gdown

    ours = "id output quiet use_cookies resume progress cancel timeout retries"
    assert set(ours.split()) <= set(inspect.signature(gdown.download).parameters)


# --- archives


def zipped(files: dict[str, bytes], **external: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = external.get("mode", 0o100644) << 16
            archive.writestr(info, body)
    return buffer.getvalue()


def tarred(*members: tuple[str, bytes, bytes], kind: str = "gz") -> bytes:
    """A tar file of (name, type, content or link target)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{kind}") as archive:
        for name, type_, body in members:
            info = tarfile.TarInfo(name)
            info.type = type_
            if type_ == tarfile.REGTYPE:
                info.size = len(body)
                archive.addfile(info, io.BytesIO(body))
            else:
                info.linkname = body.decode()
                archive.addfile(info)
    return buffer.getvalue()


def opened(tmp_path: Path, name: str, body: bytes, limit: int = 1 << 20, strip: str = "") -> Path:
    path = tmp_path / "packed" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(body)
    unpack(path, tmp_path / "out", limit, strip)
    return tmp_path / "out"


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tgz", "tar.xz", "tar.bz2"])
def test_archives_are_unpacked_without_their_top_folder(tmp_path: Path, kind: str) -> None:
    files = {"DAVIS/a/1.txt": b"one", "DAVIS/b.txt": b"two", "__MACOSX/DAVIS/._b.txt": b"x"}
    if kind == "zip":
        body = zipped(files)
    else:
        mode = {"tar": "", "tgz": "gz"}.get(kind, kind.removeprefix("tar."))
        body = tarred(*((n, tarfile.REGTYPE, b) for n, b in files.items()), kind=mode)
    out = opened(tmp_path, f"x.{kind}", body, strip="DAVIS")
    found = {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file()}
    assert found == {"a/1.txt": b"one", "b.txt": b"two"}


REG, SYM, HARD, FIFO = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE
HOSTILE = {
    "up.zip": (zipped({"../evil.txt": b"x"}), "inside of the folder"),
    "inner-up.zip": (zipped({"a/../../evil.txt": b"x"}), "inside of the folder"),
    "absolute.zip": (zipped({"/tmp/evil.txt": b"x"}), "inside of the folder"),
    "windows.zip": (zipped({"..\\evil.txt": b"x"}), "inside of the folder"),
    "drive.zip": (zipped({"C:\\evil.txt": b"x"}), "inside of the folder"),
    "link.zip": (zipped({"link": b"/etc/passwd"}, mode=0o120777), "found the link"),
    "device.zip": (zipped({"dev": b""}, mode=0o020666), "found the link"),
    "up.tar.gz": (tarred(("../evil.txt", REG, b"x")), "inside of the folder"),
    "absolute.tgz": (tarred(("/tmp/evil.txt", REG, b"x")), "inside of the folder"),
    "link.tar.gz": (tarred(("a", SYM, b"/tmp"), ("a/evil.txt", REG, b"x")), "link or device"),
    "inner-link.tar.gz": (tarred(("a", REG, b"x"), ("b", SYM, b"a")), "link or device"),
    "hard.tar.gz": (tarred(("a", HARD, b"/etc/passwd")), "link or device"),
    "fifo.tar.gz": (tarred(("a", FIFO, b"")), "link or device"),
    "broken.zip": (zipped({"a": b"x" * 999})[:-30], "damaged"),
    "broken.tar.gz": (tarred(("a", REG, BODY))[:5000], "damaged"),
    "x.rar": (b"Rar!", "unpack it by hand"),
    "many.zip": (zipped({f"{i}": BODY for i in range(2)}), "more than its limit"),
    "bomb.zip": (zipped({"a": bytes(40 << 20)}), "a bomb"),
    "bomb.tar.gz": (tarred(("a", REG, bytes(9 << 20))), "more than its limit"),
    "clash.zip": (zipped({"a": b"file", "a/b": b"in a file"}), "different names"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archives_write_nothing_outside(tmp_path: Path, name: str) -> None:
    body, message = HOSTILE[name]
    limit = 1 << 30 if name == "bomb.zip" else 1 << 20
    with pytest.raises(InputError, match=message) as error:
        opened(tmp_path, name, body, limit)
    assert "\n" not in str(error.value)
    assert {p.name for p in tmp_path.iterdir()} <= {"packed", "out"}
    assert sum(p.stat().st_size for p in (tmp_path / "out").rglob("*") if p.is_file()) <= limit
    assert not any(p.is_symlink() for p in tmp_path.rglob("*"))


def test_a_zip_that_lies_about_its_sizes_is_refused(tmp_path: Path) -> None:
    body = zipped({"a": bytes(3 << 20)})
    small = struct.pack("<I", 10)
    body = body.replace(struct.pack("<I", 3 << 20), small)  # both headers now say ten bytes
    with pytest.raises(InputError):
        opened(tmp_path, "x.zip", body)


def test_bits_flipped_inside_of_a_zip_are_noticed(tmp_path: Path) -> None:
    body = bytearray(zipped({"a": BODY}))
    body[350_000] ^= 255
    with pytest.raises(InputError, match="damaged"):
        opened(tmp_path, "x.zip", bytes(body))


# --- whole datasets


def entry(*files: dict[str, Any], layout: list[dict[str, Any]], **more: Any) -> Entry:
    block = {
        "name": "toy", "title": "Toy", "kind": "video", "uses": ["tests"], "page": "http://127.0.0.1/",
        "how": "open", "files": list(files), "limit_gib": 0.01, "licence": "none", "citation": "nobody",
        "layout": layout, **more,
    }  # fmt: skip
    return Entry.parse(block, "test")


def toy(site: Site, **how: Any) -> Entry:
    """A dataset of a zip with masks, a tar with images and a plain list."""
    masks = zipped({"TOY/masks/a.png": b"\x89PNG\r\n\x1a\n" + b"m" * 99})
    images = tarred(("a.jpg", REG, b"\xff\xd8" + BODY + b"\xff\xd9"))
    files = [
        {"name": "masks.zip", "url": site.put("masks.zip", masks), "unpack": True, "strip": "TOY"},
        {
            "name": "images.tgz",
            "url": site.put("images.tgz", images, **how),
            "unpack": True,
            "into": "images",
        },
        {"name": "list.txt", "url": site.put("list.txt", b"a\n")},
    ]
    return entry(*files, layout=[{"path": "masks", "files": 1}, {"path": "images", "partner": "masks"}])


def tree(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def test_a_dataset_is_fetched_once(site: Site, tmp_path: Path) -> None:
    thing, places = toy(site, cuts=[100_000]), Places(tmp_path / "raw")
    [outcome] = get([thing], places)
    assert outcome.state == "fetched"
    assert tree(places.folder("toy")) == {"masks/a.png", "images/a.jpg", "list.txt"}
    total = {name: len(page.body) for name, page in site.pages.items()}
    assert dict(site.sent) == total
    assert not places.downloads("toy").exists() and not any(
        p.name.endswith(".part") for p in tmp_path.rglob("*")
    )
    asked = {name: list(ranges) for name, ranges in site.asked.items()}
    [again] = get([thing], places)
    assert again.state == "installed" and site.asked == asked


def test_what_was_lost_is_fetched_again_and_nothing_else_is_lost(site: Site, tmp_path: Path) -> None:
    thing, places = toy(site), Places(tmp_path / "raw")
    get([thing], places)
    (places.folder("toy") / "images" / "a.jpg").write_bytes(b"\xff\xd8 cut")
    assert find_installed(thing, places) is None
    get([thing], places)
    assert (places.folder("toy") / "images" / "a.jpg").stat().st_size > 700_000


def test_a_failed_file_keeps_the_others_for_the_next_run(site: Site, tmp_path: Path) -> None:
    thing, places = toy(site, statuses=[404]), Places(tmp_path / "raw")
    with pytest.raises(InputError, match=r"toy: expected images.tgz .* 404"):
        get([thing], places)
    assert not places.folder("toy").exists() and state(thing, places) == "partly fetched"
    get([thing], places)
    assert len(site.asked["masks.zip"]) == 1 and len(site.asked["images.tgz"]) == 2
    assert state(thing, places) == "here"


def test_a_kept_archive_that_was_spoilt_is_not_used(site: Site, tmp_path: Path) -> None:
    thing, places = toy(site, statuses=[404]), Places(tmp_path / "raw")
    with pytest.raises(InputError):
        get([thing], places)
    (places.downloads("toy") / "masks.zip").write_bytes(zipped({"TOY/masks/a.png": b"not the mask"}))
    get([thing], places)
    assert (places.folder("toy") / "masks" / "a.png").read_bytes().endswith(b"mmm")
    assert len(site.asked["masks.zip"]) == 2


@pytest.mark.parametrize("name", ["up.zip", "link.tar.gz", "bomb.zip", "broken.tar.gz"])
def test_a_hostile_archive_never_becomes_a_dataset(site: Site, tmp_path: Path, name: str) -> None:
    file = {"name": name, "url": site.put(name, HOSTILE[name][0]), "unpack": True}
    places = Places(tmp_path / "raw")
    with pytest.raises(InputError, match=r"toy: expected"):
        get([entry(file, layout=[])], places)
    assert not places.folder("toy").exists()
    assert {p.name for p in tmp_path.rglob("*") if p.is_file()} <= {".lock", f"{name}.got.json"}
    assert not (tmp_path / "evil.txt").exists()


def test_another_content_than_the_dataset_is_not_installed(site: Site, tmp_path: Path) -> None:
    file = {"name": "x.zip", "url": site.put("x.zip", zipped({"readme.txt": b"moved"})), "unpack": True}
    places = Places(tmp_path / "raw")
    with pytest.raises(InputError, match="found JPEGImages: missing"):
        get([entry(file, layout=[{"path": "JPEGImages"}])], places)
    assert not places.folder("toy").exists()


def test_a_folder_of_a_person_is_never_replaced(site: Site, tmp_path: Path) -> None:
    thing, places = toy(site), Places(tmp_path / "raw")
    mine = places.folder("toy") / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("precious")
    with pytest.raises(InputError, match="complete it or move it away"):
        get([thing], places)
    assert mine.read_text() == "precious" and not site.asked


def test_files_are_fetched_several_at_a_time(site: Site, tmp_path: Path) -> None:
    gate = threading.Barrier(3, timeout=4)

    class Meeting(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            gate.wait()  # passes only when three answers are under way at once
            return True

    body = BODY[:100_000]  # more than the server sends before it waits
    names = ["a.bin", "b.bin", "c.bin"]
    files = [{"name": n, "url": site.put(n, body, slow=Meeting())} for n in names]
    get([entry(*files, layout=[])], Places(tmp_path), workers=3)
    assert tree(tmp_path / "toy") == set(names) and not gate.broken


def test_no_network_is_told_in_a_few_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    places, file = Places(tmp_path), {"name": "x.bin", "url": "https://nobody.invalid/x.bin"}
    told = r"x.bin, found a failed connection \(no network, or a host that is not known\) \(\d times\): try again"
    with pytest.raises(InputError, match=told):
        get([entry(file, layout=[])], places)
    assert not places.downloads("toy").exists() and not places.folder("toy").exists()


def test_a_reason_is_that_of_the_first_cause() -> None:
    refused = ConnectionRefusedError(111, "Connection refused")
    error = requests.ConnectionError(urllib3.exceptions.MaxRetryError(Any, "/x", refused))  # type: ignore[arg-type]
    assert short_reason(error) == "[Errno 111] Connection refused"
    assert short_reason(TimeoutError()) == "TimeoutError"
    long = short_reason(OSError("long " * 99))
    assert len(long) < 150 and long.endswith("long …")


def test_archives_fetched_by_hand_are_unpacked_and_stay(tmp_path: Path) -> None:
    form = entry({"name": "x.zip", "unpack": True}, layout=[{"path": "train"}], how="form")
    places = Places(tmp_path)
    assert get([form], places)[0].state == "missing" and not list(tmp_path.iterdir())
    archive = places.downloads("toy") / "x.zip"
    archive.parent.mkdir(parents=True)
    archive.write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(InputError, match="a whole zip file"):
        get([form], places)
    assert archive.exists() and not places.folder("toy").exists()
    archive.write_bytes(zipped({"valid/meta.json": b"{}"}))
    with pytest.raises(InputError, match=r"expected Toy in x.zip, found train: missing: another file"):
        get([form], places)
    assert archive.exists() and {path.name for path in tmp_path.iterdir()} == {".acquired"}
    archive.write_bytes(zipped({"train/meta.json": b"{}"}))
    assert get([form], places)[0].state == "fetched"
    assert tree(places.folder("toy")) == {"train/meta.json"} and archive.exists()


def test_a_drive_file_fetched_by_hand_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = _gdown(monkeypatch, None)
    file = {"name": "x.pth", "drive": "an-id"}
    places, thing = Places(tmp_path), entry(file, layout=[], how="google-drive")
    path = places.downloads("toy") / "x.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(PAGE)
    with pytest.raises(InputError, match="a web page"):
        get([thing], places)
    assert path.exists()
    path.write_bytes(b"\x80\x02" + BODY)
    assert get([thing], places)[0].state == "fetched" and not calls


def test_only_one_download_at_a_time(site: Site, tmp_path: Path) -> None:
    places = Places(tmp_path / "raw")
    with getting._alone(places), pytest.raises(InputError, match="found one: wait for it"):
        get([toy(site)], places)
    assert not site.asked


def test_hub_weights_live_in_their_own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    file = {"name": "model.safetensors", "hub": "timm/x"}
    thing, places, cache = entry(file, layout=[], how="huggingface"), Places(tmp_path), tmp_path / "cache"
    calls: list[str] = []

    def download(repository: str, name: str) -> str:
        calls.append(repository)
        if len(calls) == 1:
            raise OSError("no network\nhere")
        cache.write_bytes(b"weights")
        return str(cache)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    found = lambda *_: str(cache) if cache.exists() else None  # noqa: E731
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", found)
    with pytest.raises(InputError, match="found: no network here; try again"):
        get([thing], places)
    assert get([thing], places)[0].state == "fetched"
    assert get([thing], places)[0].state == "installed" and len(calls) == 2
    assert not places.folder("toy").exists()
