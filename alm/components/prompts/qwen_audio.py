"""The `qwen-audio` prompt format: sound, a header of hierarchical tags, then the answer in text (arXiv 2311.07919).

    <audio>...</audio><|startoftranscript|><|en|><|transcribe|><|en|><|notimestamps|><|wo_itn|>hello<end>
    <audio>...</audio><|startoftranscript|><|en|><|transcribe|><|en|><|timestamps|><|0.00|><|0.12|>hello<|0.48|><end>
    <audio>...</audio><|startofanalysis|><|en|><|question|>what is heard<|answer|>a bell<end>

What stands between `<audio>` and `</audio>` are slots of features, or units. Which tags a task has is data (`HEADERS`); a task of which they say
nothing, of whatever plugin, is asked as a question. Tags are ids of their own; a text follows one without a space.
"""

from __future__ import annotations

from collections.abc import Sequence as Many
from typing import Any

from alm.api.errors import AlmError, UnknownNameError
from alm.api.plans import SpanRule, pieces_of
from alm.api.types import Mark, Marks, Sample, Segment, Sequence
from alm.api.vocabulary import JointVocabulary
from alm.api.writer import SequenceWriter
from alm.components.prompts.cards import HEADERS, QwenAudioOptions, qwen_audio_card
from alm.components.prompts.qwen_tags import ANSWER, AUDIO, END_OF_AUDIO, LAST_S, NOTES, QUESTION, STEPS_PER_S, TAG, TIMES, check_header, language_tag

MAX_TEXT_IDS = 400


class QwenAudioFormat:
    """See the module."""

    def __init__(self, options: QwenAudioOptions) -> None:
        self.options, self.card = options, qwen_audio_card(options, None)

    def header(self, sample: Sample) -> tuple[str, ...]:
        """Its tags, and what is asked between `<|question|>` and `<|answer|>`.

        Raises:
            AlmError: a sample of several tasks or results, which one header cannot ask for; or a language without a tag.
        """
        if len(sample.tags) > 1 or len(sample.emits) > 1:
            raise AlmError(
                f"got tasks {' '.join(sample.tags)} with {len(sample.emits)} results", "one task with one result", "ask for one after the other, or choose format audiopalm"
            )
        for language in sample.languages:
            if language not in self.card.languages:
                raise UnknownNameError(f"got language {language!r}", "a language of the qwen-audio format", "add it to the format's `more_languages`")
        source = language_tag(sample.languages[0] if sample.languages else "")
        target = language_tag(sample.languages[-1] if sample.languages else "en")
        asked = [segment.content for segment in sample.segments() if not segment.learn and isinstance(segment.content, str)]
        template = "".join(self.options.headers.get(tag, HEADERS.get(tag, "")) for tag in sample.tags)
        if template and not asked:
            return check_header(template.format(source=source, target=target), self.options.more_languages)
        heard = any(segment.modality == "audio" for segment in sample.segments())
        question = " ".join(text for text in ("" if asked and heard else sample.instruction, *asked) if text)
        return ("<|startofanalysis|>", source, QUESTION, question, ANSWER)

    def encode(self, sample: Sample, vocabulary: JointVocabulary) -> Sequence:
        writer = self._written_prompt(sample, vocabulary)
        for segment in (s for s in sample.segments() if s.learn):
            if isinstance(segment.content, tuple):
                for mark in segment.content:
                    writer.tag(_time(mark.start_s), learn=True)
                    writer.text(mark.text, "text", learn=True)
                    writer.tag(_time(mark.stop_s), learn=True)
            elif _is_note(self.header(sample)):
                _write(writer, _note_pieces(str(segment.content)), learn=True)
            else:
                writer.text(str(segment.content), "text", learn=True)
        writer.ids([vocabulary.end_id], "end", learn=True)
        return writer.sequence()

    def prompt(self, sample: Sample, vocabulary: JointVocabulary) -> Sequence:
        return self._written_prompt(sample, vocabulary).sequence()

    def plan(self, sample: Sample, vocabulary: JointVocabulary) -> list[SpanRule]:
        """One span of text, among it the timestamps of words or the tags of a note, where it is to have some."""
        among: Many[str] = NOTES if _is_note(self.header(sample)) else ()
        return [
            SpanRule(
                "text",
                vocabulary.end_id,
                MAX_TEXT_IDS,
                renders=sample.rendered(index),
                language=emit.language,
                also=_range_of(TIMES if emit.modality == "marks" else among, vocabulary),
            )
            for index, emit in enumerate(sample.emits)
        ]

    def decode(self, ids: Many[int], sample: Sample, vocabulary: JointVocabulary) -> list[Segment]:
        pieces = pieces_of(ids, self.plan(sample, vocabulary))
        read: Any = _read_note if _is_note(self.header(sample)) else lambda piece, vocabulary: vocabulary.text(piece)
        return [
            Segment((_read_marks if emit.modality == "marks" else read)(piece, vocabulary), True, emit.language, says=emit.says)
            for emit, piece in zip(sample.emits, pieces, strict=True)
        ]

    def _written_prompt(self, sample: Sample, vocabulary: JointVocabulary) -> SequenceWriter:
        writer = SequenceWriter(vocabulary)
        for segment in (s for s in sample.segments() if not s.learn and s.modality == "audio"):
            writer.tag(AUDIO, learn=False)
            writer.segment(segment)
            writer.tag(END_OF_AUDIO, learn=False)
        _write(writer, self.header(sample), learn=False)
        return writer


def _write(writer: SequenceWriter, pieces: Many[str], *, learn: bool) -> None:
    """Tags, and text between them."""
    for piece in pieces:
        if TAG.fullmatch(piece):
            writer.tag(piece, learn=learn)
        else:
            writer.text(piece, "text", learn=learn)


def _range_of(tags: Many[str], vocabulary: JointVocabulary) -> tuple[int, int]:
    """Ids of tags that follow one another."""
    return (vocabulary.tag_id(tags[0]), vocabulary.tag_id(tags[-1]) + 1) if tags else (0, 0)


def _is_note(header: Many[str]) -> bool:
    return header[-1] == "<|note_analysis|>"


def _note_pieces(note: str) -> list[str]:
    """`pitch 60, velocity 100, instrument flute` as `<|pitch|><|midi_pitch_60|><|velocity|><|midi_velocity_100|><|instrument|>flute`."""
    pieces = []
    for entry in note.split(", "):
        name, _, value = entry.partition(" ")
        numbered = f"<|midi_{name}_{value}|>"
        pieces += [f"<|{name}|>", numbered if numbered in NOTES else value] if f"<|{name}|>" in NOTES and value else [entry]
    return pieces


def _read_note(ids: Many[int], vocabulary: JointVocabulary) -> str:
    """The other way."""
    written, text = list[str](), list[int]()
    for index in [*ids, -1]:
        tag = vocabulary.tag_name(index)
        if index >= 0 and not tag:
            text.append(index)
            continue
        if text:
            written.append(f" {vocabulary.text(text)}")
            text = []
        name = tag[2:-2]
        written.append(f" {name.rpartition('_')[2]}" if name.startswith("midi_") else f", {name}" if name else "")
    return "".join(written).removeprefix(", ").strip()


def _time(seconds: float) -> str:
    """
    Raises:
        AlmError: a time that has no tag.
    """
    if not 0 <= seconds <= LAST_S:
        raise AlmError(f"got a mark at {seconds:.2f} s", f"0 to {LAST_S} s, for which Qwen-Audio has tags", f"cut the clip to {LAST_S} s: data.max_duration_s")
    return TIMES[round(seconds * STEPS_PER_S)]


def _read_marks(ids: Many[int], vocabulary: JointVocabulary) -> Marks:
    """Each stretch of text between two timestamps; what is no mark is left out."""
    marks, text, start = [], list[int](), None
    for index in ids:
        tag = vocabulary.tag_name(index)
        if not tag:
            text.append(index)
            continue
        seconds = float(tag[2:-2])
        written = vocabulary.text(text)
        if written and start is not None:
            marks.append(Mark(written, start, seconds))
        text, start = [], seconds
    return tuple(marks)
