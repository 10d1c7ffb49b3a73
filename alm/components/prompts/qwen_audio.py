"""The `qwen-audio` prompt format: sound, a header of hierarchical tags, then the answer in text (arXiv 2311.07919).

    <audio>...</audio><|startoftranscript|><|en|><|transcribe|><|en|><|notimestamps|><|wo_itn|>hello<end>
    <audio>...</audio><|startoftranscript|><|en|><|transcribe|><|en|><|timestamps|><|0.00|><|0.12|>hello<|0.48|><end>
    <audio>...</audio><|startofanalysis|><|en|><|question|>what is heard<|answer|>a bell<end>
    <audio>...</audio><|startoftranscript|><|en|><end>

Of a transcript the language is learnt as well as the text, so that a language is told, as in the last line, by every model that transcribes.
What stands between `<audio>` and `</audio>` are slots of features, or units. Which tags a task has is data (`HEADERS`); a task of which they say
nothing, of whatever plugin, is asked as a question. Tags are ids of their own; a text follows one without a space.
"""

from __future__ import annotations

from collections.abc import Sequence as Many
from typing import Any

from alm.api.errors import AlmError, UnknownNameError
from alm.api.languages import language_name
from alm.api.plans import SpanRule, pieces_of
from alm.api.types import Features, Mark, Marks, Sample, Segment, Sequence, Units
from alm.api.vocabulary import JointVocabulary
from alm.api.writer import SequenceWriter
from alm.components.prompts.cards import HEADERS, QwenAudioOptions, qwen_audio_card
from alm.components.prompts.qwen_tags import ANSWER, AUDIO, END_OF_AUDIO, LAST_S, NOTES, QUESTION, STARTS, STEPS_PER_S, TAG, TIMES, check_header, language_tag, language_tags

MAX_TEXT_IDS = 400
IDS_A_SLOT = {"text": 2, "marks": 4}  # of a transcript or translation, and of one in which a word stands between two times, for each position heard,
IDS_BESIDE = 16  # and some more


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
        header = self.header(sample)
        writer = _written_prompt(sample, header, vocabulary, learn_language=True)
        for segment in (s for s in sample.segments() if s.learn):
            if isinstance(segment.content, tuple):
                for mark in segment.content:
                    writer.tag(_time(mark.start_s), learn=True)
                    writer.text(mark.text, "text", learn=True)
                    writer.tag(_time(mark.stop_s), learn=True)
            elif _is_note(header):
                _write(writer, _note_pieces(str(segment.content)), learn=True)
            elif _is_language(header):
                _write(writer, [self._language(str(segment.content))], learn=True)
            else:
                writer.text(str(segment.content), "text", learn=True)
        writer.ids([vocabulary.end_id], "end", learn=True)
        return writer.sequence()

    def prompt(self, sample: Sample, vocabulary: JointVocabulary) -> Sequence:
        return _written_prompt(sample, self.header(sample), vocabulary).sequence()

    def plan(self, sample: Sample, vocabulary: JointVocabulary) -> list[SpanRule]:
        """One span of text, among it the timestamps of words, the tags of a note or that of a language, where it is to have some."""
        header = self.header(sample)
        among = [NOTES] if _is_note(header) else [(tag,) for tag in language_tags(self.options.more_languages)] if _is_language(header) else []
        return [
            SpanRule(
                "text",
                vocabulary.end_id,
                _most_ids(sample, header, emit.modality),
                renders=sample.rendered(index),
                language=emit.language,
                also=tuple(_range_of(tags, vocabulary) for tags in ([TIMES] if emit.modality == "marks" else among)),
            )
            for index, emit in enumerate(sample.emits)
        ]

    def decode(self, ids: Many[int], sample: Sample, vocabulary: JointVocabulary) -> list[Segment]:
        pieces = pieces_of(ids, self.plan(sample, vocabulary))
        header = self.header(sample)
        read: Any = _read_note if _is_note(header) else _read_language if _is_language(header) else lambda piece, vocabulary: vocabulary.text(piece)
        return [
            Segment((_read_marks if emit.modality == "marks" else read)(piece, vocabulary), True, emit.language, says=emit.says)
            for emit, piece in zip(sample.emits, pieces, strict=True)
        ]

    def _language(self, name: str) -> str:
        """The tag of a language by its name; the name itself where it has none."""
        code = {language_name(code).lower(): code for code in self.card.languages}.get(name.lower())
        return name if code is None else language_tag(code)


def _written_prompt(sample: Sample, header: Many[str], vocabulary: JointVocabulary, *, learn_language: bool = False) -> SequenceWriter:
    writer = SequenceWriter(vocabulary)
    for segment in (s for s in sample.segments() if not s.learn and s.modality == "audio"):
        writer.tag(AUDIO, learn=False)
        writer.segment(segment)
        writer.tag(END_OF_AUDIO, learn=False)
    transcript = header[0] == STARTS[0]
    _write(writer, header[:1], learn=False)
    _write(writer, header[1:2], learn=learn_language and transcript)
    _write(writer, header[2:], learn=False)
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
    return vocabulary.tag_id(tags[0]), vocabulary.tag_id(tags[-1]) + 1


def _most_ids(sample: Sample, header: Many[str], modality: str) -> int:
    """How long an answer may be: what says what was heard is not many times as long."""
    given = [segment.content for segment in sample.segments() if not segment.learn]
    heard = sum(content.num_slots if isinstance(content, Features) else content.num_frames for content in given if isinstance(content, Features | Units))
    return min(MAX_TEXT_IDS, IDS_BESIDE + IDS_A_SLOT[modality] * heard) if heard and header[0] == STARTS[0] else MAX_TEXT_IDS


def _is_language(header: Many[str]) -> bool:
    return header[-1] == STARTS[0]


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


def _read_language(ids: Many[int], vocabulary: JointVocabulary) -> str:
    """The name of the language whose tag comes first; of none the text."""
    tags = [tag for index in ids if (tag := vocabulary.tag_name(index))]
    return language_name(tags[0][2:-2]) if tags else vocabulary.text(ids)


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
