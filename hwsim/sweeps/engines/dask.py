"""Blocks on a Dask cluster (extra `dask`), of this machine's processes or running already."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import import_module
from itertools import islice
from typing import Any

from hwsim.errors import HwsimError
from hwsim.sweeps.engines import ENGINES, Block, Crew, Done, Engine, rows_of
from hwsim.sweeps.spec import Sweep

AHEAD = 2  # blocks that wait for each worker


def _package() -> Any:
    try:
        return import_module("distributed")
    except ImportError:
        raise HwsimError("--engine dask needs a package: pip install 'hwsim[dask]'") from None


class Dask:
    summary = "a Dask cluster: --scheduler tcp://HOST:PORT, or processes of this machine"

    def run(self, sweep: Sweep, blocks: Iterable[Block], crew: Crew) -> Iterator[Done]:
        dask = _package()
        cluster: Any = None
        if crew.scheduler is None:
            cluster = dask.LocalCluster(
                n_workers=crew.workers, threads_per_worker=1, dashboard_address=None
            )
        try:
            client = dask.Client(cluster or crew.scheduler, timeout="30s")
        except OSError as error:
            raise HwsimError(f"--scheduler {crew.scheduler}: no cluster there: {error}") from None
        try:
            whole = client.scatter(sweep, broadcast=True, hash=False)
            numbers = iter(blocks)
            threads = max(1, sum(client.nthreads().values()))
            first = list(islice(numbers, threads * (1 + AHEAD)))
            blocks_of = {client.submit(rows_of, whole, one, pure=False): one for one in first}
            done = dask.as_completed(list(blocks_of))
            for future in done:
                block = blocks_of.pop(future)
                rows = future.result()
                future.release()
                yield block, rows
                for one in islice(numbers, 1):
                    more = client.submit(rows_of, whole, one, pure=False)
                    blocks_of[more] = one
                    done.add(more)
        finally:
            client.close()
            if cluster is not None:
                cluster.close()


ENGINES.register("dask")(_dask := Dask())
_checked: Engine = _dask
