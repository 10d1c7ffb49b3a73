"""Tasks as data: a TaskCard is enough to turn utterances into a Sample, and tasks over one input can be combined."""

from collections.abc import Sequence as Many
from dataclasses import replace

from alm.api.cards import Modality, Piece, TaskCard
from alm.api.errors import AlmError
from alm.api.types import Sample, Segment, Turn, Utterance

HEAD_SHARE = 0.5  # how much of the audio "source.audio.head" gives; the rest is "source.audio.tail"


class DeclaredTask:
    """The Task that a card describes whole. Several cards make a combined task, which emits every intermediate result.

    AudioPaLM's combined tasks: `[ASR AST S2ST French English]` is DeclaredTask(ASR, AST, S2ST).

    Raises:
        AlmError: cards whose inputs differ.
    """

    def __init__(self, *cards: TaskCard) -> None:
        inputs = {card.input for card in cards}
        if len(inputs) != 1:
            raise AlmError(f"got tasks with inputs {sorted(inputs)}", "one input for a combined task", "combine tasks that start from the same input")
        self.cards = cards
        last = cards[-1]
        outputs = tuple(piece for card in cards for piece in card.outputs)
        self.card = TaskCard(" ".join(card.tag for card in cards), last.input, outputs, last.metrics, last.description)

    def build(self, source: Utterance, target: Utterance | None = None) -> Sample:
        """A Sample whose outputs are learnt. Pieces a corpus lacks (no audio, no text) are refused.

        Raises:
            AlmError: a missing target, or an utterance without the piece that the task needs.
        """
        return self._sample(source, target, self.card.outputs)

    def request(self, source: Utterance, target_language: str = "") -> Sample:
        """A Sample with the input alone: what a model is asked to answer."""
        sample = self._sample(source, None, ())
        languages = (source.language, target_language) if self.card.needs_target else (source.language,)
        return replace(sample, languages=languages, emits=self._emits(languages))

    def _sample(self, source: Utterance, target: Utterance | None, outputs: Many[Piece]) -> Sample:
        if outputs and self.card.needs_target and target is None:
            raise AlmError(f"task {self.card.tag} got no target utterance", "a parallel utterance in the target language", "name a target language that the corpus has")
        given = Turn("user", (_segment(self.card.input, source, target, learn=False),))
        emitted = Turn("assistant", tuple(_segment(piece, source, target, learn=True) for piece in outputs))
        languages = (source.language, target.language) if target is not None else (source.language,)
        name = source.id if target is None else f"{source.id}>{target.language}"
        return Sample(name, tuple(card.tag for card in self.cards), languages, (given, emitted), self._emits(languages))

    def _emits(self, languages: tuple[str, ...]) -> tuple[tuple[Modality, str], ...]:
        """Modality and language of each output."""
        pieces = (piece.split(".") for piece in self.card.outputs)
        return tuple(("audio" if kind == "audio" else "text", languages[0 if side == "source" else -1]) for side, kind, *_ in pieces)


def _segment(piece: Piece, source: Utterance, target: Utterance | None, *, learn: bool) -> Segment:
    side, kind, *part = piece.split(".")
    utterance = source if side == "source" or target is None else target
    if kind == "text":
        if not utterance.text:
            raise AlmError(f"utterance {utterance.id!r} has no text", f"{piece}", "give it a transcript or choose another task")
        return Segment(utterance.text, learn, utterance.language, utterance.speaker)
    if utterance.audio is None:
        raise AlmError(f"utterance {utterance.id!r} has no audio", f"{piece}", "give it a recording or choose a text task")
    return Segment(utterance.audio, learn, utterance.language, utterance.speaker, part[0] if part else "")
