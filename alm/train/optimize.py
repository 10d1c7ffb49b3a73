"""Optimizer and schedule that the objectives share. Progress is the larger share of steps, tokens or minutes used up."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn


def progress(module: Any) -> float:
    """How much of the run is done, 0 to 1, by the limit that is nearest. `module.trainer` carries alm's Limits callback."""
    for callback in module.trainer.callbacks:
        if hasattr(callback, "share_done"):
            return float(callback.share_done(module.trainer))
    return 0.0


def optimizer_of(named: Iterable[tuple[str, nn.Parameter]], train: Any, share_done: Callable[[], float]) -> dict[str, Any]:
    """The optimizer that the recipe names, without decay on vectors and on tables of which rows are frozen, linear warm-up, then cosine to 5 % ("cosine") or constant ("constant")."""
    named = [(name, p) for name, p in named if p.requires_grad]
    decays = {name: p.dim() > 1 and not getattr(p, "frozen_rows", 0) for name, p in named}
    groups = [{"params": [p for name, p in named if decays[name] == decay], "weight_decay": train.weight_decay if decay else 0.0} for decay in (True, False)]
    if train.optimizer == "adafactor":
        optimizer: torch.optim.Optimizer = torch.optim.Adafactor(groups, lr=train.learning_rate)
    else:
        optimizer = torch.optim.AdamW(groups, lr=train.learning_rate, betas=(0.9, 0.98))
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule(optimizer, train, share_done), "interval": "step"}}


def schedule(optimizer: torch.optim.Optimizer, train: Any, share_done: Callable[[], float]) -> torch.optim.lr_scheduler.LambdaLR:
    """Linear warm-up over `train.warmup_steps`, then cosine to 5 % or constant, by the share of the run that is done."""

    def factor(step: int) -> float:
        warm = min(1.0, (step + 1) / max(1, train.warmup_steps))
        decay = 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(1.0, share_done()))) if train.schedule == "cosine" else 1.0
        return warm * decay

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
