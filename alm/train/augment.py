"""Disturbances of what a network is given in training, shared by the objectives. Sees rows, not what they mean."""

from __future__ import annotations

import torch
from torch import Tensor


def replace_rows(rows: Tensor, share: float) -> Tensor:
    """A share of the rows [N, ...] replaced by others of the batch, drawn anew each time."""
    hit = torch.rand(len(rows), *(1,) * (rows.dim() - 1), device=rows.device) < share
    return torch.where(hit, rows[torch.randperm(len(rows), device=rows.device)], rows)
