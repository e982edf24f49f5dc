"""What a config may choose by name. Each room keeps one table of its choices beside the functions.

A table names where its functions lie, and imports them when one is asked for: checking a config
asks for names alone, and must not wait for JAX.
"""

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

from ppocr_jax.errors import UserError


class Choices(Mapping[str, Any]):
    """Names -> functions or classes of one room.

    Args:
        room: package that the places are relative to, `__name__` of the room.
        places: `name="module.attribute"`, in the order in which help texts list them.
    """

    def __init__(self, room: str, **places: str):
        self._room, self._places = room, places

    def __getitem__(self, name: str) -> Any:
        module, _, attribute = self._places[name].rpartition(".")
        return getattr(importlib.import_module(f"{self._room}.{module}"), attribute)

    def __contains__(self, name: object) -> bool:
        return name in self._places  # a mapping's own way would import the place

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __str__(self) -> str:
        return ", ".join(self._places)

    def pick(self, key: str, name: str) -> Any:
        """The choice of this name.

        Raises:
            UserError: there is none; `key` is what the config calls it.
        """
        if name not in self._places:
            raise UserError(f"{key}={name}: choose one of {self}")
        return self[name]
