"""Recognizer -> language model of text -> synthesizer, behind the calls of a Pipeline: what an end-to-end model is compared with. A recognizer is
a part, or an encoder with a search over what it hears (core.recognition); by itself it is a pipeline that transcribes.

A task's card says which steps it takes: what is heard is read, a transcript is that, a translation or an answer is the language model's (or the
recognizer's, where it translates), and what is to be spoken is read aloud. The language model sees text alone; what a voice tells beside its
words is lost on the way, as in any cascade.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence as Many
from functools import cached_property
from typing import Any

from alm.api.cards import RecognizerCard, TaskCard
from alm.api.errors import AlmError
from alm.api.interfaces import CloseRecognizer
from alm.api.recognition import Heard
from alm.api.types import Audio, AudioFile, Emit, Sample, Segment, Utterance
from alm.core.asked import GIVEN_SOUND, check_content, opened
from alm.core.config import CASCADE
from alm.core.parts import load_task
from alm.core.pipeline import Pipeline, size_of
from alm.core.recognition import SearchRecognizer
from alm.core.results import NOTHING, Piece, Request, Result
from alm.core.voice import Clauses, Clock

AT_ONCE = 32  # recordings that are read together


class Cascade(Pipeline):
    """See the module. Made from a recipe with `parts.recognizer`, `parts.search` or `parts.synthesizer`; nothing of it is trained together."""

    @cached_property
    def recognizer(self) -> Any:
        return SearchRecognizer(self.parts) if self.recipe.searches else self.parts.load("recognizer")

    @cached_property
    def synthesizer(self) -> Any:
        return self.parts.load("synthesizer")

    def warm_up(self) -> None:
        for kind in (*(("model", "prompt", "decoder") if self.parts.has("backbone") else ()), *(kind for kind in CASCADE if self.parts.has(kind))):
            getattr(self, kind)
        if self.recipe.searches:
            self.recognizer.warm_up()

    @cached_property
    def converter(self) -> Any:
        return self.parts.load("converter")

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """Those of its tasks, or that the recognizer hears."""
        named = {language for task in self.recipe.data.tasks for language in (*task.source, *task.target)}
        if self.hears:
            return tuple(sorted(named)) or self.recognizer_card.languages
        spoken = self.parts.card("synthesizer").languages if self.parts.has("synthesizer") else ()
        return tuple(sorted(named)) or (self.parts.card("prompt").languages if self.parts.has("prompt") else spoken)

    @property
    def hears(self) -> bool:
        return self.recipe.searches or self.parts.has("recognizer")

    @property
    def recognizer_card(self) -> RecognizerCard:
        return self.recognizer.card if self.recipe.searches else self.parts.card("recognizer")

    def run_batch(self, requests: Many[Request], *, decoder: Any = None, seed: int = 0, on_done: Callable[[int], None] | None = None) -> list[Result]:
        """Recordings are read in batches, those of a language together; all else follows one request at a time."""
        for request in requests:
            self._check_request(request)
        results: dict[int, Result] = {}
        order = sorted(range(len(requests)), key=lambda index: (requests[index].source, size_of(requests[index])))
        for start in range(0, len(order), AT_ONCE):
            chosen = order[start : start + AT_ONCE]
            clock = Clock("recognize")
            heard = self._heard([requests[index] for index in chosen])
            clock.spent("recognize")
            for index, text in zip(chosen, heard, strict=True):
                pieces = list(self._answered(requests[index], text, clock.seconds["recognize"] / len(chosen), decoder, seed))
                result = pieces[-1].result
                assert result is not None
                results[index] = result
                if on_done:
                    on_done(1)
        return [results[index] for index in range(len(requests))]

    def _heard(self, requests: Many[Request]) -> list[str]:
        """What is said in the recordings, or the texts as they stand."""
        texts = [request.content if isinstance(request.content, str) else "" for request in requests]
        for language in dict.fromkeys(request.source for request in requests):
            spoken = [index for index, request in enumerate(requests) if request.source == language and not isinstance(request.content, str) and not self._converts(request)]
            if spoken:
                for index, text in zip(spoken, self.recognizer.read([opened(requests[index].content) for index in spoken], language), strict=True):
                    texts[index] = text
        return texts

    def read_closely(self, clips: Many[Audio], language: str, task: str = "ASR", target: str = "") -> list[Heard]:
        """The same by the recognizer, where that writes the text."""
        for clip in clips[:1]:
            self._check_request(Request(task, clip, language, target))
        card = self.task_card(task)
        translates = self._translates(Request(task, "", language, target), card)
        if not isinstance(self.recognizer, CloseRecognizer) or self._needs_writing(card) and not translates:
            return super().read_closely(clips, language, task, target)
        return self.recognizer.read_closely(clips, language, "translate" if translates else "transcribe")

    def hear_turn(self, audio: Audio, language: str) -> list[Segment]:
        """A recording as a turn of a conversation holds it: as what is said in it."""
        if not self.hears:
            raise AlmError("got a recording for a cascade without recognizer", "parts.recognizer", "add one to the recipe, or say it in writing")
        return [Segment(self.recognizer.read([audio], language)[0], language=language)]

    def _pieces(self, request: Request, decoder: Any, seed: int, first_units: int = 0, chunk_units: int = 0) -> Iterator[Piece]:
        """One request, step by step. There are no units to count."""
        self._check_request(request)
        clock = Clock("recognize")
        (heard,) = self._heard([request])
        clock.spent("recognize")
        yield from self._answered(request, heard, clock.seconds["recognize"], decoder, seed)

    def _answered(self, request: Request, heard: str, heard_s: float, decoder: Any, seed: int) -> Iterator[Piece]:
        """What follows when a recording was read: a text that is spoken is read aloud clause by clause, while the language model writes on.

        Args:
            heard_s: how long that took.
        """
        card = self.task_card(request.task)
        if self._converts(request):
            yield from self._converted(request)
            return
        clock, said, segments, clips = Clock("recognize", "write", "speak"), {"source": heard}, list[Segment](), list[Audio]()
        clock.seconds["recognize"] = heard_s
        emitted: tuple[int, ...] = ()
        asked = self._sample(request, heard)
        writes = self._needs_writing(card) and not self._translates(request, card)
        prompt = self.prompt.prompt(asked, self.model.vocabulary) if writes else None
        for index, (piece, emit) in enumerate(zip(card.outputs, asked.emits, strict=True)):
            speaks, side = piece.modality == "audio", piece.side if piece.kind in ("text", "audio") else ""
            clauses, shown = Clauses(), ""  # what of the text was given already
            if side in said:
                text = said[side]
            elif side == "target" and self._translates(request, card):
                text = self.recognizer.read([opened(request.content)], request.source, "translate")[0]
                clock.spent("recognize")
            else:
                text = ""
                for text, ids in self._written(asked, emit, decoder, seed):
                    emitted = ids
                    if not speaks and text.startswith(shown) and text != shown:
                        clock.spent("write")
                        yield Piece(index, text.removeprefix(shown), seconds=dict(clock.seconds))
                        shown = text
                        clock.resume()
                    for clause in clauses.new(text) if speaks else ():
                        clock.spent("write")
                        clips.append(self._spoken(clause, emit.language, request))
                        clock.spent("speak")
                        yield Piece(index, audio=clips[-1], seconds=dict(clock.seconds))
                        clock.resume()
                clock.spent("write")
            said.setdefault(side or f"label {index}", text)
            if not speaks:
                segments.append(Segment(text, True, emit.language, says=emit.says))
                if text != shown:
                    yield Piece(index, text.removeprefix(shown), seconds=dict(clock.seconds))
            for clause in clauses.rest(text) if speaks else ():
                clips.append(self._spoken(clause, emit.language, request))
                clock.spent("speak")
                yield Piece(index, audio=clips[-1], seconds=dict(clock.seconds))
            clock.resume()
        asked_for = prompt or NOTHING
        result = Result(request, tuple(segments), Audio.join(clips) if clips else None, asked_for, emitted, asked_for.spans, dict(clock.seconds))
        yield Piece(seconds=dict(clock.seconds), result=result)

    def _converts(self, request: Request) -> bool:
        """Whether a converter takes it whole, without words between."""
        return self.parts.has("converter") and bool(self.task_card(request.task).revoices)

    def _converted(self, request: Request) -> Iterator[Piece]:
        clock = Clock("convert")
        (clip,) = self.converter.convert([opened(request.content)], request.speaker or request.labels.get("speaker", ""))
        clock.spent("convert")
        yield Piece(0, audio=clip, seconds=dict(clock.seconds))
        yield Piece(seconds=dict(clock.seconds), result=Result(request, (), clip, NOTHING, (), NOTHING.spans, dict(clock.seconds)))

    def _check_request(self, request: Request) -> None:
        """
        Raises:
            AlmError: a part that the recipe has not, a language that a part does not know, or what `Pipeline.run` refuses.
        """
        card = self.task_card(request.task)
        self.task_config(request.task)
        check_content(request, card)
        needs = (
            ("recognizer", card.reads == "audio", self.hears),
            ("synthesizer", any(piece.modality == "audio" for piece in card.outputs), self.parts.has("synthesizer")),
            ("backbone", self._needs_writing(card) and not self._translates(request, card), self.parts.has("backbone")),
        )
        for kind, needed, there in () if self._converts(request) else needs:
            if needed and not there:
                raise AlmError(f"got task {request.task} for a cascade without {kind}", f"parts.{kind}", "add one to the recipe, or choose another task")
        for piece in card.inputs:
            if piece.kind not in ("text", "audio", "label"):
                raise AlmError(f"got task {request.task}, which is given {piece}", "text, one recording and labels, which a cascade can hand on", "choose another task")
        if request.prosody.changes() or isinstance(request.speaker, Audio):
            raise AlmError("got another prosody or a recording of a voice for a cascade", "a speaker by name", "leave it out")

    def _translates(self, request: Request, card: TaskCard) -> bool:
        """Whether the recognizer itself writes what is wanted in another language."""
        return card.reads == "audio" and card.translates and self.hears and request.target in self.recognizer_card.translates_into

    def _needs_writing(self, card: TaskCard) -> bool:
        return any(piece.kind not in ("text", "audio") or piece.side == "target" for piece in card.outputs)

    def _sample(self, request: Request, heard: str) -> Sample:
        """What the language model is asked, with what was heard in place of the recording."""
        task = load_task(self.parts.found, request.task)
        labels = dict(request.labels)
        if task.card.inputs and task.card.inputs[0].kind == "label":
            labels[task.card.inputs[0].detail] = heard
        sample = task.request(Utterance("request", GIVEN_SOUND, heard, request.source, labels=labels), request.target)

        return sample.changed(lambda segment: [dataclasses.replace(segment, content=heard) if isinstance(segment.content, AudioFile) else segment])

    def _written(self, sample: Sample, emit: Emit, decoder: Any, seed: int) -> Iterator[tuple[str, tuple[int, ...]]]:
        """The language model's text, longer each time, and its ids."""
        asked = dataclasses.replace(sample, emits=(emit._replace(modality="text"),))
        pieces, text = self._stream_sample(Request("", "", ""), asked, decoder, seed, Clock()), ""
        while True:
            try:
                text += next(pieces).text
            except StopIteration as end:
                yield end.value.text, end.value.emitted
                return
            yield text, ()

    def _spoken(self, text: str, language: str, request: Request) -> Audio:
        assert isinstance(request.speaker, str)
        return self.synthesizer.speak([text], language, request.speaker)[0]


def seconds_to_first(pieces: Iterator[Piece]) -> tuple[float | None, float | None, Result]:
    """How long after the request the first text and the first sound came, in s, and the Result."""
    started, text_s, audio_s, result = time.perf_counter(), None, None, None
    for piece in pieces:
        now = time.perf_counter() - started
        text_s = now if text_s is None and piece.text else text_s
        audio_s = now if audio_s is None and piece.audio is not None else audio_s
        result = piece.result or result
    assert result is not None
    return text_s, audio_s, result
