"""Plug-ins: a folder of modules, each registering what it defines under a name.

>>> ALGORITHMS: Registry[type] = Registry("algorithm", "hwsim.algorithms")

A new algorithm, part or dataflow is one new file in the folder; nothing else needs to name it. A
package of a user's own brings more as entry points of the group "hwsim.algorithms"
(CONTRIBUTING.md): modules that register themselves.
"""

from __future__ import annotations

import importlib
import pkgutil
import threading
from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Generic, TypeVar

from hwsim.errors import HwsimError, UnknownName

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")


class Registry(Generic[T]):
    """Names -> plug-ins of one kind, imported from a package when first asked for."""

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self._package = package
        self._found: dict[str, T] = {}
        self._loaded = False
        self._lock = threading.RLock()

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator: file the decorated plug-in under `name`; a name taken twice is an error."""

        def file(plugin: T) -> T:
            if name in self._found:
                raise HwsimError(
                    f"two plug-ins of the kind {self.kind!r} are named {name!r}; expected a name "
                    f"of its own for each"
                )
            self._found[name] = plugin
            return plugin

        return file

    def __getitem__(self, name: str) -> T:
        self._load()
        if name not in self._found:
            raise UnknownName(self.kind, name, self._found)
        return self._found[name]

    def __contains__(self, name: str) -> bool:
        self._load()
        return name in self._found

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(sorted(self._found))

    def _load(self) -> None:
        if self._loaded:
            return
        with self._lock:
            _import_all(self._package)
            _import_entry_points(self._package)
            self._loaded = True


@cache
def _installed() -> tuple[EntryPoint, ...]:
    """The entry points of all installed packages, read once."""
    from importlib.metadata import entry_points

    found = entry_points()
    return tuple(entry for group in found.groups for entry in found.select(group=group))


def _import_all(package: str) -> None:
    """Every module of a package. A package inside it registers in its own __init__."""
    root = importlib.import_module(package)
    for module in pkgutil.iter_modules(root.__path__, f"{package}."):
        importlib.import_module(module.name)


def _import_entry_points(group: str) -> None:
    """The modules that installed packages bring for a group.

    Raises HwsimError naming the package of one that fails.
    """
    for entry in (each for each in _installed() if each.group == group):
        try:
            entry.load()
        except Exception as error:  # whatever a stranger's module does
            package = entry.dist.name if entry.dist else entry.value
            raise HwsimError(
                f"plug-in {entry.name!r} of {package}: {type(error).__name__}: {error}"
            ) from error
