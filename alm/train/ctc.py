"""Trains an encoder's Adapter: CTC on characters, and log-mel reconstruction so that the sound is not lost. Sees frames.

The encoder stays frozen and its features are cached, so a step costs the adapter alone. Units of an ASR-trained encoder
are what AudioPaLM found best (USM-v2, arXiv 2306.12925); the reconstruction term keeps them fit for a vocoder.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jiwer
import pytorch_lightning as pl
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from alm.api.batching import pad_frames
from alm.api.text import normalize_text
from alm.api.types import Utterance
from alm.components.encoders.whisper import save_adapter
from alm.components.nets import Adapter, ConvNeXtBlock
from alm.core.audio import prepare, read_audio
from alm.core.cache import Cache, cached
from alm.core.parts import Parts
from alm.train.data import loader
from alm.train.optimize import adamw, progress

OUTPUTS_PER_FRAME = 2  # CTC needs more outputs than characters; 25 Hz frames are too few


@dataclass(frozen=True)
class CtcOptions:
    """`train.options` of objective ctc.

    Attributes:
        reconstruction_weight: of the log-mel L1 loss beside the CTC loss.
        mask_frames: longest stretch of input frames blanked, twice a clip (SpecAugment in time, arXiv 1904.08779).
        noise: standard deviation of the noise on the adapter's output before the mel head, so that the head does not
            rely on detail that a codebook cannot keep.
    """

    reconstruction_weight: float = 2.0
    mask_frames: int = 6
    noise: float = 0.1
    hidden_size: int = 256
    blocks: int = 4


@dataclass(frozen=True, eq=False)
class Clip:
    """What is kept in memory of an utterance."""

    features: Tensor  # [F, D] float16
    mel: Tensor  # [F, R x M] float16, R mel frames a feature frame
    text: str
    language: str
    speaker: int


class AdapterTraining(pl.LightningModule):
    """Adapter, character head and mel head."""

    def __init__(self, characters: str, speakers: int, feature_size: int, mel_size: int, output_size: int, options: CtcOptions, train: Any) -> None:
        super().__init__()
        self.characters, self.options, self.train_config = characters, options, train
        self.adapter = Adapter(feature_size, options.hidden_size, output_size, options.blocks, train.dropout)
        self.classes = len(characters) + 1
        self.letters = nn.Linear(output_size, OUTPUTS_PER_FRAME * self.classes)
        self.speaker = nn.Embedding(speakers, options.hidden_size)
        self.enter = nn.Linear(output_size, options.hidden_size)
        self.blocks = nn.ModuleList(ConvNeXtBlock(options.hidden_size, dropout=train.dropout) for _ in range(options.blocks))
        self.mel = nn.Linear(options.hidden_size, mel_size)
        self.register_buffer("mel_statistics", torch.tensor([0.0, 1.0]))

    def fit_statistics(self, clips: list[Clip]) -> None:
        """Normalization of input features and mel targets, from the training clips."""
        frames = torch.cat([clip.features.float() for clip in clips[:: max(1, len(clips) // 500)]])
        self.adapter.mean.copy_(frames.mean(0))
        self.adapter.std.copy_(frames.std(0) + 1e-3)
        mel = torch.cat([clip.mel.float() for clip in clips[:: max(1, len(clips) // 500)]])
        self.mel_statistics.copy_(torch.stack([mel.mean(), mel.std()]))

    def log_probs(self, output: Tensor) -> Tensor:
        """[B, F, D'] -> [B, F x OUTPUTS_PER_FRAME, classes]."""
        return self.letters(output).unflatten(-1, (OUTPUTS_PER_FRAME, self.classes)).flatten(1, 2).log_softmax(-1)

    def reconstruct(self, output: Tensor, speaker: Tensor, mask: Tensor) -> Tensor:
        hidden = self.enter(output) + self.speaker(speaker)[:, None]
        for block in self.blocks:
            hidden = block(hidden, mask)
        return self.mel(hidden)

    def losses(self, batch: Any, *, augment: bool) -> tuple[Tensor, Tensor, Tensor]:
        features, mask, mel, speaker, texts, _ = batch
        if augment:
            features = self._blank(features, mask)
        output = self.adapter(features, mask)
        log_probs = self.log_probs(output)
        index = {character: i + 1 for i, character in enumerate(self.characters)}
        targets = torch.tensor([index[c] for text in texts for c in text if c in index])
        lengths = torch.tensor([sum(c in index for c in text) for text in texts])
        ctc = F.ctc_loss(log_probs.transpose(0, 1), targets, mask.sum(1) * OUTPUTS_PER_FRAME, lengths, zero_infinity=True)
        noisy = output + self.options.noise * torch.randn_like(output) if augment else output
        error = (self.reconstruct(noisy, speaker, mask) - (mel - self.mel_statistics[0]) / self.mel_statistics[1]).abs()
        return ctc, (error * mask[..., None]).sum() / mask.sum() / mel.shape[-1], log_probs

    def _blank(self, features: Tensor, mask: Tensor) -> Tensor:
        features = features.clone()
        for row, frames in enumerate(mask.sum(1).tolist()):
            for _ in range(2):
                width = int(torch.randint(0, self.options.mask_frames + 1, ()))
                start = int(torch.randint(0, max(1, frames - width), ()))
                features[row, start : start + width] = self.adapter.mean
        return features

    def training_step(self, batch: Any, _: int) -> Tensor:
        ctc, mel, _ = self.losses(batch, augment=True)
        self.log_dict({"ctc": ctc, "mel": mel}, prog_bar=True)
        return ctc + self.options.reconstruction_weight * mel

    def validation_step(self, batch: Any, _: int) -> None:
        ctc, mel, log_probs = self.losses(batch, augment=False)
        size = len(batch[4])
        self.log_dict({"val/ctc": ctc, "val/mel": mel}, batch_size=size)
        for row, text, language in zip(self.greedy(log_probs, batch[1]), batch[4], batch[5], strict=True):
            self.log(f"val/cer/{language}", 100 * jiwer.cer(text, row or "-"), batch_size=1)
            self.log(f"val/wer/{language}", 100 * jiwer.wer(text, row or "-"), batch_size=1)

    def greedy(self, log_probs: Tensor, mask: Tensor) -> list[str]:
        """The best path with repeats merged and blanks dropped."""
        rows = []
        for best, frames in zip(log_probs.argmax(-1), mask.sum(1), strict=True):
            merged = torch.unique_consecutive(best[: int(frames) * OUTPUTS_PER_FRAME]).tolist()
            rows.append(" ".join("".join(self.characters[i - 1] for i in merged if i).split()))
        return rows

    def configure_optimizers(self) -> Any:
        return adamw(self.named_parameters(), self.train_config, lambda: progress(self))

    def save_part(self, folder: Path) -> None:
        """adapter.safetensors for the encoder, and the heads beside it for a later run."""
        save_adapter(self.adapter, folder)
        heads = {k: v.contiguous() for k, v in self.state_dict().items() if not k.startswith("adapter.")}
        save_file(heads, folder / "heads.safetensors")
        (folder / "heads.json").write_text(json.dumps({"characters": self.characters}, ensure_ascii=False))

    def load_part(self, folder: Path) -> None:
        self.adapter.load_state_dict(load_file(folder / "adapter.safetensors"))
        self.load_state_dict(load_file(folder / "heads.safetensors"), strict=False)


def collate(clips: list[Clip]) -> Any:
    features, mask = pad_frames([clip.features.float() for clip in clips])
    mel, _ = pad_frames([clip.mel.float() for clip in clips])
    return features, mask, mel, torch.tensor([clip.speaker for clip in clips]), [c.text for c in clips], [c.language for c in clips]


def build(parts: Parts, options: CtcOptions, track: Any) -> tuple[AdapterTraining, Any, Any]:
    """The module and its loaders."""
    encoder = parts.load("encoder").without_adapter()
    config = parts.recipe
    sets: dict[str, list[Clip]] = {}
    speaker_ids: dict[str, int] = {}
    for split in ("train", config.data.validation_split):
        utterances = [u for u in parts.utterances(split) if u.audio is not None and u.text]
        sets[split] = _clips(encoder, utterances, config.data.accents, speaker_ids, track)
    train, validation = sets["train"], sets[config.data.validation_split]
    characters = "".join(sorted({c for clip in train for c in clip.text}))
    output_size = config.part("encoder").options.get("adapter_size", 64)
    module = AdapterTraining(characters, len(speaker_ids), train[0].features.shape[1], train[0].mel.shape[1], output_size, options, config.train)
    module.fit_statistics(train)
    size = config.data.batch_positions
    return (
        module,
        loader(train, [len(c.features) for c in train], size, collate, shuffle=True, seed=config.train.seed),
        loader(validation, [len(c.features) for c in validation], size, collate, shuffle=False),
    )


def _clips(encoder: Any, utterances: list[Utterance], accents: bool, speaker_ids: dict[str, int], track: Any) -> list[Clip]:
    files = [u.audio for u in utterances if u.audio is not None]
    rate = encoder.card.sample_rate_hz
    features = cached(files, Cache(encoder.card.fingerprint), lambda clips: [f.values for f in encoder.encode(clips)], rate, track)
    clips = []
    for utterance, frames in zip(utterances, features, strict=True):
        mel = encoder.log_mel(prepare(read_audio(utterance.audio), rate)).T.half()  # type: ignore[arg-type]
        ratio = round(100 / encoder.card.frame_rate_hz)
        count = min(len(frames), len(mel) // ratio)
        speaker = speaker_ids.setdefault(utterance.speaker, len(speaker_ids))
        text = normalize_text(utterance.text, utterance.language, accents=accents)
        if text and count:
            clips.append(Clip(frames[:count], mel[: count * ratio].reshape(count, -1), text, utterance.language, speaker))
    return clips
