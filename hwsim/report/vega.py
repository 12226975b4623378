"""Vega-Lite: its JavaScript, and charts drawn without a browser. All of it comes with vl-convert.

J. Satyanarayan et al., "Vega-Lite: A Grammar of Interactive Graphics", 2017.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hwsim import private

VERSION = "6.4"  # of Vega-Lite
CONFIG: dict[str, Any] = {
    "background": "white",
    "font": "sans-serif",
    "title": {"anchor": "start", "fontSize": 14, "offset": 10},
    "axis": {
        "gridColor": "#e4e4e4",
        "domain": False,
        "labelFontSize": 11,
        "titleFontWeight": "normal",
    },
    "axisY": {"labelLimit": 210},
    "legend": {"labelFontSize": 11, "labelLimit": 180, "columns": 3},
    "view": {"stroke": None},
}


def script() -> str:
    """Vega, Vega-Lite and vega-embed as one text: 0.9 MB. Bundling takes seconds, so it is kept."""
    from importlib.metadata import version

    import vl_convert

    folder = private.folder(f"vega-{version('vl-convert-python')}-{VERSION}")
    kept = None if folder is None else private.read_checked(folder / "bundle")
    if isinstance(kept, str):
        return kept
    bundle: Any = vl_convert.javascript_bundle
    text: str = bundle(vl_version=VERSION)
    text = text.replace("</script", "<\\/script")  # it stands inside a page's script
    if folder is not None:
        private.write_checked(folder / "bundle", text)
    return text


def svg(spec: Mapping[str, Any]) -> str:
    import vl_convert

    text: str = vl_convert.vegalite_to_svg(json.dumps(spec), vl_version=VERSION, config=CONFIG)
    return text


def png(svg_text: str) -> bytes:
    import vl_convert

    content: bytes = vl_convert.svg_to_png(svg_text, scale=1.5)
    return content
