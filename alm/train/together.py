"""Training by several processes: what Lightning is told, weights that are shared out among them (FSDP2), and what is done by one at a time. Knows no objective."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
from torch import nn

if TYPE_CHECKING:
    from alm.core.config import TrainConfig

FSDP2 = "fsdp2"


def strategy_of(train: TrainConfig) -> Any:
    """Lightning's strategy for a recipe's."""
    if train.strategy == FSDP2:
        from pytorch_lightning.strategies import ModelParallelStrategy

        return ModelParallelStrategy(data_parallel_size=train.devices * train.nodes, tensor_parallel_size=1, save_distributed_checkpoint=False)
    if train.strategy == "ddp" or train.strategy == "auto" and train.devices * train.nodes > 1:
        return "ddp_find_unused_parameters_true"  # a batch without sound uses no projector
    return train.strategy


def share_out(module: pl.LightningModule, backbone: nn.Module) -> None:
    """Under FSDP2 each process keeps its share of every weight: a block of the backbone's is put together while that block computes."""
    mesh = getattr(module, "device_mesh", None)
    if mesh is None or getattr(module, "_alm_shared", False):
        return
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    mesh = mesh["data_parallel"]
    for part in list(backbone.modules()):
        if isinstance(part, nn.ModuleList):
            for block in part:
                if next(block.parameters(), None) is not None:
                    fully_shard(block, mesh=mesh)
    fully_shard(module, mesh=mesh, reshard_after_forward=False)
    for method in ("training_step", "validation_step"):
        register_fsdp_forward_method(module, method)
    module._alm_shared = True  # type: ignore[assignment]


def gather(module: nn.Module) -> None:
    """Puts weights that were shared out together again, in each process, once training is over; nothing else changes."""
    from torch.distributed.tensor import DTensor

    whole: dict[int, nn.Parameter] = {}
    for part in module.modules():
        for name, parameter in list(part._parameters.items()):
            if isinstance(parameter, DTensor):
                if id(parameter) not in whole:
                    whole[id(parameter)] = nn.Parameter(parameter.full_tensor().detach().clone(), parameter.requires_grad)
                part._parameters[name] = whole[id(parameter)]


def is_first() -> bool:
    """Whether this process speaks for all, as torchrun, Slurm or Lightning number them."""
    return next((os.environ[name] for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK") if name in os.environ), "0") == "0"


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Of processes that are started together, one prepares the data; the others find it in the cache."""
    from filelock import FileLock

    started_together = int(os.environ.get("WORLD_SIZE", os.environ.get("SLURM_NTASKS", "1"))) > 1
    with FileLock(folder / ".preparing") if started_together else nullcontext():
        yield
