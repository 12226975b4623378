"""Timeloop's YAML as plain values that know where they stand."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

import yaml

from hwsim.describe.reading import Document, read_text

TAG = "!"  # the key under which a node's own tag is kept
MOST_BYTES = 4 << 20
MISSPELT = 0.8  # of the letters are those of a known key


class File:
    """A file's values, hyphens in keys being underscores, and the place of every path."""

    def __init__(self, path: Path) -> None:
        self.document = Document(read_text(path, MOST_BYTES), str(path))
        self.document.check()
        assert self.document.root is not None
        self.values = self._plain(self.document.root, "")

    def fail(self, path: str, what: str) -> NoReturn:
        """Raise ConfigError at a path."""
        self.document.fault(path, what)
        self.document.check()
        raise AssertionError

    def _plain(self, node: yaml.Node, path: str) -> Any:
        self.document.place(path, node)
        if isinstance(node, yaml.MappingNode):
            found: dict[str, Any] = {}
            for key_node, value in node.value:
                key = str(key_node.value).replace("-", "_")
                found[key] = self._plain(value, f"{path}.{key}" if path else key)
            if node.tag.startswith("!"):
                found[TAG] = node.tag[1:]
            return found
        if isinstance(node, yaml.SequenceNode):
            return [
                self._plain(item, f"{path}[{number}]") for number, item in enumerate(node.value)
            ]
        return node.value

    def get(self, values: Any, path: str, key: str, kind: type) -> Any:
        """A value of a mapping. Raises ConfigError where it is missing or of another kind."""
        if not isinstance(values, dict):
            self.fail(path, "expected a mapping")
        if key not in values:
            self.fail(path, f"no {key}; expected one")
        if not isinstance(values[key], kind):
            what = "a list" if kind is list else "a mapping" if kind is dict else "a word or number"
            self.fail(f"{path}.{key}", f"expected {what}")
        return values[key]

    def refuse_misspelt(self, values: dict[str, Any], path: str, known: Iterable[str]) -> None:
        """Raises ConfigError for a key that is a known one but for a letter or two.

        Other keys, of which versions of Timeloop have many, are not read.
        """
        known = sorted(known)
        for key in values:
            close = difflib.get_close_matches(key, known, n=1, cutoff=MISSPELT)
            if key not in known and close and abs(len(close[0]) - len(key)) <= 1:
                self.fail(path, f"unknown key {key!r}; did you mean {close[0]!r}?")

    def whole(self, text: Any, path: str) -> int:
        """A whole number of at least 0. Raises ConfigError."""
        if not (isinstance(text, str) and text.isascii() and text.isdecimal() and len(text) < 13):
            self.fail(path, f"{text!r}; expected a whole number")
        return int(text)

    def words(self, values: Any, path: str) -> list[str]:
        """A list of words, none where there is none. Raises ConfigError."""
        if values in (None, ""):
            return []
        if not isinstance(values, list) or not all(isinstance(word, str) for word in values):
            self.fail(path, "expected a list of words")
        return values

    def part(self, values: Any, path: str) -> dict[str, Any]:
        """A mapping, empty where there is none. Raises ConfigError."""
        if values in (None, ""):
            return {}
        if not isinstance(values, dict):
            self.fail(path, "expected a mapping")
        return values
