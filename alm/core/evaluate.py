"""Scores a model on a split or a manifest, task by task, with the metrics that the tasks name. Sees results, not parts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from alm.api.errors import AlmError
from alm.api.interfaces import SpeechMetric
from alm.api.tasks import HEAD_SHARE
from alm.api.types import Audio, AudioFile, Utterance
from alm.core.audio import read_audio
from alm.core.parts import load_component, load_task
from alm.core.pipeline import Pipeline
from alm.core.results import Request, Result


@dataclass(frozen=True)
class Score:
    """One metric of one task in one pair of languages."""

    task: str
    languages: str  # "en" or "es-en"
    metric: str
    value: float
    unit: str
    clips: int

    @property
    def name(self) -> str:
        return f"{self.task.lower().replace(' ', '+')}/{self.languages}/{self.metric}"


Pairs = list[tuple[Utterance, Utterance]]


def pairs_of(pipeline: Pipeline, use: str, utterances: list[Utterance], max_clips: int = 0) -> dict[str, Pairs]:
    """(source, target) of each request of a task by its languages ("en" or "es-en"), for languages that the model was
    trained on; target is source for tasks in one language. At most `max_clips` of each; 0 takes all."""
    needs_target = load_task(pipeline.parts.found, use).card.needs_target
    groups: dict[str, list[Utterance]] = defaultdict(list)
    for utterance in utterances:
        groups[utterance.group].append(utterance)
    found: dict[str, dict[tuple[str, str], tuple[Utterance, Utterance]]] = defaultdict(dict)
    for config in (c for c in pipeline.recipe.data.tasks if c.use == use):
        for source in (u for u in utterances if not config.source or u.language in config.source):
            targets = [t for t in groups[source.group] if t.language != source.language] if needs_target else [source]
            for target in targets:
                if not needs_target or not config.target or target.language in config.target:
                    found[f"{source.language}-{target.language}" if needs_target else source.language][source.id, target.id] = (source, target)
    return {languages: list(pairs.values())[: max_clips or None] for languages, pairs in sorted(found.items())}


def evaluate(
    pipeline: Pipeline, use: str, utterances: list[Utterance], *, max_clips: int = 0, on_done: Callable[[int], None] | None = None
) -> tuple[list[Score], list[dict[str, Any]]]:
    """Scores of a task on utterances, a group of languages at a time, and the outputs beside their references.

    Args:
        max_clips: of each pair of languages; 0 takes all.
        on_done: called with the number of requests that were answered.
    """
    task = load_task(pipeline.parts.found, use)
    metrics = {name: load_component(pipeline.parts.found, "metric", name, {}, pipeline.parts.context) for name in task.card.metrics}
    scores, rows = [], []
    for languages, pairs in pairs_of(pipeline, use, utterances, max_clips).items():
        requests = [_request(use, task.card.input, source, target) for source, target in pairs]
        results = pipeline.run_batch(requests, on_done=on_done)
        references, language = [target.text for _, target in pairs], languages.split("-")[-1]
        read: dict[int, list[str]] = {}  # what each recognizer read
        for name, metric in metrics.items():
            if metric.card.compares == "text":
                value = metric.score([r.text for r in results], references, language)
            elif isinstance(metric, SpeechMetric):
                if id(metric.recognizer) not in read:
                    read[id(metric.recognizer)] = metric.read(_sound(results), language)
                value = metric.score_read(read[id(metric.recognizer)], references, language)
            else:
                value = metric.score(_sound(results), _recordings(pairs) if metric.card.reference == "audio" else references, language)
            scores.append(Score(use, languages, name, round(value, 2), metric.card.unit, len(pairs)))
        for (source, target), result in zip(pairs, results, strict=True):
            rows.append({"task": use, "source": source.id, "target": target.id, "reference": target.text, "texts": result.texts, "result": result})
    return scores, rows


def _recordings(pairs: Pairs) -> list[Audio]:
    """What should have been heard.

    Raises:
        AlmError: an utterance without audio.
    """
    missing = [target.id for _, target in pairs if target.audio is None]
    if missing:
        raise AlmError(f"got utterance {missing[0]!r} without audio", "recordings, with which the metric compares", "choose another metric or clips with sound")
    return [read_audio(target.audio) for _, target in pairs if target.audio is not None]


def _sound(results: list[Result]) -> list[Audio]:
    return [result.audio or silence() for result in results]


def silence() -> Audio:
    """A second of silence: what a metric of audio gets where a model emitted nothing, so that it counts as wrong."""
    import torch

    return Audio(torch.zeros(1, 16_000), 16_000)


def _request(use: str, piece: str, source: Utterance, target: Utterance) -> Request:
    content: str | Audio | AudioFile | None = source.text if piece.endswith("text") else source.audio
    if content is None:
        raise AlmError(f"utterance {source.id!r} has no audio", f"audio for task {use}", "choose a text task")
    if piece.endswith("head") and isinstance(content, AudioFile):
        whole = read_audio(content)
        content = Audio(whole.samples[:, : round(whole.num_samples * HEAD_SHARE)], whole.sample_rate_hz)
    return Request(use, content, source.language, "" if target is source else target.language)
