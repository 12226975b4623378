"""The report in a real browser, at desktop and phone width."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import hwsim
from hwsim.report.html import write_html

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--allow-file-access-from-files",
    "--virtual-time-budget=4000",
]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    comparison = hwsim.compare(
        hwsim.load_workload("alexnet").only(("conv3", "conv5", "fc7")),
        ["tpu-v1", "tpu-v4"],
        ["direct", "winograd-f2"],
    )
    write_html(comparison, path)
    return path


def test_chromium_is_there() -> None:
    """The browser tests must run: .ci/run installs Chromium from Debian's packages."""
    assert CHROMIUM is not None, "install chromium (on Debian: apt-get install chromium)"


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_sticks_out(page: Path, width: int, tmp_path: Path) -> None:
    """In a frame of this width the page is no wider than the frame, its plots are drawn, and nothing is an error."""
    assert CHROMIUM is not None
    frame = tmp_path / "frame.html"
    frame.write_text(f"""<!doctype html><iframe id=f src="file://{page}" style="width:{width}px;height:2000px;border:0"></iframe><script>
      document.getElementById('f').onload = () => {{
        const page = document.getElementById('f').contentDocument;
        const plots = [...page.querySelectorAll('figure svg')].map(plot => plot.getBoundingClientRect());
        document.title = 'measured';
        document.body.dataset.result = JSON.stringify([page.documentElement.scrollWidth, plots.length, Math.min(...plots.map(box => box.width)),
                                                       Math.max(...plots.map(box => box.right))]);
      }};</script>""")
    ran = subprocess.run(
        [
            CHROMIUM,
            *FLAGS,
            f"--user-data-dir={tmp_path / 'profile'}",
            "--dump-dom",
            f"file://{frame}",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    found = re.search(r'data-result="\[([\d.,]+)\]"', ran.stdout)
    assert found is not None, ran.stdout[-500:] + ran.stderr[-500:]
    wide, plots, narrowest, right = (float(number) for number in found[1].split(","))
    assert wide <= width
    assert plots == 6
    assert narrowest > width * 0.35
    assert right <= width
