"""The `speechgpt` prompt format: two named sides, instructions in words, units between `<sosp>` and `<eosp>`.

SpeechGPT (arXiv 2305.11000). What an instruction asks for,

    [Human]: Read this out loud. This is input: hello<eoh> [SpeechGPT]: <sosp><661><987><eosp><eoa>

and a dialogue, which has no instruction and may go by its chain of modality:

    [Human]: <sosp><661><987><eosp><eoh>. [SpeechGPT]: what is said; [ta] the answer; [ua] <sosp><12><7><eosp><eoa>.

Speech or text as it is, which the first stage learns from, stands alone: `<sosp><661><987><eosp>`.

Units, `<sosp>`, `<eosp>`, `[Human]`, `[SpeechGPT]`, `<eoh>` and `<eos>` are ids of their own; `<eoa>`, `[ta]` and `[ua]` are text. A piece
of text has the space before it in its ids, as everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Sequence as Many
from dataclasses import replace
from typing import Any, Protocol

import torch

from alm.api.errors import AlmError
from alm.api.plans import SpanRule, pieces_of
from alm.api.text import marks_text, read_marks
from alm.api.types import Emit, Sample, Segment, Sequence, Turn, Units
from alm.api.vocabulary import JointVocabulary
from alm.api.writer import SequenceWriter
from alm.components.prompts.cards import SPEECHGPT_CARD, SpeechGptOptions

HUMAN, SPEECHGPT, END_OF_HUMAN = "[Human]", "[SpeechGPT]", "<eoh>"
SPEECH, END_OF_SPEECH, END_OF_ANSWER = "<sosp>", "<eosp>", "<eoa>"
MORE = {"text": "; [ta]", "marks": "; [ta]", "audio": "; [ua]"}  # before each result but the first
INPUT = "This is input:"
MAX_TEXT_IDS, MAX_AUDIO_S = 200, 20.0


class SpeechGptFormat:
    """See the module."""

    def __init__(self, options: SpeechGptOptions) -> None:
        self.options, self.card = options, SPEECHGPT_CARD

    def encode(self, sample: Sample, vocabulary: JointVocabulary) -> Sequence:
        writer = SequenceWriter(vocabulary)
        self._given(writer, sample, learn_human=self.options.learn_human)
        _answer(writer, sample)
        writer.ids([vocabulary.end_id], "end", learn=True)
        return writer.sequence()

    def line(self, sample: Sample) -> dict[str, str]:
        """The sample as an object of SpeechInstruct's JSON lines: `prefix` and `plain_text`."""
        writer = LineWriter()
        if not _stands_alone(sample):
            self._human(writer, sample, learn=False)
        _answer(writer, sample)
        return {"prefix": self.options.system, "plain_text": "".join(writer.written)}

    def prompt(self, sample: Sample, vocabulary: JointVocabulary) -> Sequence:
        writer = SequenceWriter(vocabulary)
        self._given(writer, sample, as_released=self.options.ask_as_released)
        return writer.sequence()

    def plan(self, sample: Sample, vocabulary: JointVocabulary) -> list[SpanRule]:
        """One span an output: text until the marker of what follows, units between their tags."""
        rules = []
        markers = [vocabulary.text_ids(MORE[emit.modality]) for emit in sample.emits[1:]] + [_end(sample, vocabulary)]
        opening: list[int] = []
        for index, (emit, marker) in enumerate(zip(sample.emits, markers, strict=True)):
            again: dict[str, Any] = {"renders": sample.rendered(index), "language": emit.language}
            if emit.modality == "audio":
                opening = [*opening, *(vocabulary.text_ids(" ") if self._is_spaced(sample, index) else ()), vocabulary.tag_id(SPEECH)]
                rules.append(SpanRule("units", vocabulary.tag_id(END_OF_SPEECH), vocabulary.unit_positions(MAX_AUDIO_S), 2, opening=tuple(opening), **again))
                opening = marker
            else:
                stop, *rest = marker
                rules.append(SpanRule("text", stop, MAX_TEXT_IDS, stop_rest=tuple(rest), opening=tuple(opening), **again))
                opening = []
        return rules

    def decode(self, ids: Many[int], sample: Sample, vocabulary: JointVocabulary) -> list[Segment]:
        pieces = pieces_of(ids, self.plan(sample, vocabulary))
        return [Segment(_read(emit, piece, vocabulary), True, emit.language, says=emit.says) for emit, piece in zip(sample.emits, pieces, strict=False)]

    def _is_spaced(self, sample: Sample, index: int) -> bool:
        """Whether a space comes before the speech that is emitted: not of one that stands alone, nor behind a prompt that ends in one."""
        return index > 0 or not (_stands_alone(sample) or self.options.ask_as_released)

    def _given(self, writer: SequenceWriter, sample: Sample, *, learn_human: bool = False, as_released: bool = False) -> None:
        """All that stands before an answer; the end token before one that stands alone."""
        if _stands_alone(sample):
            writer.ids([writer.vocabulary.end_id], "end", learn=False)
            return
        writer.text(self.options.system, "tag", learn=False)
        self._human(writer, sample, learn=learn_human, as_released=as_released)

    def _human(self, writer: Writer, sample: Sample, *, learn: bool, as_released: bool = False) -> None:
        """What is given, up to where the answer begins."""
        writer.tag(HUMAN, learn=learn)
        writer.text(f": {sample.instruction} {INPUT}" if sample.instruction else ":", "tag", learn=learn)
        for segment in (s for s in sample.segments() if not s.learn):
            _write(writer, replace(segment, learn=learn))
        if as_released:
            writer.text(" ", "tag", learn=learn)
        writer.tag(END_OF_HUMAN, learn=learn)
        writer.text(" " if sample.instruction and not as_released else ". ", "tag", learn=learn)
        writer.tag(SPEECHGPT, learn=learn)
        writer.text(":", "tag", learn=learn)
        if as_released:
            writer.text(" ", "tag", learn=learn)


class Writer(Protocol):
    """What a sequence, or a line, is written with."""

    def text(self, text: str, kind: Any, *, learn: bool) -> None: ...

    def tag(self, tag: str, *, learn: bool) -> None: ...

    def segment(self, segment: Segment) -> None: ...


class LineWriter:
    """Writes text, as SequenceWriter writes ids."""

    def __init__(self) -> None:
        self.written: list[str] = []

    def text(self, text: str, kind: Any, *, learn: bool) -> None:
        self.written.append(text)

    def tag(self, tag: str, *, learn: bool) -> None:
        self.written.append(tag)

    def segment(self, segment: Segment) -> None:
        """
        Raises:
            AlmError: features, which no line can hold.
        """
        content = segment.content
        if isinstance(content, Units):
            self.written.append("".join(f"<{code}>" for code in content.codes[0].tolist()))
        elif isinstance(content, str | tuple):
            self.written.append(" " + (content if isinstance(content, str) else marks_text(content)))
        else:
            raise AlmError(f"got {type(content).__name__} in a line", "text or units", "hear units: set data.audio: units")


def _stands_alone(sample: Sample) -> bool:
    """Whether it is given nothing."""
    return not any(not segment.learn for segment in sample.segments())


def _end(sample: Sample, vocabulary: JointVocabulary) -> list[int]:
    """What ends the last text."""
    return [vocabulary.end_id] if _stands_alone(sample) else vocabulary.text_ids(END_OF_ANSWER)


def _answer(writer: Writer, sample: Sample) -> None:
    alone = _stands_alone(sample)
    for number, segment in enumerate(s for s in sample.segments() if s.learn):
        if number:
            writer.text(MORE[segment.modality], "tag", learn=True)
        _write(writer, segment, spaced=not alone or number > 0)
    if not alone:
        writer.text(END_OF_ANSWER + (" " if sample.instruction else "."), "end", learn=True)


def _write(writer: Writer, segment: Segment, *, spaced: bool = True) -> None:
    if segment.modality != "audio":
        writer.segment(segment)
        return
    if spaced:
        writer.text(" ", "tag", learn=segment.learn)
    writer.tag(SPEECH, learn=segment.learn)
    writer.segment(segment)
    writer.tag(END_OF_SPEECH, learn=segment.learn)


LINE = re.compile(r"\[Human\]:\s?(?P<human>.*?)\s*<eoh>\.?\s*\[SpeechGPT\]:\s?(?P<answer>.*?)\s*<eoa>\.?\s*", re.DOTALL)
SPOKEN = re.compile(r"<sosp>\s*(?P<units>(?:<\d+>\s*)*)<eosp>")
RESULT = re.compile(r";\s*\[[tu]a\]\s?")
BEYOND = re.compile(rf"{RESULT.pattern}|{END_OF_ANSWER}")  # where a text ends that runs on, into a result that nobody asked for or past its end in other ids


def read_line(text: str, name: str, frame_rate_hz: float) -> Sample:
    """The sample of a SpeechInstruct line's `plain_text`, or of a line of speech alone; unit strings with and without spaces. Units have
    no fingerprint: a line does not say which tokenizer made them.

    Raises:
        AlmError: a line that is no single exchange between the two sides.
    """

    def segment(part: str, *, learn: bool) -> Segment:
        spoken = SPOKEN.fullmatch(part.strip())
        if spoken is None:
            return Segment(part.strip(), learn)
        codes = [int(code) for code in re.findall(r"\d+", spoken["units"])]
        return Segment(Units(torch.tensor([codes], dtype=torch.int64), frame_rate_hz, ""), learn)

    if SPOKEN.fullmatch(text.strip()):
        return Sample(name, (), (), (Turn("user", ()), Turn("assistant", (segment(text, learn=True),))), (Emit("audio"),))
    found = LINE.fullmatch(text.strip() + " ")
    if not found or HUMAN in found["answer"]:
        raise AlmError(f"{name}: got {text[:60]!r}", "[Human]: ...<eoh> [SpeechGPT]: ...<eoa>", "correct the line, or cut a longer dialogue into its exchanges")
    instruction, divider, given = found["human"].partition(f" {INPUT} ")
    if not divider:
        instruction, given = "", found["human"]
    answers = tuple(segment(part, learn=True) for part in RESULT.split(found["answer"]))
    turns = (Turn("user", (segment(given, learn=False),)), Turn("assistant", answers))
    return Sample(name, (), (), turns, tuple(Emit(answer.modality) for answer in answers), instruction)


def _read(emit: Emit, piece: list[int], vocabulary: JointVocabulary) -> Any:
    if emit.modality == "audio":
        return vocabulary.units(piece)
    text = BEYOND.split(vocabulary.text(piece), maxsplit=1)[0].rstrip()
    return read_marks(text) if emit.modality == "marks" else text
