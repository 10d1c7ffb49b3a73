"""Trains an encoder's Adapter: CTC on characters or pieces, and log-mel reconstruction so that the sound is not lost. Sees frames.

The encoder stays frozen and its features are cached, so a step costs the adapter alone. Units of an ASR-trained encoder
are what AudioPaLM found best (USM-v2, arXiv 2306.12925); the reconstruction term keeps them fit for a vocoder.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import jiwer
import pytorch_lightning as pl
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from alm.api.batching import pad_frames
from alm.api.errors import AlmError
from alm.api.text import normalize_text
from alm.api.types import Utterance
from alm.components.backbones.unpack import transformers_folder
from alm.components.encoders.adapter import load_head, save_adapter, save_head
from alm.components.encoders.cards import ADAPTER_FILE, CTC_FILE
from alm.components.mel import whisper_mel
from alm.components.nets import CTC_OUTPUTS_PER_S, Adapter, ConvNeXtBlock, CtcHead, label_classes
from alm.core.assemble import text_pieces
from alm.core.audio import prepare, read_at, read_audio
from alm.core.cache import Cache, cached
from alm.core.checkpoint import save_steps
from alm.core.parts import Parts
from alm.train.data import loader
from alm.train.optimize import optimizer_of, progress
from alm.train.options import CtcOptions

MEL_FILE = "mel.safetensors"


@dataclass(frozen=True)
class Labels:
    """What the CTC head tells apart: characters, or the pieces of a text tokenizer."""

    names: tuple[str, ...]
    tokenizer: Any = None

    def classes(self, text: str) -> list[int]:
        """Classes of a text, from 1; 0 is the blank. Characters that training has not seen are left out."""
        if self.tokenizer is not None:
            return [i + 1 for i in map(self._places.get, self.tokenizer.encode(" " + text, add_special_tokens=False)) if i is not None]
        return label_classes(text, self.names)

    @cached_property
    def _places(self) -> dict[int, int]:
        """Of each piece's id, its place among the labels."""
        return {id_: place for place, id_ in enumerate(self.tokenizer.convert_tokens_to_ids(list(self.names)))}

    def text(self, indices: list[int]) -> str:
        """The text that labels spell, with single spaces."""
        names = [self.names[i] for i in indices]
        spelt = "".join(names) if self.tokenizer is None else self.tokenizer.decode(self.tokenizer.convert_tokens_to_ids(names), skip_special_tokens=True)
        return " ".join(spelt.split())


def make_labels(parts: Parts, text_tokenizer: str, texts: list[str], *, seen_pieces: bool = False) -> Labels:
    """The pieces of the text tokenizer in a weight source, all or only those that the texts have; for "" the characters of the texts."""
    if not text_tokenizer:
        return Labels(tuple(sorted({c for text in texts for c in text})))
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    folder, gguf = transformers_folder(parts.context.folders(text_tokenizer)[0], parts.context)
    tokenizer = AutoTokenizer.from_pretrained(folder, **gguf) if gguf else PreTrainedTokenizerFast.from_pretrained(folder)
    pieces = text_pieces(tokenizer)
    if seen_pieces:
        seen = sorted({i for text in set(texts) for i in tokenizer.encode(" " + text, add_special_tokens=False)})
        pieces = [pieces[i] for i in seen]
    return Labels(tuple(pieces), tokenizer)


@dataclass(frozen=True, eq=False)
class Clip:
    """What is kept in memory of an utterance."""

    features: Tensor  # [F, D] float16
    mel: Tensor  # [F, R x M] float16, R mel frames a feature frame
    text: str
    labels: list[int]  # classes of the CTC head, from 1
    language: str
    speaker: int


class AdapterTraining(pl.LightningModule):
    """Adapter, CTC head and mel head."""

    def __init__(self, labels: Labels, speakers: int, feature_size: int, mel_size: int, output_size: int, frame_rate_hz: float, options: CtcOptions, parts: Parts) -> None:
        super().__init__()
        train = parts.recipe.train
        self.labels, self.options, self.train_config, self.parts = labels, options, train, parts
        self.adapter = Adapter(feature_size, options.hidden_size, output_size, options.blocks, train.dropout)
        self.head = CtcHead(output_size, labels.names, max(1, round(CTC_OUTPUTS_PER_S / frame_rate_hz)))
        self.masks_per_frame = options.masks_per_s / frame_rate_hz
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

    def reconstruct(self, output: Tensor, speaker: Tensor, mask: Tensor) -> Tensor:
        hidden = self.enter(output) + self.speaker(speaker)[:, None]
        for block in self.blocks:
            hidden = block(hidden, mask)
        return self.mel(hidden)

    def losses(self, batch: Any, *, augment: bool) -> tuple[Tensor, Tensor, Tensor]:
        features, mask, mel, speaker, targets, lengths, *_ = batch
        if augment:
            features = self._blank(features, mask)
        output = self.adapter(F.dropout(features, self.options.input_dropout, augment), mask)
        log_probs = self.head(output)
        ctc = F.ctc_loss(log_probs.transpose(0, 1), targets, mask.sum(1) * self.head.outputs_per_frame, lengths, zero_infinity=True)
        if not self.options.reconstruction_weight:
            return ctc, ctc.new_zeros(()), log_probs
        noisy = output + self.options.noise * torch.randn_like(output) if augment else output
        error = (self.reconstruct(noisy, speaker, mask) - (mel - self.mel_statistics[0]) / self.mel_statistics[1]).abs()
        return ctc, (error * mask[..., None]).sum() / mask.sum() / mel.shape[-1], log_probs

    def _blank(self, features: Tensor, mask: Tensor) -> Tensor:
        features = features.clone()
        for row, frames in enumerate(mask.sum(1).tolist()):
            for _ in range(math.ceil(frames * self.masks_per_frame)):
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
        texts, languages = batch[-2:]
        self.log_dict({"val/ctc": ctc, "val/mel": mel}, batch_size=len(texts))
        for row, text, language in zip(self.head.greedy(log_probs, batch[1]), texts, languages, strict=True):
            heard = self.labels.text(row) or "-"
            self.log(f"val/cer/{language}", 100 * jiwer.cer(text, heard), batch_size=1)
            self.log(f"val/wer/{language}", 100 * jiwer.wer(text, heard), batch_size=1)

    def batch_tokens(self, batch: Any) -> int:
        """Frames that are not padding."""
        return int(batch[1].sum())

    def configure_optimizers(self) -> Any:
        return optimizer_of(self.named_parameters(), self.train_config, lambda: progress(self))

    def save_part(self, folder: Path) -> None:
        """adapter.safetensors and ctc.safetensors for the encoder, and the mel head beside them for a later run; with a search, a model that
        transcribes."""
        save_adapter(self.adapter, folder)
        save_head(self.head, folder / CTC_FILE)
        rest = {k: v.contiguous() for k, v in self.state_dict().items() if not k.startswith(("adapter.", "head."))}
        save_file(rest, folder / MEL_FILE)
        if self.parts.recipe.searches:
            save_steps(folder, self.parts, {"encoder": {"adapter": "dir:.", "output": "posteriors"}})

    def load_part(self, folder: Path) -> None:
        """Starts from an earlier adapter of the same size; the CTC head starts anew where its labels are others, the mel head
        where it is not there (a checkpoint ships without)."""
        head = load_head(folder / CTC_FILE)
        if head.labels == self.head.labels and head.outputs_per_frame == self.head.outputs_per_frame:
            self.head.load_state_dict(head.state_dict())
        self.adapter.load_state_dict(load_file(folder / ADAPTER_FILE))
        if (folder / MEL_FILE).is_file():
            mine = self.state_dict()
            fitting = {name: value for name, value in load_file(folder / MEL_FILE).items() if mine[name].shape == value.shape}
            self.load_state_dict(fitting, strict=False)  # other speakers have rows of their own


def collate(clips: list[Clip]) -> Any:
    features, mask = pad_frames([clip.features.float() for clip in clips])
    mel, _ = pad_frames([clip.mel.float() for clip in clips])
    targets = torch.tensor([label for clip in clips for label in clip.labels])
    lengths, speakers = (torch.tensor(numbers) for numbers in ([len(clip.labels) for clip in clips], [clip.speaker for clip in clips]))
    return features, mask, mel, speakers, targets, lengths, [clip.text for clip in clips], [clip.language for clip in clips]


def build(parts: Parts, options: CtcOptions, track: Any) -> tuple[AdapterTraining, Any, Any]:
    """The module and its loaders."""
    encoder = parts.load("encoder").without_adapter()
    config = parts.recipe
    sets: dict[str, list[Clip]] = {}
    speaker_ids: dict[str, int] = {}
    for split in ("train", config.data.validation_split):
        repeats = {u: repeat for u, repeat in parts.repeated_utterances(split) if u.audio is not None and u.text}
        texts = {u: normalize_text(u.text, u.language, accents=config.data.accents) for u in repeats}
        if split == "train":
            labels = make_labels(parts, options.text_tokenizer, list(texts.values()), seen_pieces=options.seen_pieces)
        clips = _clips(encoder, texts, labels, speaker_ids, bool(options.reconstruction_weight), track)
        sets[split] = [clip for utterance, clip in clips for _ in range(repeats[utterance] if split == "train" else 1)]
    train, validation = sets["train"], sets[config.data.validation_split]
    if not train:
        raise AlmError(f"recipe {config.name!r} has no clip to train on", "training clips with sound and text", "check data.corpora")
    output_size = config.part("encoder").options.get("adapter_size", 64)
    sizes = train[0].features.shape[1], train[0].mel.shape[1], output_size
    module = AdapterTraining(labels, len(speaker_ids), *sizes, encoder.card.frame_rate_hz, options, parts)
    module.fit_statistics(train)
    size = config.data.batch_positions
    return (
        module,
        loader(train, [len(c.features) for c in train], size, collate, shuffle=True, seed=config.train.seed),
        loader(validation, [len(c.features) for c in validation], size, collate, shuffle=False),
    )


def _clips(encoder: Any, texts: dict[Utterance, str], labels: Labels, speaker_ids: dict[str, int], with_mel: bool, track: Any) -> list[tuple[Utterance, Clip]]:
    files = [u.audio for u in texts if u.audio is not None]
    rate = encoder.card.sample_rate_hz
    features = cached(files, Cache(encoder.card.fingerprint), lambda clips: [f.values for f in encoder.encode(clips)], partial(read_at, rate), track)
    clips = []
    for (utterance, text), frames in zip(texts.items(), features, strict=True):
        ratio = round(100 / encoder.card.frame_rate_hz)
        mel = whisper_mel(prepare(read_audio(utterance.audio), rate)).T.half() if with_mel else torch.zeros(len(frames) * ratio, 1)  # type: ignore[arg-type]
        count = min(len(frames), len(mel) // ratio)
        speaker = speaker_ids.setdefault(utterance.speaker, len(speaker_ids))
        if text and count:
            clips.append((utterance, Clip(frames[:count], mel[: count * ratio].reshape(count, -1), text, labels.classes(text), utterance.language, speaker)))
    return clips
