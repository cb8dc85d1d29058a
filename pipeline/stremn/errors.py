"""The one error of bad input, the warning about it, and what a library's error comes from."""

import re
import textwrap
import warnings
from collections.abc import Iterable
from difflib import get_close_matches

OFFLINE = re.compile(
    r"name resolution|Failed to resolve|getaddrinfo|Name or service not known|nodename nor servname|"
    r"Network is unreachable|No route to host",
    re.IGNORECASE,
)
DAMAGED = (
    KeyError,
    TypeError,
    ValueError,
    IndexError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
)
"""What building something from a file's own description raises where that is damaged; never a bug's only sign."""


class InputError(ValueError):
    """Something from outside is wrong: a file, a parameter, a mask.

    The message is one line that says what was expected, what was found and what to do.
    The command line prints it as ``error: …`` and exits with code 2; every other exception
    is a bug of ours and shows its traceback.
    """


class InputWarning(UserWarning):
    """Something from outside was read in a way that a person should know; one line. The command line prints it."""


def warn(text: str) -> None:
    """Tell one line as an ``InputWarning``; the same line is shown once."""
    warnings.warn(text, InputWarning, stacklevel=2)


def short_reason(error: BaseException) -> str:
    """The first cause of a library's exception, short; the many ways to say that there is no network are one."""
    said: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(said) < 20:
        said.append(" ".join(str(cause).split()) or type(cause).__name__)
        known = [getattr(cause, "reason", None), *cause.args[:1], cause.__cause__]
        cause = next((inner for inner in known if isinstance(inner, BaseException)), None)
    if any(OFFLINE.search(text) for text in said):
        return "no network, or a host that is not known"
    return textwrap.shorten(said[-1], 140, placeholder=" …")


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for a name that is not known: the nearest one that is, or nothing."""
    near = get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
