"""Trains a classifier on an encoder's features, which rest: of whole clips by a label, or of frames by where somebody speaks. Sees frames.

Clips come with the label that the recipe names, and their features are cached. Frames are those of recordings that are put together here, of speech
whose words have times, of other sounds, of silence and noise: where speech is, is then known.
"""

from __future__ import annotations

import random
from collections.abc import Sequence as Many
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from alm.api.batching import pad_frames
from alm.api.cards import ClassifierCard, Piece
from alm.api.errors import AlmError
from alm.api.tasks import content_of
from alm.api.types import Audio, Utterance
from alm.components.classifiers.cards import CLASSIFIER_FILE
from alm.components.classifiers.mlp import SCALE, MlpNetwork, save_classifier
from alm.core.audio import prepare, read_at, read_audio
from alm.core.cache import Cache, cached
from alm.core.checkpoint import save_steps
from alm.core.parts import Parts
from alm.train.data import loader
from alm.train.optimize import optimizer_of, progress
from alm.train.options import ClassifyOptions

AT_ONCE = 16  # recordings that are put together and encoded at a time
SPEECH = ("none", "speech")
SHORT_GAP_S = 0.25  # between two words, within speech


@dataclass(frozen=True, eq=False)
class Labelled:
    """Features of a clip [F, D] and its label, or a label a frame [F]."""

    features: Tensor
    labels: Tensor


class ClassifierTraining(pl.LightningModule):
    """See the module."""

    def __init__(self, network: MlpNetwork, card: ClassifierCard, options: ClassifyOptions, parts: Parts) -> None:
        super().__init__()
        self.network, self.card, self.options, self.parts, self.train_config = network, card, options, parts, parts.recipe.train
        self.train()

    def losses(self, batch: Any) -> tuple[Tensor, Tensor, Tensor]:
        """The loss, the best label and the true one of each clip or frame [N]."""
        features, mask, labels = batch
        if self.card.frames:
            scores, wanted = self.network(features, mask)[mask], labels[mask]
            return F.cross_entropy(scores, wanted), scores.argmax(-1), wanted
        cosines = self.network.cosines(self.network.embedding(features, mask))
        margin = self.options.margin * F.one_hot(labels, cosines.shape[-1]) if self.training else 0.0
        return F.cross_entropy(SCALE * (cosines - margin), labels), cosines.argmax(-1), labels

    def training_step(self, batch: Any, _: int) -> Tensor:
        loss, said, wanted = self.losses(batch)
        self.log_dict({"loss": loss, "accuracy": 100 * (said == wanted).float().mean()}, prog_bar=True)
        return loss

    def validation_step(self, batch: Any, _: int) -> None:
        loss, said, wanted = self.losses(batch)
        self.log_dict({"val/loss": loss, "val/accuracy": 100 * (said == wanted).float().mean()}, batch_size=len(wanted))

    def batch_tokens(self, batch: Any) -> int:
        """Frames that are not padding."""
        return int(batch[1].sum())

    def configure_optimizers(self) -> Any:
        return optimizer_of(self.named_parameters(), self.train_config, lambda: progress(self))

    def save_part(self, folder: Path) -> None:
        """The classifier, and the recipe of a model that tells the label."""
        save_classifier(self.network, self.card, folder)
        save_steps(folder, self.parts, {"classifier": {"weights": "dir:."}})

    def load_part(self, folder: Path) -> None:
        """Goes on from an earlier classifier of the same sizes and labels."""
        self.network.load_state_dict(load_file(folder / CLASSIFIER_FILE))


def build(parts: Parts, options: ClassifyOptions, track: Any) -> tuple[ClassifierTraining, Any, Any]:
    """The module and its loaders; `data.batch_positions` counts frames.

    Raises:
        AlmError: no clip with the label, or, for frames, with the times of its words.
    """
    config, encoder, frames = parts.recipe, parts.load("encoder"), parts.card("classifier").frames
    sets: dict[str, list[Labelled]] = {}
    names: tuple[str, ...] = SPEECH
    for split in ("train", config.data.validation_split):
        if frames:
            sets[split] = mixtures(encoder, list(parts.utterances(split)), options, seed=0 if split == "train" else 1, train=split == "train", track=track)
            continue
        found = [(u, value) for u in parts.utterances(split) if u.audio is not None and isinstance(value := content_of(Piece(f"source.label.{options.label}"), u), str)]
        if split == "train":
            names = tuple(sorted({value for _, value in found}))
        files = [u.audio for u, _ in found]
        features = cached(files, Cache(encoder.card.fingerprint), lambda clips: [f.values for f in encoder.encode(clips)], partial(read_at, encoder.card.sample_rate_hz), track)
        sets[split] = [Labelled(values, torch.tensor(names.index(value))) for (_, value), values in zip(found, features, strict=True) if value in names]
    train, validation = sets["train"], sets[config.data.validation_split]
    if not train or len(names) < 2:
        raise AlmError(
            f"recipe {config.name!r} has {len(train)} clips with label {options.label!r}, of {len(names)} kinds", "clips of two kinds or more", "check data.corpora and the label"
        )
    card = ClassifierCard("speech" if frames else options.label, names, frames, encoder.card.fingerprint, ("classify",))
    network = MlpNetwork(train[0].features.shape[1], len(names), parts.load_options("classifier"), config.train.dropout)
    some = torch.cat([item.features.float() for item in train[:: max(1, len(train) // 500)]])
    network.mean.copy_(some.mean(0))
    network.std.copy_(some.std(0) + 1e-3)
    loaders = []
    for items, shuffle in ((train, True), (validation, False)):
        loaders.append(loader(items, [len(item.features) for item in items], config.data.batch_positions, collate, shuffle=shuffle, seed=config.train.seed))
    return ClassifierTraining(network, card, options, parts), *loaders


def collate(items: list[Labelled]) -> Any:
    features, mask = pad_frames([item.features.float() for item in items])
    labels = pad_frames([item.labels for item in items])[0] if items[0].labels.dim() else torch.stack([item.labels for item in items])
    return features, mask, labels


def mixtures(encoder: Any, utterances: Many[Utterance], options: ClassifyOptions, *, seed: int, train: bool, track: Any) -> list[Labelled]:
    """Features of recordings that are put together, and which of their frames are speech.

    Raises:
        AlmError: no clip with the times of its words.
    """
    chance = random.Random(seed)
    spoken = [u for u in utterances if u.audio is not None and isinstance(u.labels.get("words"), tuple) and u.labels["words"]]
    sounds = [u for u in utterances if u.audio is not None and not u.text]
    if not spoken:
        raise AlmError("got no clip whose words have times", "marks of words", "run: alm align MANIFEST OUT.jsonl.gz, and take that corpus")
    count = options.mixtures if train else max(1, options.mixtures // 5)
    batches = [list(range(start, min(start + AT_ONCE, count))) for start in range(0, count, AT_ONCE)]
    items = []
    for batch in track(batches, len(batches)):
        made = [mixture(spoken, sounds, options, chance, encoder.card.sample_rate_hz) for _ in batch]
        for (_, speech), features in zip(made, encoder.encode([audio for audio, _ in made]), strict=True):
            centres = ((torch.arange(features.num_frames) + 0.5) / features.frame_rate_hz * encoder.card.sample_rate_hz).long().clamp(max=len(speech) - 1)
            items.append(Labelled(features.values.half(), speech[centres].long()))
    return items


def mixture(spoken: Many[Utterance], sounds: Many[Utterance], options: ClassifyOptions, chance: random.Random, sample_rate_hz: int) -> tuple[Audio, Tensor]:
    """A recording of silence, speech and other sounds one after another, with noise; and which samples are speech [T] bool."""
    generator = torch.Generator().manual_seed(chance.randrange(1 << 30))
    pieces, speech = list[Tensor](), list[Tensor]()

    def add(samples: Tensor, spoken_part: Tensor) -> None:
        pieces.append(samples)
        speech.append(spoken_part)

    while sum(map(len, pieces)) < options.mixture_s * sample_rate_hz:
        pause = torch.zeros(round(chance.uniform(0.1, 2.0) * sample_rate_hz))
        add(pause, torch.zeros(len(pause), dtype=torch.bool))
        utterance = chance.choice(sounds) if sounds and chance.random() < options.sounds else chance.choice(spoken)
        assert utterance.audio is not None
        samples = prepare(read_audio(utterance.audio), sample_rate_hz).samples[0] * 10 ** (chance.uniform(-10, 3) / 20)
        add(samples, _speech(utterance, len(samples), sample_rate_hz))
    whole, where = torch.cat(pieces), torch.cat(speech)
    loudness = whole[where].pow(2).mean().sqrt() if bool(where.any()) else whole.pow(2).mean().sqrt() + 1e-4
    snr_db = chance.uniform(options.least_snr_db, options.most_snr_db)
    noise = torch.randn(whole.shape, generator=generator)
    if chance.random() < 0.5:  # pink: most noise in rooms has less of the high frequencies
        spectrum = torch.fft.rfft(noise)
        noise = torch.fft.irfft(spectrum / torch.arange(1, len(spectrum) + 1).sqrt(), len(noise))
    return Audio((whole + noise / noise.pow(2).mean().sqrt() * loudness * 10 ** (-snr_db / 20))[None].clamp(-1, 1), sample_rate_hz), where


def _speech(utterance: Utterance, count: int, sample_rate_hz: int) -> Tensor:
    """Which samples of a clip are speech: its words, and what is short between them."""
    speech = torch.zeros(count, dtype=torch.bool)
    words = utterance.labels.get("words") if utterance.text else None
    before_s = None
    for word in words if isinstance(words, tuple) else ():
        start_s = before_s if before_s is not None and word.start_s - before_s < SHORT_GAP_S else word.start_s
        speech[round(start_s * sample_rate_hz) : round(word.stop_s * sample_rate_hz)] = True
        before_s = word.stop_s
    return speech
