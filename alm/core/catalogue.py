"""What there is to choose from: recipes and tasks with what goes in and comes out, from cards alone. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from alm.api.cards import TaskCard
from alm.core.config import RecipeConfig, TaskConfig, load_recipe, recipes
from alm.core.parts import load_task
from alm.core.plugins import Registry

Taken = tuple[str, ...]


@dataclass(frozen=True)
class RecipeRow:
    """A recipe as the field describes its systems."""

    name: str
    objective: str
    inputs: Taken
    outputs: Taken
    tasks: Taken
    description: str


@dataclass(frozen=True)
class TaskRow:
    """A task, and the recipes that train it."""

    name: str
    inputs: Taken
    outputs: Taken
    metrics: Taken
    recipes: Taken
    description: str


def recipe_rows(found: Registry) -> list[RecipeRow]:
    """Every registered recipe.

    Raises:
        AlmError: a recipe that cannot be read, or a task that is not registered.
    """
    rows = []
    for name, path in recipes(found).items():
        recipe = load_recipe(str(path), (), found)
        rows.append(RecipeRow(name, recipe.train.objective, *modalities(recipe, found), tuple(dict.fromkeys(task.use for task in recipe.data.tasks)), recipe.description))
    return rows


def modalities(recipe: RecipeConfig, found: Registry) -> tuple[Taken, Taken]:
    """What a recipe's tasks are given and what they emit; "interleaved" where one answer mixes text and sound."""
    cards = [(config, load_task(found, config.use).card) for config in recipe.data.tasks]
    inputs = _unique(_heard(config, card) if piece.modality == "audio" else piece.modality for config, card in cards for piece in card.inputs)
    outputs = _unique(piece.modality for _, card in cards for piece in card.outputs)
    mixes = any(len({piece.modality for piece in card.outputs}) > 1 for _, card in cards)
    return inputs, (*outputs, *(["interleaved"] if mixes else []))


def task_rows(found: Registry) -> list[TaskRow]:
    """Every registered task that a card describes."""
    trained: dict[str, list[str]] = {}
    for row in recipe_rows(found):
        for use in {single for task in row.tasks for single in task.split()}:
            trained.setdefault(use, []).append(row.name.split("/")[-1])
    rows = []
    for name in sorted(found.names("task")):
        card: TaskCard = load_task(found, name).card
        rows.append(TaskRow(name, tuple(card.inputs), tuple(card.outputs), card.metrics, tuple(sorted(trained.get(name, []))), card.description))
    return rows


def table(header: Taken, rows: Iterable[Taken]) -> str:
    """A Markdown table."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, tuple("---" for _ in header), *rows))


def _heard(config: TaskConfig, card: TaskCard) -> str:
    form = "units" if card.continues or config.audio == "units" else "features" if config.audio == "features" else "features and units"
    return f"audio ({form})"


def _unique(values: Iterable[str]) -> Taken:
    return tuple(dict.fromkeys(values))
