"""Who is who by vectors: pairs of recordings, their cosines, and the rate at which as many are wrongly taken as wrongly refused. Sees vectors alone."""

from __future__ import annotations

from collections.abc import Sequence as Many
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Verification:
    """Attributes:
    eer: equal error rate, in per cent.
    threshold: the cosine at which it is.
    same, other: pairs of one speaker, and of two.
    """

    eer: float
    threshold: float
    same: int
    other: int


def verify(vectors: Tensor, speakers: Many[str]) -> Verification:
    """Over all pairs of recordings.

    Args:
        vectors: of length 1, [N, D].
        speakers: who speaks in each.
    """
    first, second = torch.triu_indices(len(vectors), len(vectors), 1)
    cosines = (vectors @ vectors.T)[first, second]
    names = torch.tensor([sorted(set(speakers)).index(speaker) for speaker in speakers])
    same = names[first] == names[second]
    eer, threshold = equal_error_rate(cosines, same)
    return Verification(100 * eer, threshold, int(same.sum()), int((~same).sum()))


def equal_error_rate(scores: Tensor, same: Tensor) -> tuple[float, float]:
    """The rate, and the score from which pairs are taken: where the shares of pairs wrongly taken and wrongly refused are closest.

    Args:
        scores: [P], higher for pairs of one kind.
        same: [P] bool.
    """
    order = scores.argsort()
    ranked = same[order]
    refused = torch.cat([torch.zeros(1), ranked.cumsum(0) / ranked.sum().clamp(min=1)])  # of the same, below each place
    taken = 1 - torch.cat([torch.zeros(1), (~ranked).cumsum(0) / (~ranked).sum().clamp(min=1)])  # of others, from each place on
    place = int((refused - taken).abs().argmin())
    sorted_scores = scores[order]
    threshold = float(sorted_scores[min(place, len(scores) - 1)])
    return float((refused[place] + taken[place]) / 2), threshold
