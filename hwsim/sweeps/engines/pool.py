"""Blocks on processes of this machine, one a core (the standard library's pool)."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from hwsim.errors import HwsimError
from hwsim.sweeps.engines import ENGINES, Block, Crew, Done, Engine, rows_of
from hwsim.sweeps.rows import Row
from hwsim.sweeps.spec import Sweep

AHEAD = 2  # blocks that wait for each worker
LOOKS = 0.5  # seconds between a worker's looks at its parent

_sweep: list[Sweep] = []  # of this worker


class Pool:
    summary = "processes of this machine, one a core"

    def run(self, sweep: Sweep, blocks: Iterable[Block], crew: Crew) -> Iterator[Done]:
        workers = crew.workers or os.cpu_count() or 1
        if workers == 1:
            yield from ENGINES["serial"].run(sweep, blocks, crew)
            return
        pool = ProcessPoolExecutor(
            workers, multiprocessing.get_context("spawn"), _begin, (sweep, os.getpid())
        )
        waiting: dict[Future[list[Row]], Block] = {}
        try:
            for block in blocks:
                waiting[pool.submit(_work, block)] = block
                if len(waiting) >= workers * (1 + AHEAD):
                    yield from _finished(waiting)
            while waiting:
                yield from _finished(waiting)
        except BrokenProcessPool:
            raise HwsimError(
                "a worker was ended from outside, perhaps for want of memory; what was done is in "
                "the journal: run the sweep again, with fewer --workers. In a script of your own, "
                "call hwsim.sweep under `if __name__ == '__main__':`, as every worker reads it"
            ) from None
        finally:
            for process in list((pool._processes or {}).values()):
                process.terminate()
            pool.shutdown(wait=False, cancel_futures=True)


def _finished(waiting: dict[Future[list[Row]], Block]) -> Iterator[Done]:
    """What is done, after waiting for the first."""
    for future in wait(waiting, return_when=FIRST_COMPLETED).done:
        yield waiting.pop(future), future.result()


def _begin(sweep: Sweep, parent: int) -> None:
    """In a worker: keep the sweep, and end with the parent, however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _sweep[:] = [sweep]
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOKS)
    os._exit(0)


def _work(block: Block) -> list[Row]:
    return rows_of(_sweep[0], block)


ENGINES.register("pool")(_pool := Pool())
_checked: Engine = _pool
