"""hwsim list: what there is.

Put together once, and again when a file that it follows from, or what is installed, has changed.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator

import click

from hwsim.cli.terminal import print_text, user_errors

SHIPPED = ("configs", "systems", "workloads", "reference", "kernels")


@click.command("list")
@click.argument("kind", required=False)
@user_errors
def command(kind: str | None) -> None:
    """What there is: machines, systems, workloads, algorithms, dataflows and so on."""
    from hwsim import private

    place = None if os.environ.get("HWSIM_KEEP") == "0" else private.folder("listing")
    stamp = _stamp()
    kept = None if place is None else private.read_checked(place / "text")
    known: dict[str | None, str] = kept[1] if kept is not None and kept[0] == stamp else {}
    if kind not in known:
        from hwsim.cli.listing import listing

        known[kind] = listing(kind)
        if place is not None:
            private.write_checked(place / "text", (stamp, known))
    print_text(known[kind])


def _stamp() -> str:
    """A digest of names, sizes and times of hwsim's files, and of what is installed beside it."""
    from hwsim import private
    from hwsim.describe.catalog import data_folder

    found = hashlib.sha256()
    for folder in (private.PACKAGE, *map(data_folder, SHIPPED)):
        for line in sorted(_lines(str(folder))):
            found.update(line.encode())
    for entry in filter(os.path.isdir, sys.path):
        found.update(f"{entry} {os.stat(entry).st_mtime_ns}\n".encode())
    return found.hexdigest()


def _lines(folder: str) -> Iterator[str]:
    """A line a file below a folder."""
    if not os.path.isdir(folder):
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                if entry.name != "__pycache__":
                    yield from _lines(entry.path)
            else:
                status = entry.stat()
                yield f"{entry.path} {status.st_size} {status.st_mtime_ns}\n"
