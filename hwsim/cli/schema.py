"""hwsim schema: JSON Schema of what hwsim reads and writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click

from hwsim.cli.terminal import print_text, user_errors
from hwsim.errors import UnknownName


def _machine() -> type[Any]:
    from hwsim.describe.machine import Machine

    return Machine


def _workload() -> type[Any]:
    from hwsim.describe.network_file import WorkloadText

    return WorkloadText


def _nest() -> type[Any]:
    from hwsim.ir.nest_file import NestFile

    return NestFile


def _system() -> type[Any]:
    from hwsim.describe.system import System

    return System


KINDS: dict[str, Callable[[], type[Any]]] = {
    "machine": _machine,
    "workload": _workload,
    "nest": _nest,
    "system": _system,
}


@click.command("schema")
@click.argument("kind")
@user_errors
def command(kind: str) -> None:
    """JSON Schema (draft 7) of a file that is read, or of a document that is written.

    KIND is machine, workload, nest or system; or what --json writes: result, comparison, diff,
    mapping, curve, fused-pair, tiling, counts, errors, cache, check, sweep, split, timeloop or
    scalesim. Editors check a YAML file by its first line:

    \b
    # yaml-language-server: $schema=machine.schema.json
    """
    from hwsim.describe.schema import document_schema, schema_of
    from hwsim.results.schemas import DOCUMENTS

    if kind in KINDS:
        schema = schema_of(KINDS[kind](), f"hwsim {kind}")
    elif kind in DOCUMENTS:
        schema = document_schema(DOCUMENTS[kind], f"hwsim {kind}")
    else:
        raise UnknownName("schema", kind, (*KINDS, *DOCUMENTS))
    print_text(json.dumps(schema, indent=1))
