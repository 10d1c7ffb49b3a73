"""What the self-supervised objectives share: clips read as they are needed, span masks, the folder that is left. Knows no loss.

The networks are transformers' own classes, so what is trained here loads wherever a public checkpoint does: as the encoder and
tokenizer `hubert`, `wav2vec2`, `usm`, or in transformers itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence as Many
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

from alm.api.batching import pad_frames
from alm.api.errors import AlmError
from alm.api.types import Audio, AudioFile
from alm.core.audio import duration_of, prepare, read_audio
from alm.core.parts import Parts
from alm.train.data import Kept, loader
from alm.train.optimize import optimizer_of, progress
from alm.train.options import NetworkOptions, WaveOptions

SAMPLE_RATE_HZ = 16_000
SHORTEST_S = 0.5
KEPT_BYTES = 1 << 30  # of what the network reads of the clips: four and a half hours of sound


@dataclass(frozen=True, eq=False)
class Heard:
    """A batch of clips."""

    inputs: Tensor  # [B, T] samples, or [B, F, D] frames
    mask: Tensor  # of `inputs`, [B, T] or [B, F]
    lengths: Many[int]  # of `inputs`: where the mask ends, known without asking a GPU
    files: Many[AudioFile]
    speed: float = 1.0  # at which the clips of `files` are played

    def played_at(self, speed: float, stack: int = 1) -> Heard:
        """The same clips faster or slower, by linear interpolation.

        Args:
            stack: frames of which one row of `inputs` [B, F, stack x M] is made.
        """
        batch, rows = self.inputs.shape[:2]
        channels = self.inputs.reshape(batch, rows * stack, -1).transpose(1, 2)  # [B, M, T]
        count = int(rows / speed)
        played = F.interpolate(channels, count * stack, mode="linear").transpose(1, 2).reshape(batch, count, *self.inputs.shape[2:])
        lengths = [int(length / speed) for length in self.lengths]
        mask = torch.arange(count, device=played.device) < torch.tensor(lengths, device=played.device)[:, None]
        return Heard(played * mask.view(*mask.shape, *[1] * (played.dim() - 2)), mask, lengths, self.files, speed)


class Pretraining(pl.LightningModule, ABC):
    """A transformers encoder and the loss of a subclass.

    Attributes:
        stack: frames of which the network reads one row.

    Args:
        model: what is saved.
        preprocessor: the transformers feature extractor that goes with it.
        frame_rate_hz: of its output.
    """

    stack = 1

    def __init__(self, model: Any, preprocessor: Any, frame_rate_hz: float, options: NetworkOptions, train: Any) -> None:
        super().__init__()
        self.model, self.preprocessor, self.frame_rate_hz, self.options, self.train_config = model, preprocessor, frame_rate_hz, options, train
        self.train()  # transformers leaves what it loads evaluating

    @abstractmethod
    def read(self, audio: Audio) -> Tensor:
        """What the network reads of a clip: [T] or [F, D]."""

    @abstractmethod
    def losses(self, batch: Heard, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor | float]]:
        """The loss, and what else is worth logging."""

    def spans(self, lengths: Many[int], generator: torch.Generator) -> Tensor:
        """Masked frames [B, F], on the CPU."""
        return span_mask(lengths, self.options.mask_probability, self.options.mask_frames, generator)

    def training_step(self, batch: Heard, _: int) -> Tensor:
        generator = torch.Generator().manual_seed(self.train_config.seed + self.global_step)
        if self.options.tempo:
            batch = batch.played_at(1 + self.options.tempo * (2 * float(torch.rand((), generator=generator)) - 1), self.stack)
        loss, logged = self.losses(batch, generator)
        self.log_dict({"loss": loss, **logged}, prog_bar=True, batch_size=len(batch.files))
        return loss

    def validation_step(self, batch: Heard, number: int) -> None:
        loss, logged = self.losses(batch, torch.Generator().manual_seed(number))
        self.log_dict({f"val/{name}": value for name, value in {"loss": loss, **logged}.items()}, batch_size=len(batch.files))

    def batch_tokens(self, batch: Heard) -> int:
        """Frames that are not padding."""
        per_row = self.frame_rate_hz / SAMPLE_RATE_HZ if batch.inputs.dim() == 2 else 1.0
        return int(sum(batch.lengths) * per_row)

    def transfer_batch_to_device(self, batch: Heard, device: Any, _: int) -> Heard:
        return Heard(batch.inputs.to(device), batch.mask.to(device), batch.lengths, batch.files)

    def configure_optimizers(self) -> Any:
        return optimizer_of(self.named_parameters(), self.train_config, lambda: progress(self))

    def save_part(self, folder: Path) -> None:
        """A transformers checkpoint folder: config.json, model.safetensors, preprocessor_config.json."""
        self.model.save_pretrained(folder)
        self.preprocessor.save_pretrained(folder)

    def load_part(self, folder: Path) -> None:
        """Starts from an encoder of the same sizes."""
        self.model.load_state_dict(type(self.model).from_pretrained(folder).state_dict())


def span_mask(lengths: Many[int], probability: float, span: int, generator: torch.Generator) -> Tensor:
    """Bool [B, F]: spans that each frame starts with a probability, cut off at a clip's end; at least one span a clip."""
    frames = max(lengths)
    starts = torch.rand(len(lengths), frames, generator=generator) < probability
    for row, length in enumerate(lengths):
        if not bool(starts[row, :length].any()):
            starts[row, int(torch.randint(max(1, length - span + 1), (), generator=generator))] = True
    started = starts.long().cumsum(1)  # masked where a span started at this frame or one of the span - 1 before it
    masked = started > F.pad(started, (span, 0))[:, :frames]
    return masked & (torch.arange(frames) < torch.tensor(lengths)[:, None])


def frames_of(samples: int, config: Any) -> int:
    """How many frames the convolutions of HuBERT and wav2vec 2.0 make of so many samples."""
    for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
        samples = (samples - kernel) // stride + 1
    return samples


def wave_config(options: WaveOptions, dropout: float) -> dict[str, Any]:
    """Keys that HubertConfig and Wav2Vec2Config share. A layer norm in the convolutions, since a group norm over time would see
    the padding of a batch."""
    return {
        "hidden_size": options.hidden_size,
        "num_hidden_layers": options.layers,
        "num_attention_heads": options.heads,
        "intermediate_size": options.ffn_size,
        "conv_dim": [options.convolution_size] * 7,
        "feat_extract_norm": "layer",
        "conv_bias": True,
        "hidden_dropout": dropout,
        "attention_dropout": dropout,
        "activation_dropout": 0.0,
        "feat_proj_dropout": 0.0,
        "layerdrop": 0.0,
    }


def loaders(parts: Parts, module: Pretraining, audio: dict[str, list[AudioFile]]) -> tuple[DataLoader[Any], DataLoader[Any]]:
    """Loaders of the train and the validation split, by length; `data.batch_positions` counts the network's frames.

    Raises:
        AlmError: no clip to train on.
    """
    config = parts.recipe
    if not audio["train"]:
        raise AlmError(f"recipe {config.name!r} has no clip of {SHORTEST_S} s or more to train on", "training clips with sound", "check data.corpora")

    read = Kept(lambda file: module.read(prepare(read_audio(file), SAMPLE_RATE_HZ)), KEPT_BYTES)

    def collate(items: list[tuple[AudioFile, Tensor]]) -> Heard:
        files, values = zip(*items, strict=True)
        return Heard(*pad_frames(values), [len(own) for own in values], files)

    def load(split: str, *, shuffle: bool) -> DataLoader[Any]:
        files = audio[split]
        lengths = [round(duration_of(file) * module.frame_rate_hz) for file in files]
        return loader(files, lengths, config.data.batch_positions, collate, shuffle=shuffle, seed=config.train.seed, make=lambda file: (file, read(file)))

    return load("train", shuffle=True), load(config.data.validation_split, shuffle=False)


def clips(parts: Parts) -> dict[str, list[AudioFile]]:
    """Clips of the train and the validation split that are long enough for a masked span, repeated as their corpus says."""
    validation = parts.recipe.data.validation_split
    found: dict[str, list[AudioFile]] = {"train": [], validation: []}
    for split, files in found.items():
        for utterance, repeat in parts.repeated_utterances(split):
            if utterance.audio is not None and duration_of(utterance.audio) >= SHORTEST_S:
                files += [utterance.audio] * (repeat if split == "train" else 1)
    return found


class CodeUse:
    """Which codes targets used lately: how many, and their perplexity. The two by which a quantizer is judged.

    Args:
        window: of targets; older ones fade.
    """

    def __init__(self, codes: int, window: int = 20_000) -> None:
        self.counts, self.window = torch.zeros(codes), window

    def add(self, codes: Tensor) -> dict[str, Tensor]:
        """codes [N] int64 -> `codes_used`, the share of the codebook, and `perplexity`, on the codes' device."""
        faded = self.counts.to(codes.device) * max(0.0, 1 - len(codes) / self.window)
        self.counts = faded.index_add(0, codes, torch.ones_like(codes, dtype=faded.dtype))
        shares = self.counts / self.counts.sum()
        entropy = -(shares * shares.clamp(min=1e-12).log()).sum()
        return {"codes_used": (self.counts > 0.5).float().mean(), "perplexity": entropy.exp()}
