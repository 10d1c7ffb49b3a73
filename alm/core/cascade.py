"""Recognizer -> language model of text -> synthesizer, behind the calls of a Pipeline: what an end-to-end model is compared with.

A task's card says which steps it takes: what is heard is read, a transcript is that, a translation or an answer is the language model's (or the
recognizer's, where it translates), and what is to be spoken is read aloud. The language model sees text alone; what a voice tells beside its
words is lost on the way, as in any cascade.
"""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable, Iterator, Sequence as Many
from functools import cached_property
from typing import Any

import torch

from alm.api.cards import TaskCard
from alm.api.errors import AlmError
from alm.api.types import Audio, AudioFile, Emit, Sample, Segment, Sequence, Utterance
from alm.core.asked import GIVEN_SOUND, check_content
from alm.core.audio import read_audio
from alm.core.config import CASCADE
from alm.core.parts import load_task
from alm.core.pipeline import Pipeline
from alm.core.results import Piece, Request, Result
from alm.core.voice import Clock

CLAUSE_END = re.compile(r"[.!?;:,]\s|[。！？，]")  # where a text that is still being written can be read aloud so far
MIN_CLAUSE = 12  # characters


class Cascade(Pipeline):
    """See the module. Made from a recipe with `parts.recognizer` or `parts.synthesizer`; nothing of it is trained together."""

    @cached_property
    def recognizer(self) -> Any:
        return self.parts.load("recognizer")

    @cached_property
    def synthesizer(self) -> Any:
        return self.parts.load("synthesizer")

    def warm_up(self) -> None:
        for kind in ("model", "prompt", "decoder", *(kind for kind in CASCADE if self.parts.has(kind))):
            getattr(self, kind)

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """Those of its tasks, or that the recognizer hears."""
        named = {language for task in self.recipe.data.tasks for language in (*task.source, *task.target)}
        return tuple(sorted(named)) or (self.parts.card("recognizer").languages if self.parts.has("recognizer") else self.parts.card("prompt").languages)

    def run_batch(self, requests: Many[Request], *, decoder: Any = None, seed: int = 0, on_done: Callable[[int], None] | None = None) -> list[Result]:
        results = []
        for request in requests:
            results.append(self._whole(request, decoder, seed))
            if on_done:
                on_done(1)
        return results

    def _whole(self, request: Request, decoder: Any, seed: int) -> Result:
        pieces = list(self._pieces(request, decoder, seed))
        result = pieces[-1].result
        assert result is not None
        return result

    def _pieces(self, request: Request, decoder: Any, seed: int, first_units: int = 0, chunk_units: int = 0) -> Iterator[Piece]:
        """One request, step by step: a text that is spoken is read aloud clause by clause, while the language model writes on. There are no
        units to count."""
        card = load_task(self.parts.found, request.task).card
        self.task_config(request.task)
        self._check_request(request, card)
        clock, said, segments, clips = Clock("recognize", "write", "speak"), dict[str, str](), list[Segment](), list[Audio]()
        audio = read_audio(request.content) if isinstance(request.content, AudioFile) else request.content
        heard = self.recognizer.read([audio], request.source)[0] if card.reads == "audio" else str(request.content)
        clock.spent("recognize")
        said["source"] = heard
        emitted: tuple[int, ...] = ()
        asked = self._sample(request, heard)
        prompt = self.prompt.prompt(asked, self.model.vocabulary) if self._needs_writing(card) else None
        for index, (piece, emit) in enumerate(zip(card.outputs, asked.emits, strict=True)):
            speaks, side = piece.modality == "audio", piece.side if piece.kind in ("text", "audio") else ""
            read = 0  # characters of the text that were read aloud
            if side in said:
                text = said[side]
            elif side == "target" and card.reads == "audio" and card.translates and request.target in self.parts.card("recognizer").translates_into:
                text = self.recognizer.read([audio], request.source, "translate")[0]
                clock.spent("recognize")
            else:
                text = ""
                for text, ids in self._written(asked, emit, decoder, seed):
                    emitted = ids
                    while speaks and (end := CLAUSE_END.search(text, read + MIN_CLAUSE)):
                        clock.spent("write")
                        clips.append(self._spoken(text[read : end.end()], emit.language, request))
                        clock.spent("speak")
                        read = end.end()
                        yield Piece(index, audio=clips[-1], seconds=dict(clock.seconds))
                        clock.resume()
                clock.spent("write")
            said.setdefault(side or f"label {index}", text)
            if not speaks:
                segments.append(Segment(text, True, emit.language, says=emit.says))
                yield Piece(index, text, seconds=dict(clock.seconds))
            elif text[read:].strip():
                clips.append(self._spoken(text[read:], emit.language, request))
                clock.spent("speak")
                yield Piece(index, audio=clips[-1], seconds=dict(clock.seconds))
            clock.resume()
        shown = prompt or Sequence(torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.bool))
        result = Result(request, tuple(segments), Audio.join(clips) if clips else None, shown, emitted, shown.spans, dict(clock.seconds))
        yield Piece(seconds=dict(clock.seconds), result=result)

    def _check_request(self, request: Request, card: TaskCard) -> None:
        """
        Raises:
            AlmError: a part that the recipe has not, a language that a part does not know, or what `Pipeline.run` refuses.
        """
        check_content(request, card)
        for kind, needed in (("recognizer", card.reads == "audio"), ("synthesizer", any(piece.modality == "audio" for piece in card.outputs))):
            if needed and not self.parts.has(kind):
                raise AlmError(f"got task {request.task} for a cascade without {kind}", f"parts.{kind}", "add one to the recipe, or choose another task")
        for piece in card.inputs:
            if piece.kind not in ("text", "audio", "label"):
                raise AlmError(f"got task {request.task}, which is given {piece}", "text, one recording and labels, which a cascade can hand on", "choose another task")
        if request.prosody.changes() or isinstance(request.speaker, Audio):
            raise AlmError("got another prosody or a recording of a voice for a cascade", "a speaker by name", "leave it out")

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
