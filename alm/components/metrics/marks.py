"""Metrics of what stands where in a recording. See marks alone."""

from __future__ import annotations

import math
from collections.abc import Sequence as Many
from difflib import SequenceMatcher

from alm.api.cards import MetricCard
from alm.api.text import normalize_text
from alm.api.types import Marks
from alm.components.metrics.cards import MARK_CARDS

FRAME_S = 0.01


class MarkMetric:
    """`mark_shift` or `mark_f1`."""

    def __init__(self, name: str) -> None:
        self.card: MetricCard = MARK_CARDS[name]
        self._score = {"mark_shift": mark_shift, "mark_f1": mark_f1}[name]

    def score(self, hypotheses: Many[Marks], references: Many[Marks], language: str) -> float:
        """Marks of each recording against those that are right; texts are compared as texts of a language."""

        def spelt(marks: Marks) -> list[tuple[str, float, float]]:
            return [(normalize_text(mark.text, language, accents=False), mark.start_s, mark.stop_s) for mark in marks]

        return self._score([spelt(marks) for marks in hypotheses], [spelt(marks) for marks in references])


Spelt = list[tuple[str, float, float]]


def mark_shift(hypotheses: Many[Spelt], references: Many[Spelt]) -> float:
    """Mean distance of starts and ends from the right ones, in ms, over the marks whose texts align (accumulated averaging shift,
    arXiv 2305.11013); infinite where none does."""
    shifts = []
    for said, true in zip(hypotheses, references, strict=True):
        for block in SequenceMatcher(None, [m[0] for m in said], [m[0] for m in true], autojunk=False).get_matching_blocks():
            for offset in range(block.size):
                a, b = said[block.a + offset], true[block.b + offset]
                shifts += [abs(a[1] - b[1]), abs(a[2] - b[2])]
    return 1000 * sum(shifts) / len(shifts) if shifts else math.inf


def mark_f1(hypotheses: Many[Spelt], references: Many[Spelt]) -> float:
    """F1 over steps of 10 ms, each text by itself, all recordings together, in percent (segment-based, Mesaros et al., 2016)."""
    both = said = true = 0
    for marks, right in zip(hypotheses, references, strict=True):
        a, b = _frames(marks), _frames(right)
        both, said, true = both + len(a & b), said + len(a), true + len(b)
    return 100 * 2 * both / (said + true) if said + true else 100.0


def _frames(marks: Spelt) -> set[tuple[str, int]]:
    return {(text, frame) for text, start_s, stop_s in marks for frame in range(round(start_s / FRAME_S), round(stop_s / FRAME_S))}
