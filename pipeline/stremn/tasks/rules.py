"""A memory rule as a network can use it: STM and STCN have no update keys, and STCN keeps no latest frame."""

from typing import Any

from stremn.errors import InputError
from stremn.memory import POLICIES, Policy, make_policy
from stremn.memory.redundancy import NO_JUDGE
from stremn.models.vos import VOSNetwork


def policy_for(network: VOSNetwork | type[VOSNetwork], name: str | None = None, **settings: Any) -> Policy:
    """A rule with its settings for a network or its class.

    Args:
        network: a VOS system; see ``models.vos.VOSNetwork`` for what it says of its rules.
        name: entry of ``memory.POLICIES``; None: the network's own.
        settings: see ``memory.make_policy``.

    Raises:
        InputError: the rule compares update keys and the network has none, or see ``make_policy``.
    """
    name = name or network.default_rule
    if name in POLICIES and name not in usable_rules(network):
        system = network if isinstance(network, type) else type(network)
        if POLICIES[name].judged:
            raise InputError(NO_JUDGE)
        raise InputError(
            f"expected a rule that needs no update keys, found {name!r}: "
            f"{system.__name__} has none, name another, such as 'every_n'"
        )
    return make_policy(name, keep_latest=network.keeps_latest, **settings)


def usable_rules(network: VOSNetwork | type[VOSNetwork]) -> list[str]:
    """Names of the rules that a network can use: all but those that ask for update keys or a judge which it lacks."""
    return [
        name
        for name, rule in POLICIES.items()
        if (network.learns_update or not rule.update_keys) and (network.judges or not rule.judged)
    ]
