"""One figure beside its peer's, and how it is timed. Knows nothing of sound."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence as Many
from dataclasses import dataclass
from typing import Any

CLIPS = 40


@dataclass(frozen=True)
class Row:
    """One figure beside its peer's. `ratio` > 1 means that alm is faster, or that it needs less."""

    name: str
    value: float
    unit: str
    baseline: str
    baseline_value: float
    ratio: float
    clips: int
    command: str = "make bench"


def seconds_of(action: Callable[[], Any]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def timed(action: Callable[[], Any]) -> float:
    """Seconds of the second of two runs."""
    action()
    return seconds_of(action)


def timed_in_turn(*actions: Callable[[], Any], rounds: int = 3) -> Many[float]:
    """Median seconds of each, run in turn, so that a machine that others use too treats them alike."""
    taken = [[seconds_of(action) for action in actions] for _ in range(rounds)]
    return [statistics.median(column) for column in zip(*taken, strict=True)]


def row(name: str, unit: str, amount: float, mine_s: float, peer: str, peer_s: float, clips: int = CLIPS) -> Row:
    return Row(name, round(amount / mine_s, 2), unit, peer, round(amount / peer_s, 2), round(peer_s / mine_s, 2), clips)
