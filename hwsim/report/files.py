"""Outputs appear whole or not at all: everything is written beside its place, then renamed into it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from hwsim.errors import HwsimError


def write_file(path: Path, content: str | bytes) -> None:
    """Write one file whole. Raises HwsimError when the folder cannot be written."""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent or Path("."), prefix=f".{path.name}.")
    except OSError as error:
        raise HwsimError(f"{path}: cannot be written: {error.strerror}") from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        raise HwsimError(f"{path}: cannot be written: {error.strerror}") from None


def check_folder(folder: Path, force: bool) -> None:
    """Refuse, before any work, a folder that would be written over or cannot be made."""
    if folder.exists() and not folder.is_dir():
        raise HwsimError(f"{folder} is a file; expected a folder to write into")
    if folder.is_dir() and any(folder.iterdir()) and not force:
        raise HwsimError(f"{folder} exists and is not empty; expected a new folder, or --force to replace a report in it")
    above = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    if not os.access(above, os.W_OK):
        raise HwsimError(f"{folder}: cannot be written: no permission in {above}")


def write_folder(folder: Path, files: Mapping[str, str | bytes], force: bool) -> None:
    """Write all files beside the folder, then put them in its place; with `force`, over files of the same names only."""
    check_folder(folder, force)
    folder = folder.absolute()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    except OSError as error:
        raise HwsimError(f"{folder}: cannot be written: {error.strerror}") from None
    try:
        for name, content in files.items():
            (fresh / name).write_bytes(content.encode() if isinstance(content, str) else content)
        fresh.chmod(0o755)
        if folder.exists():
            for name in files:
                os.replace(fresh / name, folder / name)
        else:
            fresh.rename(folder)
    except OSError as error:
        raise HwsimError(f"{folder}: cannot be written: {error.strerror}") from None
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
