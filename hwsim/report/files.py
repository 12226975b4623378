"""Outputs appear whole or not at all: everything is written beside its place, then renamed into it.

What is no regular file (a device, a pipe) cannot be replaced and is written through, as a link is
to what it points to.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

from hwsim.errors import HwsimError

written: list[Path] = []  # by this process, in order
AT_FDCWD, EXCHANGE = -100, 2  # of Linux' renameat2


def check_file(path: Path) -> None:
    """Refuse, before any work, a file that could not be written.

    Raises HwsimError with the reason.
    """
    try:
        target = path.resolve()
        status = target.stat() if target.exists() else None
    except (OSError, RuntimeError, ValueError) as error:
        raise _cannot(path, error) from None
    if path.is_dir():
        raise HwsimError(f"{path} is a folder; expected a file to write")
    if status is not None and not stat.S_ISREG(status.st_mode):
        place = target
    else:
        place = target.parent
        if not place.is_dir():
            raise HwsimError(f"{path}: cannot be written: no folder {place}")
    if not os.access(place, os.W_OK) or (status is not None and not os.access(target, os.W_OK)):
        raise HwsimError(f"{path}: cannot be written: no permission in {place}")


def write_file(path: Path, content: str | bytes) -> None:
    """Write one file whole. Raises HwsimError when it cannot be written."""
    check_file(path)
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    target = path.resolve()
    try:
        if target.exists() and not target.is_file():
            with target.open("wb") as file:
                file.write(data)
        else:
            _replace(target, data)
    except OSError as error:
        raise _cannot(path, error) from None
    written.append(path)


def _replace(target: Path, data: bytes) -> None:
    """A new file has the mode that the umask leaves, one that is replaced keeps its own."""
    beside = _beside(target)
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        if target.exists():
            beside.chmod(stat.S_IMODE(target.stat().st_mode))
        beside.replace(target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _beside(place: Path) -> Path:
    return place.parent / f".hwsim-{secrets.token_hex(6)}"


def _cannot(path: Path, error: Exception) -> HwsimError:
    return HwsimError(f"{path}: cannot be written: {getattr(error, 'strerror', None) or error}")


def check_folder(folder: Path, force: bool) -> None:
    """Refuse, before any work, a folder that would be written over or cannot be made."""
    try:
        folder = folder.resolve()
        if folder.exists() and not folder.is_dir():
            raise HwsimError(f"{folder} is a file; expected a folder to write into")
        entries = list(folder.iterdir()) if folder.is_dir() else []
    except (OSError, RuntimeError, ValueError) as error:
        raise _cannot(folder, error) from None
    if entries and not force:
        raise HwsimError(
            f"{folder} exists and is not empty; expected a new folder, or --force to replace a "
            f"report in it"
        )
    inner = next((entry for entry in entries if entry.is_dir()), None)
    if inner is not None:
        raise HwsimError(
            f"{folder} holds a folder, {inner.name}; expected a new folder, or one of a report "
            f"and files beside it"
        )
    above = next(parent for parent in folder.parents if parent.exists())
    if not os.access(above, os.W_OK):
        raise HwsimError(f"{folder}: cannot be written: no permission in {above}")


def write_folder(folder: Path, files: Mapping[str, str | bytes], force: bool) -> None:
    """Write all files beside the folder, then put the whole in its place, with what else lay there.

    Whoever looks finds the old folder or the new one, never some of each.
    """
    check_folder(folder, force)
    target = folder.resolve()
    fresh = _beside(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh.mkdir()
        for name, content in files.items():
            (fresh / name).write_bytes(
                content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
            )
        if target.exists():
            fresh.chmod(stat.S_IMODE(target.stat().st_mode))
            for entry in target.iterdir():
                if entry.name not in files:
                    os.link(entry, fresh / entry.name, follow_symlinks=False)
            _exchange(fresh, target)
        else:
            fresh.rename(target)
    except OSError as error:
        raise _cannot(folder, error) from None
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    written.append(folder)


def _exchange(fresh: Path, target: Path) -> None:
    """Swap two folders at once where the system can; else one rename after the other."""
    library = ctypes.CDLL(None, use_errno=True)
    if hasattr(library, "renameat2"):
        if (
            library.renameat2(AT_FDCWD, os.fsencode(fresh), AT_FDCWD, os.fsencode(target), EXCHANGE)
            == 0
        ):
            return
        if ctypes.get_errno() == getattr(os, "EBUSY", 16):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    old = _beside(target)
    target.rename(old)
    fresh.rename(target)
    old.rename(fresh)
