"""How well each layer of an encoder tells a label: a linear classifier on the mean and the deviation of its frames (arXiv 1610.01644). Sees frames.

The encoder rests; a clip is heard once for all layers.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Sequence as Many
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from alm.api.cards import Piece
from alm.api.errors import AlmError
from alm.api.tasks import content_of
from alm.api.types import AudioFile
from alm.components.encoders.cards import KINDS
from alm.core.audio import prepare, read_audio
from alm.core.config import PartConfig
from alm.core.parts import Parts
from alm.core.units import Track

DECAYS = (1e-4, 1e-3, 1e-2)  # of the classifier's weights, chosen on a fifth of the training clips
AT_ONCE = 32  # clips
UPON = ("adapter", "head", "merge", "output", "projector", "stamps")  # options of what stands upon the network's own frames


class Layer(NamedTuple):
    """What one layer is worth: how many of the held-out clips were told right, in per cent."""

    layer: int
    accuracy: float


class Probed(NamedTuple):
    """Attributes:
    layers: from the lowest.
    labels: that are told apart.
    chance: what the most frequent label among the held-out clips would reach, in per cent.
    clips: held out.
    """

    layers: list[Layer]
    labels: tuple[str, ...]
    chance: float
    clips: int


def probe(parts: Parts, label: str, *, split: str = "test", max_clips: int = 0, track: Track = lambda batches, total: batches) -> Probed:
    """
    Args:
        label: "language", "speaker", or another label that utterances have.
        split: of the held-out clips; the classifier is trained on "train".
        max_clips: of each label in each split; 0 takes all.

    Raises:
        AlmError: an encoder of another kind than those that are told layer from layer, or clips of fewer than two labels.
    """
    encoder, depth = _all_layers(parts)
    train, test = (_labelled(parts, name, label, max_clips) for name in ("train", split))
    names = tuple(sorted({value for _, value in train}))
    test = [(file, value) for file, value in test if value in names]
    if len(names) < 2 or not test:
        raise AlmError(
            f"got {len(train)} clips of {len(names)} kinds of label {label!r}, and {len(test)} held out", "two kinds or more", "check data.corpora, the label and --split"
        )
    pooled = [_pooled(encoder, [file for file, _ in found], depth, track) for found in (train, test)]  # [N, L, 2 D]
    wanted = [torch.tensor([names.index(value) for _, value in found]) for found in (train, test)]
    layers = [Layer(layer + 1, 100 * _accuracy(pooled[0][:, layer], wanted[0], pooled[1][:, layer], wanted[1], len(names))) for layer in range(depth)]
    return Probed(layers, names, 100 * float(torch.bincount(wanted[1]).max() / len(wanted[1])), len(test))


def _all_layers(parts: Parts) -> tuple[Any, int]:
    """The recipe's encoder with every layer of its network, without what was trained upon it."""
    part = parts.recipe.part("encoder")
    kind = next((kind for kind in KINDS if kind.name == part.use), None)
    if kind is None:
        raise AlmError(f"got encoder {part.use!r}", "one with layers", f"choose one of: {', '.join(kind.name for kind in KINDS)}")
    depth = kind.sizes(parts.load_options("encoder"), parts.context).depth
    options = {**{key: value for key, value in part.options.items() if key not in UPON}, "layers": tuple(range(1, depth + 1)), "stride": 1}
    plain = dataclasses.replace(parts.recipe, parts={**parts.recipe.parts, "encoder": PartConfig(part.use, options)})
    return dataclasses.replace(parts, recipe=plain).load("encoder"), depth


def _labelled(parts: Parts, split: str, label: str, max_clips: int) -> list[tuple[AudioFile, str]]:
    found: dict[str, list[tuple[AudioFile, str]]] = defaultdict(list)
    for utterance in parts.utterances(split):
        value = content_of(Piece(f"source.label.{label}"), utterance)
        if utterance.audio is not None and isinstance(value, str) and value and (not max_clips or len(found[value]) < max_clips):
            found[value].append((utterance.audio, value))
    return [entry for entries in found.values() for entry in entries]


def _pooled(encoder: Any, files: Many[AudioFile], depth: int, track: Track) -> Tensor:
    """Mean and deviation of each clip's frames by layer, [N, L, 2 D]."""
    rows = []
    batches = [list(range(start, min(start + AT_ONCE, len(files)))) for start in range(0, len(files), AT_ONCE)]
    for batch in track(batches, len(batches)):
        for features in encoder.encode([prepare(read_audio(files[index]), encoder.card.sample_rate_hz) for index in batch]):
            frames = features.values.float().unflatten(1, (depth, -1))
            rows.append(torch.cat([frames.mean(0), frames.std(0, unbiased=False)], 1))
    return torch.stack(rows)


def _accuracy(train: Tensor, wanted: Tensor, test: Tensor, truth: Tensor, classes: int) -> float:
    """Share of the held-out clips that a linear classifier tells right; its decay is chosen on training clips."""
    mean, std = train.mean(0), train.std(0) + 1e-5
    train, test = (train - mean) / std, (test - mean) / std
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))
    kept, held = order[len(order) // 5 :], order[: len(order) // 5]
    best = max(DECAYS, key=lambda decay: _right(_fitted(train[kept], wanted[kept], classes, decay), train[held], wanted[held]))
    return _right(_fitted(train, wanted, classes, best), test, truth)


def _fitted(inputs: Tensor, wanted: Tensor, classes: int, decay: float) -> torch.nn.Linear:
    linear = torch.nn.Linear(inputs.shape[1], classes)
    torch.nn.init.zeros_(linear.weight)
    torch.nn.init.zeros_(linear.bias)
    optimizer = torch.optim.LBFGS(linear.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(linear(inputs), wanted) + decay * linear.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return linear.requires_grad_(False)


def _right(linear: torch.nn.Linear, inputs: Tensor, wanted: Tensor) -> float:
    return float((linear(inputs).argmax(1) == wanted).float().mean()) if len(inputs) else 0.0
