"""Memory rules of one's own, from a Python file.

A rule is a function of ``memory.incoming.Incoming``, as those of ``memory.slot_rules`` are, under ``@memory_rule``;
a line in ``memory.POLICIES`` does, too. CONTRIBUTING.md has a complete example.
"""

import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor

from stremn.errors import InputError, short_reason
from stremn.fingerprint import of_file, of_values
from stremn.memory import POLICIES
from stremn.memory.incoming import Incoming
from stremn.memory.policies import Entry
from stremn.memory.slot_rules import Rule, when_full

_LOADED: dict[Path, list[str]] = {}
"""File → names of its rules, so that a file may be read again."""


def memory_rule(title: str, *, fixed: bool = True, **fields: Any) -> Callable[[Rule], Rule]:
    """Enter a function into ``POLICIES`` by its name.

    >>> @memory_rule("Spread evenly")
    ... def spread(incoming): ...

    Args:
        title: what it is called in tables.
        fixed: it keeps K slots: free ones are filled first, and the function chooses which to overwrite. False: it
            is asked for each frame, and decides alone how many it keeps.
        fields: more of ``memory.policy.Entry``: ``update_keys=True`` where the rule compares update keys,
            ``random=True`` where it draws numbers.

    Raises:
        InputError: the name is taken, or a field is unknown.
    """

    def enter(rule: Rule) -> Rule:
        name, file = rule.__name__, Path(rule.__code__.co_filename).name
        if name in POLICIES:
            raise InputError(
                f"expected a new name for a rule in {file}, found {name!r}, which is taken: rename it"
            )
        whole = fields.get("unit", "slot") == "slot"
        try:
            POLICIES[name] = Entry(
                when_full(rule) if fixed and whole else rule, title, f"own rule, {file}", fixed, **fields
            )
        except TypeError as error:
            raise InputError(
                f"expected fields of a rule in {file}, found {short_reason(error)}: correct it"
            ) from None
        return rule

    return enter


def load_plugin(path: Path | str) -> list[str]:
    """Run a file of rules, or every ``*.py`` of a folder; afterwards its rules are in ``POLICIES``.

    Args:
        path: the file, or a folder, which may have none. What was read before is read again.

    Returns:
        the names of its rules, in their order.

    Raises:
        InputError: no such file, one that does not run, one without a rule, or a name that is taken. Then ``POLICIES``
            is as it was.
    """
    path = Path(path).resolve()
    if not path.exists():
        raise InputError(
            f"expected a Python file with rules at {path}, found nothing there: correct the path"
        )
    return [name for file in _files(path) for name in _load(file)]


def rule_of(path: Path | str, wanted: str | None) -> str:
    """The rule to run: ``wanted``, or the only one of a plugin. InputError where it has several or none."""
    own = load_plugin(path)
    if wanted is None and len(own) != 1:
        raise InputError(
            f"expected one rule in {path}, found {', '.join(own) or 'none'}: choose a rule with policy"
        )
    return wanted or own[0]


def note_of(path: Path) -> dict[str, str]:
    """Where a plugin lies and a hash of what is in it, to be saved."""
    path = path.resolve()
    return {"path": str(path), "hash": of_values([of_file(file) for file in _files(path)])}


def load_noted(note: dict[str, str]) -> Path:
    """Load a plugin again by its :func:`note_of`. InputError where it is gone or was changed."""
    path = Path(note["path"])
    load_plugin(path)
    if note_of(path) != note:
        raise InputError(
            f"expected the rules in {path} as they were at the beginning, found others: undo the change, or begin anew"
        )
    return path


def load_same(note: dict[str, str], path: Path | str | None) -> Path:
    """Load the plugin that a saved file notes, which a person must name: a saved file may be somebody else's.

    Raises:
        InputError: none is named, or one with other content; nothing of it is run.
    """
    if path is None:
        raise InputError(
            f"expected the file of rules that this was begun with ({note['path']}), found none named: it is a program, so "
            "look at it and add --plugin FILE (plugin= in Python)"
        )
    path = Path(path).resolve()
    if not path.exists() or note_of(path)["hash"] != note["hash"]:
        raise InputError(
            f"expected the rules in {path} as they were at the beginning, found others: undo the change, or begin anew"
        )
    load_plugin(path)
    return path


def _files(path: Path) -> list[Path]:
    return sorted(path.glob("*.py")) if path.is_dir() else [path]


def _load(file: Path) -> list[str]:
    for name in _LOADED.pop(file, []):
        POLICIES.pop(name, None)
    before = dict(POLICIES)
    try:
        _execute(file)
        own = [name for name in POLICIES if name not in before]
        changed = [name for name, entry in before.items() if POLICIES.get(name) is not entry]
        if changed:
            raise InputError(
                f"expected new names for the rules in {file.name}, found {changed[0]!r}, which is taken: rename it"
            )
        if not own:
            raise InputError(
                f"expected a rule in {file}, found none: put @memory_rule(TITLE) before its function"
            )
        for name in own:
            POLICIES[name] = _checked(name, file)
    except BaseException:
        POLICIES.clear()
        POLICIES.update(before)
        raise
    _LOADED[file] = own
    return own


def _execute(file: Path) -> None:
    """Run the file as a module of its own. Raises InputError with the line that fails."""
    module = ModuleType(f"stremn_plugin_{file.stem}")
    module.__file__ = str(file)
    sys.modules[module.__name__] = module
    try:
        exec(compile(file.read_bytes(), str(file), "exec"), module.__dict__)
    except InputError:
        raise
    except Exception as error:  # whatever the user's file does
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(file)]
        line = error.lineno if isinstance(error, SyntaxError) else next(reversed(lines), None)
        where = f" (line {line})" if line else ""
        raise InputError(
            f"expected Python that runs in {file}, found {type(error).__name__}: {short_reason(error)}{where}: correct it"
        ) from None


def _checked(name: str, file: Path) -> Entry:
    """A rule whose answers are looked at: a wrong one would be a wrong result without a word."""
    entry = POLICIES[name]
    if not isinstance(entry, Entry) or not name.isidentifier():
        raise InputError(
            f"expected an Entry with a name of letters, digits and _ in {file.name}, found {name!r}: correct it"
        )
    if entry.unit != "slot":
        return entry

    def rule(incoming: Incoming) -> Tensor:
        weights = entry.rule(incoming)
        found = _wrong(weights, incoming, entry.fixed)
        if found:
            raise InputError(
                f"rule {name!r} of {file.name}: expected weights {tuple(incoming.held.shape)} with at most one 1 in "
                f"each row and 0 elsewhere, found {found}: see best() in stremn.memory.slot_rules"
            )
        return weights

    return replace(entry, rule=rule)


def _wrong(weights: Any, incoming: Incoming, fixed: bool) -> str:
    """What is wrong with the weights (B, D, S) of a rule; empty: nothing."""
    if not isinstance(weights, Tensor):
        return type(weights).__name__
    if weights.shape != incoming.held.shape:
        return f"{tuple(weights.shape)}"
    rows, chosen = weights.detach().float(), weights > 0.5
    wrong = (rows != chosen.float()).any(-1) | (chosen.sum(-1) > 1)
    if bool(wrong.any()):
        return f"a row {rows[wrong][0].tolist()}"
    full = incoming.occupied.sum(-1, keepdim=True) >= (incoming.policy.slots or sys.maxsize)
    if fixed and bool((chosen & full & ~incoming.occupied).any()):
        return f"a new slot where all {incoming.policy.slots} are in use"
    return ""
