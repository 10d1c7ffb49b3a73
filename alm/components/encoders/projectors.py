"""Projectors: encoder frames -> slots of the backbone's input. Plain modules, trained with the language model."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from alm.api.errors import UnknownNameError


class StackProjector(nn.Module):
    """Joins `stack` frames into one position and maps them to the backbone's width."""

    def __init__(self, feature_size: int, hidden_size: int, stack: int, *, layers: int) -> None:
        super().__init__()
        self.stack = stack
        self.norm = nn.LayerNorm(feature_size * stack)
        wide = [nn.Linear(feature_size * stack, hidden_size), nn.GELU(), nn.Linear(hidden_size, hidden_size)]
        self.net = nn.Sequential(*wide) if layers == 2 else nn.Linear(feature_size * stack, hidden_size)

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """values [B, F, D], mask [B, F] -> [B, ceil(F / stack), hidden_size]."""
        values = values * mask[..., None]
        values = F.pad(values, (0, 0, 0, -values.shape[1] % self.stack))
        return self.net(self.norm(values.unflatten(1, (-1, self.stack)).flatten(2)))


def build_projector(name: str, feature_size: int, hidden_size: int, stack: int) -> nn.Module:
    """`stack-mlp` or `linear`.

    Raises:
        UnknownNameError: another name.
    """
    layers = {"stack-mlp": 2, "linear": 1}
    if name not in layers:
        raise UnknownNameError(f"got projector {name!r}", "a known projector", f"one of: {', '.join(layers)}")
    return StackProjector(feature_size, hidden_size, stack, layers=layers[name])
