"""The ``stremn segment`` command that does what a run did."""

import shlex
from collections.abc import Mapping
from pathlib import Path

from stremn.errors import InputError
from stremn.explore.runs import Run
from stremn.explore.session import Session
from stremn.inference.open import policy_of
from stremn.inference.settings import StreamSettings
from stremn.segmenting.writers import DEFAULT

DEFAULTS = StreamSettings()
NOT_OPTIONS = ("protect_first", "protect_previous", "per_object", "fusion", "seed")  # of the command line


def command(
    session: Session,
    run: Run,
    video: str,
    masks: Mapping[int, str],
    out: str,
    kinds: tuple[str, ...],
    done: int,
) -> str:
    """The command, quoted for a shell.

    Args:
        video: path of the frames.
        masks: path of each given mask, by frame.
        out: folder of its results.
        kinds: what it writes.
        done: frames of the run; the command ends after them.

    Raises:
        InputError: no command does the same; it says why.
    """
    settings = session.settings
    if run.policy is None or run.given is None or settings is None:
        raise InputError("expected a run made here for its command, found only a trace: segment it again")
    if run.by_hand:
        raise InputError(
            "expected one rule for the whole video, found a memory that was changed by hand: no command does the "
            "same; its masks and its trace are saved all the same"
        )
    odd = [name for name in NOT_OPTIONS if getattr(settings, name) != getattr(DEFAULTS, name)]
    if odd:
        raise InputError(
            f"expected settings that the command has, found another {odd[0]}: use it from Python"
        )
    words = ["stremn", "segment", video]
    for frame, path in masks.items():
        words += ["--mask", f"{frame}:{path}"]
    words += ["--out", out, *_options(session, run, settings)]
    if kinds != DEFAULT:
        words += ["--write", ",".join(kinds)]
    if done < len(session.pictures):
        words += ["--stop", str(done)]
    return shlex.join(words)


def _options(session: Session, run: Run, settings: StreamSettings) -> list[str]:
    """Those that are not as they are without them."""
    assert run.policy is not None
    found = {
        name: str(value.resolve() if isinstance(value, Path) else value)
        for name, value in settings.model_dump(
            include={"system", "checkpoint", "plugin", "size"}, exclude_defaults=True
        ).items()
    }
    if run.policy.name != policy_of(settings.model_copy(update={"policy": None})).name:
        found["policy"] = run.policy.name
    for name in ("slots", "every"):
        value = getattr(run.policy, name)
        if value not in (None, getattr(DEFAULTS, name)):
            found[name] = str(value)
    if session.device != DEFAULTS.device:
        found |= {"device": session.device, "precision": "float32"}
    return [word for name, value in found.items() for word in (f"--{name}", value)]
