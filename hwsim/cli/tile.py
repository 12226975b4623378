"""hwsim tile: a tiled matrix product."""

from __future__ import annotations

from pathlib import Path

import click

from hwsim.cli.terminal import check_outputs, progress_bar, show, user_errors
from hwsim.errors import HwsimError


@click.command()
@click.option(
    "--n",
    required=True,
    type=click.IntRange(1, 10**12),
    help="Columns of C; rows and depth too, unless given.",
)
@click.option("--m", type=click.IntRange(1, 10**12), help="Rows of C.")
@click.option("--k", type=click.IntRange(1, 10**12), help="The reduction.")
@click.option(
    "--tiles",
    metavar="V1,V2,V3",
    help="Tile of C (v1 x v2), step v3 of the reduction.  [default: 1,1,1]",
)
@click.option("--machine", help="Also its cost there, and the best tiles that fit.")
@click.option(
    "--memory", help="The memory that tiles must fit (default: the largest explicit one)."
)
@click.option(
    "--sweep", is_flag=True, help="The whole trade-off of footprint against DRAM accesses."
)
@click.option(
    "--search",
    is_flag=True,
    help="Simulate tiles of other sizes on a CPU or GPU: the best by time and by each memory.",
)
@click.option(
    "--out",
    "-o",
    type=click.Path(path_type=Path),
    help="Folder for sweep.csv, sweep.svg and sweep.png.",
)
@click.option("--force", is_flag=True, help="Write into a folder that is not empty.")
@click.option(
    "--json", "json_to", metavar="FILE", help="Write the numbers as JSON; - for standard output."
)
@user_errors
def command(
    n: int,
    m: int | None,
    k: int | None,
    tiles: str | None,
    machine: str | None,
    memory: str | None,
    sweep: bool,
    search: bool,
    out: Path | None,
    force: bool,
    json_to: str | None,
) -> None:
    """Tile a matrix product: formulas, exact counts, executed loops.

    \b
    hwsim tile --n 1024 --tiles 32,32,8
    hwsim tile --m 100 --n 60 --k 7 --tiles 8,8,1
    hwsim tile --n 1024 --tiles 32,32,8 --machine tpu-v1 --sweep --out sweep
    hwsim tile --n 256 --machine cortex-a76 --search
    """
    from hwsim.choose.tiled import try_sizes
    from hwsim.count.tiling import Tiled, sweep as sweep_tiles
    from hwsim.describe.machine import load_machine
    from hwsim.report.files import check_folder, write_folder
    from hwsim.report.tiling import (
        machine_text,
        sweep_text,
        tiling_document,
        tiling_text,
    )
    from hwsim.report.tried_tiles import tried_text

    check_outputs(json_to)
    _check(machine, memory, sweep, search, out)
    if out is not None:
        check_folder(out, force)
    tiled = Tiled(m or n, n, k or n, *_tiles(tiles))
    loaded = load_machine(machine) if machine else None
    swept = sweep_tiles(tiled.m, tiled.n, tiled.k) if sweep else []
    cached = loaded is not None and loaded.management != "explicit"
    words = [tiling_text(tiled, "words in and out" if cached else "DRAM accesses")]
    words += [machine_text(tiled, loaded, memory)] if loaded else []
    words += [sweep_text(swept)] if sweep else []
    tried = None
    if search and loaded is not None:
        with progress_bar("simulating tiles") as progress:
            tried = try_sizes(tiled, loaded, memory, progress)
        words.append(tried_text(tried))
    if out is not None:
        from hwsim.report.tiling import sweep_files

        write_folder(out, sweep_files(tiled, swept, loaded, memory), force)
        click.echo(f"wrote {out / 'sweep.svg'}", err=True)
    show(json_to, tiling_document(tiled, loaded, memory, swept, tried), "\n".join(words))


def _check(
    machine: str | None, memory: str | None, sweep: bool, search: bool, out: Path | None
) -> None:
    """Options that need another one. Raises HwsimError naming both."""
    if out is not None and not sweep:
        raise HwsimError("--out without --sweep; expected --sweep, whose table and plot it writes")
    if memory is not None and machine is None:
        raise HwsimError(f"--memory {memory} without --machine")
    if search and machine is None:
        raise HwsimError("--search without --machine; expected a CPU or GPU to simulate tiles on")


def _tiles(text: str | None) -> tuple[int, int, int]:
    parts = (text or "1,1,1").split(",")
    if len(parts) != 3 or not all(part.strip().isdecimal() for part in parts):
        raise HwsimError(
            f"--tiles {text!r}; expected three whole numbers V1,V2,V3, such as 32,32,8"
        )
    v1, v2, v3 = (int(part) for part in parts)
    return v1, v2, v3
