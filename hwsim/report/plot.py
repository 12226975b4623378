"""One chart of a comparison or a run, drawn without a browser or as its Vega-Lite."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from hwsim.errors import HwsimError
from hwsim.report import vega
from hwsim.report.charts import CHARTS, Spec, charts, shown_of, with_data
from hwsim.results.comparison import Comparison

VEGA_LITE = "application/vnd.vegalite.v5+json"  # the MIME type that notebooks draw
FORMATS = (".svg", ".png", ".json")


@dataclass(frozen=True)
class ChartView:
    """A chart for a notebook: Vega-Lite where that is drawn, else SVG. spec: its specification."""

    spec: Spec

    def _repr_mimebundle_(self, **_: object) -> dict[str, object]:
        return {
            VEGA_LITE: self.spec,
            "image/svg+xml": vega.svg(self.spec),
            "text/plain": str(self.spec["title"]),
        }


def check_chart(name: str, path: Path) -> None:
    """Refuse, before any work, a chart or a format that there is not."""
    CHARTS[name]
    if path.suffix.lower() not in FORMATS:
        raise HwsimError(f"--plot {path}: expected a name that ends in {', '.join(FORMATS)}")


def specification(comparison: Comparison, name: str) -> Spec:
    """A chart with its rows inside.

    Raises UnknownName, or HwsimError where it has nothing to show.
    """
    CHARTS[name]
    shown = shown_of(comparison)
    found = charts(shown)
    if name not in found:
        raise HwsimError(
            f"chart {name} has nothing to show here; expected one of {', '.join(found)}"
        )
    return with_data(found[name], shown)


def drawn(comparison: Comparison, name: str, suffix: str) -> str | bytes:
    """The chart in the format of a file's ending, one of FORMATS."""
    spec = specification(comparison, name)
    if suffix.lower() == ".json":
        return json.dumps(spec, indent=1) + "\n"
    text = vega.svg(spec)
    return vega.png(text) if suffix.lower() == ".png" else text
