"""Every door through which a file of somebody else comes in, with valid files to spoil and what reads them.

A door takes a file as a user's command would, and ends in a result or in ``InputError``. All is small: tiny networks,
pictures of 32×40 pixels, three frames.
"""

import contextlib
import io
import json
import os
import pickle
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from stremn.acquire.pickled_arrays import read_arrays
from stremn.acquire.unpack import unpack
from stremn.cli import main
from stremn.data.clips import write_mask
from stremn.data.datasets import open_images, open_videos
from stremn.data.official.youtube_meta import read_meta
from stremn.data.video import open_frames
from stremn.errors import InputError
from stremn.evaluation.lpips import load_lpips
from stremn.evaluation.names import read_names
from stremn.evaluation.runs import load_runs
from stremn.explore.tracefile import open_trace
from stremn.explore.widget import Explorer
from stremn.inference.settings import StreamSettings
from stremn.inference.stream import Stream, resume_stream
from stremn.memory import make_policy
from stremn.models.checkpoints import load_model, to_bytes
from stremn.models.official import read_tensors
from stremn.models.registry import PREDICTORS, build_model
from stremn.segmenting.video_writer import VideoWriter
from stremn.stages.base import read_parameters

TINY = {"backbone": "tiny", "key_dim": 8, "value_dim": 8, "update_dim": 8, "decoder_dims": [8, 8, 8]}
SIZE = (32, 40)
RUN = Path(tempfile.gettempdir()) / "stremn-was-run"  # what the malicious files would write
LIMIT = 32 << 20  # bytes that an archive may grow to here


@dataclass(frozen=True)
class Door:
    """seeds: valid or hostile files by name, made in a folder. feed: read one that lies at a path."""

    seeds: Callable[[Path], dict[str, bytes]]
    feed: Callable[[Path], object]


class Evil:
    """What a pickle can do: name a function and its arguments, which are called when it is read."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def command(*arguments: object) -> int:
    """``stremn …`` in this process; a refusal is raised, so that it is counted as one."""
    told = io.StringIO()
    with contextlib.redirect_stderr(told), contextlib.redirect_stdout(io.StringIO()):
        code = main([str(argument) for argument in arguments])
    lines = [line for line in told.getvalue().splitlines() if line.startswith("error: ")]
    if code == 2 and len(lines) == 1:
        raise InputError(lines[0])
    if code:
        raise RuntimeError(f"exit code {code}: {told.getvalue()[-500:]}")
    return code


# Weights


def _saved(content: object, **options: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def pickles(_: Path) -> dict[str, bytes]:
    """Files of ``torch.save``, old and new, and some that would run code or grow."""
    good = {"module.conv1.weight": torch.zeros(4, 3, 3, 3), "module.conv1.bias": torch.ones(4)}
    plain = _saved(good)
    grown = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(plain)) as old,
        zipfile.ZipFile(grown, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as new,
    ):
        for info in old.infolist():
            content = old.read(info)
            new.writestr(info.filename, content if "/data/0" not in info.filename else bytes(10 * LIMIT))
    return {
        "zip.pth": plain,
        "old.pth": _saved(good, _use_new_zipfile_serialization=False),
        "nested.pth": _saved({"state_dict": good, "epoch": 3}),
        "bomb.pth": grown.getvalue(),
        "evil.pth": _saved({"a": Evil(os.system, f"touch {RUN}")}),
        "evil-old.pth": pickle.dumps(Evil(eval, f"open({str(RUN)!r}, 'w')"), 2),
        "evil-memory.pth": pickle.dumps(Evil(bytearray, 1 << 36), 2),
        "array.pth": pickle.dumps({"conv": [np.ones((3, 3, 2, 2), np.float32), np.ones(2, np.float32)]}, 2),
    }


def feed_pickle(path: Path) -> object:
    """As released weights, and as the arrays of an archive."""
    with contextlib.suppress(InputError):
        read_arrays(path.read_bytes(), path.name)
    return read_tensors(path)


def checkpoints(_: Path) -> dict[str, bytes]:
    """Our own checkpoints."""
    predictor = {"base_width": 4, "max_width": 8, "blocks": 2, "halvings": 2, "key_dim": 4}
    predictor |= {"value_dim": 4, "update_dim": 4}
    meta = {"system": "stremn", "fields": predictor, "task": "prediction", "observed": 5, "side": 32}
    return {
        "vos.safetensors": _tiny(),
        "aged.safetensors": _tiny(update_age=True, aspp_rates=(1, 2), keys="image"),
        "predictor.safetensors": to_bytes(build_model("stremn", predictor, PREDICTORS), meta),
    }


@cache
def _tiny(**more: Any) -> bytes:
    torch.manual_seed(0)
    fields = {**TINY, **more}
    return to_bytes(build_model("stremn", fields), {"system": "stremn", "fields": fields, "default_size": 32})


def feed_checkpoint(path: Path) -> object:
    """A network for its task, used for a frame where it is one of segmentation."""
    if "predictor" in path.name:
        return load_model(path, PREDICTORS)
    return _step(Stream(load_model(path)[0], make_policy("learned", slots=2), load_model(path)[1]))


def _step(stream: Stream) -> object:
    mask = np.zeros(SIZE, np.uint8)
    mask[8:20, 8:20] = 1
    for _ in range(2):
        stream.step(np.full((*SIZE, 3), 90, np.uint8), None if stream.object_ids else mask)
    return stream.object_ids


def streams(folder: Path) -> dict[str, bytes]:
    """Saved streams: slots with a trace, single features without."""
    (folder / "tiny.safetensors").write_bytes(_tiny())
    found = {}
    for name, rule, settings in (
        ("slots", "learned", StreamSettings()),
        ("features", "lfu", StreamSettings(trace=False, size=32)),
    ):
        network, meta = load_model(folder / "tiny.safetensors")
        stream = Stream(network, make_policy(rule, slots=2, every=1), meta, settings)
        _step(stream)
        stream.save(folder / "stream.safetensors")
        found[f"{name}.safetensors"] = (folder / "stream.safetensors").read_bytes()
    return found


def feed_stream(path: Path) -> object:
    """Go on for two frames."""
    return _step(resume_stream(path))


def traces(folder: Path) -> dict[str, bytes]:
    """Traces of slots and of single features."""
    streams(folder)
    stream = resume_stream(folder / "stream.safetensors")
    network, meta = load_model(folder / "tiny.safetensors")
    found = {}
    for name, rule in (("slots", "learned"), ("features", "lfu")):
        stream = Stream(network, make_policy(rule, slots=2, every=1), meta)
        for _ in range(3):
            _step(stream)
        assert stream.trace is not None
        stream.trace.about |= {"policy": rule, "slots": 2, "objects": [1], "height": 32, "width": 40}
        found[f"{name}.json"] = json.dumps(stream.trace.to_dict()).encode()
    return found


def feed_trace(path: Path) -> object:
    """All that the explorer asks of it."""
    shown = Explorer(open_trace(path))
    frames = range(shown.session.runs[0].done)
    answers = [{"ask": "hello"}, {"ask": "runs"}, {"ask": "run", "run": 0}]
    answers += [{"ask": "view", "frame": t, "runs": [0], "truth": True} for t in list(frames)[:3]]
    for content in answers:
        shown._asked(None, content, [])
    shown.close()
    return len(frames)


# Archives


def _tar(mode: str, *members: tuple[tarfile.TarInfo, bytes], **fast: int) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode, format=tarfile.PAX_FORMAT, **fast) as archive:  # type: ignore[call-overload]
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def _member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def archives(_: Path) -> dict[str, bytes]:
    """Good archives of each kind, and some that leave their folder, link, or grow."""
    good = [(_member("a/b.txt"), b"text" * 200), (_member("a/" + "n" * 150 + ".txt"), b"")]
    found = {f"good.tar{end}": _tar(f"w:{end[1:]}", *good) for end in ("", ".gz", ".bz2", ".xz")}
    found["up.tar"] = _tar("w", (_member("../up.txt"), b"x"))
    found["link.tar"] = _tar("w", (_member("l", tarfile.SYMTYPE, "/etc"), b""), (_member("l/passwd"), b"x"))
    found["hard.tar"] = _tar("w", (_member("l", tarfile.LNKTYPE, "../x"), b""))
    found["device.tar"] = _tar("w", (_member("d", tarfile.CHRTYPE), b""))
    found["bomb.tar.gz"] = _tar("w:gz", (_member("zeros"), bytes(2 * LIMIT)), compresslevel=1)
    head = _member("././@PaxHeader", tarfile.XHDTYPE)
    found["head.tar.gz"] = _tar("w:gz", (head, bytes(10 * LIMIT)), compresslevel=1)
    for name, members in {
        "good.zip": {"a/b.txt": b"text" * 200, "a/c.txt": b""},
        "up.zip": {"../up.txt": b"x"},
        "absolute.zip": {str(RUN): b"x"},
        "bomb.zip": {"zeros": bytes(2 * LIMIT)},
    }.items():
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for inner, content in members.items():
                archive.writestr(inner, content)
        found[name] = file.getvalue()
    return found


def feed_archive(path: Path) -> object:
    """Open it; nothing may lie outside of its folder afterwards."""
    inside = path.parent / "unpacked" / "deep"
    done = unpack(path, inside, LIMIT)
    strange = [p for p in path.parent.rglob("*") if p != path and not p.is_relative_to(inside.parent)]
    assert not strange, f"written outside: {strange}"
    return done


# Pictures and videos


def _mask() -> np.ndarray:
    ids = np.zeros(SIZE, np.uint8)
    ids[8:20, 8:20], ids[22:30, 20:38] = 1, 2
    return ids


def _frame(t: int = 0) -> np.ndarray:
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    return np.stack([(5 * x + 9 * t) % 256, (7 * y) % 256, (x * y) % 256], -1).astype(np.uint8)


def _picture(image: Image.Image, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def masks(folder: Path) -> dict[str, bytes]:
    """Masks of every form that is read."""
    write_mask(folder / "ids.png", _mask())
    grey = Image.fromarray(np.where(_mask() > 0, 255, 0).astype(np.uint8))
    return {
        "ids.png": (folder / "ids.png").read_bytes(),
        "grey.png": _picture(grey, "PNG"),
        "two.png": _picture(grey.convert("1"), "PNG"),
        "alpha.png": _picture(grey.convert("LA"), "PNG"),
        "interlaced.png": _picture(grey, "PNG", pnginfo=None, optimize=True),
    }


def feed_mask(path: Path) -> object:
    """As a prediction that is scored, and as the mask that begins a segmentation."""
    truth, ours = path.parent / "truth" / "a", path.parent / "ours" / "a"
    truth.mkdir(parents=True)
    ours.mkdir(parents=True)
    for t in range(3):
        write_mask(truth / f"{t}.png", _mask())
        (ours / f"{t}.png").write_bytes(path.read_bytes())
    folders = ("--predictions", ours.parent, "--annotations", truth.parent)
    with contextlib.suppress(InputError):
        command("score", "vos", *folders, "--protocol", "davis2017", "--workers", 1)
    return _segment(path.parent, path.read_bytes(), _picture(Image.fromarray(_frame()), "PNG"), ".png")


def frames(_: Path) -> dict[str, bytes]:
    """Frames of every form that is read."""
    image = Image.fromarray(_frame())
    forms = {"jpg": "JPEG", "png": "PNG", "bmp": "BMP", "tif": "TIFF", "webp": "WEBP"}
    found = {f"frame.{end}": _picture(image, form) for end, form in forms.items()}
    exif = Image.Exif()
    exif[0x0112] = 6
    found["turned.jpg"] = _picture(image, "JPEG", exif=exif)
    found["deep.tif"] = _picture(Image.fromarray(_frame()[..., 0].astype(np.uint16) * 200), "TIFF")
    return found


def feed_frame(path: Path) -> object:
    """As the second frame of a folder that is segmented."""
    mask = io.BytesIO()
    Image.fromarray(_mask()).save(mask, "PNG")
    return _segment(path.parent, mask.getvalue(), path.read_bytes(), path.suffix)


def _segment(folder: Path, mask: bytes, second: bytes, suffix: str) -> object:
    (folder / "frames").mkdir()
    Image.fromarray(_frame()).save(folder / "frames" / "0.png")
    (folder / "frames" / f"1{suffix}").write_bytes(second)
    (folder / "first.png").write_bytes(mask)
    (folder / "tiny.safetensors").write_bytes(_tiny())
    options = ("--out", folder / "out", "--write", "masks", "--checkpoint", folder / "tiny.safetensors")
    return command("segment", folder / "frames", "--mask", folder / "first.png", *options)


def videos(folder: Path) -> dict[str, bytes]:
    """Videos in several containers and codecs."""
    import av

    with VideoWriter(folder / "v.mp4") as writer:
        for t in range(6):
            writer.write(_frame(t))
    found = {"v.mp4": (folder / "v.mp4").read_bytes()}
    for name, codec, pixels in (
        ("v.avi", "mjpeg", "yuvj420p"),
        ("v.mkv", "mpeg4", "yuv420p"),
        ("v.ts", "mpeg2video", "yuv420p"),
        ("v.gif", "gif", "rgb8"),
        ("v.webm", "libvpx", "yuv420p"),
    ):
        with av.open(str(folder / name), "w") as container:
            stream = container.add_stream(codec, rate=10)
            stream.height, stream.width, stream.pix_fmt = *SIZE, pixels
            for t in range(6):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(_frame(t), format="rgb24")))
            container.mux(stream.encode())
        found[name] = (folder / name).read_bytes()
    found["list.m3u8"] = (
        b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n"
    )
    found["list.ffconcat"] = b"ffconcat version 1.0\nfile /etc/passwd\n"
    return found


def feed_video(path: Path) -> object:
    """Every frame."""
    return sum(1 for _ in open_frames(path))


# Documents

PARAMETERS = """
demo:
  data: {seed: 1}
  finetune: &plan {seed: 1}
  evaluate_vos: {slots: 6, rules: [learned, oldest], runs: {a: {network: stremn, options: {every: 3}}}}
  cost: {seed: 0}
  memory: {seed: 0}
  again: *plan
"""


def parameters(_: Path) -> dict[str, bytes]:
    """The project's own settings, a small file, and one whose references grow."""
    own = Path(__file__).resolve().parents[1] / "params.yaml"
    laughs = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n"
        for old, new in zip("abcdefghi", "bcdefghij", strict=True)
    )
    block = (
        "demo:\n  evaluate_vos:\n    rules: *j\n    runs: {a: {options: {k: *j}}}\n  finetune: {seed: *j}\n"
    )
    return {
        "params.yaml": own.read_bytes(),
        "small.yaml": PARAMETERS.encode(),
        "laughs.yaml": (laughs + block).encode(),
        "self.yaml": b"demo: &d\n  evaluate_vos: {runs: {a: {options: {k: *d}}}}\n  finetune: *d\n",
    }


def feed_parameters(path: Path) -> object:
    """Two stages' blocks."""
    path.rename(path.with_name("params.yaml"))
    with contextlib.suppress(InputError):
        read_parameters(path.parent, "demo", "finetune").model_dump(mode="json")
    return read_parameters(path.parent, "demo", "evaluate_vos").model_dump(mode="json")


def metas(_: Path) -> dict[str, bytes]:
    """``meta.json`` of YouTube-VOS."""
    one = {"category": "cat", "frames": ["00000", "00005"]}
    return {"meta.json": json.dumps({"videos": {"a": {"objects": {"1": one, "2": one}}}}, indent=1).encode()}


def feed_meta(path: Path) -> object:
    """As the list of sequences, as classes, and as the reference of a submission."""
    ours = path.parent / "ours" / "a"
    ours.mkdir(parents=True)
    for t in range(3):
        write_mask(ours / f"{5 * t:05d}.png", _mask())
    read_meta(path, complete=False)
    folders = ("--predictions", ours.parent, "--annotations", ours.parent)
    given = ("--protocol", "youtube-vos", "--sequences", path, "--workers", 1)
    with contextlib.suppress(InputError):
        command("score", "vos", *folders, *given, "--meta", path, "--seen", path)
    reference = ("--benchmark", "youtube-vos2018", "--reference", path, "--out", path.parent / "s.zip")
    return command("submit", "vos", "--predictions", ours.parent, *reference)


def lists(_: Path) -> dict[str, bytes]:
    """Lists of sequences."""
    return {
        "val.txt": b"bear\ncamel\n",
        "pairs.txt": b"/JPEGImages/480p/bear/00000.jpg /Annotations/480p/bear/00000.png\n",
        "wide.txt": "bär\n".encode("utf-16"),
    }


def feed_list(path: Path) -> object:
    """Names of sequences."""
    return read_names(str(path))


def results(_: Path) -> dict[str, bytes]:
    """What an evaluation wrote of its runs."""
    run = {"network": "stremn", "policy": "learned", "slots": 6, "scales": [1.0], "options": {}}
    return {"runs.json": json.dumps({"learned": run, "oldest": run}).encode()}


def feed_lpips(path: Path) -> object:
    """Weights of LPIPS: none but the right ones are opened."""
    return load_lpips(path)


def arrays(folder: Path) -> dict[str, bytes]:
    """Videos as arrays."""
    found = {}
    for name, video in (("grey", _frame()[None, ..., 0].repeat(8, 0)), ("wrong", np.ones((4, 3)))):
        np.save(folder / "v.npy", video)
        found[f"{name}.npy"] = (folder / "v.npy").read_bytes()
    return found


def feed_array(path: Path) -> object:
    """As a generated video, and as Moving MNIST."""
    (path.parent / "test").mkdir()
    path.rename(path.parent / "test" / "person01_walking_d1.npy")
    return open_videos("walkers", path.parent, "test").windows(4, 2)[0]


def cocos(_: Path) -> dict[str, bytes]:
    """Annotations of COCO, with polygons and run lengths."""
    box = [4, 4, 20, 4, 20, 20, 4, 20]
    codes = {"counts": [300, 20, 300, 20, 640], "size": [32, 40]}
    notes = [
        {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 256, "segmentation": [box]},
        {"id": 2, "image_id": 1, "category_id": 1, "iscrowd": 1, "area": 40, "segmentation": codes},
    ]
    images = [{"id": 1, "file_name": "1.jpg", "height": 32, "width": 40}]
    return {"instances.json": json.dumps({"images": images, "annotations": notes}).encode()}


def feed_coco(path: Path) -> object:
    """Every image with its mask."""
    (path.parent / "annotations").mkdir()
    (path.parent / "train2017").mkdir()
    Image.fromarray(_frame()).save(path.parent / "train2017" / "1.jpg")
    path.rename(path.parent / "annotations" / "instances_train2017.json")
    found = open_images("coco", path.parent)
    return [found[index] for index in range(len(found))]


DOORS: dict[str, Door] = {
    "weights (.pth)": Door(pickles, feed_pickle),
    "checkpoints": Door(checkpoints, feed_checkpoint),
    "saved streams": Door(streams, feed_stream),
    "traces": Door(traces, feed_trace),
    "archives": Door(archives, feed_archive),
    "masks": Door(masks, feed_mask),
    "frames": Door(frames, feed_frame),
    "videos": Door(videos, feed_video),
    "params.yaml": Door(parameters, feed_parameters),
    "meta.json": Door(metas, feed_meta),
    "lists": Door(lists, feed_list),
    "results": Door(results, load_runs),
    "LPIPS weights": Door(pickles, feed_lpips),
    "NumPy files": Door(arrays, feed_array),
    "COCO annotations": Door(cocos, feed_coco),
}
