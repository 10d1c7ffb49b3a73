"""Projectors: encoder frames -> slots of the backbone's input. Plain modules, trained with the language model."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alm.api.errors import UnknownNameError
from alm.components.nets import CtcHead


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


class PoolProjector(nn.Module):
    """Averages `stack` frames, norm, one layer, with a learned begin and end around each clip (Qwen-Audio, arXiv 2311.07919)."""

    def __init__(self, feature_size: int, hidden_size: int, stack: int) -> None:
        super().__init__()
        self.stack = stack
        self.norm = nn.LayerNorm(feature_size)
        self.net = nn.Linear(feature_size, hidden_size)
        self.begin = nn.Parameter(0.02 * torch.randn(hidden_size))
        self.end = nn.Parameter(0.02 * torch.randn(hidden_size))

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """values [B, F, D], mask [B, F] -> [B, 1 + ceil(F / stack) + 1, hidden_size]; a clip's end follows its last frame."""
        rest = -values.shape[1] % self.stack
        values = F.pad(values * mask[..., None], (0, 0, 0, rest)).unflatten(1, (-1, self.stack)).sum(2)
        counts = F.pad(mask, (0, rest)).unflatten(1, (-1, self.stack)).sum(2)
        pooled = self.net(self.norm(values / counts.clamp(min=1)[..., None]))
        begin, room = self.begin.expand(len(pooled), 1, -1), pooled.new_zeros(len(pooled), 1, pooled.shape[2])
        slots = torch.cat([begin, pooled, room], 1)
        ends = 1 + (counts > 0).sum(1)
        return torch.where((torch.arange(slots.shape[1], device=slots.device) == ends[:, None])[..., None], self.end, slots)


class MixtureProjector(nn.Module):
    """Posteriors over the pieces of the backbone's text tokenizer -> the mixture of its own text rows, and a small correction.

    Speech enters as text that is not yet sure of itself, so what the network learns on text serves speech (LegoSLM, arXiv
    2505.11352). Blank comes first among the classes.

    Attributes:
        text_labels: the pieces; core hands `forward` the rows of as many text ids, and checks that they are the backbone's.
    """

    def __init__(self, feature_size: int, hidden_size: int, text_labels: tuple[str, ...]) -> None:
        super().__init__()
        self.text_labels = text_labels
        self.correction = nn.Linear(feature_size, hidden_size, bias=False)
        nn.init.zeros_(self.correction.weight)

    def forward(self, values: Tensor, mask: Tensor, rows: Tensor) -> Tensor:
        """values [B, F, 1 + V], mask [B, F], rows [V, D] -> [B, F, D]."""
        values = values * mask[..., None]
        return values[..., 1:] @ rows + self.correction(values)


class HeardProjector(nn.Module):
    """Frames of an adapter -> the mixture of the backbone's text rows that its CTC head hears in them, and what else they hold.

    As MixtureProjector, but the head goes on learning with the language model, and a linear layer, zero at first, passes on how it sounded.

    Attributes:
        text_labels: as those of MixtureProjector.
    """

    def __init__(self, feature_size: int, hidden_size: int, head: CtcHead) -> None:
        super().__init__()
        self.text_labels = head.labels
        self.head = copy.deepcopy(head).requires_grad_(True)
        self.size = head.scores.in_features
        self.sound = nn.Linear(self.size, hidden_size, bias=False)
        self.time = TimeRows(hidden_size) if feature_size > self.size else None
        nn.init.zeros_(self.sound.weight)

    def forward(self, values: Tensor, mask: Tensor, rows: Tensor) -> Tensor:
        """values [B, F, D] or, with the time of each frame, [B, F, D + 1], mask [B, F], rows [V, H] -> [B, F, H]."""
        frames = values[..., : self.size] * mask[..., None]
        slots = self.head(frames).exp()[..., 1:].to(rows.dtype) @ rows + self.sound(frames)
        return slots if self.time is None else slots + self.time(values[..., -1])


class TimeRows(nn.Module):
    """Times in seconds -> vectors: sine and cosine at periods of PERIODS_S, as positions have them (arXiv 1706.03762), and one layer."""

    PERIODS_S = (0.1, 120.0)
    COUNT = 24

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        shortest, longest = self.PERIODS_S
        periods = shortest * (longest / shortest) ** (torch.arange(self.COUNT) / (self.COUNT - 1))
        self.register_buffer("turns", 2 * math.pi / periods, persistent=False)
        self.net = nn.Linear(2 * self.COUNT, hidden_size, bias=False)
        nn.init.normal_(self.net.weight, std=0.02)

    def forward(self, seconds: Tensor) -> Tensor:
        """[...] -> [..., hidden_size]."""
        angles = seconds[..., None] * self.turns
        return self.net(torch.cat([angles.sin(), angles.cos()], -1))


def build_projector(name: str, feature_size: int, hidden_size: int, stack: int, head: CtcHead | None = None, *, hears_frames: bool = False) -> nn.Module:
    """`stack-mlp`, `linear`, `pool-linear` or `mixture`.

    Args:
        head: for `mixture`, whose labels are the pieces to mix.
        hears_frames: of `mixture`, that it reads frames of the adapter, not the head's posteriors.

    Raises:
        UnknownNameError: another name.
    """
    if name == "mixture":
        assert head is not None, "a card without adapter refuses `mixture`"
        return HeardProjector(feature_size, hidden_size, head) if hears_frames else MixtureProjector(feature_size, hidden_size, head.labels)
    if name == "pool-linear":
        return PoolProjector(feature_size, hidden_size, stack)
    layers = {"stack-mlp": 2, "linear": 1}
    if name not in layers:
        raise UnknownNameError(f"got projector {name!r}", "a known projector", f"one of: mixture, pool-linear, {', '.join(layers)}")
    return StackProjector(feature_size, hidden_size, stack, layers=layers[name])
