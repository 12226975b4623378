"""When things happened in a pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True)
class Timeline:
    """When things happened, in cycles.

    loads, stores: by tensor, (start, end) of each transfer [n, 2]; steps [n, 2] likewise.

    critical: by cause, from when to when it was what held everything up [n, 2], in order of time.
    load_bytes, store_bytes: of each transfer. held: from when to when each tile has room in the
    buffer, from its transfer on until it is given up.
    """

    loads: dict[str, npt.NDArray[np.float64]]
    stores: dict[str, npt.NDArray[np.float64]]
    steps: npt.NDArray[np.float64]
    critical: dict[str, npt.NDArray[np.float64]]
    load_bytes: dict[str, npt.NDArray[np.int64]]
    store_bytes: dict[str, npt.NDArray[np.int64]]
    held: dict[str, npt.NDArray[np.float64]]
