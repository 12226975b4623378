"""Folders for what is kept between runs, and unpickled: they must lie where nobody else can write.

Beside the package, in the user's cache folder, or in a folder of the temporary directory that is
the user's own. Every file starts with the SHA-256 of the rest; a damaged one counts as missing.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parent
OTHERS_KEPT = 3  # folders of other sources
OPEN_TO_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def folder(name: str) -> Path | None:
    """A folder's path in the first of the places that is safe; None where none is.

    It need not exist.
    """
    return next((place / name for place in _places() if _is_safe(place)), None)


def forget_others(folder: Path) -> None:
    """Remove folders of other digests, but for the newest, before NAME-DIGEST is made.

    Other versions of hwsim may still use the newest.
    """
    name = folder.name.rpartition("-")[0]
    with suppress(OSError):
        if folder.exists():
            return
        others = sorted(folder.parent.glob(f"{name}-*"), key=lambda path: path.stat().st_mtime)
        for path in others[:-OTHERS_KEPT]:
            shutil.rmtree(path, ignore_errors=True)


def checked(data: bytes) -> bytes:
    """Data as it is written: its digest before it."""
    return hashlib.sha256(data).digest() + data


def write_checked(path: Path, content: Any) -> None:
    """Write a file whole, its folder made where it is missing.

    What cannot be written is left out: a full disk costs the next run some time, not this one its
    result.
    """
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, exist_ok=True)
        handle, beside = tempfile.mkstemp(dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(checked(pickle.dumps(content)))
            os.replace(beside, path)
        except OSError:
            os.unlink(beside)


def read_checked(path: str | Path) -> Any:
    """What a file of ours holds, None for one that is missing or damaged."""
    try:
        content = Path(path).read_bytes()
    except OSError:
        return None
    size = hashlib.sha256().digest_size
    if hashlib.sha256(content[size:]).digest() != content[:size]:
        return None
    try:
        return pickle.loads(content[size:])
    except Exception:
        return None  # of another version of Python or of a package


def _places() -> Iterator[Path]:
    if os.environ.get("NUMBA_CACHE_DIR"):
        yield Path(os.environ["NUMBA_CACHE_DIR"])
    if os.access(PACKAGE, os.W_OK):
        yield PACKAGE / "__pycache__"
    with suppress(RuntimeError):  # no home
        yield Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hwsim"
    yield Path(tempfile.gettempdir()) / f"hwsim-{_user()}"


def _user() -> int:
    return os.getuid() if hasattr(os, "getuid") else 0


def _is_safe(place: Path) -> bool:
    """Can it be written by its user, and by nobody else?

    Made, mode 0700, where it is missing; a link is not followed.
    """
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(place):
            place.mkdir(mode=0o700)
        status = place.lstat()
    except OSError:
        return False
    own = not hasattr(os, "getuid") or (
        status.st_uid == os.getuid() and not status.st_mode & OPEN_TO_OTHERS
    )
    return stat.S_ISDIR(status.st_mode) and own and os.access(place, os.W_OK | os.X_OK)
