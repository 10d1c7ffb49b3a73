"""What is asked of a pipeline, and what it gives. Plain data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence as Many
from dataclasses import dataclass, field
from typing import Any

import torch

from alm.api.types import Audio, AudioFile, Marks, Prosody, Segment, Sequence, Span, Speaker, Units

NOTHING = Sequence(torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.bool))  # where no backbone was shown anything


@dataclass(frozen=True)
class Request:
    """One thing to do: a task, its input, its languages.

    Attributes:
        content: the task's first input; of another modality than text and sound, a path or what the encoder takes for one.
        labels: its further ones in text, by name: {"question": "which key do I press?"}.
        other: the second recording, for a task that is given two.
    """

    task: str
    content: Any
    source: str
    target: str = ""
    speaker: Speaker = ""
    prosody: Prosody = Prosody()
    labels: Mapping[str, str] = field(default_factory=dict)
    other: Audio | AudioFile | None = None


@dataclass(frozen=True, eq=False)
class Result:
    """What came out: the segments in order, the audio of the last unit segment, and how long each stage took.

    Of a text that was spoken clause by clause, `emitted` and `spans` hold the prompts of the later clauses too.

    Attributes:
        log_prob: of an id of what was written, as the model itself sees it, a mean; None where it wrote nothing or does not tell.
    """

    request: Request
    segments: tuple[Segment, ...]
    audio: Audio | None
    prompt: Sequence
    emitted: tuple[int, ...]
    spans: tuple[Span, ...]  # over the prompt's ids followed by the emitted ones
    seconds: dict[str, float] = field(default_factory=dict)
    log_prob: float | None = None

    @property
    def texts(self) -> list[str]:
        return [s.content for s in self.segments if isinstance(s.content, str)]

    @property
    def text(self) -> str:
        """The last text that was emitted, "" if there is none."""
        return self.texts[-1] if self.texts else ""

    @property
    def marks(self) -> Marks:
        """The last marks that were emitted."""
        found = [s.content for s in self.segments if isinstance(s.content, tuple)]
        return found[-1] if found else ()

    @property
    def units(self) -> Units | None:
        found = [s.content for s in self.segments if isinstance(s.content, Units)]
        return found[-1] if found else None

    def _repr_html_(self) -> str:
        from alm.api.display import result_html

        return result_html(self)


@dataclass(frozen=True, eq=False)
class Piece:
    """Part of a result, as soon as it is there.

    Attributes:
        text: what was written since the piece before; `span` says in which of the task's outputs.
        audio: what follows the sound before.
        seconds: spent so far on each stage: tokenize, prefill, decode, vocode. With the first piece of sound, they are what the
            listener waited for.
        result: the whole, with the last piece alone.
    """

    span: int = 0
    text: str = ""
    audio: Audio | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    result: Result | None = None


def joined(request: Request, results: Many[Result]) -> Result:
    """The results of a text's clauses as one: units and audio one after another."""
    first = results[0]
    if len(results) == 1:
        return first
    clips = [result.audio for result in results if result.audio is not None]
    spoken = [segment for result in results for segment in result.segments if isinstance(segment.content, Units) and segment.content.num_frames]
    segments = (dataclasses.replace(spoken[0], content=Units.join([s.content for s in spoken if isinstance(s.content, Units)])),) if spoken else ()
    audio = Audio.join(clips) if clips else None
    emitted, spans = list(first.emitted), list(first.spans)
    for result in results[1:]:
        start = len(first.prompt) + len(emitted)
        spans += [Span(span.start + start, span.stop + start, span.kind) for span in result.spans]
        emitted += [*result.prompt.ids.tolist(), *result.emitted]
    seconds = {stage: sum(result.seconds[stage] for result in results) for stage in first.seconds}
    return Result(request, segments, audio, first.prompt, tuple(emitted), tuple(spans), seconds)


def mean_or_none(values: Many[float]) -> float | None:
    return sum(values) / len(values) if values else None


def spans_of(prompt: Sequence, emitted: Many[int], vocabulary: Any) -> tuple[Span, ...]:
    """The prompt's spans and those of the emitted ids, which change at every line break and between text and units."""
    spans = list(prompt.spans)
    offset = len(prompt)
    for position, index in enumerate(emitted, start=offset):
        kind: Any = vocabulary.kind_of(index)
        if spans and position > offset and spans[-1].kind == kind:
            spans[-1] = Span(spans[-1].start, position + 1, kind)
        else:
            spans.append(Span(position, position + 1, kind))
    return tuple(spans)
