"""The `audiopalm` prompt format: task tags in plain text, then the input; every result on a line of its own.

AudioPaLM (arXiv 2306.12925) writes the task in front of the input, tokenized by the ordinary text tokenizer and without
special tokens: `[ASR French]`, `[AST French English]`, and for combined tasks `[ASR AST S2ST French English]`. How the
paper marks the end of a piece is not published; here it is a line break, and the text tokenizer's end token closes all. With a layout of
turns, a text and the speech that says it are one piece: so many ids of the one, so many of the other, each closed by its own line break; or
they stand side by side.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence as Many
from typing import Any

from alm.api.errors import UnknownNameError
from alm.api.languages import LANGUAGES
from alm.api.plans import SpanRule, pieces_of
from alm.api.text import read_marks
from alm.api.types import GIVEN, Emit, Sample, Segment, Sequence
from alm.api.vocabulary import JointVocabulary
from alm.api.writer import SequenceWriter
from alm.components.prompts.cards import AUDIOPALM_CARD

MAX_TEXT_IDS, MAX_AUDIO_S = 200, 20.0


class AudioPalmFormat:
    """See the module."""

    card = AUDIOPALM_CARD

    def header(self, sample: Sample) -> str:
        """`[ASR AST S2ST French English]`.

        Raises:
            UnknownNameError: a tag or a language that the format does not know.
        """
        for tag in sample.tags:
            if not AUDIOPALM_CARD.accepts_tag(tag):
                raise UnknownNameError(f"got task tag {tag!r}", "capital letters, digits and hyphens, as the audiopalm format writes tags", "give the task such a tag")
        for language in sample.languages:
            if language not in LANGUAGES:
                raise UnknownNameError(f"got language {language!r}", "a language of the audiopalm format", f"one of: {', '.join(LANGUAGES)}")
        names = [LANGUAGES[language] for language in sample.languages]
        return f"[{' '.join([*sample.tags, *names])}]"

    def encode(self, sample: Sample, vocabulary: JointVocabulary) -> Sequence:
        writer, end = self._written_prompt(sample, vocabulary), [vocabulary.separator_id]
        left = [s for s in sample.segments() if s.learn]
        while left:
            if _woven(left, vocabulary) and vocabulary.layout.turns:
                writer.by_turns(left.pop(0), left.pop(0), end)
            elif _woven(left, vocabulary):
                writer.side_by_side(left.pop(0), left.pop(0))
                writer.ids(end, "end", learn=True)
            else:
                writer.segment(left.pop(0))
                writer.ids(end, "end", learn=True)
        writer.ids([vocabulary.end_id], "end", learn=True)
        return writer.sequence()

    def prompt(self, sample: Sample, vocabulary: JointVocabulary) -> Sequence:
        return self._written_prompt(sample, vocabulary).sequence()

    def plan(self, sample: Sample, vocabulary: JointVocabulary) -> list[SpanRule]:
        """One span an output, text or units, each ended by a line break; nothing may follow but the end. A text beside its speech shares a
        span with it."""
        max_units = vocabulary.unit_positions(MAX_AUDIO_S)
        rules: list[SpanRule] = []
        rule_of = {GIVEN: GIVEN}  # by number of the output
        left, index = list(sample.emits), 0
        while left:
            emit = left[0]
            woven = _woven(left, vocabulary)
            rendered = sample.rendered(index)
            again: dict[str, Any] = {"renders": None if rendered is None else rule_of[rendered], "language": emit.language}
            units = SpanRule("units", vocabulary.separator_id, max_units, min_ids=2, language=emit.language)
            rule_of[index] = len(rules)
            if woven and vocabulary.layout.turns:  # a text that is not whole yet cannot be followed
                text_turn, units_turn = vocabulary.turn_ids
                rules.append(SpanRule("text", vocabulary.separator_id, MAX_TEXT_IDS, turn=text_turn, partner=1, **again))
                rules.append(dataclasses.replace(units, turn=units_turn, partner=-1))
            elif woven:
                rules.append(dataclasses.replace(units, text_beside=True))
            elif emit.modality == "audio":
                rules.append(dataclasses.replace(units, renders=again["renders"]))
            else:
                rules.append(SpanRule("text", vocabulary.separator_id, MAX_TEXT_IDS, **again))
            taken = 1 + woven
            rule_of[index + taken - 1] = len(rules) - 1
            del left[:taken]
            index += taken
        return rules

    def decode(self, ids: Many[int], sample: Sample, vocabulary: JointVocabulary) -> list[Segment]:
        plan = self.plan(sample, vocabulary)
        pieces = [piece for rule, piece in zip(plan, pieces_of(ids, plan), strict=True) for _ in range(1 + rule.text_beside)]
        segments = []
        for emit, piece in zip(sample.emits, pieces, strict=True):
            content: Any = vocabulary.units(piece) if emit.modality == "audio" else vocabulary.text(piece)
            content = read_marks(content) if emit.modality == "marks" else content
            segments.append(Segment(content, True, emit.language, says=emit.says))
        return segments

    def _written_prompt(self, sample: Sample, vocabulary: JointVocabulary) -> SequenceWriter:
        writer = SequenceWriter(vocabulary)
        writer.ids(vocabulary.text_ids(self.header(sample)), "tag", learn=False)
        for segment in (s for s in sample.segments() if not s.learn):
            writer.segment(segment)
            writer.ids([vocabulary.separator_id], "end", learn=False)
        return writer


def _woven(outputs: Many[Segment | Emit], vocabulary: JointVocabulary) -> bool:
    """Whether the first two are a text and its speech, which the layout writes by turns or side by side."""
    weaves = bool(vocabulary.layout.turns) or vocabulary.layout.text_beside
    return weaves and len(outputs) > 1 and outputs[0].modality == "text" and outputs[1].renders(outputs[0])
