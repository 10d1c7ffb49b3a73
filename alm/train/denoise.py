"""Span denoising on sequences of text and units: stretches are taken out, and written in their order behind what is left.

T5's objective (Raffel et al., arXiv 1910.10683) for a causal network, as UL2 has it for decoders (Tay et al., arXiv 2205.05131). Where a
stretch was stands its number in plain text, ` [1]`, so that no vocabulary has to grow; behind the rest, each number again with what stood
there.
"""

from __future__ import annotations

import itertools
import random
from typing import Any

import torch

from alm.api.types import Sequence, Span
from alm.api.vocabulary import JointVocabulary
from alm.core.parts import Parts
from alm.train import lm
from alm.train.options import DenoiseOptions


def spans_out(length: int, share: float, span_ids: float, chance: random.Random) -> list[slice]:
    """Stretches to take out of so many positions, in their order, never the first position, with at least one left between two: the
    numbers of positions are parted at random, as T5 does."""
    noise = round(share * (length - 1))
    count = min(max(1, round(noise / span_ids)), noise, length - noise)
    if count < 1:
        return []
    sizes, gaps = _parted(noise, count, chance), _parted(length - noise + 1, count + 1, chance)
    found, start = [], 0
    for gap, size in zip(gaps, sizes, strict=False):
        found.append(slice(start + gap, start + gap + size))
        start += gap + size
    return found


def _parted(total: int, parts: int, chance: random.Random) -> list[int]:
    """Random sizes of at least 1 with this sum."""
    cuts = [0, *sorted(chance.sample(range(1, total), parts - 1)), total]
    return [right - left for left, right in itertools.pairwise(cuts)]


def denoised(sequence: Sequence, vocabulary: JointVocabulary, stretches: list[slice]) -> Sequence:
    """What is left of a sequence, given; then what was taken out, to be learnt, and the end token."""
    left, out = list[int](), list[int]()  # positions of the sequence, or numbers of stretches as -1, -2, ...
    position = 0
    for number, stretch in enumerate(stretches, start=1):
        left += [*range(position, stretch.start), -number]
        out += [-number, *range(stretch.start, stretch.stop)]
        position = stretch.stop
    left += range(position, len(sequence))
    numbers = {number: vocabulary.text_ids(f" [{number}]") for number in range(1, len(stretches) + 1)}

    def written(positions: list[int]) -> tuple[list[int], list[int]]:
        """Ids, and where in the sequence each was; -1 of a number."""
        pairs = [pair for p in positions for pair in ([(int(sequence.ids[p]), p)] if p >= 0 else [(index, -1) for index in numbers[-p]])]
        return [index for index, _ in pairs], [p for _, p in pairs]

    (given, given_at), (wanted, wanted_at) = written(left), written(out)
    ids = torch.tensor([*given, *wanted, vocabulary.end_id])
    learn = torch.tensor([False] * len(given) + [True] * (len(wanted) + 1))
    more = None
    if sequence.more is not None:
        rows = torch.cat([sequence.more, sequence.more.new_full((1, sequence.more.shape[1]), -1)])
        more = rows[torch.tensor([*given_at, *wanted_at, -1])]
    return Sequence(ids, learn, (), (Span(0, len(given), "text"), Span(len(given), len(ids), "text")), more)


def build(parts: Parts, options: DenoiseOptions, track: Any) -> tuple[lm.LanguageModelTraining, Any, Any]:
    """The module and its loaders."""

    def change(sequence: Sequence, vocabulary: JointVocabulary, chance: random.Random) -> Sequence:
        if sequence.slots:
            return sequence  # features cannot be written; what is learnt of them stays
        return denoised(sequence, vocabulary, spans_out(len(sequence), options.noise_share, options.span_ids, chance))

    numbers = 2 * 4 / options.span_ids  # positions of a stretch's number, twice, beside one of its own
    return lm.build(parts, options, track, change=change, growth=1 + options.noise_share * numbers)
