"""Video files as people bring them: one list of frames, upright, at their times, to their real end."""

import gc
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition

from stremn.data.decoded import rgb
from stremn.data.truncated import ends_early
from stremn.data.video import open_frames
from stremn.data.video_file import VideoFile
from stremn.errors import InputError
from stremn.explore.pictures import pictures
from stremn.segmenting.sources import ClipRange
from stremn.segmenting.writers import Writers


def write_h264(
    path: Path,
    frames: Sequence[np.ndarray],
    *,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    container: dict[str, str] | None = None,
    times: Sequence[int] | None = None,
    **fields: Any,
) -> Path:
    """A video of RGB frames, as PyAV's user would write it.

    Args:
        times: of the frames, in 1/600 s; None: 30 frames a second.
        fields: of the stream's codec context, such as ``pix_fmt``.
    """
    with av.open(str(path), "w", options=container or {}) as file:
        chosen = {"preset": "veryfast", "g": "10"} if codec == "libx264" else {}
        stream: Any = file.add_stream(codec, rate=30, options={**chosen, **(options or {})})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = fields.pop("pix_fmt", "yuv420p")
        if times is not None:
            stream.codec_context.time_base = stream.time_base = Fraction(1, 600)
        for name, value in fields.items():
            setattr(stream.codec_context, name, value)
        for number, pixels in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            if times is not None:
                picture.pts, picture.time_base = times[number], Fraction(1, 600)
            file.mux(stream.encode(picture))
        file.mux(stream.encode())
    return path


def shades(count: int, height: int = 64, width: int = 96) -> list[np.ndarray]:
    """Frames that a decoder can tell apart, of noise that makes every one some hundred bytes."""
    rng = np.random.default_rng(0)
    slope = np.linspace(0, 60, width, dtype=np.uint8)
    frames = [np.broadcast_to(slope + 150 * t // count, (height, width)) for t in range(count)]
    frames = [f + rng.integers(0, 40, f.shape, np.uint8) for f in frames]
    return [np.stack([f, 250 - f, f // 2], -1).astype(np.uint8) for f in frames]


def by_number(path: Path) -> list[np.ndarray]:
    """The explorer's frames, asked for in a scrambled order."""
    shown = pictures(path)
    order = np.random.default_rng(1).permutation(len(shown))
    found = {int(n): shown[int(n)] for n in order}
    return [found[n] for n in range(len(shown))]


def is_one_list(path: Path) -> list[np.ndarray]:
    """The frames as they are segmented; the explorer has the same, and so many are counted."""
    video = open_frames(path)
    frames = [frame for _, frame in video]
    assert video.counted() == len(frames) == ClipRange(video).count
    for one, other in zip(frames, by_number(path), strict=True):
        np.testing.assert_array_equal(one, other)
    return frames


def near(found: Sequence[np.ndarray], wanted: Sequence[np.ndarray], most: float = 12) -> None:
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert np.abs(one.astype(int) - other).mean() < most


# --- one list


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("b.avi", "libx264", {"bf": "3"}),  # times in the wrong order
        ("p.avi", "mpeg4", {"bf": "2", "g": "12"}),
        ("raw.h264", "libx264", {"bf": "3"}),  # no times at all
        ("raw.hevc", "libx265", {"x265-params": "log-level=none:keyint=10:bframes=3"}),
        ("a.ts", "libx264", {"bf": "3", "x264-params": "open-gop=1:keyint=8:scenecut=0"}),
        ("a.mpg", "mpeg2video", {"bf": "2", "g": "9"}),
        ("a.mkv", "libx264", {"bf": "3"}),
        ("a.webm", "libvpx", {"g": "10"}),
        ("a.mov", "mjpeg", {}),
        ("a.gif", "gif", {}),
        ("a.apng", "apng", {}),
    ],
)
def test_segment_and_explorer_have_one_list(
    tmp_path: Path, name: str, codec: str, options: dict[str, str]
) -> None:
    formats = {"gif": "rgb8", "apng": "rgb24", "mjpeg": "yuvj420p"}
    frames = shades(25)
    path = write_h264(
        tmp_path / name, frames, codec=codec, options=options, pix_fmt=formats.get(codec, "yuv420p")
    )
    near(is_one_list(path), frames, 40)


def test_an_edit_list_is_applied_everywhere(tmp_path: Path) -> None:
    frames = shades(30)
    whole = write_h264(tmp_path / "whole.mp4", frames, options={"g": "60", "bf": "2"})
    path = tmp_path / "cut.mp4"
    with (
        av.open(str(whole)) as source,
        av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as target,
    ):
        stream: Any = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.size:
                packet.pts, packet.dts = packet.pts - 10 * 512, packet.dts - 10 * 512
                packet.stream = copy
                target.mux(packet)
    video = open_frames(path)
    assert isinstance(video, VideoFile) and video.declared == 30 and video.counted() == 20
    near(is_one_list(path), frames[10:])
    assert ClipRange(video, 19).count == 1
    for start, stop in ((20, None), (25, 28), (0, 21), (-1, None), (5, 5), (7, 3)):
        with pytest.raises(InputError) as problem:
            ClipRange(open_frames(path), start, stop)
        assert any(end in str(problem.value) for end in ("0 to 19", "at most 20")) or start in (-1, 5, 7)


def test_only_as_many_frames_are_listed_as_are_needed(tmp_path: Path) -> None:
    video = open_frames(write_h264(tmp_path / "a.mkv", shades(20)))
    assert isinstance(video, VideoFile) and video.declared is None
    assert ClipRange(video, 2, 5).count == 3 and len(video.listed) == 5 and video.count is None
    assert video.counted(3) == 3 and video.counted() == 20 and video.counted(30) == 20


# --- the beginning and the end


@pytest.mark.parametrize("name", ["a.ts", "a.h264", "open.ts", "a.mpg"])
def test_a_stream_that_begins_between_key_frames(tmp_path: Path, name: str) -> None:
    frames = shades(40)
    groups = "open-gop=1:keyint=10:scenecut=0" if name == "open.ts" else "keyint=10:scenecut=0"
    codec, options = (
        ("mpeg2video", {"bf": "2", "g": "10"}) if name == "a.mpg" else ("libx264", {"x264-params": groups})
    )
    path = write_h264(tmp_path / name, frames, codec=codec, options=options)
    content = path.read_bytes()
    path.write_bytes(content[len(content) // 4 // 188 * 188 :])  # packets of .ts stay whole
    with pytest.warns(UserWarning, match="begins between key frames"):
        found = is_one_list(path)
    near(found, frames[-len(found) :], 20)
    assert 9 < len(found) < 40


def test_damage_is_told_also_where_a_stream_begins_between_key_frames(tmp_path: Path) -> None:
    frames = shades(40, 128, 192)
    path = write_h264(tmp_path / "a.ts", frames, options={"x264-params": "keyint=10:scenecut=0"})
    content = bytearray(path.read_bytes())
    middle = int(0.59 * len(content)) // 188 * 188
    content[middle + 60 : middle + 120] = bytes(b ^ 0x5A for b in content[middle + 60 : middle + 120])
    path.write_bytes(content[int(0.31 * len(content)) // 188 * 188 :])
    video = open_frames(path)
    assert any("begins between key frames" in note for note in video.notes)
    with pytest.warns(UserWarning, match="damaged"):
        assert 0 < video.counted() < 10


def test_frames_are_given_back_without_the_garbage_collector(tmp_path: Path) -> None:
    path = write_h264(tmp_path / "a.mp4", shades(40))
    gc.collect()
    gc.disable()
    try:
        before = sum(isinstance(one, av.VideoFrame) for one in gc.get_objects())
        for _ in open_frames(path):
            pass
        assert sum(isinstance(one, av.VideoFrame) for one in gc.get_objects()) - before < 5
    finally:
        gc.enable()


@pytest.mark.parametrize("name", ["a.mkv", "a.webm", "a.ts", "a.avi", "a.flv", "a.gif", "a.apng"])
def test_a_truncated_file_is_told(tmp_path: Path, name: str) -> None:
    codec = {"webm": "libvpx", "gif": "gif", "apng": "apng", "avi": "mjpeg"}.get(name[2:], "libx264")
    fmt = {"gif": "rgb8", "apng": "rgb24", "mjpeg": "yuvj420p"}.get(codec, "yuv420p")
    frames = shades(25)
    path = write_h264(tmp_path / name, frames, codec=codec, pix_fmt=fmt)
    assert not ends_early(path)
    content = path.read_bytes()
    for left in (0.8, 0.6):
        path.write_bytes(content[: int(len(content) * left)])
        with pytest.warns(UserWarning, match="is incomplete"):
            found = is_one_list(path)
        near(found, frames[: len(found)], 40)
        with av.open(str(path)) as file:
            packets = sum(packet.size > 0 for packet in file.demux(video=0))
        assert packets - 5 <= len(found) <= packets < 25


def test_lengths_that_nobody_declares(tmp_path: Path) -> None:
    for name in ("a.nut", "a.h264"):
        assert ends_early(write_h264(tmp_path / name, shades(3))) is None
    path = tmp_path / "a.mkv"
    write_h264(path, shades(3), container={"live": "1"})  # a recording
    assert not ends_early(path)
    (tmp_path / "text").write_text("no video" * 100)
    assert ends_early(tmp_path / "text") is None


def test_a_truncated_mp4_is_damaged_at_a_frame(tmp_path: Path) -> None:
    frames = shades(40)
    path = write_h264(tmp_path / "a.mp4", frames, container={"movflags": "faststart"})
    content = path.read_bytes()
    for lost in (400, len(content) // 3):
        path.write_bytes(content[:-lost])
        video = open_frames(path)
        with pytest.warns(UserWarning, match="damaged.*only the"):
            count = video.counted()
        assert count is not None and 10 < count < 40
        read = []
        with pytest.raises(InputError, match=rf"frame {count} of .*a\.mp4 damaged"):
            read.extend(frame for _, frame in video)
        read = [frame for _, (_, frame) in zip(range(count), video, strict=False)]
        near(read, frames[:count])
        near(by_number(path), read, 0.01)


def test_another_size_in_the_middle_is_the_end(tmp_path: Path) -> None:
    one = write_h264(tmp_path / "1.h264", shades(12))
    other = write_h264(tmp_path / "2.h264", shades(12, 80, 112))
    path = tmp_path / "both.h264"
    path.write_bytes(one.read_bytes() + other.read_bytes())
    video = open_frames(path)
    with pytest.warns(UserWarning, match="frame 12 .*112x80 pixels, the first has 96x64"):
        assert video.counted() == 12
    assert len(by_number(path)) == 12


@pytest.mark.parametrize("kind", ["sound", "cover", "empty", "no packet"])
def test_without_a_video_there_is_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.mp4"
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "no packet":
        content = bytearray(write_h264(path, shades(10), options={"g": "60"}).read_bytes())
        start, end = content.index(b"mdat") + 4, content.index(b"moov") - 4
        content[start:end] = bytes(end - start)
        path.write_bytes(content)
    else:
        with av.open(str(path), "w") as file:
            sound: Any = file.add_stream("aac", rate=8000)
            if kind == "cover":
                add_cover(file)
            tone = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            tone.rate = 8000
            file.mux(sound.encode(tone))
            file.mux(sound.encode())
    with pytest.raises(InputError) as problem:
        open_frames(path)
    assert "\n" not in str(problem.value) and path.name in str(problem.value)
    assert kind != "cover" or "only a cover picture" in str(problem.value)


def add_cover(file: Any) -> None:
    """A picture of the disc, say, which files of music have as a video of one frame."""
    cover = file.add_stream("mjpeg", rate=1)
    cover.width, cover.height, cover.pix_fmt = 96, 64, "yuvj420p"
    cover.disposition = Disposition.attached_pic
    file.mux(cover.encode(av.VideoFrame.from_ndarray(shades(1)[0], format="rgb24")))
    file.mux(cover.encode())


def test_of_several_videos_the_first_is_read_and_covers_are_not(tmp_path: Path) -> None:
    path = tmp_path / "two.mp4"
    with av.open(str(path), "w") as file:
        streams: list[Any] = [file.add_stream("libx264", rate=10) for _ in range(2)]
        for stream in streams:
            stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        add_cover(file)
        for number, stream in enumerate(streams):
            flat = np.full((64, 96, 3), 80 + 60 * number, np.uint8)
            for _ in range(4):
                file.mux(stream.encode(av.VideoFrame.from_ndarray(flat, format="rgb24")))
            file.mux(stream.encode())
    with pytest.warns(UserWarning, match="2 videos"):
        frames = is_one_list(path)
    assert len(frames) == 4 and abs(frames[0].mean() - 80) < 3


# --- how a frame is shown


@pytest.mark.parametrize("flip", [1, -1])
@pytest.mark.parametrize("quarter", [0, 1, 2, 3])
def test_all_eight_orientations(tmp_path: Path, quarter: int, flip: int) -> None:
    frame = np.zeros((64, 96, 3), np.uint8)
    frame[:32, :48], frame[:32, 48:], frame[32:, :48] = (200, 0, 0), (0, 200, 0), (0, 0, 200)
    path = write_h264(tmp_path / "a.mp4", [frame] * 3)
    cos, sin = [(1, 0), (0, 1), (-1, 0), (0, -1)][quarter]
    a, b, c, d = flip * cos, flip * sin, -sin, cos
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 44  # the matrix a b u, c d v, x y w in 16.16
    for place, value in ((0, a), (1, b), (3, c), (4, d)):
        content[at + 4 * place : at + 4 * place + 4] = (value * 65536).to_bytes(4, "big", signed=True)
    path.write_bytes(content)
    rows, columns = np.mgrid[:64, :96]
    x, y = a * columns + c * rows, b * columns + d * rows  # QuickTime's definition
    wanted = np.zeros((96, 64, 3) if quarter % 2 else (64, 96, 3), np.uint8)
    wanted[y - y.min(), x - x.min()] = frame
    video = open_frames(path)
    assert video.size == wanted.shape[:2]
    near(is_one_list(path), [wanted] * 3)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_the_overlay_keeps_times_and_aspect(tmp_path: Path, name: str) -> None:
    gaps = [20, 20, 60, 20, 10, 100, 20, 20, 40, 20]
    times = np.cumsum([0, *gaps]).tolist()
    path = write_h264(tmp_path / name, shades(11), times=times, sample_aspect_ratio=Fraction(4, 3))
    video = ClipRange(open_frames(path), 2, 9)
    with Writers(tmp_path, ("overlay", "side-by-side"), video) as out:
        for _, frame in video:
            out.write_videos(frame, np.ones(frame.shape[:2], int), np.full((2, *frame.shape[:2]), 0.5))
    for made in ("overlay.mp4", "side_by_side.mp4"):
        overlay = open_frames(tmp_path / made)
        assert overlay.counted() == 7 and overlay.aspect == Fraction(4, 3)
        found = [float(t) for t in overlay.times() or ()]
        wanted = [(t - times[2]) / 600 for t in times[2:9]]
        np.testing.assert_allclose(
            np.subtract(found, found[0]), wanted, atol=1e-9 if name == "a.mp4" else 0.0011
        )


def test_a_turned_video_has_its_aspect_turned(tmp_path: Path) -> None:
    path = write_h264(tmp_path / "a.mp4", shades(2), sample_aspect_ratio=Fraction(4, 3))
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 44
    for place, value in ((0, 0), (1, 1), (3, -1), (4, 0)):
        content[at + 4 * place : at + 4 * place + 4] = (value * 65536).to_bytes(4, "big", signed=True)
    path.write_bytes(content)
    assert open_frames(path).aspect == Fraction(3, 4)


@pytest.mark.parametrize(
    ("pix_fmt", "space", "range_"),
    [("yuv420p", 1, 1), ("yuv420p", 5, 1), ("yuv444p", 1, 2), ("yuv420p10le", 1, 1), ("yuv420p10le", 9, 1)],
)
def test_matrices_ranges_and_depths(tmp_path: Path, pix_fmt: str, space: int, range_: int) -> None:
    colour = np.array([200, 60, 40])
    weights = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 9: (0.2627, 0.0593)}[space]
    red, blue = weights
    r, g, b = colour / 255
    luma = red * r + (1 - red - blue) * g + blue * b
    planes = [luma, (b - luma) / (2 * (1 - blue)), (r - luma) / (2 * (1 - red))]
    low, high, chroma = (16, 219, 224) if range_ == 1 else (0, 255, 255)
    depth = 4 if "10" in pix_fmt else 1
    values = [depth * (low + high * planes[0]), *(depth * (128 + chroma * p) for p in planes[1:])]
    frame: Any = av.VideoFrame(96, 64, pix_fmt)
    for plane, value in zip(frame.planes, values, strict=True):
        dtype = np.dtype("<u2") if depth == 4 else np.dtype("u1")
        plane.update(np.full(plane.buffer_size // dtype.itemsize, round(value), dtype).tobytes())
    with av.open(str(tmp_path / "a.mp4"), "w") as file:
        stream: Any = file.add_stream("libx264", rate=10, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, pix_fmt
        stream.codec_context.colorspace, stream.codec_context.color_range = space, range_
        file.mux(stream.encode(frame))
        file.mux(stream.encode())
    np.testing.assert_allclose(open_frames(tmp_path / "a.mp4").first()[30, 30], colour, atol=5)


def test_hdr_is_tone_mapped_by_the_stated_rule(tmp_path: Path) -> None:
    def seen(transfer: int, value: float) -> int:
        frame: Any = av.VideoFrame.from_ndarray(
            np.full((16, 16, 3), round(65535 * value), np.uint16), format="rgb48le"
        )
        frame.color_trc = transfer
        return int(rgb(frame, None)[8, 8, 0])

    half = 255 * 0.5 ** (1 / 2.2)  # half of white stays
    white = 255 * (0.6 + 0.4 * (1 - np.exp(-1))) ** (1 / 2.2)  # white is rolled off
    for transfer, of_half, of_white in ((16, 0.5082, 0.5807), (18, 0.6324, 0.7498)):  # ST 2084; BT.2100
        assert abs(seen(transfer, of_half) - half) < 4 and abs(seen(transfer, of_white) - white) < 2
        assert seen(transfer, 0) == 0 and 250 <= seen(transfer, 1) <= 255
    assert seen(1, 0.5) == 128


def test_interlaced_and_hdr_are_noted(tmp_path: Path) -> None:
    write_h264(
        tmp_path / "hdr.mp4",
        shades(3),
        codec="libx265",
        options={"x265-params": "log-level=none"},
        pix_fmt="yuv420p10le",
        color_trc=18,
        color_primaries=9,
        colorspace=9,
    )
    with pytest.warns(UserWarning, match="HDR"):
        open_frames(tmp_path / "hdr.mp4")
    write_h264(tmp_path / "i.mp4", shades(3), options={"x264-params": "tff=1"})
    with pytest.warns(UserWarning, match="interlaced"):
        open_frames(tmp_path / "i.mp4")
