"""Writing the generated sets: each goes to a scratch folder first and is renamed when complete.

Every root gets a ``manifest.json`` with the settings, counts and a sha256 of the contents of each part.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from stremn.data.clips import write_clip, write_mask
from stremn.data.photographs import GROUPS
from stremn.errors import InputError
from stremn.files import replacing
from stremn.fingerprint import of_folder
from stremn.generate.composites import ImageSettings, make_image
from stremn.generate.procedural import ClipSettings, make_clip
from stremn.generate.recurring import make_recurring, write_recurring
from stremn.generate.visits import RecurringSettings
from stremn.generate.walkers import WalkerSettings, make_video


def make_vos(root: Path | str, settings: Mapping[str, ClipSettings | RecurringSettings]) -> dict[str, Any]:
    """Write one folder of clips per split: ``root/<split>/JPEGImages`` and ``Annotations``.

    Args:
        settings: by split. A split's name begins with its group of photographs: ``train``, ``val``,
            ``test``, ``test_long``, ``train/recurring``, …

    Returns the manifest. Raises InputError for a split of no known group.
    """
    for split in settings:
        if _group(split) not in GROUPS:
            raise InputError(
                f"expected splits that begin with {', '.join(GROUPS)}, found {split!r}: rename it"
            )
    parts = {}
    with (
        replacing(_parent_ready(root)) as scratch,
        _bar(sum(s.clips for s in settings.values()), "clips") as bar,
    ):
        for split, wanted in settings.items():
            counts = {"clips": wanted.clips, "frames": wanted.clips * wanted.length, "objects": 0}
            name = split.replace("/", "_")
            for index in range(wanted.clips):
                if isinstance(wanted, RecurringSettings):
                    clip, truth = make_recurring(wanted, _group(split), index, name)
                    write_recurring(scratch / split, clip, truth)
                else:
                    clip = make_clip(wanted, _group(split), index, name)
                    write_clip(scratch / split, clip)
                counts["objects"] += clip.objects
                bar.update()
            photographs = list(GROUPS[_group(split)])
            parts[split] = {**counts, "photographs": photographs, "sha256": of_folder(scratch / split)}
        return _manifest(scratch, "vos", {k: v.model_dump(mode="json") for k, v in settings.items()}, parts)


def _group(split: str) -> str:
    """The group of photographs of a split: "train" of "train_long" and "train/recurring"."""
    return re.split("[_/]", split)[0]


def make_static(root: Path | str, settings: ImageSettings) -> dict[str, Any]:
    """Write ``root/images/*.png`` and ``root/masks/*.png``. Returns the manifest."""
    with replacing(_parent_ready(root)) as scratch:
        for name in ("images", "masks"):
            (scratch / name).mkdir(parents=True)
        objects = 0
        for index in _bar(settings.images, "images"):
            image, mask = make_image(settings, index)
            Image.fromarray(image).save(scratch / "images" / f"{index:05d}.png")
            write_mask(scratch / "masks" / f"{index:05d}.png", mask)
            objects += int(mask.max())
        part = {"images": settings.images, "objects": objects, "photographs": list(GROUPS["train"])}
        part["sha256"] = of_folder(scratch)
        return _manifest(scratch, "static", settings.model_dump(mode="json"), {"train": part})


def make_walkers(root: Path | str, settings: WalkerSettings) -> dict[str, Any]:
    """Write ``root/<split>/person<NN>_<action>_d<M>.npy``, people disjoint. Returns the manifest."""
    people = iter(range(1, settings.train + settings.val + settings.test + 1))
    splits = {
        split: [next(people) for _ in range(getattr(settings, split))] for split in ("train", "val", "test")
    }
    kinds = [(action, scene) for action in settings.actions for scene in settings.scenes]
    parts = {}
    total = sum(map(len, splits.values())) * len(kinds)
    with replacing(_parent_ready(root)) as scratch, _bar(total, "videos") as bar:
        for split, numbers in splits.items():
            (scratch / split).mkdir(parents=True)
            for number in numbers:
                for action, scene in kinds:
                    name = f"person{number:02d}_{action}_d{scene}.npy"
                    np.save(scratch / split / name, make_video(settings, number, action, scene))
                    bar.update()
            videos = len(numbers) * len(kinds)
            counts = {"people": numbers, "videos": videos, "frames": videos * settings.length}
            parts[split] = {**counts, "sha256": of_folder(scratch / split)}
        return _manifest(scratch, "walkers", settings.model_dump(mode="json"), parts)


def _manifest(scratch: Path, kind: str, settings: dict[str, Any], parts: dict[str, Any]) -> dict[str, Any]:
    manifest = {"kind": kind, "settings": settings, "splits": parts}
    (scratch / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    return manifest


def _parent_ready(root: Path | str) -> Path:
    path = Path(root)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _bar(total: int, unit: str) -> tqdm:
    return tqdm(range(total), desc=f"making {unit}", unit=f" {unit}", mininterval=2)
