"""Mappings kept on disk: a search whose facts have all been seen before costs nothing.

The facts are the stage, the machine, the objective and the options; and hwsim's own sources, which
name the folder. HWSIM_KEEP=0 keeps nothing and reads nothing.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from hwsim import private
from hwsim.compiled import sources_of_strangers

MOST_KEPT = 2000  # files; the oldest leave


def key_of(*facts: Any) -> str:
    """The name under which what follows from these facts is kept: a digest of how they read."""
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def kept(key: str) -> Any:
    """What was kept under a key; None where nothing was."""
    place = _folder()
    return None if place is None else private.read_checked(place / key)


def keep(key: str, content: Any) -> None:
    """Keep a content under a key, where there is a safe folder."""
    place = _folder()
    if place is None:
        return
    private.write_checked(place / key, content)
    with suppress(OSError):
        files = sorted(place.iterdir(), key=lambda path: path.stat().st_mtime)
        for path in files[:-MOST_KEPT]:
            path.unlink()


def _folder() -> Path | None:
    if os.environ.get("HWSIM_KEEP") == "0":
        return None
    return private.folder(f"mappings-{_sources()}")


@lru_cache(maxsize=1)
def _sources() -> str:
    """A digest of all of hwsim: any change of it may change a mapping."""
    found = hashlib.sha256()
    for path in sorted(private.PACKAGE.rglob("*.py")):
        found.update(path.read_bytes())
    for source in sources_of_strangers():
        found.update(source)
    return found.hexdigest()[:16]
