"""Tasks as data: a TaskCard is enough to turn utterances into a Sample, and tasks over one input can be combined."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence as Many
from dataclasses import replace

from alm.api.cards import Piece, TaskCard
from alm.api.errors import AlmError
from alm.api.languages import language_name
from alm.api.types import AudioFile, Emit, Marks, MediaFile, Sample, Segment, Turn, Utterance

HEAD_SHARE = 0.5  # how much of the audio "source.audio.head" gives; the rest is "source.audio.tail"
RELATIONS = {"edit": "edit_of", "reply": "reply_to"}  # pairing -> the label that names the source's id


class DeclaredTask:
    """The Task that a card describes whole. Several cards make a combined task, which emits every intermediate result.

    AudioPaLM's combined tasks: `[ASR AST S2ST French English]` is DeclaredTask(ASR, AST, S2ST). A task that is given more than the others
    (a question) brings its inputs along.

    Raises:
        AlmError: cards whose first inputs or pairings differ.
    """

    def __init__(self, *cards: TaskCard) -> None:
        first = {card.inputs[:1] for card in cards}
        if len(first) != 1:
            raise AlmError(
                f"got tasks with inputs {sorted(', '.join(pieces) or 'none' for pieces in first)}", "one input for a combined task", "combine tasks that start from the same input"
            )
        pairings = {card.pairing for card in cards if card.needs_target}
        if len(pairings) > 1:
            raise AlmError(f"got tasks paired by {' and '.join(sorted(pairings))}", "one kind of target for a combined task", "combine tasks of one kind")
        self.cards = cards
        last = cards[-1]
        inputs = tuple(dict.fromkeys(piece for card in cards for piece in card.inputs))
        outputs = tuple(piece for card in cards for piece in card.outputs)
        tag = " ".join(card.tag for card in cards)
        self.card = last if len(cards) == 1 else TaskCard(tag, inputs, outputs, last.metrics, last.description, pairing=next(iter(pairings), last.pairing))

    @property
    def instructed(self) -> bool:
        """Whether it can be asked for in words."""
        return all(card.instructions for card in self.cards)

    def build(self, source: Utterance, target: Utterance | None = None) -> Sample:
        """A Sample whose outputs are learnt. Pieces a corpus lacks (no audio, no text, no label) are refused.

        Raises:
            AlmError: a missing target, or an utterance without the piece that the task needs.
        """
        return self._sample(source, target, self.card.outputs)

    def request(self, source: Utterance, target_language: str = "") -> Sample:
        """A Sample with the input alone: what a model is asked to answer."""
        sample = self._sample(source, None, ())
        languages = self._languages(source.language, target_language)
        return replace(sample, languages=languages, emits=self._emits(languages), instruction=self._instruction(source.id, languages))

    def _sample(self, source: Utterance, target: Utterance | None, outputs: Many[Piece]) -> Sample:
        if outputs and self.card.needs_target and target is None:
            raise AlmError(f"task {self.card.tag} got no target utterance", f"one to pair with by {self.card.pairing}", "name a target that the corpus has")
        given = Turn("user", tuple(_segment(piece, source, target, learn=False) for piece in self.card.inputs))
        emitted = Turn("assistant", tuple(_segment(piece, source, target, learn=True) for piece in outputs))
        languages = self._languages(source.language, "" if target is None else target.language)
        name = source.id if target is None else f"{source.id}>{target.language if self.card.translates else target.id}"
        return Sample(name, tuple(card.tag for card in self.cards), languages, (given, emitted), self._emits(languages), self._instruction(source.id, languages))

    def _languages(self, source: str, target: str) -> tuple[str, ...]:
        """Those that the prompt may name: none, where it is asked which one is spoken, or who speaks, which a language may tell."""
        if any(piece.detail in ("language", "speaker") for piece in self.card.outputs):
            return ()
        return (source, target) if self.card.translates and target else (source,)

    def _emits(self, languages: tuple[str, ...]) -> tuple[Emit, ...]:
        return tuple(
            Emit(piece.modality, languages[0 if piece.side == "source" else -1] if languages else "", piece.side if _is_speech(piece) else "") for piece in self.card.outputs
        )

    def _instruction(self, name: str, languages: tuple[str, ...]) -> str:
        """What is wanted, in words: one wording of each task, the same each time for the same utterance."""
        wordings = [card.instructions[zlib.crc32(name.encode()) % len(card.instructions)] for card in self.cards if card.instructions]
        if not wordings:
            return ""
        named = {"source": language_name(languages[0]), "target": language_name(languages[-1])} if languages else {"source": "", "target": ""}
        if len(wordings) == 1:
            return wordings[0].format(**named)
        return " ".join(f"({ROMAN[i]}) {wording.format(**named)}" for i, wording in enumerate(wordings))


ROMAN = ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x")


def targets_of(card: TaskCard, source: Utterance, group: Iterable[Utterance]) -> Iterator[Utterance]:
    """The utterances of a group with which a task pairs one of them; the source itself where it needs none."""
    if not card.needs_target:
        yield source
        return
    for other in group:
        match card.pairing:
            case "translation":
                fits = other.language != source.language
            case "rendering":
                fits = other.language == source.language and other.speaker != source.speaker
            case related:
                fits = other.labels.get(RELATIONS[related]) == source.id
        if fits:
            yield other


def has_pieces(pieces: Iterable[Piece], source: Utterance, target: Utterance) -> bool:
    """Whether the two have all that is named."""
    return all(content_of(piece, source if piece.side == "source" else target) is not None for piece in pieces)


def _is_speech(piece: Piece) -> bool:
    return piece.kind in ("text", "audio")


def content_of(piece: Piece, utterance: Utterance) -> str | Marks | AudioFile | MediaFile | None:
    """What the utterance has of it; None if nothing. The labels "language", "speaker" and "text" are its own where none are given."""
    match piece.kind:
        case "text":
            return utterance.text or None
        case "audio":
            return utterance.audio
        case "other":
            return utterance.other
        case "media":
            return utterance.media.get(piece.detail)
        case kind:
            own = {"language": language_name(utterance.language), "speaker": utterance.speaker, "text": utterance.text}
            value = utterance.labels.get(piece.detail, own.get(piece.detail) or None)
            return value if value is not None and isinstance(value, str) == (kind == "label") else None


def _segment(piece: Piece, source: Utterance, target: Utterance | None, *, learn: bool) -> Segment:
    utterance = source if piece.side == "source" or target is None else target
    content = content_of(piece, utterance)
    if content is None:
        wanted = {"text": "a transcript", "audio": "a recording", "other": "a second recording"}.get(piece.kind, f"{piece.kind} {piece.detail!r}")
        raise AlmError(f"utterance {utterance.id!r} has no {piece.split('.', 1)[1]}", f"{piece}", f"give it {wanted}, or choose another task")
    if not _is_speech(piece):
        return Segment(content, learn, utterance.language)
    return Segment(content, learn, utterance.language, utterance.speaker, piece.detail, piece.side)
