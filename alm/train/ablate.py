"""Ablations: a recipe and its variants, trained alike, scored alike, in one table: `alm ablate RECIPE NAME...`.

What a variant changes is data: the recipe's own `ablations`, each a piece of recipe that is laid over it. One named `base` is laid under all
of them, the recipe as it is among them: less data and fewer steps, so that all are trained in an hour. A variant that is finished is not
trained again, so that the same command goes on after an interruption.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence as Many
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from alm.api.errors import AlmError
from alm.core.catalogue import table
from alm.core.check import check_recipe
from alm.core.compare import longest_tasks
from alm.core.config import BASE, ablations_of, load_recipe, recipe_path, to_yaml
from alm.core.evaluate import Score, evaluate
from alm.core.files import write_text
from alm.core.models import load
from alm.core.parts import Parts
from alm.core.pipeline import Pipeline
from alm.train.options import check_options
from alm.train.run import VALIDATION, train

VARIANT, SCORED = "variant.yaml", "test"  # what is trained in a folder; the split by which variants are scored


@dataclass(frozen=True)
class Variant:
    """What came of one: losses on the validation split by task, and scores on the test split."""

    name: str
    losses: dict[str, float]
    scores: list[Score]

    def means(self) -> dict[str, float]:
        """Scores by task and metric, the mean over languages."""
        found: dict[str, list[float]] = defaultdict(list)
        for score in self.scores:
            found[f"{score.task} {score.metric}, {score.unit}"].append(score.value)
        return {name: round(fmean(values), 2) for name, values in found.items()}


def ablate(
    name: str,
    ablations: Many[str],
    overrides: list[str],
    folder: Path,
    *,
    ends: Many[str] = (),
    max_clips: int = 0,
    quiet: bool = False,
    tell: Callable[[Variant], Any] = lambda variant: None,
) -> list[Variant]:
    """Trains the recipe and each of its ablations, scores them, and writes FOLDER/ablations.json and ablations.md.

    Args:
        ends: what is scored: tasks by their last output ("AST"), each by way of the trained task that ends in it and has the most
            intermediate results, as `translate` goes; all if not given.
        max_clips: of the test split, of each pair of languages; 0 takes all.
        tell: called with each variant as soon as it is scored.

    Raises:
        AlmError: an ablation that the recipe has not, a variant that does not fit or waits for a run, another task to be scored, or a folder
            in which another variant was trained.
    """
    known = ablations_of(name)
    chosen = list(dict.fromkeys((BASE if BASE in known else "", *ablations)))
    for ablation in chosen:
        _check(Parts.of(name, overrides, ablation=ablation), ablation, ends)
    variants = []
    for ablation in chosen:
        trained = _trained(name, ablation, overrides, folder / (ablation or BASE), quiet=quiet)
        label = ablation if ablation not in ("", BASE) else "as it is"
        variants.append(Variant(label, json.loads((trained.parent / VALIDATION).read_text()), _scored(load(str(trained)), ends, max_clips)))
        content = {v.name: {"losses": v.losses, "scores": {score.name: score.value for score in v.scores}} for v in variants}
        write_text(folder / "ablations.json", json.dumps(content, indent=1))
        write_text(folder / "ablations.md", as_table(variants) + "\n")
        tell(variants[-1])
    return variants


def _check(parts: Parts, ablation: str, ends: Many[str]) -> None:
    """Refuses before anything is trained what would fail later."""
    recipe, where = parts.recipe, f"ablation {ablation}: " if ablation else ""
    problems = [*check_recipe(parts), *check_options(recipe)]
    if recipe.train.objective not in ("lm", "masked-lm", "denoise", "dpo"):
        problems.append((f"got objective {recipe.train.objective}", "one that trains a language model", "compare others by their own training runs"))
    problems += [(f"got parts.{kind} of a run that is still to be made", "a finished run", "train it first") for kind in recipe.parts if parts.awaits_run(kind)]
    tags = sorted({task.use.split()[-1] for task in recipe.data.tasks})
    problems += [(f"got task {end!r} to be scored", "the last output of a task", f"one of: {', '.join(tags)}") for end in ends if end not in tags]
    if problems:
        got, wanted, fix = problems[0]
        raise AlmError(where + got, wanted, fix)


def as_table(variants: Many[Variant]) -> str:
    """A Markdown table: a row a variant; scores, then losses on the validation split."""
    rows = [{**variant.means(), **{f"{label.removeprefix('val/')} loss": loss for label, loss in variant.losses.items()}} for variant in variants]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    cells = [(variant.name, *(f"{row[column]:.2f}" if column in row else "" for column in columns)) for variant, row in zip(variants, rows, strict=True)]
    return table(("variant", *columns), cells)


def _trained(name: str, ablation: str, overrides: list[str], folder: Path, *, quiet: bool) -> Path:
    """The folder of a trained variant, trained now if it was not."""
    wanted, saved, final = to_yaml(load_recipe(name, overrides, None, ablation)), folder / VARIANT, folder / "final"
    if saved.exists() and saved.read_text() != wanted:
        raise AlmError(
            f"got {folder}, in which another variant of {recipe_path(name).stem!r} was trained", "the same recipe and overrides", "remove that folder, or choose another with --out"
        )
    if final.is_dir() and (folder / VALIDATION).exists():
        return final
    folder.mkdir(parents=True, exist_ok=True)
    write_text(saved, wanted)
    return train(name, overrides, folder, quiet=quiet, ablation=ablation, validate=True)


def _scored(pipeline: Pipeline, ends: Many[str], max_clips: int) -> list[Score]:
    """Scores on the test split, named by the last task alone, so that variants stand side by side."""
    utterances, uses = list(pipeline.parts.utterances(SCORED)), longest_tasks(pipeline, ends)
    scores = []
    for end, use in uses.items():
        for score in evaluate(pipeline, use, utterances, max_clips=max_clips)[0]:
            scores.append(Score(end, score.languages, score.metric, score.value, score.unit, score.clips))
    return scores
