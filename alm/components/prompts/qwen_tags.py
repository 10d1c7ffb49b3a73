"""Qwen-Audio's tags: what they are, and in which order they may stand (arXiv 2311.07919). Plain data; imports no torch.

A header says which analysis is wanted, each tag narrowing what the one before it leaves open, so that tasks share what they have in common:

    <|startoftranscript|><|en|><|transcribe|><|en|><|notimestamps|><|wo_itn|>
    <|startofanalysis|><|unknown|><|keyword|><|en|><|notimestamps|><|scene|>
    <|startofanalysis|><|en|><|question|>what is heard<|answer|>
    <|startoftranscript|>

The last leaves all open, so that what comes next is the language of what is heard.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Sequence as Many

from alm.api.errors import AlmError, UnknownNameError, did_you_mean

AUDIO, END_OF_AUDIO = "<audio>", "</audio>"
STARTS = ("<|startoftranscript|>", "<|startofanalysis|>")
LANGUAGES = ("en", "zh", "de", "es", "ko", "fr", "ja", "it", "zh_tr")
UNKNOWN = "<|unknown|>"
TASKS = ("<|transcribe|>", "<|translate|>", "<|caption|>", "<|keyword|>")
QUESTION, ANSWER = "<|question|>", "<|answer|>"
STAMPED, UNSTAMPED = "<|timestamps|>", "<|notimestamps|>"
OUTPUTS = (
    "<|itn|>",
    "<|wo_itn|>",
    "<|caption_audiocaps|>",
    "<|caption_clotho|>",
    "<|caption_plain|>",
    "<|audioset_ontology|>",
    "<|emotion_recognition|>",
    "<|scene|>",
    "<|event|>",
    "<|vocal_classification|>",
    "<|speech_understanding|>",
    "<|scenario|>",
    "<|action|>",
    "<|entities|>",
    "<|named_entity_recognition|>",
    "<|audio_grounding|>",
    "<|music_description|>",
    "<|note_analysis|>",
    "<|speaker_meta|>",
    "<|song_meta|>",
    "<|choice|>",
    "<|speech_edit|>",
)
NOTES = (
    "<|pitch|>",
    *(f"<|midi_pitch_{number}|>" for number in range(128)),
    "<|velocity|>",
    *(f"<|midi_velocity_{number}|>" for number in range(128)),
    "<|sonic|>",
    "<|instrument|>",
)
WORDS = ("<|startofword|>", "<|endofword|>", "<|delim|>", "<|sil|>")
STEPS_PER_S, LAST_S = 100, 30
TIMES = tuple(f"<|{step / STEPS_PER_S:.2f}|>" for step in range(LAST_S * STEPS_PER_S + 1))
TIMES_S = tuple((tag, step / STEPS_PER_S) for step, tag in enumerate(TIMES))
TAG = re.compile(r"<\|[^|<>]*\|>")


def language_tag(language: str) -> str:
    """`<|en|>`; `<|unknown|>` of ""."""
    return f"<|{language}|>" if language else UNKNOWN


def language_tags(more_languages: Many[str] = ()) -> tuple[str, ...]:
    """Those of languages that are spoken."""
    return tuple(map(language_tag, (*LANGUAGES, *more_languages)))


def all_tags(more_languages: Many[str] = ()) -> tuple[str, ...]:
    """Every tag, in the order in which they take ids; languages that Qwen-Audio has not come last."""
    tags = (AUDIO, END_OF_AUDIO, *STARTS, *language_tags(), UNKNOWN, *TASKS, QUESTION, ANSWER, STAMPED, UNSTAMPED, *OUTPUTS, *NOTES, *WORDS, *TIMES)
    return (*tags, *(language_tag(language) for language in more_languages))


@functools.cache
def check_header(header: str, more_languages: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The tags of a header, with what is asked between `<|question|>` and `<|answer|>` as a piece of its own.

    Raises:
        UnknownNameError: a tag that is not registered; the fix names the nearest one.
        AlmError: a tag where it may not stand, text between tags, or a header that ends too soon; the fix names the nearest tag that may
            stand there.
    """
    known = all_tags(more_languages)
    languages = (*language_tags(more_languages), UNKNOWN)
    places: list[tuple[str, Many[str]]] = [
        ("a start", STARTS),
        ("the language of the audio", languages),
        ("a task", (*TASKS, QUESTION)),
        ("the language of the text", languages),
        ("whether there are timestamps", (STAMPED, UNSTAMPED)),
        ("an output instruction", OUTPUTS),
    ]
    pieces: list[str] = []
    rest = header
    while rest:
        found = TAG.match(rest)
        if found is None:
            raise AlmError(f"got {rest[:30]!r} in header {header!r}", "a tag", f"did you mean {_nearest(rest[:20], known)}?")
        tag, rest = found[0], rest[found.end() :]
        if tag not in known:
            raise UnknownNameError(f"got tag {tag!r} in header {header!r}", "a tag of Qwen-Audio", did_you_mean(tag, known))
        where, wanted = places[0] if places else ("the end", ())
        if tag not in wanted:
            fix = f"write {_nearest(tag, wanted)} before it, or another of: {', '.join(wanted[:8])}" if wanted else "remove it"
            raise AlmError(f"got tag {tag!r} in header {header!r} where {where} belongs", where, fix)
        pieces.append(tag)
        places = _after(tag, places)
        if tag == QUESTION:
            question, answer, rest = rest.partition(ANSWER)
            if not answer:
                raise AlmError(f"got header {header!r} with a question that has no end", f"{QUESTION}...{ANSWER}", f"write {ANSWER} behind it")
            pieces += [question, ANSWER]
    if places and not (pieces and pieces[-1] in (*OUTPUTS, STARTS[0])):
        raise AlmError(f"got header {header!r}, which ends too soon", places[0][0], f"write {places[0][1][0]}")
    return tuple(pieces)


def _after(tag: str, places: list[tuple[str, Many[str]]]) -> list[tuple[str, Many[str]]]:
    """What may stand behind a tag."""
    if tag == QUESTION:
        return []
    if tag == STAMPED:
        return [("the first timestamp", TIMES[:1])]
    return places if tag in OUTPUTS else places[1:]  # an output may be narrowed by another


def _nearest(tag: str, wanted: Many[str]) -> str:
    return (difflib.get_close_matches(tag, wanted, n=1, cutoff=0.0) or list(wanted))[0]
