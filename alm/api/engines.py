"""What spreads a tokenizing job over processes or machines. Knows chunks and reports, not what is in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Report:
    """What became of a chunk: how many clips it had, seconds of sound that were tokenized, clips that were set aside."""

    clips: int
    seconds: float
    bad: int


OnClips = Callable[[int, float], None]  # clips, and seconds of sound, that are done since the last call


class Engine(Protocol):
    """Calls a worker for each chunk, in any order and anywhere that sees the job's files."""

    def __call__(self, make_worker: Callable[[], Callable[[Any], Report]], chunks: Iterable[Any], on_clips: OnClips) -> Iterator[Report]:
        """Yields a report for each chunk as it is done.

        Args:
            make_worker: makes what tokenizes chunks; costly (it loads the tokenizer), so once a process. It and the chunks can be
                pickled. A worker writes the results itself, whole or not at all, so that a chunk may be done twice.
            on_clips: to be told of progress.
        """
        ...
