"""Recordings of any length -> a transcript with times: cut at pauses, heard in batches, written as txt, srt, vtt or json.

A file is read in blocks that end at a pause, so that an hour of sound is never in memory at once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from alm.api.errors import AlmError
from alm.api.recognition import SpeechDetector
from alm.api.types import Audio, AudioFile, Marks
from alm.core.audio import duration_of, prepare, read_audio
from alm.core.pipeline import Pipeline
from alm.core.segments import Cutting, stretches_of

BLOCK_S = 300.0
KINDS = (".txt", ".srt", ".vtt", ".json")


@dataclass(frozen=True)
class Line:
    """What is said in one stretch.

    Attributes:
        words: each with its time; () of a model that does not tell them.
        log_prob: of a label of the text, as the model itself sees it, a mean; None of a model that does not tell.
        speech: how likely the detector finds it that somebody speaks, a mean over the stretch.
    """

    text: str
    start_s: float
    stop_s: float
    words: Marks = ()
    log_prob: float | None = None
    speech: float = 1.0

    def later(self, seconds: float) -> Line:
        words = tuple(replace(word, start_s=word.start_s + seconds, stop_s=word.stop_s + seconds) for word in self.words)
        return replace(self, start_s=self.start_s + seconds, stop_s=self.stop_s + seconds, words=words)


Transcript = tuple[Line, ...]


def transcribe(
    pipeline: Pipeline,
    source: Path | Audio,
    language: str,
    detector: SpeechDetector,
    cutting: Cutting = Cutting(),
    on_done: Callable[[float], None] | None = None,
    task: str = "ASR",
    target: str = "",
) -> Iterator[Line]:
    """The lines of a recording, as they are heard.

    Args:
        source: a file, of which a block at a time is in memory, or what is there already.
        on_done: called with the seconds that were dealt with.
        task, target: a task that translates writes the lines in another language.

    Raises:
        AlmError: a file that cannot be read, or what the pipeline refuses.
    """
    end_s, at_s = source.duration_s if isinstance(source, Audio) else duration_of(AudioFile(source)), 0.0
    while at_s < end_s - 1e-3:
        block_s = min(BLOCK_S, end_s - at_s)
        block = prepare(_part(source, at_s, block_s), detector.card.sample_rate_hz)
        speech, rate_hz = detector.probabilities(block), detector.card.frame_rate_hz
        stretches = stretches_of(speech, rate_hz, cutting)
        last = at_s + block_s >= end_s - 1e-3
        done_s = block_s
        if not last and stretches and block_s - stretches[-1][1] < cutting.pause_s and len(stretches) > 1:
            done_s = stretches.pop()[0]  # it may go on behind the block: the next one begins with it
        clips = [Audio(block.samples[:, round(start * block.sample_rate_hz) : _behind(start, stop, block.sample_rate_hz)], block.sample_rate_hz) for start, stop in stretches]
        for (start, stop), heard in zip(stretches, pipeline.read_closely(clips, language, task, target) if clips else [], strict=True):
            if heard.text:
                likely = float(speech[round(start * rate_hz) : _behind(start, stop, rate_hz)].mean())
                yield replace(Line(heard.text, 0.0, stop - start, heard.words, heard.log_prob).later(start + at_s), speech=likely)
        at_s += done_s
        if on_done:
            on_done(done_s)


def _part(source: Path | Audio, start_s: float, duration_s: float) -> Audio:
    if isinstance(source, Path):
        return read_audio(AudioFile(source, start_s, duration_s))
    start = round(start_s * source.sample_rate_hz)
    return Audio(source.samples[:, start : _behind(start_s, start_s + duration_s, source.sample_rate_hz)], source.sample_rate_hz)


def _behind(start_s: float, stop_s: float, rate_hz: float) -> int:
    """Where a stretch ends, of samples or frames, so that it holds one."""
    return max(round(stop_s * rate_hz), round(start_s * rate_hz) + 1)


def written(transcript: Transcript, kind: str) -> str:
    """A transcript as a file of a kind holds it: ".txt", ".srt" (SubRip), ".vtt" (WebVTT) or ".json".

    Raises:
        AlmError: another kind.
    """
    if kind == ".txt":
        return "".join(f"{line.text}\n" for line in transcript)
    if kind == ".srt":
        return "".join(f"{number}\n{_clock(line.start_s, ',')} --> {_clock(line.stop_s, ',')}\n{line.text}\n\n" for number, line in enumerate(transcript, start=1))
    if kind == ".vtt":
        return "WEBVTT\n\n" + "".join(f"{_clock(line.start_s, '.')} --> {_clock(line.stop_s, '.')}\n{line.text.replace('-->', '->')}\n\n" for line in transcript)
    if kind == ".json":
        return json.dumps({"segments": [_as_json(line) for line in transcript]}, ensure_ascii=False, indent=1) + "\n"
    raise AlmError(f"got a transcript to be written as {kind or 'a name without ending'}", f"a name ending in {', '.join(KINDS)}", "rename it")


def _as_json(line: Line) -> dict[str, Any]:
    words = [{"word": word.text, "start": round(word.start_s, 2), "end": round(word.stop_s, 2)} for word in line.words]
    return {"start": round(line.start_s, 2), "end": round(line.stop_s, 2), "text": line.text, "words": words}


def _clock(seconds: float, point: str) -> str:
    """00:01:02.345"""
    milliseconds = round(seconds * 1000)
    return f"{milliseconds // 3_600_000:02}:{milliseconds // 60_000 % 60:02}:{milliseconds // 1000 % 60:02}{point}{milliseconds % 1000:03}"
