"""Models in other formats: each reader turns a file into the text of a workload.

A format is one file in hwsim/models/; a package of a user's own brings more as entry points of the
group "hwsim.models" (CONTRIBUTING.md).
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from hwsim.describe.network_file import WorkloadText
from hwsim.describe.reading import read_text
from hwsim.errors import HwsimError
from hwsim.registry import Registry

Size = tuple[int, int]
OWN = (".yaml", ".yml")


class ModelReader(Protocol):
    """A reader of models in one format.

    suffix: of the files that it reads. what: they are, in words. sizes_itself: `read` infers shapes
    from the size of the input; else the workload's text says its input.

    read: raises HwsimError naming the file, for what is damaged and for a package that is missing.
    """

    suffix: str
    what: str
    sizes_itself: bool

    def read(self, path: Path, size: Size | None) -> WorkloadText: ...


MODELS: Registry[ModelReader] = Registry("model format", "hwsim.models")


def model_reader(path: Path) -> ModelReader | None:
    """The reader of a file by its suffix, of YAML by what it says; None for hwsim's own YAML.

    Raises HwsimError naming the kinds that are read for another.
    """
    suffix = path.suffix.lower()
    if suffix in OWN:
        return _reader_of_yaml(path)
    for name in MODELS:
        if MODELS[name].suffix == suffix:
            return MODELS[name]
    kinds = ", ".join(f"{MODELS[name].suffix} ({MODELS[name].what})" for name in MODELS)
    raise HwsimError(f"{path}: a file of another kind; expected .yaml (hwsim's own), {kinds}")


def _reader_of_yaml(path: Path) -> ModelReader | None:
    """Another tool's YAML, which is a list where hwsim's own is a mapping."""
    if not path.is_file():
        return None
    text = read_text(path)
    if "layers:" in text or "loop_dims:" not in text:
        return None
    return next((MODELS[name] for name in MODELS if MODELS[name].suffix in OWN), None)
