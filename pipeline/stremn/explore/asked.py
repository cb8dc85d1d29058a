"""A widget that the browser asks: each question is a method, each answer small JSON and bytes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from stremn.errors import InputError

STATIC = Path(__file__).parent / "static"
DRAWING = ("raster", "lens", "marks", "objects", "saving", "strokes", "draw")
Answer = tuple[dict[str, Any], list[bytes]]


def joined(*parts: str) -> str:
    """The JavaScript of a widget, one module made of its parts."""
    return "\n".join((STATIC / f"{part}.js").read_text(encoding="utf-8") for part in parts)


def questions(who: object) -> dict[str, Callable[[dict[str, Any], list[Any]], Answer]]:
    """What can be asked: the methods ``_ask_<name>``."""
    return {name.removeprefix("_ask_"): getattr(who, name) for name in dir(who) if name.startswith("_ask_")}


class Asked(anywidget.AnyWidget):
    """Answers the questions of its own methods ``_ask_<name>``, and those of ``others``."""

    _css = STATIC / "explorer.css"
    height = traitlets.Int(0).tag(sync=True)

    def __init__(self, *others: object, **options: Any) -> None:
        super().__init__(**options)
        self._asks = questions(self)
        for other in others:
            self._asks |= questions(other)
        self.on_msg(self._asked)

    def _asked(self, _: Any, content: dict[str, Any], buffers: list[Any]) -> None:
        """Answer a message of the browser, or tell what is wrong with it in one line."""
        answer = {"view": content.get("view"), "answer": content.get("number")}
        try:
            fields, out = self._asks[content["ask"]](content, buffers)
            self.send({**answer, **fields}, out)
        except InputError as error:
            self.send({**answer, "problem": str(error)})
        except Exception as error:
            self.send({**answer, "problem": f"{type(error).__name__}: {error}"})
            raise
