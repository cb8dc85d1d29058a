"""Do clips of recurring appearances ask for a choice, and who makes it well? Every rule, the oracles, the headroom.

    for stage in data pretrain finetune; do stremn run $stage --profile recurring; done
    python benchmarks/recurring.py --weights data/runs/recurring/finetune/networks/stremn/model.safetensors \
        --folder data/prepared/recurring/vos/test --clips 24 --slots 6

Makes the clips where they are missing, segments them with each rule, saves what it has after each (a run that was
stopped goes on), and prints mean J, J after returns, and the share of the headroom with its interval over clips.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from stremn.data.appearances import Truth, read_truth
from stremn.data.clips import Clip
from stremn.data.folders import open_clip_folder
from stremn.evaluation.bootstrap import bootstrap_mean, paired_difference
from stremn.evaluation.headroom import headroom_share, j_after_returns
from stremn.evaluation.region import region_similarity
from stremn.evaluation.sequences import ObjectScores
from stremn.generate.recurring import make_recurring, write_recurring
from stremn.generate.visits import RecurringSettings
from stremn.inference.greedy import greedy
from stremn.inference.oracle import belady
from stremn.memory import make_policy
from stremn.models.checkpoints import load_model, shipped_checkpoint
from stremn.models.vos import VOSNetwork, as_vos
from stremn.tasks.vos import rollout

BASE, ORACLE, EVERY = "first_and_previous", "belady", "every frame kept"
LETTERS = ["oldest", "newest", "random_drop", "random_select", "first_and_previous", "most_similar"]
Ids = np.ndarray


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", type=Path, help="a checkpoint; default: the one of the package")
    parser.add_argument("--folder", type=Path, required=True, help="where the clips and the scores lie")
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--slots", type=int, default=6)
    parser.add_argument("--batch", type=int, default=6)
    parser.add_argument("--greedy", type=int, default=0, help="clips for the greedy oracle, which is slow")
    parser.add_argument("--horizon", type=int, default=60, help="frames that the greedy oracle looks ahead")
    parser.add_argument("--only", nargs="*", help="these rules alone")
    args = parser.parse_args()
    network = as_vos(load_model(args.weights or shipped_checkpoint())[0])
    clips, truths = clips_of(args.folder, args.clips)
    path = args.folder / f"scores-{args.weights.stem if args.weights else 'shipped'}-{args.slots}.json"
    found = json.loads(path.read_text()) if path.is_file() else {}
    for name, segment in rules(network, truths, args).items():
        if name in found or (args.only and name not in args.only):
            continue
        found[name] = scored(segment, clips, args)
        path.write_text(json.dumps(found))
        print(f"{name}: J {np.mean([np.mean(j) for j in found[name].values()]):.3f}", flush=True)
    show(found, {name: truth.shown for name, truth in truths.items()})


def clips_of(folder: Path, count: int) -> tuple[list[Clip], dict[str, Truth]]:
    """The unseen clips and what they show, made where they are missing."""
    settings = RecurringSettings(kind="recurring", clips=count, appearances=(4, 5), dwell=(10, 14), seed=0)
    for index in range(count):
        if not (folder / "Appearances" / f"test{index:04d}.json").is_file():
            write_recurring(folder, *make_recurring(settings, "test", index))
    read = open_clip_folder(folder, "", limit=count)
    return [read[i] for i in range(count)], {name: read_truth(folder, name) for name in read.names}


def rules(network: VOSNetwork, truths: dict[str, Truth], args: argparse.Namespace) -> dict[str, Callable]:
    """Functions from clips of one number of objects to ids, by the rule's name."""

    def rolled(policy_of: Callable) -> Callable[[list[Clip]], list[Ids]]:
        def segment(clips: list[Clip]) -> list[Ids]:
            frames = torch.stack([pixels(clip) for clip in clips])
            masks = torch.stack([torch.from_numpy(clip.masks).long() for clip in clips])
            generator = torch.Generator().manual_seed(0)
            with torch.no_grad():
                done = rollout(
                    network, frames, masks, clips[0].objects, policy_of(clips), generator=generator
                )
            return list(done.ids().numpy())

        return segment

    def looked_ahead(clips: list[Clip]) -> list[Ids]:
        base = make_policy("newest", slots=args.slots)
        return [
            greedy(
                network,
                pixels(clip),
                torch.from_numpy(clip.masks).long(),
                clip.objects,
                base,
                horizon=args.horizon,
            ).ids.numpy()
            for clip in clips
        ]

    named = [
        *LETTERS,
        "learned",
        "redundancy",
        "rmem",
        "readmem",
        *(["learned_redundancy"] if network.judges else []),
    ]
    all_of_them = {
        EVERY: rolled(lambda clips: make_policy("every_n", every=1)),
        "every fifth frame": rolled(lambda clips: make_policy("every_n", every=5)),
        ORACLE: rolled(lambda clips: belady([truths[clip.name] for clip in clips], args.slots)),
        **{n: rolled(lambda clips, n=n: make_policy(n, slots=args.slots)) for n in named},
    }
    return {**all_of_them, f"greedy, {args.horizon} ahead": looked_ahead} if args.greedy else all_of_them


def pixels(clip: Clip) -> torch.Tensor:
    """Frames (T, 3, H, W) in [0, 1]."""
    return torch.from_numpy(clip.frames).permute(0, 3, 1, 2).float() / 255


def scored(segment: Callable, clips: list[Clip], args: argparse.Namespace) -> dict[str, list[float]]:
    """J of every frame but the first, of every object, ``<clip>_<id>``."""
    if segment.__name__ == "looked_ahead":
        clips = clips[: args.greedy]
    out = {}
    for objects in sorted({clip.objects for clip in clips}):
        same = [clip for clip in clips if clip.objects == objects]
        for start in range(0, len(same), args.batch):
            part = same[start : start + args.batch]
            for clip, ids in zip(part, segment(part), strict=True):
                for number in range(1, objects + 1):
                    j = region_similarity(ids[1:] == number, clip.masks[1:] == number)
                    out[f"{clip.name}_{number}"] = [round(float(value), 4) for value in j]
    return out


def show(found: dict[str, dict[str, list[float]]], shown: dict[str, np.ndarray]) -> None:
    """The table, best first; J in percent."""
    scores = {
        name: {
            key: ObjectScores(np.arange(1, len(j) + 1), np.array(j), np.array(j)) for key, j in one.items()
        }
        for name, one in found.items()
    }
    means = {name: {key: float(s.j.mean()) for key, s in one.items()} for name, one in scores.items()}
    print(f"{'rule':24s}{'J':>7s}{'95 %':>16s}{'- E':>7s}{'95 %':>16s}{'returns':>9s}  share of the headroom")
    for name in sorted(means, key=lambda n: -float(np.mean(list(means[n].values())))):
        mine = means[name]
        base, top = ({key: means[other][key] for key in mine} for other in (BASE, ORACLE))
        j, gap = bootstrap_mean(np.array(list(mine.values()))), paired_difference(mine, base)
        after = np.mean(list(j_after_returns(scores[name], shown).values()))
        share = headroom_share(mine, top, base)
        print(
            f"{name:24s}{100 * j.mean:7.1f}  ({100 * j.low:5.1f}, {100 * j.high:5.1f})"
            f"{100 * gap.mean:7.1f}  ({100 * gap.low:5.1f}, {100 * gap.high:5.1f}){100 * after:9.1f}  "
            + ("no headroom" if share is None else f"{share.share:.2f} ({share.low:.2f}, {share.high:.2f})")
            + f"  {len(mine)} objects"
        )
    letters = [name for name in LETTERS if name in means]
    print("pairs of A-F and their differences in J, points, 95 %:")
    for i, first in enumerate(letters):
        for second in letters[i + 1 :]:
            gap = paired_difference(means[first], means[second])
            print(f"  {first} - {second}: {100 * gap.mean:.1f} ({100 * gap.low:.1f}, {100 * gap.high:.1f})")


if __name__ == "__main__":
    main()
