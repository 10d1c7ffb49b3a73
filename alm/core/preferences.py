"""Pairs of a better and a worse answer: made by a model that answers several times, kept as JSON lines. Sees results, not parts.

A line holds the task, the languages, what was given and both answers: `{"id", "task", "languages", "given": [...], "chosen": [...],
"rejected": [...]}`, each piece as `{"text": ...}` or `{"units": [...]}`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from alm.api.errors import AlmError
from alm.api.interfaces import SpeechMetric
from alm.api.types import Sample, Segment, Units, Utterance
from alm.core.evaluate import hypotheses_of, pairs_of, reference_of, request_of
from alm.core.parts import load_component
from alm.core.pipeline import Pipeline
from alm.core.results import Result

AT_ONCE = 32  # requests: their answers are in memory


@dataclass(frozen=True)
class Preference:
    """The best and the worst of several answers to one request, and their scores."""

    sample: Sample
    chosen: Result
    rejected: Result
    scores: tuple[float, float]

    def line(self) -> str:
        """
        Raises:
            AlmError: features, which no line can hold.
        """
        given = [_piece(segment) for segment in self.sample.segments() if not segment.learn]
        content = {"id": self.sample.id, "task": " ".join(self.sample.tags), "languages": list(self.sample.languages), "instruction": self.sample.instruction, "given": given}
        answers = {name: [_piece(segment) for segment in result.segments] for name, result in (("chosen", self.chosen), ("rejected", self.rejected))}
        return json.dumps({**content, **answers, "scores": list(self.scores)}, ensure_ascii=False)


def prefer(
    pipeline: Pipeline, use: str, utterances: list[Utterance], decoder: Any, *, answers: int = 4, max_clips: int = 0, on_done: Callable[[int], None] | None = None
) -> Iterator[Preference]:
    """Answers each request several times and compares the answers by the task's first metric; requests whose answers score alike give
    no pair.

    Args:
        decoder: a sampler; each answer has a seed of its own.
        on_done: called with the number of requests that were answered.

    Raises:
        AlmError: a decoder that always answers alike, or fewer than two answers.
    """
    if decoder.card.deterministic or answers < 2:
        raise AlmError(
            f"got {answers} answers of a decoder that {'always answers alike' if decoder.card.deterministic else 'samples'}", "two or more of a sampler", "choose decoder sample"
        )
    card = pipeline.task_card(use)
    metric = load_component(pipeline.parts.found, "metric", card.metrics[0], {}, pipeline.parts.context)
    groups = pairs_of(pipeline, use, utterances, max_clips)
    chunks = [(languages, group[start : start + AT_ONCE]) for languages, group in groups.items() for start in range(0, len(group), AT_ONCE)]
    for languages, pairs in chunks:
        language = languages.split("-")[-1]
        requests = [request_of(use, card, source, target) for source, target in pairs]
        tries = [pipeline.run_batch(requests, decoder=decoder, seed=seed) for seed in range(answers)]
        references = [reference_of(card.outputs[-1], source, target) for source, target in pairs]
        scored = [_scores(metric, results, references, language) for results in tries]
        for number in range(len(pairs)):
            results, scores = [results[number] for results in tries], [scores[number] for scores in scored]
            best, worst = (pick(range(answers), key=scores.__getitem__) for pick in ((min, max) if metric.card.better == "lower" else (max, min)))
            if scores[best] != scores[worst] and results[best].segments and results[worst].segments:
                yield Preference(pipeline.sample(requests[number]), results[best], results[worst], (scores[best], scores[worst]))
            if on_done:
                on_done(1)


def _scores(metric: Any, results: list[Result], references: list[Any], language: str) -> list[float]:
    """The score of each result by itself; a recognizer reads all of them together, which is faster."""
    hypotheses = hypotheses_of(metric.card, results)
    if isinstance(metric, SpeechMetric):
        return [float(metric.score_read([text], [reference], language)) for text, reference in zip(metric.read(hypotheses, language), references, strict=True)]
    return [float(metric.score([hypothesis], [reference], language)) for hypothesis, reference in zip(hypotheses, references, strict=True)]


def _piece(segment: Segment) -> dict[str, Any]:
    content = segment.content
    if isinstance(content, str):
        return {"text": content, "language": segment.language, "says": segment.says}
    if isinstance(content, Units):
        return {"units": content.codes.tolist(), "language": segment.language, "says": segment.says}
    raise AlmError(f"got {type(content).__name__} in a line", "text or units", "prefer answers of a model that hears units")
