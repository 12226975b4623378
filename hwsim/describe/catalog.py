"""Where the shipped YAML stands, and how a name or a path finds it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from hwsim.errors import HwsimError, UnknownName, shortened

KINDS = {
    "configs": "a machine",
    "workloads": "a workload",
    "systems": "a system of several chips",
}
SAYS = {  # keys that a file of each kind has at its margin, and no other
    "configs": {"parts", "links", "clock"},
    "workloads": {"layers"},
    "systems": {"chip", "topology"},
}
_KEYS = re.compile(r"^(\w+):", re.M)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def data_folder(kind: str) -> Path:
    """The shipped folder `kind`: beside the package, or inside it in an installed wheel."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "data" / kind
    return inside if inside.is_dir() else package.parent / kind


def shipped(kind: str, suffix: str = ".yaml") -> dict[str, Path]:
    """{name: file} of everything shipped under `kind`."""
    return {
        path.name.removesuffix(suffix): path
        for path in sorted(data_folder(kind).rglob(f"*{suffix}"))
    }


def locate(kind: str, folder: str, name_or_path: str | Path) -> Path:
    """The file of a shipped name, or of a path.

    A path is anything else with a slash or an ending.

    Raises UnknownName for a name that is not shipped, HwsimError for a path that is no file.
    """
    text, known = str(name_or_path), shipped(folder)
    path = Path(text)
    ends = path.suffix != "" and text not in known
    if text and text not in known:
        refuse_folder(kind, path)
    if isinstance(name_or_path, Path) or "/" in text or "\\" in text or ends:
        if not path.is_file():
            raise HwsimError(
                f"{text}: no such file; expected the path of a {kind}, or a shipped name"
            )
        return path
    if not _NAME.fullmatch(text) or text not in known:
        _check_kind(kind, folder, text)
        raise UnknownName(kind, text, known)
    return known[text]


def refuse_folder(kind: str, path: Path) -> None:
    """Raises HwsimError for a folder, naming the model's configuration in it."""
    if os.path.isdir(path):
        inside = path / "config.json"
        hint = f", such as {inside}" if kind == "workload" and inside.is_file() else ""
        raise HwsimError(f"{path} is a folder; expected the file of a {kind}{hint}")


def kind_of(text: str) -> str | None:
    """The folder of such files, by the keys at their margin; None where none tells."""
    keys = set(_KEYS.findall(text))
    return next((folder for folder, words in SAYS.items() if keys & words), None)


def check_text(folder: str, path: str | Path, text: str) -> None:
    """Raises HwsimError for the text of another kind of file."""
    found = kind_of(text)
    if found is not None and found != folder:
        raise HwsimError(f"{path} is {KINDS[found]}; expected {KINDS[folder]} in its place")


def _check_kind(kind: str, folder: str, name: str) -> None:
    """Raises HwsimError for the name of something else, as of two arguments exchanged."""
    head, colon, _ = name.partition(":")
    others = [other for other in KINDS if other != folder and head in shipped(other)]
    if folder == "configs" and colon and head not in shipped("configs"):
        others = ["workloads"]  # a layer, or a shape
    if others and folder in KINDS:
        raise HwsimError(
            f"{shortened(repr(name))} is {KINDS[others[0]]}; expected {KINDS[folder]} in its place "
            f"(hwsim list names all)"
        )
