"""What is asked of a model: a Request -> a Sample with its recordings as units or features. Sees cards and sounds, no network.

All that is wrong with a request is said here, before anything is computed.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Sequence as Many
from pathlib import Path
from typing import Any

from alm.api.cards import TaskCard
from alm.api.errors import AlmError, UnknownNameError
from alm.api.text import clauses, normalize_text
from alm.api.types import Audio, AudioFile, MediaFile, Sample, Segment, Utterance
from alm.core.audio import read_audio
from alm.core.loaded import LoadedModel
from alm.core.parts import load_task
from alm.core.results import Request

NO_WORD = ("got a text without a word", "at least one word", "write what is to be said, asked or translated")
GIVEN, OTHER = Path("given"), Path("other")  # stand for the files of a request
GIVEN_SOUND, OTHER_SOUND = AudioFile(GIVEN), AudioFile(OTHER)


def clauses_of(model: LoadedModel, request: Request) -> list[Request]:
    """The request, or one for each clause of its text where its task wants that."""
    limit = model.task_config(request.task).clause_characters
    if not limit or not isinstance(request.content, str):
        return [request]
    worded = [clause for clause in clauses(request.content, limit) if normalize_text(clause, request.source)]
    return [dataclasses.replace(request, content=clause) for clause in worded] or [request]


def asked(model: LoadedModel, request: Request) -> Sample:
    """The request as a Sample in which its recordings are still to be heard.

    Raises:
        AlmError: what `Pipeline.run` raises of a request that cannot be answered.
    """
    model.task_config(request.task)
    task = load_task(model.parts.found, request.task)
    if request.prosody.changes():
        request.prosody.check(model.vocoder.card)
    if isinstance(request.speaker, Audio) and not model.vocoder.card.voice_prompt:
        raise AlmError("got a recording for a speaker", f"one of {', '.join(model.vocoder.card.speakers) or 'none'}", "name one, or use a model whose vocoder takes voice prompts")
    known = model.languages
    for language in (request.source, *([request.target] if task.card.translates or request.target else [])):
        if language not in known:
            raise UnknownNameError(f"got language {language!r}", "a language that the model was trained on", f"one of: {', '.join(known)}")
    content, labels = request.content, dict(request.labels)
    check_content(request, task.card)
    model.check_trained(task.card)
    if task.card.inputs and task.card.inputs[0].kind == "label":
        assert isinstance(content, str)
        labels[task.card.inputs[0].detail] = content
    text = content if isinstance(content, str) else ""
    media = {piece.detail: MediaFile(GIVEN, piece.detail) for piece in task.card.inputs[:1] if piece.kind == "media"}
    sample = task.request(Utterance("request", GIVEN_SOUND, text, request.source, labels=labels, other=OTHER_SOUND if request.other else None, media=media), request.target)

    def worded(segment: Segment) -> list[Segment]:
        if not isinstance(segment.content, str):
            return [segment]
        text = model.wording.given(segment.content, request.source, task.card)
        if not text.strip():
            raise AlmError(*NO_WORD)
        return [dataclasses.replace(segment, content=text)]

    return sample.changed(worded)


def heard(model: LoadedModel, requests: Many[Request], samples: Many[Sample]) -> list[Sample]:
    """Samples with what their requests gave in place of its file, as units or features: all sounds of a form in one go."""
    given: defaultdict[str, list[Any]] = defaultdict(list)

    def form_of(segment: Segment, request: Request) -> str:
        if isinstance(segment.content, MediaFile):
            return "media"
        return "units" if segment.part else model.task_config(request.task).audio

    for request, sample in zip(requests, samples, strict=True):
        for segment in sample.segments():
            if isinstance(segment.content, AudioFile | MediaFile):
                given[form_of(segment, request)].append(request.content if segment.content.path == GIVEN else request.other)
    sounds = {form: iter(model.hear_all([opened(recording) for recording in recordings], form)) for form, recordings in given.items()}

    def hear(request: Request) -> Callable[[Segment], list[Segment]]:
        def filled(segment: Segment) -> list[Segment]:
            if not isinstance(segment.content, AudioFile | MediaFile):
                return [segment]
            return [dataclasses.replace(segment, content=content) for content in next(sounds[form_of(segment, request)])]

        return filled

    return [sample.changed(hear(request)) for request, sample in zip(requests, samples, strict=True)]


def check_content(request: Request, card: TaskCard) -> None:
    """
    Raises:
        AlmError: sound for a task that reads text or the other way round, a text without a word, or anything for a task that is given nothing.
    """
    content = request.content
    if card.reads is None:
        if not isinstance(content, str) or content:
            raise AlmError(f"got an input for task {request.task}, which is given none", 'content ""', "leave it empty, or choose another task")
    elif (card.reads == "text") != isinstance(content, str):
        raise AlmError(f"got {type(content).__name__} for task {request.task}", card.reads, f"give it {card.reads}, or choose another task")
    elif isinstance(content, str) and not content.strip():
        raise AlmError(*NO_WORD)


def opened(recording: Any) -> Any:
    """A recording or another medium as its encoder takes it."""
    if isinstance(recording, MediaFile):
        return recording.path
    return read_audio(recording) if isinstance(recording, AudioFile) else recording
