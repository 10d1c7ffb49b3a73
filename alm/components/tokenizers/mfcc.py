"""The `mfcc` tokenizer: MFCC with deltas, normalized per clip, then k-means. The classical baseline; it needs no weights.

HuBERT's first iteration clusters the same 39 numbers (arXiv 2106.07447).
"""

from __future__ import annotations

from collections.abc import Sequence as Many
from functools import cached_property

import torch
from torch import Tensor

from alm.api.interfaces import LoadContext
from alm.api.types import Audio
from alm.components.codebook import Codebook
from alm.components.encoders.frames import check_audio
from alm.components.tokenizers.cards import MFCC_RATE_HZ as SAMPLE_RATE_HZ, MfccOptions, mfcc_card, mfcc_identity
from alm.components.tokenizers.quantized import QuantizedTokenizer


class MfccExtractor:
    """Clip -> [F, 3 x coefficients]."""

    def __init__(self, options: MfccOptions) -> None:
        self.options = options

    @cached_property
    def _transform(self) -> torch.nn.Module:
        from torchaudio.transforms import MFCC

        mel = {"n_fft": 400, "hop_length": self.options.hop_samples, "n_mels": 40}
        return MFCC(SAMPLE_RATE_HZ, self.options.coefficients, melkwargs=mel)

    @torch.inference_mode()
    def __call__(self, audio: Many[Audio]) -> list[Tensor]:
        return [self._frames(clip) for clip in audio]

    def _frames(self, clip: Audio) -> Tensor:
        from torchaudio.functional import compute_deltas

        check_audio(clip, SAMPLE_RATE_HZ, "tokenizer 'mfcc'", self.options.hop_samples)
        static = self._transform(clip.samples[0])[:, : clip.num_samples // self.options.hop_samples]
        deltas = compute_deltas(static)
        frames = torch.cat([static, deltas, compute_deltas(deltas)]).T
        return (frames - frames.mean(0)) / (frames.std(0, unbiased=False) + 1e-5)


def load_tokenizer(options: MfccOptions, context: LoadContext) -> QuantizedTokenizer:
    codebook = Codebook.load(context.folders(options.codebook)[0]) if options.codebook else None
    identity = mfcc_identity(options)
    return QuantizedTokenizer(MfccExtractor(options), mfcc_card(options, context), identity, codebook, identify=lambda folder: identity)
