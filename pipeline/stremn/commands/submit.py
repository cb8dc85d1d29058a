"""``stremn submit``."""

from pathlib import Path

from tqdm import tqdm

from stremn.errors import InputError
from stremn.evaluation.submission import checked_files, get_benchmark, pack, read_reference


def submit_vos(
    predictions: Path,
    *,
    benchmark: str,
    out: Path,
    reference: Path | None = None,
    overwrite: bool = False,
) -> tuple[str, list[str]]:
    """Check result folders and pack them; returns what to tell the user, and the warnings."""
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


def _total(wanted: dict | None) -> int | None:
    """Frames to pack, where the reference tells."""
    if wanted is None or any(one.frames is None for one in wanted.values()):
        return None
    return sum(len(one.frames) for one in wanted.values())
