"""Compiled kernels: how they are compiled, and one line to the user the first time they are built.

They are kept in hwsim.private's folder. Where there is none, they are compiled anew each time.
Policies and prefetchers of other packages are compiled into the caches' kernels, so that these are
kept apart where there are some.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from hwsim import private

# whose kernels take in what other packages bring
WITH_STRANGERS = "hwsim.timing.caches."
# folders whose functions are compiled into kernels
CACHES, POLICIES, PREFETCHERS = "caches", "policies", "prefetchers"
_lock = threading.Lock()
_locating = threading.Lock()
_say: list[Callable[[str], None]] = []


def kernel(signature: str | None = None, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """A decorator that compiles a function, and caches it on disk.

    It is compiled when it is first called, or at once where it has a signature.
    """

    def compile_later(function: Callable[..., Any]) -> Any:
        import numba
        from numba.core import typeinfer

        dispatcher = numba.njit(**options)(function)
        cache = _cache_of(function)
        if cache is not None:
            dispatcher._cache = cache
        if signature is not None:
            with typeinfer.register_dispatcher(dispatcher):  # a recursive function meets itself
                dispatcher.compile(signature)
            dispatcher.disable_compile()
        return dispatcher

    return compile_later


def _cache_of(function: Callable[..., Any]) -> Any:
    """Numba's cache in our folder, its files checked; None where there is no safe folder."""
    import numba
    from numba.core.caching import FunctionCache

    folder = cache_folder(function.__module__.startswith(WITH_STRANGERS))
    if folder is None:
        return None
    with _locating:  # the setting is Numba's own, one for all threads
        before = numba.config.CACHE_DIR  # type: ignore[attr-defined]
        numba.config.CACHE_DIR = str(folder)  # type: ignore[attr-defined]
        try:
            cache = FunctionCache(function)
        except (RuntimeError, OSError):
            return None
        finally:
            numba.config.CACHE_DIR = before  # type: ignore[attr-defined]
    files = cache._cache_file
    cache._cache_file = _checked_file()(
        files._cache_path, cache._impl.filename_base, files._source_stamp
    )
    return cache


@lru_cache(maxsize=1)
def _checked_file() -> Any:
    """Numba's cache file with a checksum.

    What cannot be read, or was damaged, counts as not there and is compiled anew.
    """
    from numba.core.caching import IndexDataCacheFile

    class CheckedFile(IndexDataCacheFile):
        def _load_index(self) -> Any:
            return private.read_checked(self._index_path) or {}

        def _save_index(self, overloads: Any) -> None:
            self._write_checked(self._index_path, overloads)

        def _load_data(self, name: str) -> Any:
            return private.read_checked(self._data_path(name))

        def _save_data(self, name: str, data: Any) -> None:
            self._write_checked(self._data_path(name), data)

        def _write_checked(self, path: str, content: Any) -> None:
            # a full disk costs the next run a compilation, not this one its result
            with suppress(OSError), self._open_for_write(path) as file:
                file.write(private.checked(self._dump(content)))

    return CheckedFile


@lru_cache(maxsize=2)
def cache_folder(strangers: bool = False) -> Path | None:
    """The folder of these sources' kernels; None where no place is safe.

    strangers: of those that other packages' functions are compiled into.
    """
    folder = private.folder(f"kernels-{_digest(strangers)}")
    if folder is not None:
        private.forget_others(folder)
    return folder


def _digest(strangers: bool) -> str:
    """A digest of every file with kernels, and of strangers' where they are asked for.

    They are compiled into each other, so a change of one is a change of all.
    """
    import numba

    found = hashlib.sha256(numba.__version__.encode())
    for path in sorted(private.PACKAGE.rglob("*.py")):
        content = path.read_bytes()
        if b"\n@jit\n" in content or path.parent.name in (CACHES, POLICIES, PREFETCHERS):
            found.update(content)
    for folder in (POLICIES, PREFETCHERS) if strangers else ():
        for source in sources_of_strangers(f"hwsim.describe.{folder}"):
            found.update(source)
    return found.hexdigest()[:16]


def sources_of_strangers(groups: str) -> Iterator[bytes]:
    """Installed packages with entry points in groups that begin so.

    They come with their entry points and all their modules. Unless others are asked for, those
    whose policies are compiled into our kernels.
    """
    from importlib.metadata import entry_points
    from importlib.util import find_spec

    named = entry_points()
    chosen = [group for group in named.groups if group.startswith(groups)]
    found = [entry for group in chosen for entry in named.select(group=group)]
    for entry in sorted(found, key=str):
        yield str(entry).encode()
        with suppress(ImportError, ValueError, OSError):
            spec = find_spec(entry.module.partition(".")[0])
            origin = Path(spec.origin) if spec is not None and spec.origin else None
            if origin is None:
                continue
            package = origin.name == "__init__.py"
            for path in sorted(origin.parent.rglob("*.py")) if package else [origin]:
                yield path.read_bytes()


def announce(say: Callable[[str], None]) -> None:
    """Tell `say` in one line when kernels are about to be compiled."""
    _say[:] = [say]


def about_to_run(compiled: Any) -> None:
    """Announce the compilation of a kernel that is neither loaded nor cached on disk."""
    with _lock:
        if not _say or compiled.signatures or _is_cached(compiled):
            return
        _say.pop()("hwsim: compiling kernels, a minute or so; the next run has them")


def _is_cached(compiled: Any) -> bool:
    """Does Numba's index of the kernel stand in its cache folder? (No public call says so.)"""
    files = getattr(getattr(compiled, "_cache", None), "_cache_file", None)
    return files is not None and bool(files._load_index())
