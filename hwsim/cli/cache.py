"""hwsim cache: a trace through caches."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hwsim.cli.terminal import check_outputs, progress_bar, show, user_errors
from hwsim.errors import HwsimError, UnknownName

if TYPE_CHECKING:
    from hwsim.timing.caches.loads import Level


@click.command("cache")
@click.option("--trace", required=True, type=click.Path(path_type=Path), help="din or lackey.")
@click.option(
    "--level",
    "levels",
    multiple=True,
    metavar="SIZE:WAYS:LINE[:POLICY]",
    help="A cache, the first level first. [default: 32KiB:8:64 and 1MiB:16:64]",
)
@click.option("--json", "json_to", metavar="FILE", help="Write JSON; - for standard output.")
@user_errors
def command(trace: Path, levels: tuple[str, ...], json_to: str | None) -> None:
    """Misses of a trace, in cachegrind's convention.

    A write is treated like a read, and a level is looked up where the one before it misses. An
    access that crosses a line looks up both. POLICY is lru (where none is given), fifo, plru, srrip
    or random.

    \b
    valgrind --tool=lackey --trace-mem=yes --log-file=trace.txt ./program
    hwsim cache --trace trace.txt --level 32KiB:8:64 --level 1MiB:16:64
    hwsim cache --trace trace.txt --level 32KiB:8:64:plru
    """
    from hwsim.foreign.traces import read_trace
    from hwsim.report.text_table import text_table
    from hwsim.results.json_documents import CacheDocument, MissesDocument
    from hwsim.timing.caches.programs import Memory

    check_outputs(json_to)
    sizes = [_level(text) for text in levels or ("32KiB:8:64", "1MiB:16:64")]
    memory = Memory(sizes)
    with progress_bar("reading") as progress:
        for number, some in enumerate(read_trace(trace)):
            memory.replay(some.address, some.size, some.write)
            progress(number + 1, number + 2)
    loads, stores = (int(count) for count in memory.accesses)
    rows: list[MissesDocument] = [
        {
            "level": number + 1,
            "load_misses": int(memory.misses[number, 0]),
            "store_misses": int(memory.misses[number, 1]),
        }
        for number in range(len(sizes))
    ]
    document: CacheDocument = {
        "schema": "hwsim.cache/1",
        "loads": loads,
        "stores": stores,
        "levels": rows,
    }
    head = ["level", "load misses", "store misses"]
    table = [
        [f"L{row['level']}", f"{row['load_misses']:,}", f"{row['store_misses']:,}"] for row in rows
    ]
    title = f"{loads:,} loads, {stores:,} stores"
    show(json_to, document, f"{title}\n\n{text_table(head, table, left=1)}")


def _level(text: str) -> Level:
    """'32KiB:8:64' or '32KiB:8:64:plru'. Raises HwsimError for what is no cache."""
    from hwsim.describe.policies import LRU, POLICIES, names
    from hwsim.describe.units import parse_bytes
    from hwsim.timing.caches.loads import Level

    *parts, policy = text.split(":") if text.count(":") == 3 else [*text.split(":"), LRU]
    expected = "expected SIZE:WAYS:LINE such as 32KiB:8:64"
    if policy not in POLICIES:
        raise UnknownName("replacement policy", policy, names())
    if len(parts) != 3 or not parts[1].isdecimal() or not parts[2].isdecimal():
        raise HwsimError(f"--level {text!r}; {expected}")
    try:
        size = parse_bytes(parts[0])
    except ValueError as error:
        raise HwsimError(f"--level {text!r}: {error}; {expected}") from None
    ways, line = int(parts[1]), int(parts[2])
    if not 1 <= ways <= 1024 or not 4 <= line <= 4096 or line & (line - 1):
        raise HwsimError(
            f"--level {text!r}; expected 1 to 1024 ways and lines of a power of two of 4 to 4096 "
            f"bytes"
        )
    if size % (ways * line) or not size or size > 1 << 32:
        raise HwsimError(f"--level {text!r}: {size} bytes are no whole sets of {ways} x {line}")
    refusal = POLICIES[policy].refuses(ways)
    if refusal is not None:
        raise HwsimError(f"--level {text!r}: {refusal}")
    return Level(size, ways, line, policy)
