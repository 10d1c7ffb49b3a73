"""`unit-mel`: units + speaker -> log-mel spectrogram -> HiFi-GAN, or Griffin-Lim. Sees units, never text.

The chain of text, spectrogram and vocoder that synthesizers before the neural codecs had, with units in the place of text. The
spectrogram is SpeechT5's (80 bands, log10; arXiv 2110.07205), so that a published SpeechT5HifiGan can speak it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence as Many
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torchaudio.transforms import GriffinLim, InverseMelScale, MelSpectrogram
from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

from alm.api.cards import VocoderCard
from alm.api.interfaces import LoadContext
from alm.api.types import Audio, Prosody, Speaker, Units
from alm.components.encoders.checkpoints import load_pretrained
from alm.components.vocoders.cards import VOCODER_CARD, VOCODER_FILE, UnitMelOptions, card_of, hifigan_reach, saved_content, unit_mel_card, unit_mel_reaching
from alm.components.vocoders.frames import FRAMES, UnitFrames, block_stages
from alm.components.vocoders.hifigan import generator_sizes, start_weights, without_weight_norm
from alm.components.vocoders.inputs import check_units, speaker_row, spoken_codes
from alm.components.vocoders.streaming import Stage, StageStream, Tempo
from alm.components.vocoders.unit_vocos import read_net as read_unit_vocos

MELS = 80
BANDS = {"n_mels": MELS, "f_min": 80.0, "f_max": 7600.0, "norm": "slaney", "mel_scale": "slaney"}
FLOOR = 1e-5  # of a band, in training: what is below is not heard
GRIFFIN_LIM_STEPS = 32


class LogMel(nn.Module):
    """SpeechT5's spectrogram of a hop: samples [B, T] -> [B, T // hop_samples, 80]."""

    def __init__(self, sample_rate_hz: int, hop_samples: int, fft_samples: int, floor: float = 1e-10) -> None:
        super().__init__()
        self.hop_samples, self.floor = hop_samples, floor
        self.mels = MelSpectrogram(sample_rate_hz, fft_samples, hop_length=hop_samples, power=1.0, **BANDS)

    def forward(self, samples: Tensor) -> Tensor:
        return self.mels(samples.float()).clamp(min=self.floor).log10()[..., : samples.shape[-1] // self.hop_samples].transpose(-1, -2)


class UnitMelNet(UnitFrames):
    """Both networks, a VocoderNetwork: that of the spectrogram and HiFi-GAN's generator, weight-normalized until it is saved."""

    options: UnitMelOptions
    hop_samples = 0  # it needs no pitch

    def __init__(self, options: UnitMelOptions, card: VocoderCard, hifigan: SpeechT5HifiGan, dropout: float = 0.0) -> None:
        super().__init__(options, options.frames_per_unit, card, dropout)
        self.head = nn.Linear(options.hidden_size, MELS)
        nn.init.constant_(self.head.bias, -3.0)
        self.hifigan = hifigan
        self.log_mel = LogMel(options.sample_rate_hz, options.hop_samples, options.fft_samples, FLOOR)

    def spectrogram(self, codes: Tensor, speaker: Tensor) -> Tensor:
        """codes [B, F], rows of speakers [B] -> [B, N, 80]."""
        hidden = self.coarse(codes, speaker, torch.ones_like(codes, dtype=torch.bool))
        if self.options.resampling != 1.0:
            resampled = Tempo(self.options.resampling).push(hidden.transpose(0, 1), last=True)
            assert resampled is not None, "one unit gives a frame at least"
            hidden = resampled.transpose(0, 1)
        return self.mel(self.fine(hidden, torch.ones(hidden.shape[:2], dtype=torch.bool, device=hidden.device)))

    def mel(self, hidden: Tensor) -> Tensor:
        """What the second stack gives, [B, N, D] -> [B, N, 80]."""
        return self.head(hidden).float()

    def sound(self, codes: Tensor, speaker: Tensor, pitch_hz: Tensor, recording: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        mel = self.spectrogram(codes, speaker)
        return self.hifigan(mel), {"spectrogram": (mel - self.log_mel(recording)).abs().mean()}

    def start_from(self, folder: Path) -> None:
        """A unit-vocos of the same blocks and frames will do: the rest then starts anew."""
        if "hifigan" in saved_content(folder):
            other: UnitFrames = read_net(folder)
            other.hifigan.apply_weight_norm()  # type: ignore[union-attr,operator]
            added = {}
        else:
            other = read_unit_vocos(folder)
            added = {name: value for name, value in self.state_dict().items() if not name.startswith(FRAMES)}
        found = {name: value for name, value in other.state_dict().items() if not added or name.startswith(FRAMES)}
        self.load_state_dict({**added, **found, **self.speakers_of(other)})

    def vocoder(self) -> UnitMel:
        net = UnitMelNet(self.options, self.card, SpeechT5HifiGan(self.hifigan.config))
        net.load_state_dict(without_weight_norm(self))
        return UnitMel(net, self.card)


class UnitMel:
    """See the module. Immutable once loaded."""

    def __init__(self, net: UnitMelNet, card: VocoderCard) -> None:
        self.net, self.card = net.eval(), card

    @torch.inference_mode()
    def synthesize(self, units: Many[Units], speakers: Many[Speaker], prosody: Many[Prosody] = ()) -> list[Audio]:
        """Sound of each clip by itself: the convolutions of HiFi-GAN would hear the padding of a batch."""
        for clip in units:
            check_units(self.card, clip)
        how = prosody or [Prosody()] * len(units)
        return [self._speak(clip, speaker, changed) for clip, speaker, changed in zip(units, speakers, how, strict=True)]

    def _speak(self, units: Units, speaker: Speaker, prosody: Prosody) -> Audio:
        return self.stream(speaker, prosody).whole(units)

    def spectrogram(self, units: Units, speaker: Speaker, prosody: Prosody = Prosody()) -> Tensor:
        """What is spoken, [N, 80]: log10 of the magnitudes of mel bands."""
        check_units(self.card, units)
        passed: Tensor | None = spoken_codes(units)
        for stage in self._frames(speaker, prosody):
            passed = stage.push(passed, last=True)
        assert passed is not None, "one unit gives a frame at least"
        return passed

    def _frames(self, speaker: Speaker, prosody: Prosody) -> list[Stage]:
        """codes [F] -> [N, 80]"""
        prosody.check(self.card)
        net, options = self.net, self.net.options
        row = torch.tensor([speaker_row(self.card, speaker)])
        tempo = options.resampling * prosody.tempo

        context = [
            Stage(lambda codes: net.embedded(codes[None], row)[0]),
            *block_stages([net.context], options.block_reach),
            Stage(lambda hidden: net.spread_out(hidden[None], row)[0], rate=options.frames_per_unit),
        ]
        resampled = [Tempo(tempo)] if tempo != 1.0 else []
        return [*context, *resampled, *net.detail_stages(), Stage(lambda hidden: net.mel(net.norm(hidden)))]

    def stream(self, speaker: Speaker, prosody: Prosody = Prosody()) -> StageStream:
        """Sound of units that come bit by bit.

        Raises:
            UnknownNameError: a speaker that is not on the card.
            AlmError: another pitch.
        """
        reach, generator = hifigan_reach(self.net.hifigan.config.to_dict()), self.net.hifigan
        spoken = Stage(lambda mel: generator(mel[None])[0], reach, reach, self.net.options.hop_samples)
        return StageStream(self.card, [*self._frames(speaker, prosody), spoken])

    def save(self, folder: Path) -> None:
        """vocoder.safetensors and vocoder.json."""
        folder.mkdir(parents=True, exist_ok=True)
        state = {name: value for name, value in self.net.state_dict().items() if not name.startswith("log_mel.")}
        save_file({name: value.detach().half().contiguous() for name, value in state.items()}, folder / VOCODER_FILE)
        options = dataclasses.replace(self.net.options, weights="", hifigan="", griffin_lim=False)
        content = {"card": dataclasses.asdict(self.card), "options": dataclasses.asdict(options), "hifigan": json.loads(self.net.hifigan.config.to_json_string())}
        (folder / VOCODER_CARD).write_text(json.dumps(content, indent=1))


class UnitMelGriffinLim(UnitMel):
    """The same spectrogram, with phases found by Griffin-Lim over the whole clip, so that it does not stream."""

    stream = None  # type: ignore[assignment]

    def _speak(self, units: Units, speaker: Speaker, prosody: Prosody) -> Audio:
        return Audio(griffin_lim(self.spectrogram(units, speaker, prosody), self.net.options).clamp(-1, 1)[None], self.card.sample_rate_hz)


def griffin_lim(mel: Tensor, options: UnitMelOptions) -> Tensor:
    """A log-mel spectrogram [N, 80] -> samples [N x hop_samples] (Griffin and Lim, 1984)."""
    bins = options.fft_samples // 2 + 1
    inverse = InverseMelScale(bins, sample_rate=options.sample_rate_hz, driver="gelsd", **BANDS)
    magnitudes = inverse(10**mel.T)
    transform = GriffinLim(options.fft_samples, GRIFFIN_LIM_STEPS, hop_length=options.hop_samples, power=1.0, rand_init=False)
    return transform(torch.cat([magnitudes, magnitudes[:, -1:]], 1))[: len(mel) * options.hop_samples]


def read_net(folder: Path) -> UnitMelNet:
    """The networks of a trained vocoder, with its card."""
    saved = saved_content(folder)
    net = UnitMelNet(UnitMelOptions(**saved["options"]), card_of(saved["card"]), SpeechT5HifiGan(SpeechT5HifiGanConfig(**saved["hifigan"])))
    missing, unexpected = net.load_state_dict({k: v.float() for k, v in load_file(folder / VOCODER_FILE).items()}, strict=False)
    assert not unexpected and all(name.startswith("log_mel.") for name in missing), "weights of this network"
    return net.requires_grad_(False).eval()


@dataclass(frozen=True)
class UntrainedUnitMel:
    """See alm.api.interfaces.UntrainedVocoder.

    Attributes:
        hifigan: a published generator, which is trained on; None for a new one.
    """

    options: UnitMelOptions
    card: VocoderCard
    hifigan: SpeechT5HifiGan | None = None

    def network(self, card: VocoderCard, dropout: float) -> UnitMelNet:
        """
        Raises:
            AlmError: a hop that is no product of small numbers, or other than a published generator's.
        """
        options = dataclasses.replace(self.options, hifigan="", vocabulary_size=card.vocabulary_size, frame_rate_hz=card.frame_rate_hz)
        generator = self.hifigan
        if generator is None:
            config = SpeechT5HifiGanConfig(model_in_dim=MELS, sampling_rate=card.sample_rate_hz, **generator_sizes(options, options.hop_samples))
            generator = SpeechT5HifiGan(config)
            start_weights(generator)
        generator.train().requires_grad_(True)
        generator.apply_weight_norm()
        return UnitMelNet(options, unit_mel_reaching(card, options, generator.config.to_dict()), generator, dropout)


def load_vocoder(options: UnitMelOptions, context: LoadContext) -> UnitMel | UntrainedUnitMel:
    card = unit_mel_card(options, context)
    if options.weights:
        return (UnitMelGriffinLim if options.griffin_lim else UnitMel)(read_net(context.folders(options.weights)[0]), card)
    if not options.hifigan:
        return UntrainedUnitMel(options, card)
    return UntrainedUnitMel(options, card, load_pretrained(options.hifigan, context, SpeechT5HifiGan))
