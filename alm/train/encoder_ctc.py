"""Trains a whole encoder further with a CTC loss: AudioPaLM's USM-v2. Sees sound and transcripts.

Every layer up to the last of the encoder's `layers` learns, with a head of characters (or pieces) that is thrown away afterwards: the
codebook is then fitted on a middle layer (arXiv 2306.12925). Objective `ctc` is the cheaper relative: a frozen encoder and an adapter.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jiwer
import pytorch_lightning as pl
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from alm.api.batching import pad_frames
from alm.api.errors import AlmError
from alm.api.text import normalize_text
from alm.components.encoders.adapter import save_head
from alm.components.encoders.cards import CTC_FILE
from alm.components.encoders.frames import WINDOW_S
from alm.components.nets import CTC_OUTPUTS_PER_S, CtcHead
from alm.core.audio import duration_of, prepare, read_audio
from alm.core.checkpoint import save_steps
from alm.core.parts import Parts
from alm.train.ctc import Labels, make_labels
from alm.train.data import loader
from alm.train.optimize import optimizer_of, progress
from alm.train.options import EncoderCtcOptions
from alm.train.pretraining import SHORTEST_S, span_mask

MEL_FRAMES_PER_S = 100


@dataclass(frozen=True, eq=False)
class Spoken:
    """A batch: what the network reads of each clip, and what is said."""

    windows: list[Tensor]
    labels: list[list[int]]
    texts: list[str]
    languages: list[str]


class EncoderCtc(pl.LightningModule):
    """See the module.

    Args:
        network: a FrameNetwork whose `model` is trained.

    Attributes:
        languages: of what it is trained on.
    """

    loss_name = "ctc"
    languages: list[str]

    def __init__(self, network: Any, labels: Labels, frame_rate_hz: float, options: EncoderCtcOptions, parts: Parts) -> None:
        super().__init__()
        self.network, self.labels, self.options, self.train_config, self.parts = network, labels, options, parts.recipe.train, parts
        self.model = network.model.requires_grad_(True)
        if hasattr(self.model.config, "layerdrop"):
            self.model.config.layerdrop = 0.0  # a layer that is dropped gives no state to take
        layers = self.model.layers if hasattr(self.model, "layers") else self.model.encoder.layers
        if options.frozen_layers:
            self.model.requires_grad_(False)
            layers[options.frozen_layers :].requires_grad_(True)
        if hasattr(network, "normed"):
            network.normed = True  # as the head reads it afterwards
        self.convolutions = getattr(network, "convolutions", None)
        if self.convolutions is not None:
            self.convolutions.requires_grad_(True)
        self.head = self.make_head(frame_rate_hz)
        self.train()

    def make_head(self, frame_rate_hz: float) -> Any:
        """What reads the network's states."""
        return CtcHead(self.model.config.hidden_size, self.labels.names, max(1, round(CTC_OUTPUTS_PER_S / frame_rate_hz)))

    def losses(self, batch: Spoken) -> tuple[Tensor, Tensor, Tensor]:
        """The loss, what is read of the states, and the mask of real frames [B, F]."""
        states, mask = self.states(batch)
        log_probs = self.head(states)  # [B, F x outputs, classes]
        targets = torch.tensor([label for row in batch.labels for label in row], device=states.device)
        lengths = torch.tensor([len(row) for row in batch.labels])
        return F.ctc_loss(log_probs.transpose(0, 1), targets, mask.sum(1).cpu() * self.head.outputs_per_frame, lengths, zero_infinity=True), log_probs, mask

    def states(self, batch: Spoken) -> tuple[Tensor, Tensor]:
        """What the network makes of a batch, [B, F, D] and the mask; in training some of it is hidden."""
        windows = [spec_augmented(window, self.options, getattr(self.network, "stack", 1)) for window in batch.windows] if self.training else batch.windows
        states, mask = pad_frames(self.network.frames(windows))
        if self.training and self.options.mask_probability:
            hidden = span_mask(mask.sum(1).tolist(), self.options.mask_probability, self.options.mask_frames, torch.Generator().manual_seed(self.global_step))
            states = states.masked_fill(hidden.to(states.device)[..., None], 0.0)
        return states, mask

    def training_step(self, batch: Spoken, _: int) -> Tensor:
        loss, _, _ = self.losses(batch)
        self.log(self.loss_name, loss, prog_bar=True, batch_size=len(batch.texts))
        return loss

    def validation_step(self, batch: Spoken, _: int) -> None:
        loss, read, mask = self.losses(batch)
        self.log(f"val/{self.loss_name}", loss, batch_size=len(batch.texts))
        for row, text, language in zip(self.head.greedy(read, mask), batch.texts, batch.languages, strict=True):
            self.log(f"val/cer/{language}", 100 * jiwer.cer(text, self.labels.text(row) or "-"), batch_size=1)

    def batch_tokens(self, batch: Spoken) -> int:
        """Labels."""
        return sum(len(row) for row in batch.labels)

    def transfer_batch_to_device(self, batch: Spoken, device: Any, _: int) -> Spoken:
        return batch  # the network's `frames` takes the windows where they are needed

    def configure_optimizers(self) -> Any:
        return optimizer_of(self.named_parameters(), self.train_config, lambda: progress(self))

    def save_part(self, folder: Path) -> None:
        """A transformers checkpoint folder, and the head beside it for a later run; with a search, a model that transcribes."""
        self.network.save(folder)
        save_head(self.head, folder / CTC_FILE)
        if self.parts.recipe.searches:
            save_steps(folder, self.parts, {"encoder": {"weights": "dir:.", "head": "dir:.", "output": "posteriors"}})

    def load_part(self, folder: Path) -> None:
        """The head of an earlier run; the encoder starts from its own weights."""
        self.head.load_state_dict(load_file(folder / CTC_FILE))


def spec_augmented(window: Tensor, options: EncoderCtcOptions, stack: int = 1) -> Tensor:
    """Log-mel frames [N, M] of which stretches of time and of frequency are the mean (SpecAugment, arXiv 1904.08779); samples as they are.

    Args:
        stack: frames that stand side by side in a row: [N / stack, stack x M].
    """
    if window.dim() != 2 or not (options.time_masks_per_s or options.frequency_masks):
        return window
    rows = len(window)
    window, mean = window.reshape(rows * stack, -1).clone(), window.mean()
    frames, bands = window.shape
    for _ in range(round(options.time_masks_per_s * frames / MEL_FRAMES_PER_S)):
        width = int(torch.randint(0, options.time_mask_frames + 1, ()))
        start = int(torch.randint(0, max(1, frames - width), ()))
        window[start : start + width] = mean
    for _ in range(options.frequency_masks):
        width = int(torch.randint(0, options.frequency_mask_bands + 1, ()))
        start = int(torch.randint(0, max(1, bands - width), ()))
        window[:, start : start + width] = mean
    return window.reshape(rows, -1)


def build(parts: Parts, options: EncoderCtcOptions, track: Any, objective: type[EncoderCtc] = EncoderCtc) -> tuple[EncoderCtc, Any, Any]:
    """The module and its loaders; `data.batch_positions` counts the encoder's frames.

    Raises:
        AlmError: an encoder whose network cannot be saved, or no clip with a text.
    """
    encoder, config = parts.load("encoder"), parts.recipe
    network = encoder.network
    splits: dict[str, list[tuple[Any, str]]] = {}
    for split in ("train", config.data.validation_split):
        found = [(u, repeat if split == "train" else 1) for u, repeat in parts.repeated_utterances(split)]
        spoken = [(u, repeat) for u, repeat in found if u.audio is not None and u.text and SHORTEST_S <= duration_of(u.audio) <= WINDOW_S]
        worded = [(u, normalize_text(u.text, u.language, accents=config.data.accents), repeat) for u, repeat in spoken]
        splits[split] = [(u, text) for u, text, repeat in worded if text for _ in range(repeat)]
    if not splits["train"]:
        raise AlmError(f"recipe {config.name!r} has no clip to train on", "training clips with sound and text", "check data.corpora")
    labels = make_labels(parts, options.text_tokenizer, [text for _, text in splits["train"]])
    module = objective(network, labels, encoder.card.frame_rate_hz * encoder.options.stride, options, parts)
    module.languages = sorted({utterance.language for utterance, _ in splits["train"]})

    def make(item: tuple[Any, str]) -> tuple[Tensor, list[int], str, str]:
        utterance, text = item
        window = network.windows(prepare(read_audio(utterance.audio), encoder.card.sample_rate_hz))[0]
        return window, labels.classes(text), text, utterance.language

    def collate(items: list[tuple[Tensor, list[int], str, str]]) -> Spoken:
        return Spoken(*(list(column) for column in zip(*items, strict=True)))

    loaders = []
    for split, items in splits.items():
        lengths = [round(duration_of(utterance.audio) * encoder.card.frame_rate_hz) for utterance, _ in items]
        loaders.append(loader(items, lengths, config.data.batch_positions, collate, shuffle=split == "train", seed=config.train.seed, make=make))
    return module, *loaders
