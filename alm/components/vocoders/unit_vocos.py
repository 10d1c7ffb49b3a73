"""`unit-vocos`: units + speaker -> ConvNeXt frames -> magnitudes and phases -> inverse STFT. Sees units, never text.

The iSTFT head is that of Vocos (arXiv 2306.00814), which trains fastest on a CPU since nothing runs at the sample rate.
A first stack of blocks works at the units' rate and gives a wide context cheaply; the second works at the hop rate.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import math
from collections.abc import Callable, Sequence as Many
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from alm.api.batching import batches_by_length, pad_frames
from alm.api.cards import VocoderCard
from alm.api.interfaces import LoadContext
from alm.api.types import Audio, Prosody, Speaker, Units
from alm.components.nets import ConvNeXtBlock
from alm.components.speaker_encoder import SpeakerEncoder, load_speaker_encoder, prompt_vectors
from alm.components.vocoders.cards import KERNEL, VOCODER_CARD, VOCODER_FILE, UnitVocosOptions, reaching, saved_card, saved_content, unit_vocos_card
from alm.components.vocoders.frames import UnitFrames, block_stages, speaker_table
from alm.components.vocoders.inputs import check_units, speaker_row, spoken_codes
from alm.components.vocoders.pitch import HIGHEST_HZ, LOWEST_HZ, Source, gliding, voice_source
from alm.components.vocoders.streaming import Stage, StageStream, Tempo

BATCH_UNITS = 2000
MAX_MAGNITUDE = 100.0
PITCH_SIZE = 96


class PitchNet(nn.Module):
    """Pitch of units in a voice. It works at the units' rate and is small, so that double precision costs little: phases add up what the
    pitch is off by, and rounding, which differs between whole clips and pieces, would be heard in the high harmonics."""

    def __init__(self, options: UnitVocosOptions, speaker: nn.Module, dropout: float) -> None:
        super().__init__()
        self.units, self.speaker = nn.Embedding(options.vocabulary_size, PITCH_SIZE), speaker
        self.blocks = nn.ModuleList(ConvNeXtBlock(PITCH_SIZE, kernel=KERNEL, causal=options.causal, dropout=dropout) for _ in range(options.context_blocks))
        self.leave = nn.Linear(PITCH_SIZE, 2 * options.frames_per_unit)

    def forward(self, codes: Tensor, speaker: Tensor, mask: Tensor) -> Tensor:
        """As `UnitVocosNet.coarse` -> [B, F x frames_per_unit, 2], the score of a voiced frame and the octaves above the lowest pitch."""
        hidden = self.embedded(codes, speaker)
        for block in self.blocks:
            hidden = block(hidden, mask)
        return self.spread_out(hidden)

    def embedded(self, codes: Tensor, speaker: Tensor) -> Tensor:
        """-> [B, F, D]"""
        voice = speaker.to(self.units.weight.dtype) if speaker.is_floating_point() else speaker
        return self.units(codes) + self.speaker(voice)[:, None]

    def spread_out(self, hidden: Tensor) -> Tensor:
        """[B, F, D] -> [B, F x frames_per_unit, 2]"""
        return self.leave(hidden).unflatten(-1, (-1, 2)).flatten(1, 2)


class UnitVocosNet(UnitFrames):
    """The network of one vocoder, a VocoderNetwork."""

    options: UnitVocosOptions

    def __init__(self, options: UnitVocosOptions, card: VocoderCard, dropout: float = 0.0) -> None:
        super().__init__(options, options.frames_per_unit, card, dropout)
        self.hop_samples = options.hop_samples if options.voice_source else 0
        size = options.hidden_size
        self.head = nn.Linear(size, options.fft_samples + 2)
        self.register_buffer("window", torch.hann_window(options.fft_samples))
        if options.voice_source:
            self.pitch = PitchNet(options, speaker_table(options, card, PITCH_SIZE), dropout)
            self.source = nn.Linear(options.fft_samples // 2 + 1, size)
            self.register_buffer("noise", torch.randn(options.sample_rate_hz, generator=torch.Generator().manual_seed(0)), persistent=False)

    def spoken(self, codes: Tensor, speaker: Tensor, mask: Tensor, pitch_hz: Tensor | None) -> Tensor:
        """The spectrum, as `detailed`, of codes, speakers and mask as `coarse` takes them.

        Args:
            pitch_hz: with a voice source, [B, N], 0 where there is none.
        """
        hidden, source = self.coarse(codes, speaker, mask), None
        fine = mask.repeat_interleave(self.frames_per_unit, 1)
        if pitch_hz is not None:
            source = self.source_spectrum(voice_source(pitch_hz, fine, self.noise, self.options.sample_rate_hz, self.options.hop_samples))
        return self.detailed(hidden, source, fine)

    def sound(self, codes: Tensor, speaker: Tensor, pitch_hz: Tensor, recording: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        mask = torch.ones_like(codes, dtype=torch.bool)
        if not self.options.voice_source:
            return self.waveform(self.spoken(codes, speaker, mask, None)), {}
        predicted = self.pitch(codes, self.voices_of(speaker), mask).float()
        spectrum = self.spoken(codes, speaker, mask, pitch_hz if self.training else _hz(predicted))
        return self.waveform(spectrum), {"pitch": _pitch_loss(predicted, pitch_hz)}

    def start_from(self, folder: Path) -> None:
        """A vocoder without a voice source will do: that part then starts anew."""
        other = read_net(folder)
        added = {name: value for name, value in self.state_dict().items() if name.startswith(("pitch.", "source."))}
        self.load_state_dict({**added, **other.state_dict(), **self.speakers_of(other)})

    def vocoder(self) -> UnitVocos:
        return UnitVocos(self, self.card)

    def detailed(self, hidden: Tensor, source: Tensor | None, mask: Tensor) -> Tensor:
        """[B, N, D], the source's spectrum [B, N, fft / 2 + 1], mask [B, N] -> the spectrum."""
        return self.spectrum(self.fine(self.sourced(hidden, source), mask), source)

    def sourced(self, hidden: Tensor, source: Tensor | None) -> Tensor:
        """What enters the second stack."""
        return hidden if source is None else hidden + self.source((source.abs() + 1e-2).log())

    def spectrum(self, hidden: Tensor, source: Tensor | None) -> Tensor:
        """What the second stack gives -> the spectrum."""
        log_magnitude, phase = self.head(hidden).float().chunk(2, -1)
        if source is not None:
            phase = phase + source.angle()
        return torch.polar(log_magnitude.exp().clamp(max=MAX_MAGNITUDE), phase)

    def source_spectrum(self, samples: Tensor) -> Tensor:
        """[B, N x hop] -> complex [B, N, fft / 2 + 1]."""
        options = self.options
        spectrum = torch.stft(samples, options.fft_samples, options.hop_samples, window=self.window, pad_mode="constant", return_complex=True)
        return spectrum[..., : samples.shape[1] // options.hop_samples].transpose(1, 2)

    def waveform(self, spectrum: Tensor) -> Tensor:
        """complex [B, N, fft / 2 + 1] -> samples [B, N x hop]."""
        options = self.options
        length = spectrum.shape[1] * options.hop_samples
        return torch.istft(spectrum.transpose(1, 2), options.fft_samples, options.hop_samples, window=self.window, length=length)


def _complex(flat: Tensor, bins: int) -> Tensor | None:
    """[N, 2 x bins] -> complex [1, N, bins]; None where there is nothing."""
    return torch.view_as_complex(flat[None].unflatten(-1, (bins, 2)).contiguous()) if flat.shape[1] else None


def _hz(predicted: Tensor) -> Tensor:
    """What the network predicts of the pitch [B, N, 2] -> Hz [B, N], 0 where there is none."""
    octaves = predicted[..., 1].clamp(0, math.log2(HIGHEST_HZ / LOWEST_HZ))
    return torch.where(predicted[..., 0] > 0, LOWEST_HZ * 2**octaves, 0.0)


def _pitch_loss(predicted: Tensor, pitch_hz: Tensor) -> Tensor:
    """Cross-entropy of voiced frames, and the error of the pitch in octaves where there is one. [B, N, 2], [B, N]"""
    voiced = (pitch_hz > 0).float()
    octaves = (pitch_hz.clamp(min=LOWEST_HZ) / LOWEST_HZ).log2()
    error = (voiced * (predicted[..., 1] - octaves).abs()).sum() / voiced.sum().clamp(min=1)
    return error + F.binary_cross_entropy_with_logits(predicted[..., 0], voiced)


class UnitVocos:
    """See the module. Immutable once loaded.

    Args:
        load_encoder: of voice prompts; called when there is one.
    """

    def __init__(self, net: UnitVocosNet, card: VocoderCard, load_encoder: Callable[[], SpeakerEncoder] | None = None) -> None:
        self.net, self.card, self._load_encoder = net.eval(), card, load_encoder
        self._pitch = copy.deepcopy(net.pitch).double() if net.options.voice_source else None

    @cached_property
    def _encoder(self) -> SpeakerEncoder:
        assert self._load_encoder is not None, "a vocoder with voice prompts is loaded, not made"
        return self._load_encoder()

    def _speakers(self, speakers: Many[Speaker]) -> Tensor:
        """Rows [B] int64, or vectors [B, 256] where one of them is a recording."""
        prompts = [speaker for speaker in speakers if isinstance(speaker, Audio)]
        if not prompts or not self.card.voice_prompt:
            return torch.tensor([speaker_row(self.card, name) for name in speakers])
        vectors = iter(prompt_vectors(self._encoder, prompts))
        return torch.stack([next(vectors) if isinstance(speaker, Audio) else self.net.voices[speaker_row(self.card, speaker)] for speaker in speakers])

    @torch.inference_mode()
    def synthesize(self, units: Many[Units], speakers: Many[Speaker], prosody: Many[Prosody] = ()) -> list[Audio]:
        """Sound of each clip; a clip does not depend on the clips beside it."""
        voices = self._speakers(speakers)
        for clip in units:
            check_units(self.card, clip)
        results: list[Audio | None] = [None] * len(units)
        for index, (clip, changed) in enumerate(zip(units, prosody or [Prosody()] * len(units), strict=True)):
            if self.card.streams and (changed.changes() or clip.num_frames > BATCH_UNITS):
                results[index] = self.stream(speakers[index], changed).whole(clip)
        plain = [index for index, made in enumerate(results) if made is None]
        for batch in batches_by_length([units[i].num_frames for i in plain], BATCH_UNITS):
            group = [plain[i] for i in batch]
            codes, mask = pad_frames([spoken_codes(units[i]) for i in group])
            spectra = self._spectrum(codes, voices[group], mask)
            for index, spectrum, frames in zip(group, spectra, mask.sum(1).tolist(), strict=True):
                samples = self._samples(spectrum[None, : frames * self.net.frames_per_unit])
                results[index] = Audio(samples.clamp(-1, 1), self.card.sample_rate_hz)
        return [audio for audio in results if audio is not None]

    def _spectrum(self, codes: Tensor, speaker: Tensor, mask: Tensor) -> Tensor:
        """codes [B, F] int64, rows or vectors of speakers, mask [B, F] -> complex [B, F x frames_per_unit, fft / 2 + 1]."""
        pitch_hz = None if self._pitch is None else _hz(self._pitch(codes, self.net.voices_of(speaker), mask))
        return self.net.spoken(codes, speaker, mask, pitch_hz)

    def _samples(self, spectrum: Tensor) -> Tensor:
        """complex [1, N, fft / 2 + 1] -> [1, T]."""
        return self.net.waveform(spectrum)

    def stream(self, speaker: Speaker, prosody: Prosody = Prosody()) -> StageStream:
        """Sound of units that come bit by bit.

        Raises:
            UnknownNameError: a speaker that is not on the card.
            AlmError: another pitch, without a voice source.
        """
        prosody.check(self.card)
        return StageStream(self.card, self._stages(self._speakers([speaker]), prosody))

    def _stages(self, speaker: Tensor, prosody: Prosody) -> list[Stage]:
        net, options = self.net, self.net.options
        size, hop, bins = options.hidden_size, options.hop_samples, options.fft_samples // 2 + 1
        higher = 2 ** (prosody.pitch_semitones / 12)
        pitch, voices = self._pitch, net.voices_of(speaker)

        def embedded(codes: Tensor) -> Tensor:
            """[F] -> [F, D (+ P)]: what the network of the pitch works on behind it."""
            hidden = net.embedded(codes[None], speaker)[0]
            return hidden if pitch is None else torch.cat([hidden.double(), pitch.embedded(codes[None], voices)[0]], -1)

        def spread(hidden: Tensor) -> Tensor:
            """[F, D (+ P)] -> [N, D (+ 2)]: what is predicted of the pitch behind it."""
            frames = net.spread_out(hidden[None, :, :size].float(), speaker)[0]
            return frames if pitch is None else torch.cat([frames.double(), pitch.spread_out(hidden[None, :, size:])[0]], -1)

        def pitched(frames: Tensor) -> Tensor:
            """[N, D + 2] -> [N, D + 1]: the pitch behind it."""
            return torch.cat([frames[:, :-2], higher * _hz(frames[:, -2:])[:, None]], -1)

        def hz(frames: Tensor) -> Tensor:
            """[N, D + 1] -> [N, D + hop]: the pitch of each sample behind it."""
            return torch.cat([frames[:, :-1], gliding(frames[None, :, -1], hop)[0].unflatten(0, (-1, hop))], -1)

        source = Source(net.noise, options.sample_rate_hz) if options.voice_source else None

        def sounding(frames: Tensor) -> Tensor:
            """[N, D + hop] -> the same, the source's samples in the place of their pitch."""
            assert source is not None
            return torch.cat([frames[:, :-hop], source(frames[None, :, -hop:].flatten(1))[0].unflatten(0, (-1, hop))], -1)

        def analysed(frames: Tensor) -> Tensor:
            """[N, D + hop] -> [N, D + 2 x bins]: the source's spectrum behind it."""
            spectrum = net.source_spectrum(frames[None, :, -hop:].float().flatten(1))[0]
            return torch.cat([frames[:, :-hop].float(), torch.view_as_real(spectrum).flatten(1)], -1)

        def sourced(frames: Tensor) -> Tensor:
            """[N, D (+ 2 x bins)] -> the same, as the second stack takes it."""
            return torch.cat([net.sourced(frames[None, :, :size], _complex(frames[:, size:], bins))[0], frames[:, size:]], -1)

        def spectrum(frames: Tensor) -> Tensor:
            """[N, D (+ 2 x bins)] -> [N, 2 x bins]."""
            return torch.view_as_real(net.spectrum(net.norm(frames[None, :, :size]), _complex(frames[:, size:], bins))[0]).flatten(1)

        def waveform(frames: Tensor) -> Tensor:
            """[N, 2 x bins] -> [N x hop]."""
            spectrum = _complex(frames, bins)
            assert spectrum is not None, "frames hold a spectrum"
            return net.waveform(spectrum)[0]

        window = options.window_reach
        stacks = [net.context] if pitch is None else [net.context, pitch.blocks]
        voice = [Stage(pitched), Stage(hz, 0, 1), Stage(sounding), Stage(analysed, window, window), Stage(sourced)] if options.voice_source else []
        tempo = [Tempo(prosody.tempo)] if prosody.tempo != 1.0 else []
        context = [Stage(embedded), *block_stages(stacks, options.block_reach), Stage(spread, rate=options.frames_per_unit)]
        return [*context, *tempo, *voice, *net.detail_stages(), Stage(spectrum), Stage(waveform, window, window, hop)]

    def save(self, folder: Path) -> None:
        """vocoder.safetensors and vocoder.json."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file({k: v.detach().half().contiguous() for k, v in self.net.state_dict().items()}, folder / VOCODER_FILE)
        content = {"card": dataclasses.asdict(self.card), "options": dataclasses.asdict(dataclasses.replace(self.net.options, weights=""))}
        (folder / VOCODER_CARD).write_text(json.dumps(content, indent=1))


def read_net(folder: Path) -> UnitVocosNet:
    """The network of a trained vocoder, with its card."""
    card, saved = saved_card(folder), saved_content(folder)["options"]
    net = UnitVocosNet(UnitVocosOptions(**saved), card)
    net.load_state_dict({k: v.float() for k, v in load_file(folder / VOCODER_FILE).items()})
    return net.requires_grad_(False).eval()


@dataclass(frozen=True)
class UntrainedUnitVocos:
    """See alm.api.interfaces.UntrainedVocoder."""

    options: UnitVocosOptions
    card: VocoderCard

    def network(self, card: VocoderCard, dropout: float) -> UnitVocosNet:
        options = dataclasses.replace(self.options, weights="", vocabulary_size=card.vocabulary_size, frame_rate_hz=card.frame_rate_hz)
        return UnitVocosNet(options, reaching(card, options), dropout)


def load_vocoder(options: UnitVocosOptions, context: LoadContext) -> UnitVocos | UntrainedUnitVocos:
    if not options.weights:
        return UntrainedUnitVocos(options, unit_vocos_card(options, context))
    net = read_net(context.folders(options.weights)[0])
    return UnitVocos(net, net.card, partial(load_speaker_encoder, context))
