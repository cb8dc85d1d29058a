"""``stremn set``: values of ``params.yaml``, each in its place."""

from typing import Annotated

import typer
import yaml

from stremn.errors import InputError, nearest, short_reason

Assignments = Annotated[
    list[str],
    typer.Argument(metavar="KEY=VALUE", help="Such as demo.evaluate_vos.slots=4; several may be given."),
]


def set_values(assignments: Assignments) -> None:
    """Change values in params.yaml: only those, all other lines stay as they are.

    `dvc repro` or `dvc exp run -n NAME` then runs what depends on them. (`dvc exp run -S KEY=VALUE` writes the whole
    file anew, in DVC's own style.)

    Example:

    `stremn set demo.evaluate_vos.slots=4 'demo.finetune.slots=[3,5]'`
    """
    from stremn import paths
    from stremn.files import replacing
    from stremn.stages.base import check_block, load_yaml

    root = paths.find_root()
    path = root / paths.MARKER
    load_yaml(path)  # it can be read at all
    text, told = path.read_text(encoding="utf-8"), []
    for assignment in assignments:
        text, old = changed(text, assignment)
        profile, _, rest = assignment.partition(".")
        check_block(yaml.safe_load(text)[profile], profile, rest.partition(".")[0])
        told.append(f"{assignment} (was {old})")
    with replacing(path) as scratch:
        scratch.write_text(text, encoding="utf-8")
    print("\n".join(told))


def changed(text: str, assignment: str) -> tuple[str, str]:
    """YAML with one value replaced, and the old value.

    Raises:
        InputError: no such key, a value that is no YAML, or one that is shared with other blocks.
    """
    key, given, value = assignment.partition("=")
    node: yaml.Node = yaml.compose(text)
    path = ""
    if not given or not value.strip():
        raise InputError(f"expected KEY=VALUE, found {assignment!r}: write demo.evaluate_vos.slots=4")
    for part in key.split("."):
        inside = {k.value: v for k, v in node.value} if isinstance(node, yaml.MappingNode) else {}
        if part not in inside:
            where = f"{path or 'the file'}, which has {', '.join(inside) or 'no keys'}"
            raise InputError(
                f"expected a key that is written in {where}; found {part!r}{nearest(part, inside)}"
            )
        before, node, path = node, inside[part], f"{path}.{part}".lstrip(".")
        if not before.start_mark.index <= node.start_mark.index < before.end_mark.index:
            raise InputError(
                f"expected a value of its own at {path}, found one shared with other blocks (*): write it out by hand"
            )
    start, end = node.start_mark.index, node.end_mark.index
    if "\n" in text[start:end]:
        raise InputError(f"expected a value on one line at {path}, found a block: change a key in it")
    try:
        yaml.safe_load(value)
        new = text[:start] + value.strip() + text[end:]
        yaml.safe_load(new)
    except yaml.YAMLError as error:
        raise InputError(
            f"expected a value in YAML for {key}, found {value!r} ({short_reason(error)})"
        ) from None
    return new, text[start:end]
