"""An MLP on an encoder's features: over pooled frames, or over each of them. Sees frames, no sound."""

from __future__ import annotations

import json
from collections.abc import Sequence as Many
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from alm.api.batching import batches_by_length, pad_frames
from alm.api.cards import ClassifierCard
from alm.api.errors import AlmError
from alm.api.interfaces import LoadContext
from alm.api.types import Features
from alm.components.classifiers.cards import CLASSIFIER_FILE, MlpOptions, mlp_card
from alm.components.nets import ConvNeXtBlock

AT_ONCE = 60_000  # frames, padding included


class MlpNetwork(nn.Module):
    """[B, F, D] -> scores: cosines of the embedding and each label's vector [B, L], or scores of each frame [B, F, L]."""

    def __init__(self, feature_size: int, labels: int, options: MlpOptions, dropout: float = 0.0) -> None:
        super().__init__()
        self.pooling, self.dropout = options.pooling, dropout
        self.register_buffer("mean", torch.zeros(feature_size))
        self.register_buffer("std", torch.ones(feature_size))
        self.enter = nn.Linear(feature_size, options.hidden_size)
        self.around = ConvNeXtBlock(options.hidden_size, 2 * options.context + 1, dropout=dropout) if options.context else None
        self.attend = (
            nn.Sequential(nn.Linear(options.hidden_size, options.hidden_size // 2), nn.Tanh(), nn.Linear(options.hidden_size // 2, 1)) if options.pooling == "attention" else None
        )
        pooled = options.hidden_size * (1 if options.pooling == "frames" else 2)
        self.embed = nn.Linear(pooled, options.embedding_size)
        self.scores = nn.Linear(options.embedding_size, labels)

    def embedding(self, features: Tensor, mask: Tensor) -> Tensor:
        """features [B, F, D], mask [B, F] -> [B, E]; of frames [B, F, E]."""
        hidden = F.gelu(self.enter((features - self.mean) / self.std))
        if self.around is not None:
            hidden = self.around(hidden, mask)
        hidden = F.dropout(hidden, self.dropout, self.training)
        if self.pooling != "frames":
            weights = mask / mask.sum(1, keepdim=True)
            if self.attend is not None:
                weights = self.attend(hidden)[..., 0].masked_fill(~mask, float("-inf")).softmax(1)
            mean = (hidden * weights[..., None]).sum(1)
            deviation = (((hidden - mean[:, None]) ** 2 * weights[..., None]).sum(1) + 1e-6).sqrt()
            hidden = torch.cat([mean, deviation], 1)
        embedded: Tensor = self.embed(hidden)
        return embedded

    def cosines(self, embedded: Tensor) -> Tensor:
        """Of embeddings and the labels' vectors, [..., L]."""
        return F.linear(F.normalize(embedded, dim=-1), F.normalize(self.scores.weight, dim=-1))

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        embedded = self.embedding(features, mask)
        return self.scores(F.gelu(embedded)) if self.pooling == "frames" else SCALE * self.cosines(embedded)


SCALE = 15.0  # of cosines, before the softmax


class Mlp:
    """`mlp`. Immutable once loaded."""

    def __init__(self, network: MlpNetwork, card: ClassifierCard) -> None:
        self.network, self.card = network.eval().requires_grad_(False), card

    def classify(self, features: Many[Features]) -> list[Tensor]:
        rows = self._batched(features, lambda values, mask: self.network(values, mask).log_softmax(-1))
        return [row[: item.num_frames] if self.card.frames else row for row, item in zip(rows, features, strict=True)]

    def embed(self, features: Many[Features]) -> Tensor:
        if self.card.frames:
            raise AlmError("got a classifier of frames to compare clips by", "one that pools them", "train one with pooling: statistics or attention")
        return torch.stack(self._batched(features, lambda values, mask: F.normalize(self.network.embedding(values, mask), dim=-1)))

    @torch.inference_mode()
    def _batched(self, features: Many[Features], compute) -> list[Tensor]:  # type: ignore[no-untyped-def]
        others = [item.fingerprint for item in features if item.fingerprint != self.card.features_fingerprint]
        if others:
            raise AlmError(
                f"got features of encoder {others[0]}", f"those of {self.card.features_fingerprint}, on which the classifier was trained", "use the encoder of its recipe"
            )
        found: list[Tensor] = [torch.empty(0)] * len(features)
        for group in batches_by_length([item.num_frames for item in features], AT_ONCE):
            values, mask = pad_frames([features[i].values.float() for i in group])
            for index, row in zip(group, compute(values, mask), strict=True):
                found[index] = row
        return found

    def save(self, folder: Path) -> None:
        save_classifier(self.network, self.card, folder)


def save_classifier(network: MlpNetwork, card: ClassifierCard, folder: Path) -> None:
    """Weights in half precision, with labels and pooling in the file's metadata."""
    folder.mkdir(parents=True, exist_ok=True)
    notes = {"label": card.label, "labels": json.dumps(card.labels, ensure_ascii=False), "pooling": network.pooling, "features": card.features_fingerprint}
    save_file({name: value.detach().cpu().half().contiguous() for name, value in network.state_dict().items()}, folder / CLASSIFIER_FILE, notes)


def load_classifier(options: MlpOptions, context: LoadContext) -> Mlp:
    """
    Raises:
        AlmError: no weights yet.
    """
    if not options.weights:
        raise AlmError("got classifier 'mlp' without weights", "a trained one", "train it with a recipe of objective classify and set `weights: run:...`")
    state = load_file(context.folders(options.weights)[0] / CLASSIFIER_FILE)
    card = mlp_card(options, context)
    kernel = state["around.depthwise.weight"].shape[-1] // 2 if "around.depthwise.weight" in state else 0
    pooling = "frames" if card.frames else "attention" if any(name.startswith("attend.") for name in state) else "statistics"
    sizes = MlpOptions(pooling=pooling, hidden_size=len(state["enter.bias"]), embedding_size=len(state["embed.bias"]), context=kernel)
    network = MlpNetwork(state["enter.weight"].shape[1], len(card.labels), sizes)
    network.load_state_dict(state)
    return Mlp(network, card)
