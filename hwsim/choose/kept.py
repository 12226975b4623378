"""Mappings and simulated layers kept on disk: what follows from facts seen before costs nothing.

The facts of a mapping are the stage, the machine, the objective and the options; of a layer the
layer, the algorithm, the machine and its library of kernels. hwsim's own sources and those of
installed plug-ins name the folder. HWSIM_KEEP=0 keeps nothing and reads nothing.
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

MOST_KEPT = 10_000  # files of a kind, some kilobytes each; the oldest leave
MAPPINGS, LAYERS = "mappings", "layers"  # kinds


def key_of(*facts: Any) -> str:
    """The name under which what follows from these facts is kept: a digest of how they read."""
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def kept(key: str, kind: str = MAPPINGS) -> Any:
    """What was kept under a key; None where nothing was."""
    place = _folder(kind)
    return None if place is None else private.read_checked(place / key)


def keep(key: str, content: Any, kind: str = MAPPINGS) -> None:
    """Keep a content under a key, where there is a safe folder."""
    place = _folder(kind)
    if place is None:
        return
    private.forget_others(place)
    private.write_checked(place / key, content)
    with suppress(OSError):
        if len(os.listdir(place)) > MOST_KEPT:
            files = sorted(place.iterdir(), key=lambda path: path.stat().st_mtime)
            for path in files[:-MOST_KEPT]:
                path.unlink()


def _folder(kind: str) -> Path | None:
    if os.environ.get("HWSIM_KEEP") == "0":
        return None
    return private.folder(f"{kind}-{sources_digest()}")


@lru_cache(maxsize=1)
def sources_digest() -> str:
    """A digest of all of hwsim and its plug-ins: any change of it may change what is kept."""
    found = hashlib.sha256()
    for path in sorted(private.PACKAGE.rglob("*.py")):
        found.update(path.read_bytes())
    for source in sources_of_strangers("hwsim."):
        found.update(source)
    return found.hexdigest()[:16]
