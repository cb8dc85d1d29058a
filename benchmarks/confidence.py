"""How well signs without truth find the frames in which an object is lost (J below 0.5), on sequences of DAVIS-2016.

    python benchmarks/confidence.py DAVIS --out measured/val --checks
    python benchmarks/confidence.py DAVIS --out measured/train --split train --frames 60 --step 2

The checkpoint of the package at its own size, every frame but the first. Each sequence leaves a CSV in ``--out`` (a run
that was stopped goes on). Prints for each sign the area under the ROC curve with its 95 % interval over sequences (drawn
again with replacement), and where the confidence best tells lost from followed (highest mean of both shares found):
``LOST`` of ``inference.confidence`` is that of the second command. Nothing was chosen on the sequences of the first.
"""

import argparse
import csv
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from stremn.data.clips import Clip
from stremn.data.official.davis import open_davis
from stremn.evaluation.region import region_similarity
from stremn.inference.confidence import LOST, Watch
from stremn.inference.open import open_system, working_size
from stremn.inference.settings import StreamSettings
from stremn.inference.stream import Stream
from stremn.memory import make_policy

BAD, RESAMPLES = 0.5, 2000
SIGNS = {
    "confidence: certainty · colours": lambda t: t["confidence"],
    "certainty: J of the probability with its mask": lambda t: t["certainty"],
    "entropy of the probability, a pixel of the mask": lambda t: -t["entropy"],
    "colours as where the mask was given": lambda t: t["colours"],
    "area as where the mask was given": lambda t: -np.abs(np.log(np.maximum(t["size"], 1e-3))),
    "jump in area since the frame before": lambda t: -np.abs(np.log(np.maximum(t["growth"], 1e-3))),
    "jump in place since the frame before": lambda t: -t["shift"],
    "overlap with the mask before": lambda t: t["overlap"],
    "agreement with the rule 'first'": lambda t: t["agreement"],
    "way back: the first mask, from this one": lambda t: t["back"],
}


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", type=Path, help="DAVIS, as unpacked")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for what is measured of each sequence"
    )
    parser.add_argument("--split", default="val")
    parser.add_argument("--frames", type=int, help="first frames of each sequence; default: all")
    parser.add_argument("--step", type=int, default=1, help="every so many sequences of the list")
    parser.add_argument("--only", nargs="*", help="these sequences alone")
    parser.add_argument("--checks", action="store_true", help="also the two signs that segment more (slow)")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    clips = open_davis(args.root, args.split, year=2016, only=args.only)
    for index in range(0, len(clips), args.step):
        path = args.out / f"{clips.names[index]}.csv"
        if not path.is_file():
            save(path, list(measured(clips[index], args.frames, args.checks)))
            print(path.stem, flush=True)
    show({path.stem: read(path) for path in sorted(args.out.glob("*.csv"))})


def measured(clip: Clip, frames: int | None, checks: bool) -> Iterator[dict[str, float]]:
    """Signs and J of each frame but the first."""
    network, policy, meta = open_system(StreamSettings())
    settings = StreamSettings(size=working_size(meta, clip.masks.shape[1:]), trace=False)
    stream, watch = Stream(network, policy, meta, settings), Watch()
    second = Stream(network, make_policy("first"), meta, settings)
    first, area = clip.masks[0], 1
    for t, (frame, truth) in enumerate(zip(clip.frames[:frames], clip.masks, strict=False)):
        likely = stream.step(frame, first if t == 0 else None)
        ids = stream.ids(likely)
        (rating,) = watch.rate(frame, ids, likely.numpy(), stream.object_ids, () if t else (1,))
        more = {}
        if checks:
            other = second.ids(second.step(frame, first if t == 0 else None))
            more = {"agreement": j(other, ids), "back": way_back(stream, clip.frames[0], first, frame, ids)}
        if t:
            yield {**asdict(rating), "growth": rating.area / max(1, area), **more, "j": j(ids, truth)}
        area = rating.area


def j(ids: np.ndarray, truth: np.ndarray) -> float:
    """J of object 1."""
    return float(region_similarity(ids == 1, truth == 1))


def way_back(
    stream: Stream, first: np.ndarray, mask: np.ndarray, frame: np.ndarray, ids: np.ndarray
) -> float:
    """J of the first frame's mask with what is found there from a later frame and its mask."""
    if not ids.any():
        return 0.0
    back = Stream(stream.network, make_policy("first"), stream.meta, stream.settings)
    back.step(frame, ids)
    return j(back.ids(back.step(first)), mask)


def save(path: Path, rows: list[dict[str, float]]) -> None:
    """Write a CSV."""
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)


def read(path: Path) -> dict[str, np.ndarray]:
    """Its columns."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


def area_under_curve(good: np.ndarray, lost: np.ndarray) -> float:
    """Of the ROC curve: how often a lost frame has less of a sign than one that is not; ties count half."""
    ranks, count = rankdata(-good), np.count_nonzero(lost)
    if count in (0, len(lost)):
        return float("nan")
    return float((ranks[lost].sum() - count * (count + 1) / 2) / (count * (len(lost) - count)))


def show(tables: dict[str, dict[str, np.ndarray]]) -> None:
    """The areas, and how far ``LOST`` is from the best threshold on these sequences."""
    lost = {name: table["j"] < BAD for name, table in tables.items()}
    every = np.concatenate(list(lost.values()))
    print(f"{len(tables)} sequences, {len(every)} frames, {100 * every.mean():.0f} % of them with J < {BAD}")
    names, rng = list(tables), np.random.default_rng(0)
    draws = [rng.choice(len(names), len(names)) for _ in range(RESAMPLES)]
    for title, sign in SIGNS.items():
        try:
            values = {name: sign(table) for name, table in tables.items()}
        except KeyError:  # measured without --checks
            continue

        def area(chosen: list[str], values: dict[str, np.ndarray] = values) -> float:
            return area_under_curve(
                np.concatenate([values[n] for n in chosen]), np.concatenate([lost[n] for n in chosen])
            )

        areas = [area([names[i] for i in draw]) for draw in draws]
        low, high = np.nanpercentile(areas, [2.5, 97.5])
        print(f"{title:50s} {area(names):.2f} ({low:.2f} to {high:.2f})")
    confidence = np.concatenate([table["confidence"] for table in tables.values()])
    for threshold in (LOST, best_threshold(confidence, every)):
        low = confidence < threshold
        print(
            f"below {threshold:.2f}: {100 * low[every].mean():.0f} % of the lost frames, "
            f"{100 * low[~every].mean():.0f} % of the others"
        )


def best_threshold(confidence: np.ndarray, lost: np.ndarray) -> float:
    """Highest mean of the shares of lost and of other frames that are told right, in steps of 0.05."""
    steps = np.arange(1, 20) / 20
    return max(steps, key=lambda at: (confidence[lost] < at).mean() + (confidence[~lost] >= at).mean())


if __name__ == "__main__":
    main()
