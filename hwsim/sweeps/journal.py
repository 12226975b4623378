"""The journal: an SQLite file of rows by key, to which blocks of rows are added whole.

A block is one transaction: killed at any moment, the file has all rows of a block or none. Rows are
never changed. What another version, machine or workload gave has other keys and is not looked at.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType

from hwsim.errors import HwsimError
from hwsim.sweeps.rows import Row

FORMAT = "hwsim sweep journal 1"
AT_ONCE = 500  # keys of a query
WAIT_MS = 30_000  # for another process that writes


class Journal:
    """Rows by key. Raises HwsimError for a file that is no journal, or cannot be written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise HwsimError(f"{path.parent}: cannot be made: {error.strerror}") from None
        try:
            self._connection = sqlite3.connect(path, isolation_level=None)
            self._connection.execute(f"PRAGMA busy_timeout={WAIT_MS}")
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._prepare()
        except sqlite3.Error as error:
            raise self._cannot(error) from None

    def _prepare(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        tables = {name for (name,) in self._connection.execute("SELECT name FROM sqlite_master")}
        if tables and "rows" not in tables:
            self._connection.execute("ROLLBACK")
            raise HwsimError(f"{self.path}: a database of something else; expected a new file")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS rows (key BLOB PRIMARY KEY, row TEXT) WITHOUT ROWID"
        )
        self._connection.execute("CREATE TABLE IF NOT EXISTS about (text TEXT PRIMARY KEY)")
        self._connection.execute("INSERT OR IGNORE INTO about VALUES (?)", (FORMAT,))
        self._connection.execute("COMMIT")

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()

    def add(self, rows: Iterable[tuple[bytes, Row]]) -> None:
        """Keep a block of rows, all or none. A key that is there keeps its row."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(
                "INSERT OR IGNORE INTO rows VALUES (?, ?)",
                ((key, row.text()) for key, row in rows),
            )
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._cannot(error) from None
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def known(self, keys: Sequence[bytes]) -> dict[bytes, Row]:
        """The rows of those of the keys that are there."""
        found: dict[bytes, Row] = {}
        try:
            for start in range(0, len(keys), AT_ONCE):
                part = keys[start : start + AT_ONCE]
                marks = ",".join("?" * len(part))
                query = f"SELECT key, row FROM rows WHERE key IN ({marks})"
                found |= {key: Row.of(text) for key, text in self._connection.execute(query, part)}
        except (sqlite3.Error, ValueError, TypeError) as error:
            raise self._cannot(error) from None
        return found

    def there(self, keys: Sequence[bytes]) -> set[bytes]:
        """Those of the keys that have a row."""
        found: set[bytes] = set()
        try:
            for start in range(0, len(keys), AT_ONCE):
                part = keys[start : start + AT_ONCE]
                marks = ",".join("?" * len(part))
                query = f"SELECT key FROM rows WHERE key IN ({marks})"
                found |= {key for (key,) in self._connection.execute(query, part)}
        except sqlite3.Error as error:
            raise self._cannot(error) from None
        return found

    def _cannot(self, error: Exception) -> HwsimError:
        return HwsimError(f"{self.path}: the sweep's journal cannot be used: {error}")


def chunks(numbers: Iterable[int], size: int) -> Iterator[list[int]]:
    """Numbers in lists of at most so many."""
    block: list[int] = []
    for number in numbers:
        block.append(number)
        if len(block) == size:
            yield block
            block = []
    if block:
        yield block
