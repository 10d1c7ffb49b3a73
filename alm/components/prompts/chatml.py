"""The `chatml` prompt format: a conversation of many turns over several recordings, as Qwen-Audio-Chat has it (arXiv 2311.07919).

    <|im_start|>system
    You are a helpful assistant.<|im_end|>
    <|im_start|>user
    Audio 1: <audio>...</audio>
    What does the speaker say?<|im_end|>
    <|im_start|>assistant
    hello<|im_end|>
    <|im_start|>user
    ...

Recordings are counted through the whole conversation. What stands between `<audio>` and `</audio>` are slots of features, or units. A task is
asked for by its instruction in words. The loss covers an answer and the tag that ends it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence as Many

from alm.api.plans import SpanRule, pieces_of
from alm.api.text import marks_text, read_marks
from alm.api.types import Sample, Segment, Sequence, Turn
from alm.api.vocabulary import JointVocabulary
from alm.api.writer import SequenceWriter
from alm.components.prompts.cards import CHATML_TAGS, ChatMlOptions, chatml_card

START, END = CHATML_TAGS
MAX_TEXT_IDS = 400


class ChatMlFormat:
    """See the module."""

    def __init__(self, options: ChatMlOptions) -> None:
        self.options, self.card = options, chatml_card(options, None)

    def encode(self, sample: Sample, vocabulary: JointVocabulary) -> Sequence:
        return self._written(sample, vocabulary, whole=True)

    def prompt(self, sample: Sample, vocabulary: JointVocabulary) -> Sequence:
        return self._written(sample, vocabulary, whole=False)

    def plan(self, sample: Sample, vocabulary: JointVocabulary) -> list[SpanRule]:
        """One span of text, ended by `<|im_end|>`."""
        return [SpanRule("text", vocabulary.tag_id(END), MAX_TEXT_IDS, renders=sample.rendered(index), language=emit.language) for index, emit in enumerate(sample.emits)]

    def decode(self, ids: Many[int], sample: Sample, vocabulary: JointVocabulary) -> list[Segment]:
        texts = [vocabulary.text(piece) for piece in pieces_of(ids, self.plan(sample, vocabulary))]
        return [Segment(read_marks(text) if emit.modality == "marks" else text, True, emit.language, says=emit.says) for emit, text in zip(sample.emits, texts, strict=True)]

    def _written(self, sample: Sample, vocabulary: JointVocabulary, *, whole: bool) -> Sequence:
        """The conversation, with the last answer or up to where it begins."""
        writer, recordings = SequenceWriter(vocabulary), itertools.count(1)
        turns = list(sample.turns if whole or sample.turns[-1].role != "assistant" else sample.turns[:-1])
        if self.options.system and turns[0].role != "system":
            turns.insert(0, Turn("system", (Segment(self.options.system),)))
        asked = max((index for index, turn in enumerate(turns) if turn.role == "user"), default=-1)
        for index, turn in enumerate(turns):
            if index:
                writer.ids([vocabulary.separator_id], "tag", learn=False)
            self._turn(writer, turn, sample.instruction if index == asked else "", recordings)
        if not whole:
            writer.ids([vocabulary.separator_id], "tag", learn=False)
            _begin(writer, "assistant")
        return writer.sequence()

    def _turn(self, writer: SequenceWriter, turn: Turn, instruction: str, recordings: Iterator[int]) -> None:
        """Recordings and words in their order; the instruction before the first words."""
        _begin(writer, turn.role)
        space, asked = "", instruction
        for segment in turn.segments:
            if segment.modality == "audio":
                writer.text(f"Audio {next(recordings)}: ", "tag", learn=False)
                writer.tag(self.options.audio[0], learn=False)
                writer.segment(segment)
                writer.tag(self.options.audio[1], learn=False)
                writer.ids([writer.vocabulary.separator_id], "tag", learn=False)
                space = ""
                continue
            assert isinstance(segment.content, str | tuple)
            words = segment.content if isinstance(segment.content, str) else marks_text(segment.content)
            writer.text(space + f"{asked} {words}".lstrip(), "text", learn=segment.learn)
            space, asked = " ", ""
        writer.text(space + asked if asked else "", "text", learn=False)
        writer.tag(END, learn=any(segment.learn for segment in turn.segments))


def _begin(writer: SequenceWriter, role: str) -> None:
    writer.tag(START, learn=False)
    writer.text(role, "tag", learn=False)
    writer.ids([writer.vocabulary.separator_id], "tag", learn=False)
