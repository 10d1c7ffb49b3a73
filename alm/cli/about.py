"""What there is, whether it fits, and how it is handed on: plugins, check, new-plugin, save, push."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alm.api.errors import AlmError, UnknownNameError, did_you_mean
from alm.cli.common import Json, app, load_model

if TYPE_CHECKING:
    from alm.core.model_card import CardScore


@app.command()
def plugins(
    hooks: Annotated[bool, typer.Option(help="Show every extension point instead.")] = False,
    recipes: Annotated[bool, typer.Option(help="Show the recipes instead, with what goes in and comes out.")] = False,
    tasks: Annotated[bool, typer.Option(help="Show the tasks instead, and which recipes train them.")] = False,
    check: Annotated[bool, typer.Option(help="Run the conformance checks of every part that stands by itself instead.")] = False,
    plugin: Annotated[str, typer.Option(help="Check the parts of this one alone.")] = "",
    as_json: Json = False,
) -> None:
    """List plugins, what they register, and those that were set aside."""
    from alm.core import catalogue, plugins as core

    found = core.registry()
    if hooks:
        print(core.hook_documentation())
        return
    if check:
        _check(found, plugin, as_json)
        return
    if recipes or tasks:
        rows: list[Any] = catalogue.recipe_rows(found) if recipes else catalogue.task_rows(found)
        if as_json:
            print(json.dumps([dataclasses.asdict(row) for row in rows], ensure_ascii=False))
            return
        cells = [tuple(", ".join(value) if isinstance(value, tuple) else value for value in dataclasses.astuple(row)) for row in rows]
        print(catalogue.table(tuple(field.name for field in dataclasses.fields(rows[0])), cells))
        return
    registered = [(owner, f"{'demo tab' if kind == 'tab' else kind} {title}") for owner, kind, title in found.offered()]
    listing = {name: {"version": version, "components": [what for plugin, what in registered if plugin == name]} for name, version in found.versions.items()}
    if as_json:
        broken = {b.name: {"version": b.version, "error": b.error, "traceback": b.traceback} for b in found.broken.values()}
        print(json.dumps({"plugins": listing, "broken": broken, "deprecated": found.deprecated}))
        return
    for name, entry in listing.items():
        print(f"{name} {entry['version']}\n  " + "\n  ".join(entry["components"]))
    for name, message in found.deprecated:
        print(f"{name}: {message}", file=sys.stderr)
    for failed in found.broken.values():
        print(f"{failed.name} {failed.version} SET ASIDE: {failed.error}\n{failed.traceback}")


def _check(found: Any, plugin: str, as_json: bool) -> None:
    from collections import Counter

    from alm.core.conformance import verdicts

    if plugin and plugin not in (*found.versions, *found.broken):
        raise UnknownNameError(f"got plugin {plugin!r}", "an installed plugin", did_you_mean(plugin, [*found.versions, *found.broken]))
    counts: Counter[str] = Counter()
    shown = []
    for verdict in verdicts(found, plugin):
        counts[verdict.outcome] += 1
        shown.append(verdict._asdict())
        if not as_json:
            print(f"{verdict.outcome:10} {verdict.plugin}: {verdict.kind} {verdict.name}" + (f" ({verdict.why})" if verdict.why else ""), flush=True)
    if as_json:
        print(json.dumps(shown, ensure_ascii=False))
    else:
        print(f"{counts['passed']} passed, {counts['unchecked']} want something beside them, {counts['failed']} failed")
    if counts["failed"]:
        raise typer.Exit(2)


@app.command()
def check(recipe: str, overrides: Annotated[list[str] | None, typer.Argument()] = None, as_json: Json = False) -> None:
    """Prove from cards alone that the parts of a recipe fit; loads no weight."""
    from alm.core.check import check_recipe
    from alm.core.config import ablations_of
    from alm.core.parts import Parts
    from alm.train.options import check_options

    problems: list[Any] = []
    for ablation in ("", *ablations_of(recipe)):
        try:
            parts = Parts.of(recipe, overrides or (), ablation=ablation)
            found = [*check_recipe(parts), *check_options(parts.recipe)]
        except AlmError as error:
            if not ablation:
                raise
            found = [(error.got, error.wanted, error.fix)]
        problems += [(f"ablation {ablation}: {got}" if ablation else got, *rest) for got, *rest in found]
    if as_json:
        print(json.dumps({"recipe": recipe, "fits": not problems, "problems": [dict(zip(("got", "wanted", "fix"), p, strict=True)) for p in problems]}))
    elif not problems:
        print(f"{recipe}: fits")
    for problem in problems if not as_json else []:
        print(f"alm: {AlmError(*problem)}", file=sys.stderr)
    if problems:
        raise typer.Exit(2)


@app.command()
def new_plugin(name: str, folder: Annotated[Path, typer.Option(help="Where the package is made.")] = Path()) -> None:
    """Make a plugin package: a tokenizer, a task, tests and a recipe to start from."""
    from alm.core.scaffold import new_plugin as make

    print(make(name, folder))


Scores = Annotated[Path | None, typer.Option(help="What `alm eval --json` printed, for the model card.")]


@app.command()
def save(
    model: Annotated[str, typer.Argument(help="A registered model, a checkpoint folder, or a recipe that is a model as it stands.")],
    folder: Path,
    scores: Scores = None,
) -> None:
    """Copy a model into a folder that another machine can open, with a model card."""
    print(load_model(model).save_pretrained(folder, scores=_scores(scores)))


@app.command()
def push(
    model: Annotated[str, typer.Argument(help="A registered model, a checkpoint folder, or a recipe that is a model as it stands.")],
    repository: Annotated[str, typer.Argument(help="ORG/NAME on the Hugging Face hub.")],
    scores: Scores = None,
    private: bool = False,
    message: str = "",
) -> None:
    """Upload a model to the Hugging Face hub, with a model card; `alm.load("hf:ORG/NAME@REVISION")` opens it."""
    print(load_model(model).push_to_hub(repository, scores=_scores(scores), private=private, message=message))


def _scores(path: Path | None) -> list[CardScore]:
    """
    Raises:
        AlmError: a file of something else.
    """
    from alm.core.model_card import CardScore

    if path is None:
        return []
    try:
        entries = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise AlmError(f"got scores {path}, which cannot be read ({error})", "what `alm eval --json` printed", "make the file by that command") from error
    if not isinstance(entries, list):
        raise AlmError(f"got scores {path} without a list", "what `alm eval --json` printed", "make the file by that command")
    return [CardScore.read(entry) for entry in entries]
