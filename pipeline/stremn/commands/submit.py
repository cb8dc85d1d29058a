"""``stremn submit``."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stremn.errors import InputError

if TYPE_CHECKING:
    from stremn.evaluation.submission import Expected

app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")


@app.callback()
def submit() -> None:
    """Pack results for the servers of benchmarks, after a check of every file."""


@app.command()
def vos(
    predictions: Annotated[
        Path, typer.Option(metavar="DIR", help="Result folder: DIR/SEQUENCE/FRAME.png, palette PNGs.")
    ],
    benchmark: Annotated[
        str, typer.Option(help="davis2017-test-dev, youtube-vos2018 or youtube-vos2019 (validation).")
    ],
    out: Annotated[Path, typer.Option(metavar="FILE.zip", help="The archive.")],
    reference: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The benchmark's list: ImageSets/2017/test-dev.txt or meta.json, best where the dataset lies "
            "around it; sequences, frames, sizes and object ids are compared with it.",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an archive of that name.")] = False,
) -> None:
    """Make the archive that a benchmark's server takes, if every mask is as it must be.

    The first thing that is wrong stops with one line, and nothing is written. The same masks always give
    the same bytes. Of YouTube-VOS only the frames that are scored (6 frames a second) are packed.

    Example:

    `stremn submit vos --predictions results --benchmark youtube-vos2019 --out results.zip
    --reference YouTubeVOS/valid/meta.json`
    """
    text, notes = submit_vos(
        predictions, benchmark=benchmark, out=out, reference=reference, overwrite=overwrite
    )
    for note in notes:
        print(f"warning: {note}", file=sys.stderr)
    print(text)


def submit_vos(
    predictions: Path,
    *,
    benchmark: str,
    out: Path,
    reference: Path | None = None,
    overwrite: bool = False,
) -> tuple[str, list[str]]:
    """Check result folders and pack them; returns what to tell the user, and the warnings."""
    from tqdm import tqdm

    from stremn.evaluation.submission import checked_files, get_benchmark, pack, read_reference

    rule = get_benchmark(benchmark)
    if out.suffix.lower() != ".zip":
        raise InputError(f"expected a name that ends in .zip for the archive, found {out}")
    if out.exists() and (out.is_dir() or not overwrite):
        raise InputError(f"expected nothing at {out}, found something; add --overwrite to replace a file")
    wanted = None if reference is None else read_reference(reference)
    notes = []
    if wanted is None:
        notes.append("without --reference frames, sizes and object ids are compared with nothing")
    elif any(one.frames is None for one in wanted.values()):
        notes.append(f"no pictures around {reference}: frames and sizes are compared with nothing")
    elif len(wanted) != rule.sequences:
        notes.append(f"{rule.name} has {rule.sequences} sequences, the reference lists {len(wanted)}")
    made = [parent for parent in out.resolve().parents if not parent.exists()]
    done = False
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tqdm(
            desc="check and pack", unit="frame", disable=None, leave=False, total=_total(wanted)
        ) as bar:
            number = pack(checked_files(predictions, rule, wanted), out, bar.update)
        done = True
    except OSError as error:
        raise InputError(f"expected to write {out}, could not: {error}") from None
    finally:
        if not done:
            for parent in made:
                if parent.is_dir():
                    parent.rmdir()
    return f"{number} masks, {out.stat().st_size / 1e6:.1f} MB: {out}", notes


def _total(wanted: "dict[str, Expected] | None") -> int | None:
    """Frames to pack, where the reference tells."""
    frames = [one.frames for one in (wanted or {}).values()]
    known = [one for one in frames if one is not None]
    return sum(map(len, known)) if known and len(known) == len(frames) else None
