"""The `yi-vl` prompt format (arXiv 2403.04652): two sides in plain text, a picture as slots of features.

    ### Human: <picture>
    how many circles are there
    ### Assistant: two<end>

A line break ends the picture and each side's words; the text tokenizer's end token ends the answer.
"""

from __future__ import annotations

from collections.abc import Sequence as Many
from typing import Any

from alm.api.plans import SpanRule, pieces_of
from alm.api.types import Sample, Segment, Sequence
from alm.api.vocabulary import JointVocabulary
from alm.api.writer import SequenceWriter
from alm_vision.cards import YI_VL_CARD, YiVlOptions

HUMAN, ASSISTANT = "### Human: ", "### Assistant:"
MAX_TEXT_IDS = 200


class YiVlFormat:
    """See the module."""

    def __init__(self, options: YiVlOptions) -> None:
        self.options, self.card = options, YI_VL_CARD

    def encode(self, sample: Sample, vocabulary: JointVocabulary) -> Sequence:
        writer = self._asked(sample, vocabulary)
        for segment in (s for s in sample.segments() if s.learn):
            writer.segment(segment)
        writer.ids([vocabulary.end_id], "end", learn=True)
        return writer.sequence()

    def prompt(self, sample: Sample, vocabulary: JointVocabulary) -> Sequence:
        return self._asked(sample, vocabulary).sequence()

    def plan(self, sample: Sample, vocabulary: JointVocabulary) -> list[SpanRule]:
        """One span of text, ended by the end token."""
        return [SpanRule("text", vocabulary.end_id, MAX_TEXT_IDS, language=emit.language) for emit in sample.emits]

    def decode(self, ids: Many[int], sample: Sample, vocabulary: JointVocabulary) -> list[Segment]:
        pieces = pieces_of(ids, self.plan(sample, vocabulary))
        return [Segment(vocabulary.text(piece), True, emit.language, says=emit.says) for emit, piece in zip(sample.emits, pieces, strict=True)]

    def _asked(self, sample: Sample, vocabulary: JointVocabulary) -> SequenceWriter:
        writer = SequenceWriter(vocabulary)
        writer.text(self.options.system, "tag", learn=False)
        writer.text(HUMAN, "tag", learn=False)
        given = [segment for segment in sample.segments() if not segment.learn]
        for segment in given:
            if segment.modality == "image":
                writer.segment(segment)
                writer.ids([vocabulary.separator_id], "tag", learn=False)
        words: list[Any] = [segment.content for segment in given if segment.modality != "image"]
        writer.text(" ".join(words or [sample.instruction]), "text", learn=False)
        writer.ids([vocabulary.separator_id], "tag", learn=False)
        writer.text(ASSISTANT, "tag", learn=False)
        return writer
