"""Trains a unit vocoder: log-mel and spectral losses, then discriminators. Sees units and waveforms.

As Vocos (arXiv 2306.00814): hinge loss and feature matching; what is kept is the moving average of the weights. Reads cached units, so
that a step costs the vocoder alone.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torchaudio.transforms import MelSpectrogram

from alm.api.errors import AlmError
from alm.api.interfaces import UntrainedVocoder
from alm.api.types import Units, Utterance
from alm.components.speaker_encoder import RATE_HZ, SIZE, load_speaker_encoder
from alm.components.vocoders.inputs import spoken_codes
from alm.components.vocoders.pitch import track_pitch
from alm.core.audio import prepare, read_at, read_audio
from alm.core.cache import Cache, cached
from alm.core.parts import Parts, load_component
from alm.core.units import cached_units
from alm.train.augment import replace_rows
from alm.train.data import loader
from alm.train.discriminators import Discriminators
from alm.train.optimize import progress, schedule
from alm.train.options import VocoderOptions

CRITIC_FILE = "discriminators.safetensors"
STFT_SAMPLES = (512, 1024)
SHOWN = 2  # clips in TensorBoard
VOICES = "voices-resemblyzer-0.1.4"


@dataclass(frozen=True, eq=False)
class Clip:
    codes: Tensor  # [F] int64
    samples: Tensor  # [F x samples per unit] float16
    pitch_hz: Tensor  # by the network's hop, 0 where there is none
    speaker: int
    voice: Tensor | None  # [256], where speakers are known by vectors
    times: int  # how often it is heard for once of a clip with 1


class VocoderTraining(pl.LightningModule):
    """Generator and discriminators; manual optimization since there are two optimizers."""

    automatic_optimization = False

    def __init__(self, net: Any, options: VocoderOptions, train: Any) -> None:
        super().__init__()
        self.net, self.options, self.train_config = net, options, train
        rate = net.card.sample_rate_hz
        self.mels = nn.ModuleList(MelSpectrogram(rate, n, hop_length=n // 4, n_mels=m, power=1.0) for n, m in ((256, 40), (640, 80), (1280, 100)))
        self.discriminators = Discriminators(options.periods, options.resolutions)
        self.average = AveragedModel(net, multi_avg_fn=self._averaged)
        self.average.requires_grad_(False)

    @torch.no_grad()
    def _averaged(self, kept: list[Tensor], new: list[Tensor], seen: Tensor) -> None:
        filled = [pair for pair in zip(kept, new, strict=True) if pair[0].numel()]  # CUDA's kernels may not take empty ones
        torch._foreach_lerp_([own for own, _ in filled], [other for _, other in filled], max(1 - self.options.ema, 9 / (10 + int(seen))))

    def mel_loss(self, made: Tensor, real: Tensor) -> Tensor:
        """L1 of log-mel spectrograms over three resolutions."""
        losses = [(_log(mel(made)) - _log(mel(real))).abs().mean() for mel in self.mels]
        return torch.stack(losses).mean()

    def stft_loss(self, made: Tensor, real: Tensor) -> Tensor:
        """L1 of log magnitudes, the mean over two resolutions."""
        losses = []
        for size in STFT_SAMPLES:
            window = torch.hann_window(size, device=made.device)
            a, b = (torch.stft(x, size, size // 4, window=window, return_complex=True).abs().clamp(min=1e-3).log() for x in (made, real))
            losses.append((a - b).abs().mean())
        return torch.stack(losses).mean()

    def training_step(self, batch: Any, _: int) -> None:
        codes, samples, pitch_hz, speaker = batch
        generator, critic = self.optimizers()  # type: ignore[misc]
        if self.options.replace_units:
            codes = replace_rows(codes.flatten(), self.options.replace_units).view_as(codes)
        made, beside = self.net.sound(codes, speaker, pitch_hz, samples)
        mel = self.mel_loss(made, samples)
        loss = self.options.mel_weight * mel
        if self.options.stft_weight:
            stft = self.stft_loss(made, samples)
            self.log("stft", stft, prog_bar=True)
            loss = loss + self.options.stft_weight * stft
        for name, value in beside.items():
            self.log(name, value, prog_bar=True)
            loss = loss + getattr(self.options, f"{name}_weight", 1.0) * value
        adversarial = progress(self) >= self.options.adversarial_from
        if adversarial:
            start = int(torch.randint(max(1, samples.shape[1] - self.options.critic_samples + 1), ()))
            heard, judged = (x[:, start : start + self.options.critic_samples] for x in (samples, made))
            self.toggle_optimizer(critic)
            critic_loss = self.discriminators.loss(judged.detach(), heard)
            critic.zero_grad()
            self.manual_backward(critic_loss)
            critic.step()
            self.untoggle_optimizer(critic)
            self.toggle_optimizer(generator)
            deceived, matching = self.discriminators.against(judged, heard)
            loss = loss + deceived + self.options.feature_weight * matching
            self.log("critic", critic_loss, prog_bar=True)
        generator.zero_grad()
        self.manual_backward(loss)
        self.clip_gradients(generator, gradient_clip_val=self.train_config.gradient_clip, gradient_clip_algorithm="norm")
        generator.step()
        self.average.update_parameters(self.net)
        if adversarial:
            self.untoggle_optimizer(generator)
        for scheduler in self.lr_schedulers()[: 2 if adversarial else 1]:  # type: ignore[index]
            scheduler.step()  # of optimizers that took a step
        self.log("mel", mel, prog_bar=True)

    def validation_step(self, batch: Any, number: int) -> None:
        codes, samples, pitch_hz, speaker = batch
        made, beside = self.average.module.sound(codes, speaker, pitch_hz, samples)
        losses = {"mel": self.mel_loss(made, samples), **beside}
        self.log_dict({f"val/{name}": value for name, value in losses.items()}, batch_size=len(codes))
        if number == 0:
            self._show(made, samples)

    def _show(self, made: Tensor, real: Tensor) -> None:
        """The first clips in TensorBoard, to hear and to see."""
        board, rate = self.logger.experiment, self.net.card.sample_rate_hz  # type: ignore[union-attr]
        for name, clips in (("made", made), ("real", real)):
            for row in range(min(SHOWN, len(clips))):
                board.add_audio(f"{name}/{row}", clips[row].clamp(-1, 1)[None].cpu(), self.global_step, sample_rate=rate)
                mel = _log(self.mels[-1](clips[row])).flip(0).cpu()
                board.add_image(f"{name}/{row}", ((mel - mel.min()) / (mel.max() - mel.min()).clamp(min=1e-6))[None], self.global_step)

    def batch_tokens(self, batch: Any) -> int:
        """Units."""
        return int(batch[0].numel())

    def configure_optimizers(self) -> Any:
        train = self.train_config
        optimizers = [torch.optim.AdamW(m.parameters(), lr=train.learning_rate, betas=(0.8, 0.99), weight_decay=train.weight_decay) for m in (self.net, self.discriminators)]

        return optimizers, [schedule(o, train, lambda: progress(self)) for o in optimizers]

    def save_part(self, folder: Path) -> None:
        """The vocoder, and the discriminators for a later run."""
        self.average.module.vocoder().save(folder)
        save_file({k: v.contiguous() for k, v in self.discriminators.state_dict().items()}, folder / CRITIC_FILE)

    def load_part(self, folder: Path) -> None:
        """Starts from a trained vocoder, and from its discriminators where they are there: a checkpoint ships without."""
        self.net.start_from(folder)
        self.average.module.load_state_dict(self.net.state_dict())
        if (folder / CRITIC_FILE).is_file():
            self.discriminators.load_state_dict(load_file(folder / CRITIC_FILE))


def _log(mel: Tensor) -> Tensor:
    return mel.clamp(min=1e-4).log()


def build(parts: Parts, options: VocoderOptions, track: Any) -> tuple[VocoderTraining, Any, Any]:
    """The module and its loaders. Speakers are those of the training utterances."""
    config, part = parts.recipe, parts.recipe.part("vocoder")
    untrained = load_component(parts.found, "vocoder", part.use, {**part.options, "weights": ""}, parts.context)
    if not isinstance(untrained, UntrainedVocoder):
        raise AlmError(f"got vocoder {part.use!r}, which is not trained here", "one with `network(card, dropout)`", "choose unit-vocos or unit-hifigan")
    tokenizer = parts.card("tokenizer")
    splits = ("train", config.data.validation_split)
    found = {split: [(u, times) for u, times in parts.repeated_utterances(split) if u.audio is not None] for split in splits}
    card = dataclasses.replace(
        untrained.card,
        frame_rate_hz=tokenizer.frame_rate_hz,
        units_fingerprint=tokenizer.fingerprint,
        speakers=tuple(dict.fromkeys(u.speaker for split in splits for u, _ in found[split])),
        vocabulary_size=tokenizer.vocabulary_size,
    )
    net = untrained.network(card, config.train.dropout)
    module = VocoderTraining(net, options, config.train)
    per_unit = round(card.sample_rate_hz / card.frame_rate_hz)
    sets = {split: _clips(parts, found[split], net, track) for split in splits}
    voices = [[clip.voice for clip in sets["train"] if clip.voice is not None and clip.speaker == row] for row in range(len(card.speakers))]
    if net.card.voice_prompt:
        net.know(torch.stack([torch.stack(own).mean(0) if own else torch.zeros(SIZE) for own in voices]))
    if not any(len(clip.codes) >= options.segment_units for clip in sets["train"]):
        raise AlmError(
            f"recipe {config.name!r} has no clip of {options.segment_units} units or more",
            "a clip as long as a training crop",
            "lower train.options.segment_units or add longer clips",
        )

    frames = per_unit // net.hop_samples if net.hop_samples else 1

    def crop(start_of: Callable[[int], int]) -> Callable[[Clip], tuple[Tensor, Tensor, Tensor, Tensor]]:
        def make(clip: Clip) -> tuple[Tensor, Tensor, Tensor, Tensor]:
            others = voices[clip.speaker]  # a voice is that of any clip of its speaker, so that no clip's words are told by it
            speaker = others[start_of(len(others))] if others else torch.tensor(clip.speaker)
            count = options.segment_units
            start = start_of(max(1, len(clip.codes) - count + 1))
            stop = start + count
            return clip.codes[start:stop], clip.samples[start * per_unit : stop * per_unit].float(), clip.pitch_hz[start * frames : stop * frames], speaker

        return make

    def loaded(split: str, *, shuffle: bool) -> Any:
        clips = [c for c in sets[split] if len(c.codes) >= options.segment_units]
        # a clip is visited as often as it has segments, so that long clips are not heard less
        visits = [c for c in clips for _ in range(c.times * max(1, len(c.codes) // options.segment_units) if shuffle else 1)]
        make = crop((lambda n: int(torch.randint(n, ()))) if shuffle else (lambda n: 0))
        return loader(visits, [1] * len(visits), options.batch_segments, _collate, shuffle=shuffle, seed=config.train.seed, make=make)

    return module, loaded("train", shuffle=True), loaded(config.data.validation_split, shuffle=False)


def _collate(items: list[tuple[Tensor, Tensor, Tensor, Tensor]]) -> tuple[Tensor, ...]:
    return tuple(torch.stack(parts) for parts in zip(*items, strict=True))


def _clips(parts: Parts, utterances: list[tuple[Utterance, int]], net: Any, track: Any) -> list[Clip]:
    card = net.card
    per_unit = round(card.sample_rate_hz / card.frame_rate_hz)
    files = [u.audio for u, _ in utterances if u.audio is not None]
    voices: list[Tensor | None] = [None] * len(files)
    if card.voice_prompt:
        encoder = load_speaker_encoder(parts.context)
        voices = [voice.float() for voice in cached(files, Cache(VOICES), lambda group: list(encoder.embed(group)), partial(read_at, RATE_HZ), track)]

    def clip(utterance: Utterance, times: int, units: Units, voice: Tensor | None) -> Clip:
        assert utterance.audio is not None
        samples, codes = prepare(read_audio(utterance.audio), card.sample_rate_hz).samples[0], spoken_codes(units)
        frames = min(len(codes), len(samples) // per_unit)
        samples = samples[: frames * per_unit]
        pitch_hz = track_pitch(samples, card.sample_rate_hz, net.hop_samples) if net.hop_samples else torch.zeros(frames)
        return Clip(codes[:frames], samples.half(), pitch_hz, card.speakers.index(utterance.speaker), voice, times)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(clip, *zip(*utterances, strict=True), cached_units(parts, files, track), voices)) if utterances else []
