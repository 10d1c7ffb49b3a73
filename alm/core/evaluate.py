"""Scores a model on a split or a manifest, task by task, with the metrics that the tasks name. Sees results, not parts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from alm.api.cards import MetricCard, Piece, TaskCard
from alm.api.errors import AlmError
from alm.api.interfaces import SampleCorpus, SpeechMetric
from alm.api.tasks import HEAD_SHARE, content_of, has_pieces, targets_of
from alm.api.text import marks_text
from alm.api.types import Audio, AudioFile, Emit, Marks, Sample, Segment, Utterance
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
    trained on; target is source for tasks about one utterance. Without what the task gives or what it is compared with, an utterance is
    left out. At most `max_clips` of each; 0 takes all."""
    card = pipeline.task_card(use)
    wanted = (*card.inputs, *(piece for piece in card.outputs[-1:] if piece.kind in ("label", "marks")))
    groups: dict[str, list[Utterance]] = defaultdict(list)
    for utterance in utterances:
        groups[utterance.group].append(utterance)
    found: dict[str, dict[tuple[str, str], tuple[Utterance, Utterance]]] = defaultdict(dict)
    for config in (c for c in pipeline.recipe.data.tasks if c.use == use):
        for source in filter(config.takes, utterances):
            for target in targets_of(card, source, groups[source.group]):
                if (not card.translates or not config.target or target.language in config.target) and has_pieces(wanted, source, target):
                    found[f"{source.language}-{target.language}" if card.translates else source.language][source.id, target.id] = (source, target)
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
        requests = [request_of(use, task.card, source, target) for source, target in pairs]
        results = pipeline.run_batch(requests, on_done=on_done)
        references: list[Any] = [reference_of(task.card.outputs[-1], source, target) for source, target in pairs]
        language = languages.split("-")[-1]
        read: dict[int, list[str]] = {}  # what each recognizer read
        for name, metric in metrics.items():
            hypotheses = hypotheses_of(metric.card, results)
            if isinstance(metric, SpeechMetric):
                if id(metric.recognizer) not in read:
                    read[id(metric.recognizer)] = metric.read(hypotheses, language)
                value = metric.score_read(read[id(metric.recognizer)], references, language)
            else:
                value = metric.score(hypotheses, _recordings(pairs) if metric.card.reference == "audio" else references, language)
            scores.append(Score(use, languages, name, round(value, 2), metric.card.unit, len(pairs)))
        for (source, target), reference, result in zip(pairs, references, results, strict=True):
            texts = [marks_text(s.content) if isinstance(s.content, tuple) else s.content for s in result.segments if isinstance(s.content, str | tuple)]
            written = marks_text(reference) if isinstance(reference, tuple) else reference
            rows.append({"task": use, "languages": languages, "source": source.id, "target": target.id, "reference": written, "texts": texts, "result": result})
    return scores, rows


def conversations_of(pipeline: Pipeline, split: str) -> dict[str, list[Sample]]:
    """The conversations of the model's corpora by the corpus's name; none where its format carries none."""
    if not pipeline.converses:
        return {}
    found = {config.use: list(corpus.samples(split)) for config, corpus in pipeline.parts.corpora() if isinstance(corpus, SampleCorpus)}
    return {name: samples for name, samples in found.items() if samples}


def evaluate_conversations(
    pipeline: Pipeline, name: str, samples: list[Sample], *, max_clips: int = 0, on_done: Callable[[int], None] | None = None
) -> tuple[list[Score], list[dict[str, Any]]]:
    """How many answers are right, word for word, by their number in the conversation; what was said before each is as it should have been.

    Args:
        max_clips: conversations; 0 takes all.
    """
    scores, rows = [], []
    asked = [(number, *turn) for sample in samples[: max_clips or None] for number, turn in enumerate(_answered_turns(sample), start=1)]
    files = list(dict.fromkeys(segment.content for _, sample, _ in asked for segment in sample.segments() if isinstance(segment.content, AudioFile)))
    heard = dict(zip(files, pipeline.hear_all([read_audio(file) for file in files], pipeline.recipe.data.audio), strict=True))

    def convert(segment: Segment) -> list[Segment]:
        return [replace(segment, content=content) for content in heard[segment.content]] if isinstance(segment.content, AudioFile) else [segment]

    ready = [sample.changed(convert) for _, sample, _ in asked]
    results = pipeline.answers([Request("", "", sample.languages[0]) for sample in ready], ready, on_done)
    for (number, sample, reference), result in zip(asked, results, strict=True):
        rows.append({"task": name, "source": sample.id, "target": f"turn {number}", "reference": reference, "texts": result.texts, "result": result})
    for number in sorted({number for number, *_ in asked}):
        mine = [row for row in rows if row["target"] == f"turn {number}"]
        right = sum(row["texts"] == [row["reference"]] for row in mine)
        scores.append(Score(name, f"turn-{number}", "accuracy", round(100 * right / len(mine), 2), "%", len(mine)))
    return scores, rows


def _answered_turns(sample: Sample) -> list[tuple[Sample, str]]:
    """Each answer in text of a conversation, and what comes before it."""
    found = []
    for index, turn in enumerate(sample.turns):
        if turn.role == "assistant" and len(turn.segments) == 1 and isinstance(turn.segments[0].content, str):
            found.append((replace(sample, turns=sample.turns[:index], emits=(Emit("text", turn.segments[0].language),)), turn.segments[0].content))
    return found


def _recordings(pairs: Pairs) -> list[Audio]:
    """What should have been heard.

    Raises:
        AlmError: an utterance without audio.
    """
    missing = [target.id for _, target in pairs if target.audio is None]
    if missing:
        raise AlmError(f"got utterance {missing[0]!r} without audio", "recordings, with which the metric compares", "choose another metric or clips with sound")
    return [read_audio(target.audio) for _, target in pairs if target.audio is not None]


def hypotheses_of(card: MetricCard, results: list[Result]) -> list[Any]:
    """What a metric compares of each result: its last text, its marks, or its sound."""
    if card.compares == "audio":
        return [result.audio or silence() for result in results]
    return [result.text if card.compares == "text" else result.marks for result in results]


def silence() -> Audio:
    """A second of silence: what a metric of audio gets where a model emitted nothing, so that it counts as wrong."""
    import torch

    return Audio(torch.zeros(1, 16_000), 16_000)


def reference_of(piece: Piece, source: Utterance, target: Utterance) -> str | Marks:
    """What an output should have been; of sound, its text."""
    utterance = source if piece.side == "source" else target
    content = content_of(piece, utterance)
    return content if isinstance(content, str | tuple) else utterance.text


def request_of(use: str, card: TaskCard, source: Utterance, target: Utterance) -> Request:
    """What is asked of a model for a pair of utterances."""
    content: Any = content_of(card.inputs[0], source) if card.inputs else ""
    if card.continues:
        whole = read_audio(content)
        content = Audio(whole.samples[:, : round(whole.num_samples * HEAD_SHARE)], whole.sample_rate_hz)
    labels = {piece.detail: str(content_of(piece, source if piece.side == "source" else target)) for piece in card.inputs if piece.kind == "label"}
    return Request(use, content, source.language, target.language if card.translates else "", labels=labels, other=source.other)
