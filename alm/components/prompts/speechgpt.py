"""The `speechgpt` prompt format: two named sides, instructions in words, units between `<sosp>` and `<eosp>`.

SpeechGPT (arXiv 2305.11000). What an instruction asks for,

    [Human]: Read this out loud. This is input: hello<eoh> [SpeechGPT]: <sosp><661><987><eosp><eoa>

and a dialogue, which has no instruction and may go by its chain of modality:

    [Human]: <sosp><661><987><eosp><eoh>. [SpeechGPT]: what is said; [ta] the answer; [ua] <sosp><12><7><eosp><eoa>.

Units, `<sosp>`, `<eosp>`, `[Human]`, `[SpeechGPT]`, `<eoh>` and `<eos>` are ids of their own; `<eoa>`, `[ta]` and `[ua]` are text. A piece
of text has the space before it in its ids, as everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence as Many
from dataclasses import replace
from typing import Any

from alm.api.text import read_marks
from alm.api.types import Emit, Sample, Segment, Sequence
from alm.api.vocabulary import JointVocabulary, SpanRule, pieces_of
from alm.api.writer import SequenceWriter
from alm.components.prompts.cards import SPEECHGPT_CARD, SpeechGptOptions

HUMAN, SPEECHGPT, END_OF_HUMAN = "[Human]", "[SpeechGPT]", "<eoh>"
SPEECH, END_OF_SPEECH, END_OF_ANSWER = "<sosp>", "<eosp>", "<eoa>"
MORE = {"text": "; [ta]", "marks": "; [ta]", "audio": "; [ua]"}  # before each result but the first
MAX_TEXT_IDS, MAX_AUDIO_S = 200, 20.0


class SpeechGptFormat:
    """See the module."""

    def __init__(self, options: SpeechGptOptions) -> None:
        self.options, self.card = options, SPEECHGPT_CARD

    def encode(self, sample: Sample, vocabulary: JointVocabulary) -> Sequence:
        writer = self._human(sample, vocabulary, learn=self.options.learn_human)
        for number, segment in enumerate(s for s in sample.segments() if s.learn):
            if number:
                writer.text(MORE[segment.modality], "tag", learn=True)
            _write(writer, segment)
        writer.text(END_OF_ANSWER + (" " if sample.instruction else "."), "end", learn=True)
        writer.ids([vocabulary.end_id], "end", learn=True)
        return writer.sequence()

    def prompt(self, sample: Sample, vocabulary: JointVocabulary) -> Sequence:
        return self._human(sample, vocabulary, learn=False).sequence()

    def plan(self, sample: Sample, vocabulary: JointVocabulary) -> list[SpanRule]:
        """One span an output: text until the marker of what follows, units between their tags."""
        rules = []
        markers = [MORE[emit.modality] for emit in sample.emits[1:]] + [END_OF_ANSWER]
        opening: list[int] = []
        for index, (emit, marker) in enumerate(zip(sample.emits, markers, strict=True)):
            again: dict[str, Any] = {"renders": sample.rendered(index), "language": emit.language}
            if emit.modality == "audio":
                opening = [*opening, *vocabulary.text_ids(" "), vocabulary.tag_id(SPEECH)]
                rules.append(SpanRule("units", vocabulary.tag_id(END_OF_SPEECH), vocabulary.unit_positions(MAX_AUDIO_S), 2, opening=tuple(opening), **again))
                opening = vocabulary.text_ids(marker)
            else:
                stop, *rest = vocabulary.text_ids(marker)
                rules.append(SpanRule("text", stop, MAX_TEXT_IDS, stop_rest=tuple(rest), opening=tuple(opening), **again))
                opening = []
        return rules

    def decode(self, ids: Many[int], sample: Sample, vocabulary: JointVocabulary) -> list[Segment]:
        pieces = pieces_of(ids, self.plan(sample, vocabulary))
        return [Segment(_read(emit, piece, vocabulary), True, emit.language, says=emit.says) for emit, piece in zip(sample.emits, pieces, strict=False)]

    def _human(self, sample: Sample, vocabulary: JointVocabulary, *, learn: bool) -> SequenceWriter:
        """What is given, up to where the answer begins."""
        writer = SequenceWriter(vocabulary)
        writer.text(self.options.system, "tag", learn=False)
        writer.ids([vocabulary.tag_id(HUMAN)], "tag", learn=learn)
        writer.text(f": {sample.instruction} This is input:" if sample.instruction else ":", "tag", learn=learn)
        for segment in (s for s in sample.segments() if not s.learn):
            _write(writer, replace(segment, learn=learn))
        writer.ids([vocabulary.tag_id(END_OF_HUMAN)], "tag", learn=learn)
        writer.text(" " if sample.instruction else ". ", "tag", learn=learn)
        writer.ids([vocabulary.tag_id(SPEECHGPT)], "tag", learn=learn)
        writer.text(":", "tag", learn=learn)
        return writer


def _write(writer: SequenceWriter, segment: Segment) -> None:
    if segment.modality != "audio":
        writer.segment(segment)
        return
    writer.text(" ", "tag", learn=segment.learn)
    writer.ids([writer.vocabulary.tag_id(SPEECH)], "tag", learn=segment.learn)
    writer.segment(segment)
    writer.ids([writer.vocabulary.tag_id(END_OF_SPEECH)], "tag", learn=segment.learn)


def _read(emit: Emit, piece: list[int], vocabulary: JointVocabulary) -> Any:
    if emit.modality == "audio":
        return vocabulary.units(piece)
    text = vocabulary.text(piece)
    return read_marks(text) if emit.modality == "marks" else text
