"""Compiled kernels: where they are cached, and one line to the user the first time they are built."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

_lock = threading.Lock()
_say: list[Callable[[str], None]] = []


def use_writable_cache() -> None:
    """Point Numba at a folder that can be written when the installed package cannot be.

    Numba itself tries beside the source, then the user's cache folder, and fails when neither can be written.
    """
    import numba

    here = Path(__file__).resolve().parent
    if "NUMBA_CACHE_DIR" in os.environ or os.access(here, os.W_OK):
        return
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    for folder in (home / "hwsim", Path(tempfile.gettempdir()) / f"hwsim-{os.getuid() if hasattr(os, 'getuid') else 0}"):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            numba.config.CACHE_DIR = str(folder)  # type: ignore[attr-defined]
            return


def announce(say: Callable[[str], None]) -> None:
    """Tell `say` in one line when kernels are about to be compiled."""
    _say[:] = [say]


def about_to_run(kernel: Any) -> None:
    """Announce the compilation of a kernel that is neither loaded nor cached on disk."""
    with _lock:
        if not _say or kernel.signatures or _is_cached(kernel):
            return
        _say.pop()("hwsim: compiling kernels, about 10 s, once")


def _is_cached(kernel: Any) -> bool:
    """Does Numba's index of the kernel stand in its cache folder? (No public call says so.)"""
    cache = getattr(kernel, "_cache", None)
    index = getattr(getattr(cache, "_cache_file", None), "_index_path", None)
    return index is not None and Path(index).exists()
