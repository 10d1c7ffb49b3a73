"""One figure beside its peer's, how it is timed, and on what."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Sequence as Many
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

import alm
from alm.api.types import Audio, Utterance
from alm.core.parts import Parts
from alm.core.pipeline import Pipeline

CLIPS = 40


class Bench:
    """What is measured on: the shipped model and recordings, each loaded when a figure first wants it."""

    @cached_property
    def pipeline(self) -> Pipeline:
        return alm.load("prompts")

    @cached_property
    def utterances(self) -> list[Utterance]:
        """All of the shipped corpus, training, validation and test."""
        parts = Parts.of("units-asr")
        return [utterance for split in ("train", "dev", "test") for utterance in parts.utterances(split)]

    @cached_property
    def clips(self) -> list[Audio]:
        """Clips of the test split, drawn at random."""
        chosen = random.Random(0).sample(list(self.pipeline.parts.utterances("test")), CLIPS)
        return [alm.read_audio(utterance.audio) for utterance in chosen if utterance.audio]


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
    if torch.cuda.is_available():
        torch.cuda.synchronize()
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
