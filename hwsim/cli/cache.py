"""hwsim cache: a trace through caches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hwsim.cli.terminal import check_outputs, progress_bar, show, user_errors
from hwsim.errors import HwsimError, UnknownName, nearest

if TYPE_CHECKING:
    from hwsim.parts.cache import Cache
    from hwsim.results.schemas import CacheDocument, LevelDocument

DEFAULT = ("32KiB:8:64", "1MiB:16:64")
CONVENTIONS = ("cachegrind", "pycachesim", "hwsim")


@click.command("cache")
@click.option("--trace", required=True, type=click.Path(path_type=Path), help="din or lackey.")
@click.option(
    "--level",
    "levels",
    multiple=True,
    metavar="SIZE:WAYS:LINE[:POLICY][,WORD]...",
    help="A cache, the first level first. [default: 32KiB:8:64 and 1MiB:16:64]",
)
@click.option(
    "--convention",
    type=click.Choice(CONVENTIONS),
    help="Whose rules count. [default: hwsim with a WORD or --kinds, else cachegrind]",
)
@click.option(
    "--kinds", is_flag=True, help="Tell misses apart: cold, capacity, conflict. [convention: hwsim]"
)
@click.option("--json", "json_to", metavar="FILE", help="Write JSON; - for standard output.")
@user_errors
def command(
    trace: Path,
    levels: tuple[str, ...],
    convention: str | None,
    kinds: bool,
    json_to: str | None,
) -> None:
    """What a trace hits and misses.

    An access that crosses a line looks up both. POLICY is lru (where none is given), fifo, plru,
    srrip or random. WORD is through, no-allocate, inclusive, exclusive, next-line or stride.

    cachegrind: a write is treated like a read, and a level is looked up where the one before it
    misses. pycachesim: as that counts LRU caches. hwsim: as caches of machines do, with what the
    WORDs say; evicted are dirty lines, and all lines that an exclusive level takes. --kinds tells
    which misses are cold (the line was never asked for), of capacity (an LRU cache of this size in
    which lines may lie anywhere lost it too), and conflicts (that one has it).

    \b
    valgrind --tool=lackey --trace-mem=yes --log-file=trace.txt ./program
    hwsim cache --trace trace.txt --level 32KiB:8:64 --level 1MiB:16:64
    hwsim cache --trace trace.txt --level 32KiB:8:64:plru,stride \\
                --level 1MiB:16:64,exclusive
    """
    from hwsim.foreign.traces import read_trace

    check_outputs(json_to)
    plain = not any("," in text for text in levels)
    convention = convention or ("cachegrind" if plain and not kinds else "hwsim")
    memory = _memory(levels or DEFAULT, convention, kinds)
    accesses = [0, 0]
    with progress_bar("reading") as progress:
        for number, some in enumerate(read_trace(trace)):
            memory.replay(some.address, some.size, some.write)
            accesses[0] += len(some.write) - sum(some.write)
            accesses[1] += sum(some.write)
            progress(number + 1, number + 2)
    rows: list[LevelDocument] = [
        {"level": number + 1, **counts}  # type: ignore[typeddict-item]
        for number, counts in enumerate(memory.counts())
    ]
    document: CacheDocument = {
        "schema": "hwsim.cache/1",
        "convention": convention,
        "loads": accesses[0],
        "stores": accesses[1],
        "levels": rows,
    }
    show(json_to, document, _text(document))


def _memory(levels: Sequence[str], convention: str, kinds: bool) -> Any:
    """Empty caches that count by a convention.

    Raises HwsimError for words or kinds that it does not have.
    """
    from hwsim.timing.caches.programs import Memory
    from hwsim.timing.caches.traces import Hierarchy, Pycachesim

    caches = [_level(text) for text in levels]
    if convention == "hwsim":
        return Hierarchy(caches, kinds)
    if kinds:
        raise HwsimError(f"--kinds beside --convention {convention}; expected hwsim's")
    if any("," in text for text in levels):
        raise HwsimError(
            f"--convention {convention} has plain caches; expected no --level with words"
        )
    return Memory(caches) if convention == "cachegrind" else Pycachesim(caches)


def _text(document: CacheDocument) -> str:
    """A line a level."""
    from hwsim.report.text_table import text_table

    title = f"{document['loads']:,} loads, {document['stores']:,} stores"
    head = [name.replace("_", " ") for name in document["levels"][0]]
    rows = [
        [f"L{row['level']}", *(f"{value:,}" for name, value in row.items() if name != "level")]
        for row in document["levels"]
    ]
    return f"{title}, as {document['convention']} counts\n\n{text_table(head, rows, left=1, gap=1)}"


def _level(text: str) -> Cache:
    """'32KiB:8:64', '32KiB:8:64:plru' or '32KiB:8:64,stride'. Raises HwsimError for what is no
    cache."""
    from hwsim.describe.policies import LRU, POLICIES, names
    from hwsim.describe.units import Bandwidth, Duration, parse_bytes
    from hwsim.parts.cache import Cache

    sizes, *words = text.split(",")
    *parts, policy = sizes.split(":") if sizes.count(":") == 3 else [*sizes.split(":"), LRU]
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
    fast, soon = Bandwidth(line, per_cycle=True), Duration(1, in_cycles=True)
    cache = Cache(size, line, ways, fast, soon, policy=policy, **_said(text, words))
    for _, what in cache.faults():
        raise HwsimError(f"--level {text!r}: {what}")
    return cache


def _said(text: str, words: list[str]) -> dict[str, Any]:
    """The fields of a cache that words state."""
    from hwsim.describe.prefetchers import PREFETCHERS

    known: dict[str, tuple[str, Any]] = {
        "through": ("writes", "through"),
        "no-allocate": ("write_allocate", False),
        "inclusive": ("inclusion", "inclusive"),
        "exclusive": ("inclusion", "exclusive"),
        **{name: ("prefetcher", name) for name in PREFETCHERS},
    }
    found: dict[str, Any] = {}
    for word in dict.fromkeys(words):
        if word not in known:
            raise HwsimError(
                f"--level {text!r}: {word!r}; expected one of {', '.join(known)}"
                f"{nearest(word, known)}"
            )
        field, value = known[word]
        if field in found:
            raise HwsimError(
                f"--level {text!r}: {word} beside {found[field]}; expected one of them"
            )
        found[field] = value
    return found
