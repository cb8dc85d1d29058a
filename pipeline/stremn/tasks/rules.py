"""A memory rule as a network can use it: STM and STCN have no update keys, and STCN keeps no latest frame."""

from typing import Any

from stremn.errors import InputError
from stremn.memory import POLICIES, Policy, make_policy


def rule_for(network: Any, name: str | None = None, **settings: Any) -> Policy:
    """A rule for a network or its class.

    Args:
        network: a VOS system. Its attribute ``learns_update`` (default True) says that it has update keys,
            ``keeps_latest`` (default True) that its rule "every N" holds the latest frame too,
            ``default_rule`` which rule is its own (default ``learned``).
        name: entry of ``memory.POLICIES``; None: the network's own.
        settings: see ``memory.make_policy``.

    Raises:
        InputError: the rule compares update keys and the network has none, or see ``make_policy``.
    """
    learns = getattr(network, "learns_update", True)
    name = name or str(getattr(network, "default_rule", "learned"))
    if not learns and name in POLICIES and POLICIES[name].update_keys:
        raise InputError(
            f"expected a rule that needs no update keys, found {name!r}: "
            f"{getattr(network, '__name__', type(network).__name__)} has none, name another, such as 'every_n'"
        )
    return make_policy(name, keep_latest=getattr(network, "keeps_latest", True), **settings)
