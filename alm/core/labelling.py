"""An encoder and a classifier behind the calls of a Pipeline: which language, who, which emotion, where speech is. Sees features and labels, no text.

A task whose output is the label that the classifier tells is answered by it: LID, SID, EMOTION, VAD.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence as Many
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from alm.api.cards import SpeechDetectorCard
from alm.api.errors import AlmError
from alm.api.types import Audio, Features, Mark, Marks, Segment
from alm.core.asked import check_content, opened
from alm.core.audio import prepare
from alm.core.pipeline import Pipeline, size_of
from alm.core.results import NOTHING, Piece, Request, Result
from alm.core.segments import speech_of
from alm.core.voice import Clock

AT_ONCE = 64  # recordings
SPEECH = "speech"  # the label of frames in which somebody speaks


class Labelling(Pipeline):
    """See the module. Made from a recipe with parts.encoder and parts.classifier."""

    @cached_property
    def classifier(self) -> Any:
        return self.parts.load("classifier")

    def warm_up(self) -> None:
        _ = self.encoder, self.classifier

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """Those of its tasks and corpora; () where neither names any: a classifier asks for none."""
        named = {language for task in self.recipe.data.tasks for language in (*task.source, *task.target)}
        return tuple(sorted(named | {language for corpus in self.recipe.data.corpora for language in self.parts.corpus_languages(corpus)}))

    def features(self, recordings: Many[Audio]) -> list[Features]:
        """What the classifier is given of each."""
        return list(self.encoder.encode([prepare(clip, self.encoder.card.sample_rate_hz) for clip in recordings]))

    def embed(self, recordings: Many[Audio]) -> Tensor:
        """A vector of length 1 for each, [N, D].

        Raises:
            AlmError: a classifier of frames, which has none.
        """
        return torch.cat([self.classifier.embed(self.features(recordings[start : start + AT_ONCE])) for start in range(0, len(recordings), AT_ONCE)])

    def run_batch(self, requests: Many[Request], *, decoder: Any = None, seed: int = 0, on_done: Callable[[int], None] | None = None) -> list[Result]:
        for request in requests:
            self._check_request(request)
        results: dict[int, Result] = {}
        order = sorted(range(len(requests)), key=lambda index: size_of(requests[index]))
        for start in range(0, len(order), AT_ONCE):
            chosen = order[start : start + AT_ONCE]
            clock = Clock("encode", "classify")
            features = self.features([opened(requests[index].content) for index in chosen])
            clock.spent("encode")
            found = self.classifier.classify(features)
            clock.spent("classify")
            shares = {stage: seconds / len(chosen) for stage, seconds in clock.seconds.items()}
            for index, values, heard in zip(chosen, found, features, strict=True):
                results[index] = self._result(requests[index], values, heard, shares)
            if on_done:
                on_done(len(chosen))
        return [results[index] for index in range(len(requests))]

    def _pieces(self, request: Request, decoder: Any, seed: int, first_units: int = 0, chunk_units: int = 0) -> Iterator[Piece]:
        result = self.run_batch([request], decoder=decoder, seed=seed)[0]
        yield Piece(0, result.text, seconds=dict(result.seconds))
        yield Piece(seconds=dict(result.seconds), result=result)

    def _result(self, request: Request, values: Tensor, features: Features, seconds: dict[str, float]) -> Result:
        card = self.classifier.card
        content: str | Marks = card.labels[int(values.argmax())] if not card.frames else ()
        if card.frames:
            stretches = speech_of(values[:, card.labels.index(SPEECH)].exp(), features.frame_rate_hz)
            content = tuple(Mark(SPEECH, round(start, 2), round(stop, 2)) for start, stop in stretches)
        return Result(request, (Segment(content, True, request.source),), None, NOTHING, (), (), seconds)

    def _check_request(self, request: Request) -> None:
        """
        Raises:
            AlmError: a task that the recipe has not, whose answer is another label, or that is given something else than a recording.
        """
        card = self.task_card(request.task)
        self.task_config(request.task)
        check_content(request, card)
        told = self.classifier.card.label
        if not all(piece.kind in ("label", "marks") and piece.detail == told for piece in card.outputs) or card.reads != "audio":
            raise AlmError(f"got task {request.task}, which wants {' and '.join(card.outputs)}", f"label {told!r}, which the classifier tells", "choose another task or classifier")


class HeadDetector:
    """A classifier of frames as a SpeechDetector.

    Raises:
        AlmError: a model without one.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        if not isinstance(pipeline, Labelling) or not pipeline.classifier.card.frames or SPEECH not in pipeline.classifier.card.labels:
            raise AlmError(f"got {pipeline.recipe.name!r} to detect speech", "a classifier of frames that tells speech", "train one: alm train prompts-vad")
        self.pipeline, self.place = pipeline, pipeline.classifier.card.labels.index(SPEECH)
        encoder = pipeline.encoder.card
        self.card = SpeechDetectorCard(encoder.sample_rate_hz, encoder.frame_rate_hz)

    def probabilities(self, audio: Audio) -> Tensor:
        (found,) = self.pipeline.classifier.classify(self.pipeline.encoder.encode([audio]))
        return found[:, self.place].exp()
