"""Tables of what a config can choose by name. Each room keeps its tables beside the functions.

A table holds import paths and imports a function only when it is requested: checking a config
needs only the names and must not wait for JAX.
"""

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

from ppocr_jax.errors import UserError


class Choices(Mapping[str, Any]):
    """Maps names to functions or classes of one room.

    Args:
        room: package that the paths are relative to, the room's `__name__`.
        places: `name="module.attribute"`, in the order in which help texts list them.
    """

    def __init__(self, room: str, **places: str) -> None:
        self._room, self._places = room, places

    def __getitem__(self, name: str) -> Any:
        module, _, attribute = self._places[name].rpartition(".")
        return getattr(importlib.import_module(f"{self._room}.{module}"), attribute)

    def __contains__(self, name: object) -> bool:
        return name in self._places  # Mapping's own `in` would import it

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __str__(self) -> str:
        return ", ".join(self._places)

    def pick(self, key: str, name: str) -> Any:
        """Looks a choice up by name.

        Args:
            key: of the config, for the message.
            name: one of the table.

        Raises:
            UserError: there is no such name.
        """
        if name not in self._places:
            raise UserError(f"{key}={name}: choose one of {self}")
        return self[name]
