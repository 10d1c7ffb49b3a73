"""Sound of units while they are being made, and where the time until it is heard went. Sees units, not what made them."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

from alm.api.types import Audio, Prosody, Speaker, Units

CLAUSE_END = re.compile(r"[.!?;:,]\s|[。！？，]")  # where a text that is still being written can be read aloud so far
MIN_CLAUSE = 12  # characters


class Clauses:
    """A text that is read aloud while it is being written: each clause once, as soon as it is whole."""

    def __init__(self) -> None:
        self.read = 0  # characters

    def new(self, text: str) -> Iterator[str]:
        """Those of a text so far that were not given yet."""
        while end := CLAUSE_END.search(text, self.read + MIN_CLAUSE):
            start, self.read = self.read, end.end()
            yield text[start : self.read]

    def rest(self, text: str) -> Iterator[str]:
        """What is left of a text to which nothing comes any more, in one."""
        start, self.read = self.read, len(text)
        if text[start:].strip():
            yield text[start:]


class Clock:
    """Seconds of each stage, from one call to the next."""

    def __init__(self, *stages: str) -> None:
        self.at, self.seconds = time.perf_counter(), dict.fromkeys(stages or ("tokenize", "prefill", "decode", "vocode"), 0.0)

    def spent(self, stage: str) -> None:
        """All time since the last call went to this stage."""
        now = time.perf_counter()
        self.seconds[stage] += now - self.at
        self.at = now

    def resume(self) -> None:
        """Time since the last call was the caller's."""
        self.at = time.perf_counter()


class Voice:
    """Sound of one clip whose units are still being made; all of it at the end from a vocoder that does not stream.

    Args:
        first_units, chunk_units: how many are spoken first, and at a time from then on.
    """

    def __init__(self, vocoder: Any, speaker: Speaker, prosody: Prosody, first_units: int, chunk_units: int) -> None:
        self.vocoder, self.speaker, self.chunk_units = vocoder, speaker, chunk_units
        self.how = [prosody] if prosody.changes() else []
        self.stream = vocoder.stream(speaker, *self.how) if vocoder.card.streams else None
        self.wanted, self.pushed = first_units + vocoder.card.lookahead_units, 0

    def say(self, units: Units, *, last: bool) -> Audio | None:
        """What follows the sound so far, of all units that there are."""
        if self.stream is None:
            how = [self.how] if self.how else []
            return self.vocoder.synthesize([units], [self.speaker], *how)[0] if last and units.num_frames else None
        if not last and units.num_frames < self.wanted:
            return None
        clips = [self.stream.push(units[self.pushed :])]
        self.pushed, self.wanted = units.num_frames, units.num_frames + self.chunk_units
        clips += [self.stream.finish()] if last else []
        heard = [clip for clip in clips if clip is not None]
        return Audio.join(heard) if heard else None
