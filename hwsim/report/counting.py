"""Operations by algorithm, and what rounding does to them, as text and as plain data."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, cast

from hwsim.describe.units import si, size_text
from hwsim.report.text_table import WIDTH, text_table
from hwsim.results.schemas import (
    CountsDocument,
    ErrorsDocument,
    OperationsDocument,
    RoundingDocument,
)

if TYPE_CHECKING:
    from hwsim.count.operations import Counted
    from hwsim.count.rounding import Error

COUNT_HEAD = ["algorithm", "multiply", "effectual", "gain", "const", "shift", "add", "workspace"]
SCHEMA: Final = "hwsim.counts/1"


def counts_text(title: str, rows: Sequence[Counted]) -> str:
    """A line an algorithm.

    gain: multiplications of direct convolution, zeros and all, for each effectual one.
    """
    cells = [
        [
            row.algorithm,
            si(row.operations.multiplies),
            si(row.operations.effectual_multiplies),
            "-" if row.reduction is None else f"{row.reduction:.2f}",
            si(row.operations.constant_multiplies),
            si(row.operations.shifts),
            si(row.operations.additions),
            "on chip" if row.fused else size_text(row.workspace_bytes),
        ]
        for row in rows
    ]
    lines = [title, text_table(COUNT_HEAD, cells)]
    said: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for row in rows:
        for note, layers in row.notes.items():
            said.setdefault((note, layers), []).append(row.algorithm)
    for (note, layers), names in said.items():
        which = ", ".join(layers[:4]) + (f" and {len(layers) - 4} more" if len(layers) > 4 else "")
        lines += textwrap.wrap(
            f"note: {', '.join(names)}: {note} ({which})", WIDTH, subsequent_indent="  "
        )
    return "\n".join(lines)


def counts_document(workload: str, rows: Sequence[Counted]) -> OperationsDocument:
    """The rows as plain data."""
    return {
        "schema": SCHEMA,
        "workload": workload,
        "algorithms": [
            {
                "algorithm": row.algorithm,
                "counts": cast(CountsDocument, vars(row.operations)),
                "offline": cast(CountsDocument, vars(row.offline)),
                "direct_multiplies": row.direct,
                "reduction": row.reduction,
                "workspace_bytes": row.workspace_bytes,
                "fallbacks": list(row.fallbacks),
            }
            for row in rows
        ],
    }


ERROR_HEAD = ["layer", "algorithm", "format", "largest error", "of direct's", "rms / rms"]
ERRORS: Final = "hwsim.errors/1"


def errors_text(found: Mapping[str, Sequence[Error]]) -> str:
    """A line a layer, format and algorithm.

    The last column is relative to the size of the outputs.
    """
    rows = []
    for layer, errors in found.items():
        direct = {error.format: error.largest for error in errors if error.algorithm == "direct"}
        for number, error in enumerate(errors):
            ratio = (
                f"{error.largest / direct[error.format]:.2f}" if direct.get(error.format) else "-"
            )
            rows.append(
                [
                    layer if number == 0 else "",
                    error.algorithm,
                    error.format,
                    f"{error.largest:.2e}",
                    ratio,
                    f"{error.relative:.1e}",
                ]
            )
    return text_table(ERROR_HEAD, rows, left=3)


def errors_document(
    workload: str, seed: int, found: Mapping[str, Sequence[Error]]
) -> ErrorsDocument:
    """The errors as plain data."""
    return {
        "schema": ERRORS,
        "workload": workload,
        "seed": seed,
        "layers": {
            layer: [cast(RoundingDocument, vars(error)) for error in errors]
            for layer, errors in found.items()
        },
    }
