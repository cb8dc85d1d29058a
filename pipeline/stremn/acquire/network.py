"""Failures of the network, in the words of a person."""

import re
import textwrap
from collections.abc import Iterator

LONGEST = 140  # characters of what a library says
OFFLINE = re.compile(
    r"name resolution|Failed to resolve|getaddrinfo|Name or service not known|nodename nor servname|"
    r"Network is unreachable|No route to host",
    re.IGNORECASE,
)


def words(error: BaseException) -> str:
    """What a library's exception comes from, short; the many ways to say that there is no network are one."""
    said = [" ".join(str(one).split()) or type(one).__name__ for one in _chain(error)]
    if any(OFFLINE.search(text) for text in said):
        return "no network, or a host that is not known"
    return textwrap.shorten(said[-1], LONGEST, placeholder=" …")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, what it came from, and so on, the first cause last."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        known = [getattr(one, "reason", None), *one.args[:1], one.__cause__]
        one = next((inner for inner in known if isinstance(inner, BaseException)), None)
