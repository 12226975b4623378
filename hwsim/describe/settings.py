"""Values of a machine's file set from outside: parts.dram.bandwidth=2 TB/s, as --set has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hwsim.describe.reading import Document
from hwsim.errors import HwsimError, nearest, shortened

if TYPE_CHECKING:
    import yaml

FORM = "expected PATH=VALUE, such as parts.dram.bandwidth=2 TB/s"


@dataclass(frozen=True)
class Setting:
    """path: keys from the file's top, joined by dots. value: YAML, as the file would have it."""

    path: str
    value: str

    def __str__(self) -> str:
        return f"{self.path}={self.value}"

    @property
    def keys(self) -> list[str]:
        return self.path.split(".")


class NoPlace(HwsimError):
    """A setting of something that a machine's file does not have."""


def said(settings: Sequence[Setting]) -> str:
    """As they were typed; nothing where there are none."""
    return " ".join(f"--set {setting}" for setting in settings)


def read_settings(texts: Sequence[str | Setting]) -> tuple[Setting, ...]:
    """Settings as typed. Raises HwsimError for one that is not PATH=VALUE, or one path twice."""
    settings: list[Setting] = []
    for text in map(str, texts):
        path, equals, value = text.partition("=")
        if not equals or not path.strip() or not value.strip() or "" in path.split("."):
            raise HwsimError(f"--set {shortened(text)}: {FORM}")
        if any(path.strip() == other.path for other in settings):
            raise HwsimError(f"--set {path.strip()}: given twice; expected each path once")
        settings.append(Setting(path.strip(), value.strip()))
    return tuple(settings)


def apply(root: yaml.Node, setting: Setting) -> None:
    """Change a file's node tree. A part goes by its name, or by its type where one part has it.

    Raises NoPlace where a key before the last is not there, ConfigError where the value is not
    YAML.
    """
    import yaml

    *above, last = setting.keys
    node = root
    for number, key in enumerate(above):
        node = _child(node, key, ".".join(above[:number]), setting)
    if not isinstance(node, yaml.MappingNode):
        raise NoPlace(f"--set {setting}: {'.'.join(above)} has no keys; {FORM}")
    document = Document(setting.value, f"--set {setting.path}")
    document.check()
    pairs = {key.value: (key, value) for key, value in node.value}
    new = yaml.ScalarNode("tag:yaml.org,2002:str", last, node.start_mark, node.end_mark)
    pairs[last] = (pairs.get(last, (new, None))[0], document.root)
    node.value = list(pairs.values())


def _child(node: yaml.Node, key: str, place: str, setting: Setting) -> yaml.Node:
    """What a mapping holds under a key."""
    known = _children(node)
    if key in known:
        return known[key]
    typed = [part for part in known.values() if _type(part) == key] if place == "parts" else []
    if len(typed) == 1:
        return typed[0]
    raise NoPlace(
        f"--set {setting}: no {key!r} in {place or 'the file'}{nearest(key, known)}; it has "
        f"{', '.join(known) or 'no keys'}"
    )


def _type(part: yaml.Node) -> str:
    return str(getattr(_children(part).get("type"), "value", ""))


def _children(node: yaml.Node) -> dict[str, yaml.Node]:
    """The keys of a mapping and what they hold; none of anything else."""
    import yaml

    if not isinstance(node, yaml.MappingNode):
        return {}
    return {key.value: value for key, value in node.value}
