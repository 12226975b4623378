"""Lessons: what they are made of, and how they are shown in a terminal and as a site.

A lesson is one file in hwsim/lessons/. It registers itself, and yields steps of text and blocks.
"""

from __future__ import annotations

from hwsim.registry import Registry
from hwsim.teach.content import Lesson

LESSONS: Registry[Lesson] = Registry("lesson", "hwsim.lessons")


def in_order() -> list[str]:
    """The lessons' names in the order in which they build on each other."""
    return sorted(LESSONS, key=lambda name: (LESSONS[name].place, name))


__all__ = ["LESSONS", "Lesson", "in_order"]
