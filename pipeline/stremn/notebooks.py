"""The code of the stages' notebooks as scripts.

A stage depends on the script of its notebook: opening a notebook, running a cell and saving it changes outputs, counts
and metadata, but no script, so that nothing is trained again.
"""

import json
from pathlib import Path

from stremn.errors import InputError
from stremn.files import replacing

STAGES = "[0-9][0-9]_*.ipynb"


def script(notebook: Path) -> str:
    """The code cells of a notebook, in order, each under a line ``# %%``; the parameters' cell says so.

    Raises:
        InputError: the file is no notebook.
    """
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        parts = []
        for cell in (c for c in cells if c["cell_type"] == "code"):
            source = "\n".join("".join(cell["source"]).splitlines()).strip()
            head = "# %% parameters" if "parameters" in cell["metadata"].get("tags", []) else "# %%"
            parts += [f"{head}\n{source}\n"] if source else []
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"expected a notebook at {notebook}, found something else ({error!r}): take it from the repository again"
        ) from None
    return "\n".join(parts)


def write_scripts(root: Path, out: Path) -> None:
    """Write the script of every stage's notebook into a folder, which is made anew."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out) as scratch:
        scratch.mkdir()
        for notebook in sorted((root / "notebooks").glob(STAGES)):
            (scratch / f"{notebook.stem}.py").write_text(script(notebook), encoding="utf-8", newline="\n")
