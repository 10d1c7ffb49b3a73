"""Trains what units sound like: a table of character probabilities by unit and language, under CTC. Sees units and texts.

The table of a bigram-free recognizer: it hears each unit alone, so that a decoder can ask it of every next unit
(alm.components.decoders.ctc). Units and texts are those of the recipe's corpora; a minute teaches it.
"""

from __future__ import annotations

from collections.abc import Sequence as Many
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jiwer
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alm.api.batching import pad_frames
from alm.api.errors import AlmError
from alm.api.text import normalize_text
from alm.components.decoders.unit_labels import UnitLabels, load_unit_labels
from alm.components.nets import CTC_OUTPUTS_PER_S, ctc_greedy, label_classes
from alm.core.parts import Parts
from alm.core.units import cached_units
from alm.train.data import loader
from alm.train.optimize import optimizer_of, progress
from alm.train.options import UnitLabelsOptions


@dataclass(frozen=True, eq=False)
class Clip:
    codes: Tensor  # [F] int64, as the language model writes them
    language: int
    classes: list[int]  # from 1
    text: str


class UnitLabelsTraining(pl.LightningModule):
    """The table."""

    def __init__(self, languages: Many[str], labels: Many[str], card: Any, train: Any) -> None:
        super().__init__()
        self.languages, self.labels, self.card, self.train_config = tuple(languages), tuple(labels), card, train
        self.outputs = max(1, round(CTC_OUTPUTS_PER_S / card.frame_rate_hz))
        self.table = nn.Embedding(len(self.languages) * card.vocabulary_size, self.outputs * (1 + len(self.labels)))
        nn.init.zeros_(self.table.weight)

    def log_probs(self, codes: Tensor, languages: Tensor) -> Tensor:
        """codes [B, F], languages [B] -> [B, F x outputs, 1 + C]."""
        rows = codes + languages[:, None] * self.card.vocabulary_size
        return self.table(rows).unflatten(-1, (self.outputs, -1)).flatten(1, 2).log_softmax(-1)

    def loss(self, batch: Any) -> tuple[Tensor, Tensor]:
        codes, mask, languages, targets, lengths, _ = batch
        log_probs = self.log_probs(codes, languages)
        return F.ctc_loss(log_probs.transpose(0, 1), targets, mask.sum(1) * self.outputs, lengths, zero_infinity=True), log_probs

    def training_step(self, batch: Any, _: int) -> Tensor:
        loss, _log_probs = self.loss(batch)
        self.log("ctc", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: Any, _: int) -> None:
        loss, log_probs = self.loss(batch)
        mask, languages, texts = batch[1], batch[2], batch[5]
        self.log("val/ctc", loss, batch_size=len(texts))
        for read, language, text in zip(ctc_greedy(log_probs, mask, self.outputs), languages.tolist(), texts, strict=True):
            spelt = "".join(self.labels[i] for i in read)
            self.log(f"val/cer/{self.languages[language]}", 100 * jiwer.cer(text, spelt or "-"), batch_size=1)

    def batch_tokens(self, batch: Any) -> int:
        """Units."""
        return int(batch[1].sum())

    def configure_optimizers(self) -> Any:
        return optimizer_of(self.named_parameters(), self.train_config, lambda: progress(self))

    def result(self) -> UnitLabels:
        shape = (len(self.languages), self.card.vocabulary_size, self.outputs, -1)
        return UnitLabels(self.table.weight.detach().view(shape).log_softmax(-1), self.labels, self.languages, self.card.fingerprint)

    def save_part(self, folder: Path) -> None:
        self.result().save(folder)

    def load_part(self, folder: Path) -> None:
        """Starts from a table of the same labels, languages and units."""
        self.table.weight.data.copy_(load_unit_labels(folder).log_probs.reshape_as(self.table.weight))


def collate(clips: list[Clip]) -> Any:
    codes, mask = pad_frames([clip.codes for clip in clips])
    targets = torch.tensor([c for clip in clips for c in clip.classes])
    languages, lengths = (torch.tensor(numbers) for numbers in ([clip.language for clip in clips], [len(clip.classes) for clip in clips]))
    return codes, mask, languages, targets, lengths, [clip.text for clip in clips]


def build(parts: Parts, options: UnitLabelsOptions, track: Any) -> tuple[UnitLabelsTraining, Any, Any]:
    """The module and its loaders.

    Raises:
        AlmError: a tokenizer of several codebooks, or no clip with a text.
    """
    card, config = parts.card("tokenizer"), parts.recipe
    if card.codebooks != 1:
        raise AlmError(f"got a tokenizer of {card.codebooks} codebooks", "one codebook", "train unit labels for a tokenizer of one codebook")
    splits = {split: [u for u in parts.utterances(split) if u.audio is not None and u.text] for split in ("train", config.data.validation_split)}
    texts = {u: normalize_text(u.text, u.language, accents=config.data.accents) for utterances in splits.values() for u in utterances}
    labels = sorted({c for u in splits["train"] for c in texts[u]})
    languages = sorted({u.language for u in splits["train"]})
    loaders = []
    for split, utterances in splits.items():
        units = cached_units(parts, [u.audio for u in utterances if u.audio is not None], track)
        clips = [
            Clip(unit.codes[0], languages.index(u.language), label_classes(texts[u], labels), texts[u])
            for u, unit in zip(utterances, units, strict=True)
            if texts[u] and u.language in languages
        ]
        if not clips and split == "train":
            raise AlmError(f"recipe {config.name!r} has no clip to train on", "training clips with sound and text", "check data.corpora")
        loaders.append(loader(clips, [len(c.codes) for c in clips], config.data.batch_positions, collate, shuffle=split == "train", seed=config.train.seed))
    return UnitLabelsTraining(languages, labels, card, config.train), *loaders
