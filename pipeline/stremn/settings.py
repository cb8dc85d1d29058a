"""Checked, frozen settings: every block of ``params.yaml`` becomes one of these."""

from reprlib import Repr
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from stremn.errors import InputError, nearest

short = Repr()  # of a value in a message, however large and deep it is
short.maxlevel, short.maxstring, short.maxother = 2, 60, 60


class Settings(BaseModel):
    """Base of all parameter classes: frozen, and a key that nobody reads is an error.

    What a field means stands in the string under it, and is its description.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @classmethod
    def parse(cls, block: dict[str, Any], where: str) -> Self:
        """Settings from plain data.

        Args:
            block: keys and values, as read from YAML.
            where: what the error calls the place, for example ``params.yaml: demo.pretrain``.

        Raises:
            InputError: one line that names the key, what was expected and what was found; for an
                unknown key also the nearest known one.
        """
        try:
            return cls.model_validate(block)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])[:200]
            if first["type"] == "extra_forbidden":
                hint = nearest(str(first["loc"][-1]), _keys(cls, first["loc"][:-1]))
                raise InputError(f"{where}: unknown key {key!r}{hint}") from None
            raise InputError(
                f"{where}: {key}: {first['msg'].lower()}, found {short.repr(first.get('input'))}"
            ) from None


def _keys(cls: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """Known keys of the (nested) settings at ``path``."""
    for part in path:
        inner = cls.model_fields[str(part)].annotation if str(part) in cls.model_fields else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        cls = inner
    return list(cls.model_fields)
