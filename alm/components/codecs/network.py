"""Mimi, EnCodec and DAC through transformers: sound -> several codebooks -> sound.

Each clip goes through by itself: what these networks do at a clip's end depends on where it is. (Mimi: arXiv 2410.00037; EnCodec:
arXiv 2210.13438; DAC: arXiv 2306.06546.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence as Many
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from alm.api.errors import AlmError
from alm.api.interfaces import LoadContext
from alm.api.types import Audio, Speaker, Units
from alm.components.codecs.cards import CodecOptions, sizes_of, tokenizer_card, vocoder_card
from alm.components.codecs.stages import STAGES
from alm.components.encoders.checkpoints import load_pretrained
from alm.components.encoders.frames import check_audio
from alm.components.vocoders.inputs import check_units, speaker_row
from alm.components.vocoders.streaming import StageStream

LONGEST_S = 600


@dataclass(frozen=True)
class Calls:
    """How one model type is called.

    Attributes:
        encode: (model, samples [1, 1, T] of whole frames, codebooks) -> codes [K, F].
        decode: (model, codes [K, F]) -> samples [..., T].
    """

    encode: Callable[[Any, Tensor, int], Tensor]
    decode: Callable[[Any, Tensor], Tensor]


CALLS = {
    "mimi": Calls(lambda model, samples, books: model.encode(samples, num_quantizers=books).audio_codes[0], lambda model, codes: model.decode(codes[None]).audio_values),
    "encodec": Calls(
        lambda model, samples, books: model.encode(samples, bandwidth=max(model.config.target_bandwidths)).audio_codes[0, 0, :books],
        lambda model, codes: model.decode(codes[None, None], [None]).audio_values,
    ),
    "dac": Calls(
        lambda model, samples, books: model.encode(samples, n_quantizers=books).audio_codes[0],
        lambda model, codes: model.decode(audio_codes=codes[None]).audio_values,
    ),
}


class CodecTokenizer:
    """Sound -> codes of the first K codebooks. Immutable once loaded."""

    def __init__(self, model: Any, card: Any, hop_samples: int) -> None:
        self.model, self.card, self.hop_samples = model, card, hop_samples
        self._calls = CALLS[model.config.model_type]

    @torch.inference_mode()
    def encode(self, audio: Many[Audio]) -> list[Units]:
        """Units of each clip; a last frame that is not whole is filled with silence.

        Raises:
            AlmError: another rate, several channels, no sample, or more than ten minutes, whose convolutions would fill the memory.
        """
        results = []
        for clip in audio:
            check_audio(clip, self.card.sample_rate_hz, f"tokenizer {self.model.config.model_type!r}", 1)
            if clip.duration_s > LONGEST_S:
                raise AlmError(f"got {clip.duration_s:.0f} s of sound", f"at most {LONGEST_S} s for a codec", "cut it into shorter clips")
            samples = F.pad(clip.samples, (0, -clip.num_samples % self.hop_samples)).to(self.model.device)
            codes = self._calls.encode(self.model, samples[None], self.card.codebooks).cpu()
            results.append(Units(codes.contiguous(), self.card.frame_rate_hz, self.card.fingerprint))
        return results

    def save(self, folder: Path) -> None:
        """Nothing: alm trains no codec."""


class CodecVocoder:
    """Codes -> sound. Immutable once loaded."""

    def __init__(self, model: Any, card: Any, hop_samples: int) -> None:
        self.model, self.card, self.hop_samples = model, card, hop_samples
        self._calls = CALLS[model.config.model_type]

    @torch.inference_mode()
    def synthesize(self, units: Many[Units], speakers: Many[Speaker]) -> list[Audio]:
        """Sound of each clip; the codes carry the voice, so there is no speaker to choose.

        Raises:
            AlmError: units of another codec, or a speaker.
        """
        results = []
        for clip, speaker in zip(units, speakers, strict=True):
            speaker_row(self.card, speaker)
            check_units(self.card, clip)
            samples = self._calls.decode(self.model, clip.codes.to(self.model.device)).reshape(1, -1).float().cpu()
            results.append(Audio(samples[:, : clip.num_frames * self.hop_samples].clamp(-1, 1), self.card.sample_rate_hz))
        return results

    def stream(self, speaker: Speaker) -> StageStream:
        """Sound of codes that come bit by bit."""
        speaker_row(self.card, speaker)
        return StageStream(self.card, STAGES[self.model.config.model_type](self.model))

    def save(self, folder: Path) -> None:
        """Nothing: alm trains no codec."""


def load_tokenizer(wanted: str, options: CodecOptions, context: LoadContext) -> CodecTokenizer:
    card = tokenizer_card(wanted, options, context)
    return CodecTokenizer(load_pretrained(options.weights, context), card, sizes_of(options, context).hop_samples)


def load_vocoder(options: CodecOptions, context: LoadContext) -> CodecVocoder:
    card = vocoder_card(options, context)
    return CodecVocoder(load_pretrained(options.weights, context), card, sizes_of(options, context).hop_samples)
