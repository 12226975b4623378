"""The one stylesheet of the report and of the lessons."""

from __future__ import annotations

from pathlib import Path


def stylesheet() -> str:
    return Path(__file__).with_name("style.css").read_text(encoding="utf-8")
