"""How well units and a labelling of the same frames tell each other: HuBERT's phone purity, cluster purity and PNMI.

Any labels will do: phones of an alignment, characters of a CTC head, speakers. Sees counts, no sound (arXiv 2106.07447, 4.3).
"""

from __future__ import annotations

from collections.abc import Sequence as Many
from dataclasses import dataclass

import torch
from torch import Tensor

from alm.api.errors import AlmError


@dataclass(frozen=True)
class Purity:
    """Attributes:
    label_purity: share of frames whose label is the most frequent one of their unit ("phone purity").
    cluster_purity: share of frames whose unit is the most frequent one of their label.
    normalized_mutual_information: of labels and units, as a share of the labels' entropy ("PNMI"): what a unit tells of the label.
    perplexity: of the units; how many of them are in use, so to speak.
    frames: that were counted.
    """

    label_purity: float
    cluster_purity: float
    normalized_mutual_information: float
    perplexity: float
    frames: int


def purity(units: Many[Tensor], labels: Many[Tensor]) -> Purity:
    """Purity over clips.

    Args:
        units: of each clip, [F] int64.
        labels: of each clip, [F'] int64, at any rate: the label in the middle of a unit is its label. Negative labels are left out.

    Raises:
        AlmError: another number of clips, or no frame with a label.
    """
    if len(units) != len(labels):
        raise AlmError(f"got units of {len(units)} clips and labels of {len(labels)}", "one of each for every clip", "pass them in the same order")
    pairs = [torch.stack([codes, _at_rate(own, len(codes))]) for codes, own in zip(units, labels, strict=True) if len(codes) and len(own)]
    paired = torch.cat(pairs, 1) if pairs else torch.empty(2, 0, dtype=torch.int64)
    paired = paired[:, paired[1] >= 0]
    if not paired.shape[1]:
        raise AlmError("got no frame that has a unit and a label", "labelled speech", "look at the labels: negative ones are left out")
    codes, own = paired
    counts = torch.zeros(int(codes.max()) + 1, int(own.max()) + 1, dtype=torch.float64)
    counts.index_put_((codes, own), torch.ones(len(codes), dtype=torch.float64), accumulate=True)
    joint = counts / counts.sum()
    by_unit, by_label = joint.sum(1), joint.sum(0)
    label_entropy, unit_entropy = _entropy(by_label), _entropy(by_unit)
    information = label_entropy + unit_entropy - _entropy(joint.flatten())
    return Purity(
        label_purity=float(joint.max(1).values.sum()),
        cluster_purity=float(joint.max(0).values.sum()),
        normalized_mutual_information=float(information / label_entropy) if label_entropy > 0 else 1.0,
        perplexity=float(unit_entropy.exp()),
        frames=len(codes),
    )


def _at_rate(labels: Tensor, frames: int) -> Tensor:
    """[F'] -> [frames]: the label in the middle of each frame."""
    return labels[((torch.arange(frames) + 0.5) * len(labels) / frames).long()]


def _entropy(shares: Tensor) -> Tensor:
    """In nats."""
    return -(shares * shares.clamp(min=1e-300).log()).sum()
