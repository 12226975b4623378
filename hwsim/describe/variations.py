"""Machines that differ from a file's in a few values, made quickly.

Every value is read from the file's text once, and combined with others in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from hwsim.describe.machine import Machine, load_machine
from hwsim.describe.settings import Setting
from hwsim.errors import HwsimError


class Variations:
    """A machine's file with what is fixed of it, and what each further setting changes."""

    def __init__(self, name_or_path: str | Path, fixed: Sequence[Setting] = ()) -> None:
        self._name, self._fixed = name_or_path, tuple(fixed)
        self._base = load_machine(name_or_path, self._fixed)
        self._alone: dict[Setting, Machine | None] = {}

    def machine(self, settings: Sequence[Setting]) -> Machine:
        """As load_machine with what is fixed and these settings. Raises as that does."""
        varied: Machine | None = self._base
        for setting in settings:
            alone = self._by_itself(setting)
            varied = varied and alone and _combined(self._base, varied, alone)
        if varied is None or _is_faulty(self._base, varied):
            whole = [*self._fixed, *settings]
            return load_machine(self._name, whole)  # as it is, or with its faults said
        return replace(varied, settings=(*self._fixed, *settings))

    def _by_itself(self, setting: Setting) -> Machine | None:
        """The machine with one setting; None where that is faulty without the others."""
        if setting not in self._alone:
            try:
                self._alone[setting] = load_machine(self._name, [*self._fixed, setting])
            except HwsimError:
                self._alone[setting] = None
        return self._alone[setting]


def _combined(base: Machine, varied: Machine, alone: Machine) -> Machine | None:
    """A machine with what another changes of the base; None where the parts themselves differ."""
    if alone.parts.keys() != base.parts.keys():
        return None
    changes = {name: value for name, value in _changes(base, alone).items() if name != "settings"}
    parts = dict(varied.parts)
    for name, part in alone.parts.items():
        if part == base.parts[name]:
            continue
        if type(part) is not type(parts[name]):
            return None
        of_part: Any = replace(parts[name], **_changes(base.parts[name], part))
        parts[name] = of_part
    return replace(varied, **{**changes, "parts": parts})


def _changes(base: Any, other: Any) -> dict[str, Any]:
    """Fields in which two of a kind differ."""
    return {
        spec.name: getattr(other, spec.name)
        for spec in fields(base)
        if spec.init and getattr(base, spec.name) != getattr(other, spec.name)
    }


def _is_faulty(base: Machine, varied: Machine) -> bool:
    """Do values that are right by themselves not go together?"""
    changed = [part for name, part in varied.parts.items() if part != base.parts[name]]
    faulty = any(next(iter(getattr(part, "faults", tuple)()), None) for part in changed)
    return faulty or next(varied.faults(), None) is not None
