"""Probabilities of speech -> stretches that a recognizer can hear at once. Sees numbers, no sound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

STEP_S = 0.01  # in which time is counted


@dataclass(frozen=True)
class Cutting:
    """How a recording is cut.

    Attributes:
        speech, silence: probability from which a frame begins a stretch of speech, and under which one ends.
        shortest_s: stretches of speech that are shorter are passed over.
        pause_s: a shorter pause does not end a stretch.
        margin_s: kept before and behind a stretch.
        longest_s: a longer stretch is cut where speech is least likely.
    """

    speech: float = 0.5
    silence: float = 0.35
    shortest_s: float = 0.1
    pause_s: float = 0.3
    margin_s: float = 0.2
    longest_s: float = 28.0


Stretch = tuple[float, float]  # from, to, in s


def speech_of(probabilities: Tensor, frame_rate_hz: float, cutting: Cutting = Cutting()) -> list[Stretch]:
    """Stretches of speech, without their margins.

    Args:
        probabilities: [F].
    """
    found: list[list[float]] = []
    speaks = False
    for frame, value in enumerate(probabilities.tolist()):
        if not speaks and value >= cutting.speech:
            speaks = True
            start = frame / frame_rate_hz
            if found and start - found[-1][1] < cutting.pause_s:
                start = found.pop()[0]
            found.append([start, start])
        elif speaks and value < cutting.silence:
            speaks = False
        if speaks:
            found[-1][1] = (frame + 1) / frame_rate_hz
    return [(start, stop) for start, stop in found if stop - start >= cutting.shortest_s]


def stretches_of(probabilities: Tensor, frame_rate_hz: float, cutting: Cutting = Cutting()) -> list[Stretch]:
    """What is to be heard at once: stretches of speech with their margins, neighbours together as long as they fit, too long ones cut."""
    end_s = len(probabilities) / frame_rate_hz
    pieces = [piece for stretch in speech_of(probabilities, frame_rate_hz, cutting) for piece in _cut(stretch, probabilities, frame_rate_hz, cutting.longest_s)]
    joined: list[list[float]] = []
    for start, stop in pieces:
        start, stop = max(0.0, start - cutting.margin_s), min(end_s, stop + cutting.margin_s)
        if joined and start < joined[-1][1]:  # margins that overlap meet in the middle
            joined[-1][1] = start = (start + joined[-1][1]) / 2
        if joined and stop - joined[-1][0] <= cutting.longest_s and start - joined[-1][1] < 1.0:
            joined[-1][1] = stop
        else:
            joined.append([start, stop])
    return [(start, stop) for start, stop in joined]


def _cut(stretch: Stretch, probabilities: Tensor, frame_rate_hz: float, longest_s: float) -> list[Stretch]:
    """A stretch in pieces of at most `longest_s`, cut in their later half where speech is least likely."""
    start, stop = stretch
    pieces = []
    while stop - start > longest_s:
        first, last = round((start + longest_s / 2) * frame_rate_hz), round((start + longest_s) * frame_rate_hz)
        cut = (first + int(probabilities[first:last].argmin()) + 0.5) / frame_rate_hz
        pieces.append((start, cut))
        start = cut
    return [*pieces, (start, stop)]


def speech_f1(found: Sequence[Stretch], wanted: Tensor, sample_rate_hz: int) -> float:
    """F1 of the time that is taken for speech, in per cent, in steps of 10 ms.

    Args:
        wanted: which samples are speech, [T] bool.
    """
    truth = wanted[:: round(STEP_S * sample_rate_hz)]
    taken = torch.zeros(len(truth), dtype=torch.bool)
    for start_s, stop_s in found:
        taken[round(start_s / STEP_S) : round(stop_s / STEP_S)] = True
    right = int((taken & truth).sum())
    return 200 * right / max(1, int(taken.sum()) + int(truth.sum()))
