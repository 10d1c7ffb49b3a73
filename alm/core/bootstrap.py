"""How sure a difference in word errors is: the same clips drawn again and again (Bisani and Ney, ICASSP 2004). Sees texts and counts."""

from __future__ import annotations

from collections.abc import Sequence as Many
from typing import NamedTuple

import jiwer
import numpy as np

from alm.api.errors import AlmError

DRAWS = 10_000


class Interval(NamedTuple):
    """A difference and where 95 % of the draws have it."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:+.2f} [{self.low:+.2f}, {self.high:+.2f}]"


class Errors(NamedTuple):
    """Of each clip: words that were wrong, and words that were said; [N] both."""

    wrong: np.ndarray
    words: np.ndarray

    @property
    def wer(self) -> float:
        """In per cent."""
        return float(100 * self.wrong.sum() / self.words.sum())


def word_errors(references: Many[str], read: Many[str]) -> Errors:
    """
    Raises:
        AlmError: no reference with a word.
    """
    if not any(reference.strip() for reference in references):
        raise AlmError("got no reference with a word", "clips with transcripts", "name others")
    counted = [(text, said) for text, said in zip(references, read, strict=True) if text.strip()]
    found = [jiwer.process_words(text, said) for text, said in counted]
    return Errors(np.array([f.substitutions + f.deletions + f.insertions for f in found]), np.array([f.hits + f.substitutions + f.deletions for f in found]))


def wer_difference(before: Errors, after: Errors, seed: int = 0) -> Interval:
    """WER of `after` less that of `before`, in per cent, on the same clips: each draw takes clips with what both made of them.

    Raises:
        AlmError: not the same clips.
    """
    if before.words.tolist() != after.words.tolist():
        raise AlmError(f"got errors of {len(before.words)} and of {len(after.words)} other clips", "the same clips", "compare what was read of the same references")
    drawn = np.random.default_rng(seed).integers(0, len(before.words), (DRAWS, len(before.words)))
    changes = 100 * (after.wrong - before.wrong)[drawn].sum(1) / before.words[drawn].sum(1)
    low, high = np.percentile(changes, [2.5, 97.5])
    return Interval(after.wer - before.wer, float(low), float(high))
