"""Models side by side: scores, how long until the first word and the first sound, memory. Each is measured in a process of its own."""

from __future__ import annotations

import multiprocessing
import resource
import sys
from collections.abc import Sequence as Many
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean, median
from typing import Any

from alm.api.errors import AlmError
from alm.api.manifests import utterances_from_lines
from alm.api.text import normalize_text
from alm.core.bootstrap import Interval, wer_difference, word_errors
from alm.core.cascade import seconds_to_first
from alm.core.catalogue import table
from alm.core.evaluate import Score, evaluate, pairs_of, request_of
from alm.core.models import load
from alm.core.pipeline import Pipeline

TIMED_CLIPS = 5  # of each task


@dataclass(frozen=True)
class Measured:
    """One model.

    Attributes:
        scores: by the last output of a task, each by way of the model's longest task that ends in it.
        text_s, audio_s: medians of the time from a request to the first text and the first sound, one request at a time; None where none came.
        memory_mb: the most that its process held, interpreter and libraries included.
    """

    model: str
    scores: list[Score]
    text_s: float | None
    audio_s: float | None
    memory_mb: float
    details: list[dict[str, Any]] = field(default_factory=list)


def compare(models: Many[str], ends: Many[str], *, split: str = "test", manifest: Path | None = None, max_clips: int = 0) -> list[Measured]:
    """Measures each model on the same utterances.

    Args:
        ends: tasks by their last output ("ASR", "S2ST"); all that a model has if not given.
        manifest: JSON lines in place of the model's own corpora.

    Raises:
        AlmError: as `load`; or a model that has none of the tasks.
    """
    found = []
    context = multiprocessing.get_context("spawn")
    for model in models:
        with ProcessPoolExecutor(1, context) as executor:
            found.append(executor.submit(_measured, model, tuple(ends), split, manifest, max_clips).result())
    return found


def _measured(model: str, ends: tuple[str, ...], split: str, manifest: Path | None, max_clips: int) -> Measured:
    pipeline = load(model)
    utterances = list(utterances_from_lines(manifest)) if manifest else list(pipeline.parts.utterances(split))
    uses = longest_tasks(pipeline, ends)
    if not uses:
        raise AlmError(
            f"got model {model!r}, which has none of the tasks {', '.join(ends)}", f"one that ends in one of its own: {', '.join(pipeline.tasks)}", "name another --task"
        )
    pipeline.warm_up()
    scores, details, text_s, audio_s = list[Score](), [], list[float](), list[float]()
    for end, use in uses.items():
        found, rows = evaluate(pipeline, use, utterances, max_clips=max_clips)
        scores += [Score(end, s.languages, s.metric, s.value, s.unit, s.clips) for s in found]
        details += [{"end": end, **{key: value for key, value in row.items() if key != "result"}} for row in rows]
        card = pipeline.task_card(use)
        pairs = [pair for pairs in pairs_of(pipeline, use, utterances, TIMED_CLIPS).values() for pair in pairs][:TIMED_CLIPS]
        for request in (request_of(use, card, source, target) for source, target in pairs):
            first_text_s, first_audio_s, _ = seconds_to_first(pipeline.stream(use, request.content, request.source, request.target, labels=request.labels, other=request.other))
            text_s += [first_text_s] if first_text_s is not None else []
            audio_s += [first_audio_s] if first_audio_s is not None else []
    scale = 1024 if sys.platform == "linux" else 1024**2  # of ru_maxrss: KiB, or bytes
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale
    return Measured(model, scores, median(text_s) if text_s else None, median(audio_s) if audio_s else None, memory_mb, details)


def longest_tasks(pipeline: Pipeline, ends: Many[str] = ()) -> dict[str, str]:
    """Tasks of a model by their last one, each the one with the most intermediate results; without those that would speak where nothing can."""
    can_speak = pipeline.parts.has("vocoder") or pipeline.parts.has("synthesizer")
    uses: dict[str, str] = {}
    for use in pipeline.tasks:
        end = use.split()[-1]
        silent = pipeline.task_card(end).outputs[-1].modality == "audio" and not can_speak
        if (not ends or end in ends) and not silent and len(use.split()) > len(uses.get(end, "").split()):
            uses[end] = use
    return uses


def as_table(found: Many[Measured]) -> str:
    """A Markdown table, a row a figure, a column a model; word errors also as their difference to those of the first, with 95 % of its bootstrap."""
    rows: dict[str, dict[str, str]] = {}
    for measured in found:
        by_name: dict[str, list[float]] = {}
        for score in measured.scores:
            by_name.setdefault(f"{score.task} {score.languages} {score.metric}, {score.unit}", []).append(score.value)
        figures: dict[str, float | None] = {name: fmean(values) for name, values in by_name.items()}
        figures |= {"first text, s": measured.text_s, "first sound, s": measured.audio_s, "memory, MB": measured.memory_mb}
        for name, value in figures.items():
            if value is not None:
                rows.setdefault(name, {})[measured.model] = f"{value:.2f}"
    for measured in found[1:]:
        for name, interval in differences(found[0], measured).items():
            rows.setdefault(f"{name} wer, against {found[0].model}", {})[measured.model] = str(interval)
    models = [measured.model for measured in found]
    return table(("figure", *models), [(name, *(values.get(model, "") for model in models)) for name, values in rows.items()])


def differences(first: Measured, other: Measured) -> dict[str, Interval]:
    """Word errors of one model less those of another, by task and language; where both are scored by them, on the same clips."""
    found = {}
    for end, languages in dict.fromkeys((score.task, score.languages) for score in other.scores if score.metric == "wer"):
        sides = [[row for row in measured.details if (row["end"], row["languages"]) == (end, languages)] for measured in (first, other)]
        language = languages.split("-")[-1]
        spelt = [[[normalize_text(text, language, accents=False) for text in (row["reference"], (row["texts"] or [""])[-1])] for row in rows] for rows in sides]
        before, after = (word_errors([reference for reference, _ in rows], [read for _, read in rows]) if rows else None for rows in spelt)
        if before is not None and after is not None and before.words.tolist() == after.words.tolist():
            found[f"{end} {languages}"] = wer_difference(before, after)
    return found


def as_json(found: Many[Measured]) -> list[dict[str, Any]]:
    """For a program to read."""
    return [asdict(measured) for measured in found]
