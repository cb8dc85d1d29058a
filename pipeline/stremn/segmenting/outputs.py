"""An output folder that is complete or not there, unless what is done is worth keeping."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stremn.errors import InputError
from stremn.files import replacing
from stremn.listing import is_litter


@dataclass
class Output:
    """A scratch folder.

    Attributes:
        folder: where to write.
        keep: on failure, too, it becomes the folder of the results.
    """

    folder: Path
    keep: bool = False


@contextmanager
def output_folder(out: Path | str, ours: Collection[str], *, overwrite: bool = False) -> Iterator[Output]:
    """A scratch folder beside ``out`` that becomes ``out`` on success; on failure nothing stays behind.

    Missing parent folders are made, and removed again on failure. With ``Output.keep`` a failure is a success.

    Args:
        out: the folder; it need not exist.
        ours: names that an earlier run writes into it.
        overwrite: replace earlier results, and nothing else: what is not ours is never removed.

    Raises:
        InputError: a file of that name, a folder that is not empty, or a place that cannot be written.
    """
    _check_output(out, ours, overwrite)
    out = Path(out).resolve()
    made = [parent for parent in out.parents if not parent.exists()]
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"expected to make the folder {out.parent}, could not: {error.strerror}") from None
    done, failure = False, None
    try:
        with replacing(out) as scratch:
            try:
                scratch.mkdir()
            except OSError as error:
                raise InputError(f"expected to write beside {out}, could not: {error.strerror}") from None
            output = Output(scratch)
            try:
                yield output
            except BaseException as error:
                if not output.keep:
                    raise
                failure = error
        done = True
    finally:
        if not done:
            for parent in made:
                parent.rmdir()
    if failure is not None:
        raise failure


def _check_output(out: Path | str, ours: Collection[str], overwrite: bool) -> None:
    """Refuse an output folder that holds something other than what may be replaced."""
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise InputError(f"expected a folder for the results at {out}, found a file; choose another --out")
    found = sorted(p.name for p in out.iterdir() if not is_litter(p.name)) if out.exists() else []
    foreign = [name for name in found if name not in ours]
    if found and not overwrite:
        raise InputError(
            f"expected a new or empty folder {out}, found {found[0]} in it; add --overwrite to replace it"
        )
    if foreign:
        raise InputError(f"expected only earlier results in {out}, found {foreign[0]}; choose another --out")
