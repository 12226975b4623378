"""Walks of before: the same loops over caches in the same state are not walked again.

Machines that differ in bandwidth, latency or multipliers alone move the same lines. Walks are kept
while somebody asks for it, the latest few.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

MOST = 16  # walks, of some MB each

_asking: list[None] = []  # one for each that asks for it now
_kept: OrderedDict[bytes, list[Any]] = OrderedDict()
_running: dict[bytes, threading.Lock] = {}
_lock = threading.Lock()


@contextmanager
def remembering() -> Iterator[None]:
    """Walks are kept until the block ends."""
    with _lock:
        _asking.append(None)
    try:
        yield
    finally:
        with _lock:
            _asking.pop()
            if not _asking:
                _kept.clear()
                _running.clear()


def once(walk: Callable[..., None], inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
    """Call walk(*inputs), or change its outputs as it did when it was called with equal inputs.

    outputs: the arrays among the inputs that it changes.
    """
    if not _asking:
        walk(*inputs)
        return
    key = _digest(inputs)
    with _lock:
        own = _running.setdefault(key, threading.Lock())
    with own:  # a second one waits for the first
        with _lock:
            found = _kept.get(key)
        if found is not None:
            for array, content in zip(outputs, found, strict=True):
                array[...] = content
            return
        walk(*inputs)
        with _lock:
            _kept[key] = [array.copy() for array in outputs]
            while len(_kept) > MOST:
                _kept.popitem(last=False)


def _digest(inputs: Sequence[Any]) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for value in _leaves(inputs):
        if isinstance(value, np.ndarray):
            digest.update(f"{value.dtype}{value.shape}".encode())
            digest.update(np.ascontiguousarray(value).data)
        else:
            digest.update(repr(value).encode())
    return digest.digest()


def _leaves(value: Any) -> Iterator[Any]:
    """The arrays and numbers in nested tuples."""
    if isinstance(value, (tuple, list)):
        for each in value:
            yield from _leaves(each)
    else:
        yield value
