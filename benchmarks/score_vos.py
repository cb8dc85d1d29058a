"""How fast ``stremn score vos`` is on one core: the metrics alone, reading PNG files, and both.

    python benchmarks/score_vos.py
    python benchmarks/score_vos.py --davis ../shared/data/DAVIS

Times are processor time of one process, so that other work on the machine changes them little. The
official functions (davis2017-evaluation, with OpenCV's dilation) reach about 190 frames/s at 480×854 with
masks that are in memory already; the line "metrics" is what compares with that.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from stremn.data.clips import read_stored_ids
from stremn.evaluation.baselines import keep_first_mask
from stremn.evaluation.folders import frame_paths
from stremn.evaluation.names import read_names
from stremn.evaluation.sequences import score_sequence
from stremn.evaluation.vos import score_folder

OFFICIAL = 190.0  # frames/s
PALETTE = [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0, *[64] * (3 * 252)]  # 256 colours, as in DAVIS


def blobs(frames: int, objects: int, seed: int, shape: tuple[int, int] = (480, 854)) -> np.ndarray:
    """Smooth ids (T, H, W) that drift: about a tenth of the frame each."""
    generator = np.random.default_rng(seed)
    ids = np.zeros((frames, *shape), np.uint8)
    for number in range(1, objects + 1):
        field = gaussian_filter(generator.standard_normal(shape), 40, mode="wrap")
        mask = field > np.quantile(field, 0.9)
        for t in range(frames):
            ids[t][np.roll(mask, (t, 2 * t), (0, 1))] = number
    return ids


def write(folder: Path, ids: np.ndarray) -> None:
    """Palette PNG files 00000.png, …"""
    folder.mkdir(parents=True)
    for t, one in enumerate(ids):
        image = Image.fromarray(one)
        image.putpalette(PALETTE)
        image.save(folder / f"{t:05d}.png")


def seconds(work: Callable[[], object], repeats: int = 3) -> float:
    """Least processor time of some runs."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def report(label: str, frames: int, spent: float, objects: int) -> None:
    """One line of the table; the official functions take as long again for every object."""
    rate = frames / spent
    times = rate * objects / OFFICIAL
    print(f"  {label:<26}{1e3 * spent / frames:8.2f} ms/frame {rate:8.0f} frames/s {times:6.1f} × official")


def measure(title: str, predictions: Path, annotations: Path, names: list[str], protocol: str) -> None:
    """Read, score, and both, of some sequences."""
    paths = {name: frame_paths(annotations, name) for name in names}
    frames = sum(map(len, paths.values()))

    def read(root: Path) -> None:
        for name in names:
            for path in paths[name]:
                read_stored_ids(root / name / path.name)

    def load(root: Path, name: str) -> np.ndarray:
        return np.stack([read_stored_ids(root / name / path.name) for path in paths[name]])

    metrics, objects = 0.0, 1
    for name in names:
        first, second = load(predictions, name), load(annotations, name)
        objects = len(score_sequence(first, second, protocol=protocol))
        metrics += seconds(lambda a=first, b=second: score_sequence(a, b, protocol=protocol))
    print(f"{title}: {len(names)} sequences, {frames} frames")
    report("metrics, J and F", frames, metrics, objects)
    both = seconds(lambda: score_folder(predictions, annotations, protocol, names))
    report("reading the annotations", frames, seconds(lambda: read(annotations)), objects)
    report("reading the predictions", frames, seconds(lambda: read(predictions)), objects)
    report("all, files to scores", frames, both, objects)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--frames", type=int, default=100, help="frames of each synthetic sequence")
    parser.add_argument("--davis", type=Path, help="a DAVIS-2016 folder: keep the first mask, val sequences")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        for objects in (1, 3):
            truth, ours = root / f"truth{objects}", root / f"ours{objects}"
            ids = blobs(options.frames, objects, seed=objects)
            write(truth / "blobs", ids)
            write(ours / "blobs", np.roll(ids, 5, axis=0))
            title = f"synthetic 480×854, {objects} object{'s' * (objects > 1)}"
            measure(title, ours, truth, ["blobs"], "davis2017")
        if options.davis:
            truth = options.davis / "Annotations" / "480p"
            names = read_names(str(options.davis / "ImageSets" / "2016" / "val.txt"))
            for name in names:
                masks = np.stack([read_stored_ids(path) for path in frame_paths(truth, name)])
                write(root / "kept" / name, keep_first_mask((masks > 127).astype(np.uint8)))
            measure("DAVIS-2016, keep the first mask", root / "kept", truth, names, "davis2016")


if __name__ == "__main__":
    main()
