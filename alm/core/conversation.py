"""A conversation of many turns over many recordings with one model. Holds what was said; the model keeps nothing of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence as Many
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alm.api.errors import AlmError, UnknownNameError, did_you_mean
from alm.api.types import Audio, Emit, Role, Sample, Segment, Speaker, Turn
from alm.core.audio import read_audio
from alm.core.results import Piece, Request, Result
from alm.core.voice import Clauses

if TYPE_CHECKING:
    from alm.core.pipeline import Pipeline

BEYOND = ("refuse", "summarize")
SUMMARIZE = "Sum up our conversation so far."


class Conversation:
    """Made by `Pipeline.conversation`.

    Attributes:
        turns: what was said so far, as the model is shown it.
    """

    def __init__(self, pipeline: Pipeline, language: str, beyond: str) -> None:
        if not pipeline.converses:
            named = f"prompt format {pipeline.recipe.part('prompt').use!r}" if pipeline.parts.has("prompt") else f"model {pipeline.recipe.name!r} without prompt format"
            raise AlmError(
                f"got {named}, which carries one request at a time",
                "one that carries a conversation, such as chatml",
                "use chat or run",
            )
        if beyond not in BEYOND:
            raise UnknownNameError(f"got beyond={beyond!r}", "what to do when the model's window is full", did_you_mean(beyond, BEYOND))
        if language not in pipeline.languages:
            raise UnknownNameError(f"got language {language!r}", "a language that the model was trained on", f"one of: {', '.join(pipeline.languages)}")
        self.pipeline, self.language, self.beyond = pipeline, language, beyond
        self.turns: tuple[Turn, ...] = ()

    def say(self, *pieces: str | Audio | Path, decoder: Any = None, seed: int = 0) -> Result:
        """One turn: texts and recordings, in their order; the answer is part of the conversation from then on.

        Args:
            decoder: a Decoder in place of the recipe's.

        Raises:
            AlmError: nothing said, a file that cannot be read, or a conversation that is too long for the model: it stays as it was then.
        """
        turns = self._with(pieces)
        return self._kept(turns, self._answered(turns, decoder, seed))

    def stream(self, *pieces: str | Audio | Path, aloud: bool = False, speaker: Speaker = "", decoder: Any = None, seed: int = 0) -> Iterator[Piece]:
        """The same, the answer given as it is written; with the last piece its Result. One that is not waited for is no part of the conversation.

        Args:
            aloud: reads the answer aloud too, by the model's task TTS: clause by clause, while it is written.

        Raises:
            AlmError: as `say`; or an answer aloud of a model without TTS.
        """
        if aloud:
            self.pipeline.task_config("TTS")
        turns, clauses, text, clips = self._with(pieces), Clauses(), "", list[Audio]()

        def spoken(clause: str) -> Iterator[Piece]:
            for piece in self.pipeline.stream("TTS", clause, self.language, speaker=speaker):
                if piece.audio is not None:
                    clips.append(piece.audio)
                    yield Piece(audio=piece.audio)

        for piece in self.pipeline.answer_in_pieces(Request("", "", self.language), self._sample(turns), decoder, seed):
            text += piece.text
            if piece.result is None:
                yield piece
            for clause in (clauses.rest(text) if piece.result else clauses.new(text)) if aloud else ():
                yield from spoken(clause)
            if piece.result is not None:
                self._kept(turns, piece.result)
                yield dataclasses.replace(piece, result=dataclasses.replace(piece.result, audio=Audio.join(clips) if clips else None))

    def _with(self, pieces: Many[str | Audio | Path]) -> tuple[Turn, ...]:
        """All turns with one more, as the model's window holds them."""
        said = tuple(segment for piece in pieces for segment in self._segments(piece))
        if not said:
            raise AlmError("got nothing said", "a text or a recording", "say something")
        return self._fitted((*self.turns, Turn("user", said)))

    def _kept(self, turns: tuple[Turn, ...], result: Result) -> Result:
        self.turns = (*turns, Turn("assistant", (Segment(result.text, language=self.language),)))
        return result

    def recall(self, role: Role, *pieces: str | Audio | Path) -> None:
        """What was said before, as if it had been said here: nothing is answered. Of earlier answers their text.

        Raises:
            AlmError: nothing said, or a file that cannot be read.
        """
        said = tuple(segment for piece in pieces for segment in self._segments(piece))
        if not said:
            raise AlmError(f"got a turn of the {role} in which nothing is said", "a text or a recording", "leave the turn out")
        self.turns = (*self.turns, Turn(role, said))

    def _segments(self, piece: str | Audio | Path) -> list[Segment]:
        if isinstance(piece, str):
            text = self.pipeline.wording.written(piece, self.language)
            return [Segment(text, language=self.language)] if text.strip() else []
        return self.pipeline.hear_turn(read_audio(piece) if isinstance(piece, Path) else piece, self.language)

    def _sample(self, turns: tuple[Turn, ...]) -> Sample:
        return Sample("conversation", (), (self.language,), turns, (Emit("text", self.language),))

    def _answered(self, turns: tuple[Turn, ...], decoder: Any = None, seed: int = 0) -> Result:
        return self.pipeline.answer(Request("", "", self.language), self._sample(turns), decoder, seed)

    def _positions(self, turns: tuple[Turn, ...]) -> int:
        """Of a conversation and its answer, at most."""
        sample, vocabulary = self._sample(turns), self.pipeline.model.vocabulary
        prompt = self.pipeline.prompt
        return len(prompt.prompt(sample, vocabulary)) + sum(rule.most_positions for rule in prompt.plan(sample, vocabulary))

    def _fitted(self, turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
        """The turns as they are where the model's window holds them; else with the earlier ones summed up, if that is wanted.

        Raises:
            AlmError: turns that do not fit.
        """
        window, needed = self.pipeline.model.backbone.card.max_positions, self._positions(turns)
        if needed <= window:
            return turns
        earlier, now = turns[:-1], turns[-1:]
        if self.beyond == "refuse" or not earlier:
            fix = "say less at a time" if not earlier else "begin a new conversation, or one with beyond='summarize'"
            raise AlmError(f"got a conversation of up to {needed} positions with its answer", f"at most {window}", fix)
        words = self.pipeline.wording.written(SUMMARIZE, self.language)
        asked = Turn("user", (Segment(words, language=self.language),))
        count = len(earlier)
        while count and self._positions((*earlier[:count], asked)) > window:
            count -= 2  # a question and its answer
        if count <= 2 * (earlier[0].segments[0].content == words):  # nothing that is not summed up yet fits
            raise AlmError(f"got a conversation of up to {needed} positions with its answer, summed up as it is", f"at most {window}", "begin a new conversation")
        summary = self._answered((*earlier[:count], asked)).text
        return self._fitted((asked, Turn("assistant", (Segment(summary, language=self.language),)), *earlier[count:], *now))
