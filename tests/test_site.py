"""The documentation site: built with warnings as errors, and looked at in a browser."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hwsim.cli.group import COMMANDS
from hwsim.describe.machine import PARTS
from hwsim.report.stated_error import stated_errors
from hwsim.validate import CHECKS, run_check

ROOT = Path(__file__).parent.parent
SEEN = (
    "index",
    "tutorial/first-layer",
    "concepts/numbers",
    "trust",
    "reference/yaml",
    "reference/python",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """mkdocs.yml says strict: a warning fails."""
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return folder


@pytest.mark.parametrize("name", SEEN)
def test_a_page_opens_from_its_folder(site: Path, browser: Any, name: str) -> None:
    """At both widths, light and dark: no error, nothing asked from elsewhere, nothing sticks out."""
    for width, scheme in ((1280, "light"), (390, "dark")):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page = context.new_page()
        said: list[str] = []
        asked: list[str] = []
        page.on("console", lambda message, said=said: said.append(message.text))
        page.on("pageerror", lambda error, said=said: said.append(str(error)))
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        page.goto((site / f"{name}.html").as_uri())
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert said == []
        assert [url for url in asked if not url.startswith("file:")] == []
        context.close()


def test_every_command_and_part_has_its_place(site: Path) -> None:
    commands = (site / "reference" / "commands.html").read_text(encoding="utf-8")
    assert all(f"hwsim {name}</h2>" in re.sub(r"<a .*?</a>", "", commands) for name in COMMANDS)
    fields = (site / "reference" / "yaml.html").read_text(encoding="utf-8")
    assert all(f"A part of type {kind}" in fields for kind in PARTS)
    assert "<code>bandwidth</code>" in fields


def test_the_page_of_trust_has_every_check() -> None:
    """benchmarks/trust.py writes it; three quick checks are scored again."""
    page = (ROOT / "docs" / "trust.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (\S+-\S+|\w+)$", page, re.M) == [n for n in CHECKS if CHECKS[n].file]
    for name in ("eyeriss", "gemm-silicon", "tpu-v1"):
        report = run_check(name)
        section = page.partition(f"## {name}\n")[2].partition("\n## ")[0]
        for metric, score in report.metrics.items():
            row = f"| {metric.replace('_', ' ')} | all | {score.n} | {score.exact} | "
            shares = (score.median_abs_rel_err, score.mean_abs_rel_err, score.max_abs_rel_err)
            assert row + " | ".join(f"{share:.1%}" for share in shares) in section


def test_a_stated_error_is_its_check() -> None:
    """reference/errors.yaml beside what the check gives."""
    metrics = {"eyeriss": "processing_latency", "gemm-silicon": "time"}
    wholes = [error for error in stated_errors() if not error.dtype and error.check in metrics]
    assert {error.machine for error in wholes} == {"eyeriss-v1", "a100", "mi210"}
    for error in wholes:
        report, metric = run_check(error.check), metrics[error.check]
        score = report.groups.get("machine", {}).get(error.machine, report.metrics)[metric]
        assert error.mean == pytest.approx(score.mean_abs_rel_err, abs=1e-4)
        assert error.worst == pytest.approx(score.max_abs_rel_err, abs=1e-4)
        assert error.rows == score.n
