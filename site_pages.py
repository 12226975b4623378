"""Pages of the documentation that are made from the code: commands, YAML fields, what is shipped.

MkDocs calls the functions below as it builds the site (mkdocs.yml names this file).
"""

from __future__ import annotations

import re
from typing import Any

import click
from click.testing import CliRunner
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from hwsim.cli import main
from hwsim.cli.group import COMMANDS
from hwsim.describe.machine import PARTS, Machine
from hwsim.describe.network_file import LayerText, WorkloadText
from hwsim.describe.schema import object_schema


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    for path, content in (
        ("reference/commands.md", commands_page()),
        ("reference/yaml.md", yaml_page()),
        ("reference/shipped.md", shipped_page()),
    ):
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Links out of docs/ lead to files of the repository, which the site has not: names stay."""
    up = "../" * (page.file.src_uri.count("/") + 1)
    return re.sub(rf"\[([^\]]+)\]\({re.escape(up)}([^)]+)\)", r"\1 (`\2`)", markdown)


def commands_page() -> str:
    """Every command's --help, as it prints it."""
    parts = ["# Commands", "", "What `hwsim COMMAND --help` prints.", ""]
    for name in COMMANDS:
        command = main.get_command(click.Context(main), name)
        assert command is not None
        context = click.Context(command, info_name=f"hwsim {name}", max_content_width=80)
        parts += [f"## hwsim {name}", "", "```text", command.get_help(context), "```", ""]
    return "\n".join(parts)


def yaml_page() -> str:
    """The fields of every file that hwsim reads, from the dataclasses that read them."""
    parts = [
        "# YAML fields",
        "",
        "Made from the classes that read the files. `hwsim schema machine` prints the same as a JSON Schema, "
        "which editors complete and check by.",
        "",
        "## A machine",
        "",
        *_fields(Machine),
    ]
    for kind in PARTS:
        parts += [f"### A part of type {kind}", "", *_fields(PARTS[kind])]
    return "\n".join(
        [
            *parts,
            "## A workload",
            "",
            *_fields(WorkloadText),
            "### A layer",
            "",
            *_fields(LayerText),
        ]
    )


def _fields(cls: type[Any]) -> list[str]:
    schema = object_schema(cls)
    lines = [_plain(schema["description"]), "", "| field | needed | takes |", "|---|---|---|"]
    for name, entry in schema["properties"].items():
        needed = "yes" if name in schema["required"] else ""
        lines.append(f"| `{name}` | {needed} | {_takes(entry)} |")
    return [*lines, ""]


def _takes(entry: dict[str, Any]) -> str:
    """A field's schema in words."""
    if "anyOf" in entry:
        return " or ".join(
            dict.fromkeys(_takes(arm) for arm in entry["anyOf"] if arm.get("type") != "null")
        )
    if "enum" in entry:
        return "one of " + ", ".join(f"`{value}`" for value in entry["enum"])
    if "description" in entry and entry.get("type") != "object":
        return _plain(entry["description"])
    if entry.get("type") == "array":
        return f"a list of {_takes(entry.get('items', {}))}"
    names = {
        "integer": "a whole number",
        "number": "a number",
        "boolean": "`true` or `false`",
        "string": "text",
        "object": "a mapping",
    }
    least = f" of at least {entry['minimum']}" if "minimum" in entry else ""
    return names.get(entry.get("type", ""), "see the text") + least


def _plain(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def shipped_page() -> str:
    """What hwsim list prints."""
    listed = CliRunner().invoke(main, ["list"]).output
    return "\n".join(
        ["# What is shipped", "", "What `hwsim list` prints.", "", "```text", listed, "```"]
    )
