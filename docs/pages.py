"""Pages that are made of the code, so that they cannot differ from it: commands, recipes, tasks, hooks, the API. A hook of MkDocs; nothing imports it."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import typer
from mkdocs.structure.files import File, Files
from typer.cli import get_docs_for_click

from alm.api import hookspecs
from alm.cli.common import app
from alm.core.catalogue import recipe_rows, table, task_rows
from alm.core.config import recipes
from alm.core.plugins import KINDS, registry

API = (
    "types", "cards", "interfaces", "recognition", "understanding", "errors", "tasks", "plans", "vocabulary", "layouts", "writer", "manifests", "engines", "demos", "player",
    "display", "testing",
)  # fmt: skip


def on_files(files: Files, config: Any) -> Files:
    for name, make in (("cli", cli), ("recipes", recipe_pages), ("tasks", task_table), ("hooks", hooks), ("api", api)):
        files.append(File.generated(config, f"reference/{name}.md", content=make()))
    return files


def cli() -> str:
    """Every command, as Typer writes it."""
    command = typer.main.get_command(app)
    return get_docs_for_click(obj=command, ctx=typer.Context(command), name="alm", title="Commands")


def recipe_pages() -> str:
    """All recipes in a table, then each as it is written."""
    found = registry()
    rows = recipe_rows(found)
    text = ["# Recipes\n\n`alm train NAME` trains one, `alm check NAME key=value` proves that its parts fit.\n"]
    text.append(table(("recipe", "objective", "in", "out"), ((f"[{row.name}](#{row.name})", row.objective, ", ".join(row.inputs), ", ".join(row.outputs)) for row in rows)))
    paths = recipes(found)
    for row in rows:
        text.append(f"\n## {row.name} {{#{row.name}}}\n\n{row.description}\n\n```yaml\n{Path(paths[row.name]).read_text().strip()}\n```\n")
    return "\n".join(text)


def task_table() -> str:
    """All tasks that cards describe."""
    rows = task_rows(registry())
    cells = ((row.name, ", ".join(row.inputs), ", ".join(row.outputs), ", ".join(row.metrics), ", ".join(row.recipes), row.description.replace("|", "\\|")) for row in rows)
    return "# Tasks\n\nPieces are SIDE.KIND, see [how to write a plugin](../how-to/write-a-plugin.md).\n\n" + table(("task", "in", "out", "metrics", "trained by", "what"), cells)


def hooks() -> str:
    """Every extension point, with its arguments, what it is for, and what ships of it."""
    kinds = {hook: kind for kind, hook in KINDS.items()}
    text = [f"# Hooks\n\nPlugin API {'.'.join(map(str, hookspecs.PLUGIN_API))}. {inspect.getdoc(hookspecs)}\n"]
    for name, hook in inspect.getmembers(hookspecs, lambda member: inspect.isfunction(member) and member.__name__.startswith("register_")):
        ships = [f"`{component.name}`" for component in registry().components if component.kind == kinds.get(name) and component.plugin == "alm"]
        shown = f"\n\nIn the box: {', '.join(ships)}." if ships else ""
        text.append(f"## {name}\n\n`{name}({', '.join(inspect.signature(hook).parameters)})`\n\n{inspect.getdoc(hook)}{shown}\n")
    return "\n".join(text)


def api() -> str:
    """What a plugin may import, and a model in use."""
    modules = "\n\n".join(f"::: alm.api.{name}" for name in API)
    return f"# API\n\n::: alm.core.models.load\n\n::: alm.core.pipeline.Pipeline\n    options:\n      inherited_members: true\n\n{modules}\n"
