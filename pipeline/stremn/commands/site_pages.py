"""Pages of the site out of notebooks and Markdown files: data in, data out; nothing runs here."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

CODE_OR_LINK = re.compile(
    r"```.*?```|`[^`\n]*`|(?P<image>!?)\[(?P<text>(?:[^\[\]]|\[[^\[\]]*\])*)\]\((?P<target>[^()\s]+)\)", re.S
)
WIDGET = "application/vnd.jupyter.widget-view+json"
STATE = "application/vnd.jupyter.widget-state+json"
NOT_RUN = "*Shown without its results: this page was made without running the notebook.*"


def notebook_page(book: NotebookNode) -> NotebookNode:
    """A notebook as it is read on a page.

    Progress bars (the stream stderr) go; widgets become the picture they show; the cell of default
    parameters gives way to the injected one, whose code is folded. A notebook with code and no result at all
    says so below its title.
    """
    pictures = _pictures(book)
    cells = [cell for cell in book.cells if cell.cell_type == "code"]
    injected = any("injected-parameters" in _tags(cell) for cell in cells)
    for cell in cells:
        if injected and "parameters" in _tags(cell):
            cell.metadata["tags"] = [*_tags(cell), "remove-cell"]
        if "injected-parameters" in _tags(cell):
            cell.metadata["tags"] = [*_tags(cell), "hide-input"]
            cell.metadata["mystnb"] = {"code_prompt_show": "Settings of this stage"}
        cell.outputs = [shown for output in cell.outputs if (shown := _still(output, pictures))]
    book.metadata.pop("widgets", None)
    if cells and not any(cell.execution_count for cell in cells):
        book.cells.insert(1, new_markdown_cell(NOT_RUN))
    return book


def _tags(cell: NotebookNode) -> list[str]:
    return list(cell.metadata.get("tags", []))


def _still(output: NotebookNode, pictures: dict[str, str]) -> NotebookNode | None:
    """An output without what moves; None if nothing is left."""
    if output.output_type == "stream":
        return output if output.name == "stdout" else None
    if WIDGET not in output.get("data", {}):
        return output
    picture = pictures.get(output.data[WIDGET]["model_id"])
    if picture is None:
        return None
    output.data = NotebookNode({"image/png": picture})
    return output


def _pictures(book: NotebookNode) -> dict[str, str]:
    """The first picture (PNG, base64) inside each widget that has one, by the widget's id."""
    state = book.metadata.get("widgets", {}).get(STATE, {}).get("state", {})

    def inside(name: str) -> Iterator[str]:
        widget: dict[str, Any] = state.get(name, {})
        if widget.get("model_name") == "ImageModel":
            yield from (b["data"] for b in widget.get("buffers", []) if b["path"] == ["value"])
        for child in widget.get("state", {}).get("children", []):
            yield from inside(child.removeprefix("IPY_MODEL_"))

    return {name: picture for name in state if (picture := next(inside(name), None))}


def local_links(text: str, keep: Callable[[str, bool], bool]) -> str:
    """Markdown whose links into the project are kept only where the site has the target; else their text stays.

    Args:
        text: Markdown; code in it is left alone.
        keep: of the target, without its anchor, and whether it is a picture. Links elsewhere (``https:``,
            ``mailto:``, ``#anchor``) are kept without asking; a picture from elsewhere becomes a link to it.
    """

    def one(found: re.Match[str]) -> str:
        target = found["target"]
        if target is None:
            return found.group()
        if re.match(r"[a-z]+:|#", target):
            return found.group().removeprefix("!")
        return found.group() if keep(target.partition("#")[0], bool(found["image"])) else found["text"]

    return CODE_OR_LINK.sub(one, text)
