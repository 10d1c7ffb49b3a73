"""`unit-vocos`: units + speaker -> ConvNeXt frames -> magnitudes and phases -> inverse STFT. Sees units, never text.

The iSTFT head is that of Vocos (arXiv 2306.00814), which trains fastest on a CPU since nothing runs at the sample rate.
A first stack of blocks works at the units' rate and gives a wide context cheaply; the second works at the hop rate.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence as Many
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from alm.api.batching import batches_by_length, pad_frames
from alm.api.cards import VocoderCard
from alm.api.errors import AlmError
from alm.api.interfaces import LoadContext
from alm.api.types import Audio, Units
from alm.components.nets import ConvNeXtBlock
from alm.components.vocoders.cards import VOCODER_CARD, VOCODER_FILE, UnitVocosOptions
from alm.components.vocoders.inputs import check_units, speaker_row, spoken_codes
from alm.components.vocoders.pitch import HIGHEST_HZ, LOWEST_HZ, voice_source

BATCH_UNITS = 2000
MAX_MAGNITUDE = 100.0


class UnitVocosNet(nn.Module):
    """The network of one vocoder.

    Args:
        speakers: how many rows the speaker table has.
        dropout: of the blocks at the units' rate, in training. They learn what many recordings share; an hour or two
            of speech is soon learnt by heart.
    """

    def __init__(self, options: UnitVocosOptions, speakers: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.options = options
        size = options.hidden_size
        self.frames_per_unit = round(options.sample_rate_hz / options.hop_samples / options.frame_rate_hz)
        self.units = nn.Embedding(options.vocabulary_size, size)
        self.speaker = nn.Embedding(max(1, speakers), size)
        self.context = nn.ModuleList(ConvNeXtBlock(size, dropout=dropout) for _ in range(options.blocks // 2))
        self.spread = nn.Linear(size, self.frames_per_unit * size)
        self.detail = nn.ModuleList(ConvNeXtBlock(size) for _ in range(options.blocks - options.blocks // 2))
        self.norm = nn.LayerNorm(size)
        self.head = nn.Linear(size, options.fft_samples + 2)
        self.register_buffer("window", torch.hann_window(options.fft_samples))
        if options.voice_source:
            self.pitch = nn.Linear(size, 2)
            self.source = nn.Linear(options.fft_samples // 2 + 1, size)
            self.register_buffer("noise", torch.randn(options.sample_rate_hz, generator=torch.Generator().manual_seed(0)), persistent=False)

    def spectrum(self, codes: Tensor, speaker: Tensor, mask: Tensor) -> Tensor:
        """codes [B, F] int64, speaker [B], mask [B, F] -> complex [B, F x frames_per_unit, fft / 2 + 1]."""
        return self.spoken(codes, speaker, mask)[0]

    def spoken(self, codes: Tensor, speaker: Tensor, mask: Tensor, pitch_hz: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """The spectrum, and with a voice source what it predicts of the pitch: [B, N, 2], the score of a voiced frame and
        the octaves above the lowest pitch.

        Args:
            pitch_hz: of the recording [B, N], in place of the predicted one; 0 where there is none.
        """
        hidden = self.units(codes) + self.speaker(speaker)[:, None]
        for block in self.context:
            hidden = block(hidden, mask)
        hidden = self.spread(hidden).unflatten(-1, (self.frames_per_unit, -1)).flatten(1, 2)
        fine = mask.repeat_interleave(self.frames_per_unit, 1)
        hidden = hidden + self.speaker(speaker)[:, None]
        predicted = source = None
        if self.options.voice_source:
            predicted = self.pitch(hidden).float()
            if pitch_hz is None:
                pitch_hz = torch.where(predicted[..., 0] > 0, LOWEST_HZ * 2 ** predicted[..., 1].clamp(0, math.log2(HIGHEST_HZ / LOWEST_HZ)), 0.0)
            source = self._source_spectrum(pitch_hz, fine)
            hidden = hidden + self.source((source.abs() + 1e-2).log())
        for block in self.detail:
            hidden = block(hidden, fine)
        log_magnitude, phase = self.head(self.norm(hidden)).float().chunk(2, -1)
        if source is not None:
            phase = phase + source.angle()
        return torch.polar(log_magnitude.exp().clamp(max=MAX_MAGNITUDE), phase), predicted

    def _source_spectrum(self, pitch_hz: Tensor, mask: Tensor) -> Tensor:
        """pitch_hz [B, N], mask [B, N] -> complex [B, N, fft / 2 + 1]."""
        options = self.options
        samples = voice_source(pitch_hz, mask, self.noise, options.sample_rate_hz, options.hop_samples)
        spectrum = torch.stft(samples, options.fft_samples, options.hop_samples, window=self.window, pad_mode="constant", return_complex=True)
        return spectrum[..., : pitch_hz.shape[1]].transpose(1, 2)

    def waveform(self, spectrum: Tensor) -> Tensor:
        """complex [B, N, fft / 2 + 1] -> samples [B, N x hop]."""
        options = self.options
        length = spectrum.shape[1] * options.hop_samples
        return torch.istft(spectrum.transpose(1, 2), options.fft_samples, options.hop_samples, window=self.window, length=length)


class UnitVocos:
    """See the module. Immutable once loaded."""

    def __init__(self, net: UnitVocosNet, card: VocoderCard) -> None:
        self.net, self.card = net.eval(), card

    @torch.inference_mode()
    def synthesize(self, units: Many[Units], speakers: Many[str]) -> list[Audio]:
        """Sound of each clip; a clip does not depend on the clips beside it."""
        rows = [speaker_row(self.card, name) for name in speakers]
        for clip in units:
            check_units(self.card, clip)
        results: list[Audio | None] = [None] * len(units)
        for group in batches_by_length([u.num_frames for u in units], BATCH_UNITS):
            codes, mask = pad_frames([spoken_codes(units[i]) for i in group])
            spectra = self.net.spectrum(codes, torch.tensor([rows[i] for i in group]), mask)
            for index, spectrum, frames in zip(group, spectra, mask.sum(1).tolist(), strict=True):
                samples = self._samples(spectrum[None, : frames * self.net.frames_per_unit])
                results[index] = Audio(samples.clamp(-1, 1), self.card.sample_rate_hz)
        return [audio for audio in results if audio is not None]

    def _samples(self, spectrum: Tensor) -> Tensor:
        """complex [1, N, fft / 2 + 1] -> [1, T]."""
        return self.net.waveform(spectrum)

    def save(self, folder: Path) -> None:
        """vocoder.safetensors and vocoder.json."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file({k: v.detach().half().contiguous() for k, v in self.net.state_dict().items()}, folder / VOCODER_FILE)
        content = {"card": dataclasses.asdict(self.card), "options": dataclasses.asdict(dataclasses.replace(self.net.options, weights=""))}
        (folder / VOCODER_CARD).write_text(json.dumps(content, indent=1))


def read_net(folder: Path) -> tuple[UnitVocosNet, VocoderCard]:
    """Network and card of a trained vocoder."""
    from alm.components.vocoders.cards import saved_card

    card = saved_card(folder)
    options = UnitVocosOptions(**json.loads((folder / VOCODER_CARD).read_text())["options"])
    net = UnitVocosNet(options, len(card.speakers))
    net.load_state_dict({k: v.float() for k, v in load_file(folder / VOCODER_FILE).items()})
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    return net.eval(), card


def load_vocoder(options: UnitVocosOptions, context: LoadContext) -> UnitVocos:
    if options.weights:
        return UnitVocos(*read_net(context.folders(options.weights)[0]))
    raise AlmError("got vocoder 'unit-vocos' without weights", "a trained one", "train it with a recipe of objective vocoder and set `weights: run:...`")
