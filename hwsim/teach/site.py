"""All lessons as a folder of pages that open from disk."""

from __future__ import annotations

from collections.abc import Callable

from hwsim.report.style import stylesheet
from hwsim.teach import LESSONS, in_order
from hwsim.teach.pages import WEB, lesson_page, neighbours, template

Files = dict[str, str | bytes]


def site_files(progress: Callable[[int, int], None] | None = None) -> Files:
    """{file name: content} of the site. progress(lessons done, lessons) as each is made."""
    names = in_order()
    titles = {name: LESSONS[name].title for name in names}
    files: Files = {"style.css": stylesheet()}
    files |= {path.name: path.read_text(encoding="utf-8") for path in sorted(WEB.glob("*.js"))}
    for number, (name, beside) in enumerate(zip(names, neighbours(names, titles), strict=True)):
        if progress is not None:
            progress(number, len(names))
        lesson = LESSONS[name]
        files[f"{name}.html"] = lesson_page(lesson, list(lesson.steps()), beside)
    lessons = [(f"{name}.html", LESSONS[name]) for name in names]
    files["index.html"] = template("index.html.j2").render(lessons=lessons)
    return files
