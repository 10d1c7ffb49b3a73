"""Batches of clips of like length: little padding, a bounded size. Knows lengths alone."""

from __future__ import annotations

from collections.abc import Sequence as Many
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def batches_by_length(lengths: Many[int], max_total: int) -> list[list[int]]:
    """Indices grouped so that (longest in the group) x (size of the group) <= max_total; at least one in a group."""
    groups: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if groups and lengths[index] * (len(groups[-1]) + 1) <= max_total:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def pad_frames(values: Many[Tensor]) -> tuple[Tensor, Tensor]:
    """Frames [F_i, ...] -> [B, F, ...] with zeros behind, and the mask [B, F] of real frames."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    lengths = torch.tensor([len(value) for value in values], device=values[0].device)
    padded = pad_sequence(list(values), batch_first=True)
    return padded, torch.arange(padded.shape[1], device=padded.device) < lengths[:, None]
