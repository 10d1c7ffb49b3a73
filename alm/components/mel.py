"""Log-mel frames. Samples in, frames out; knows no network."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from alm.api.types import Audio

HOP_SAMPLES = 160  # 100 Hz at 16 kHz


@cache
def _whisper_filters(bands: int) -> Tensor:
    from transformers import WhisperFeatureExtractor

    return torch.from_numpy(WhisperFeatureExtractor(feature_size=bands).mel_filters).float()  # [201, M]


def whisper_mel(audio: Audio, bands: int = 80) -> Tensor:
    """One clip at 16 kHz -> Whisper's normalized log-mel frames at 100 Hz, [M, N] (arXiv 2212.04356)."""
    spectrum = torch.stft(audio.samples[0], 400, HOP_SAMPLES, window=torch.hann_window(400), return_complex=True)
    mel = _whisper_filters(bands).T @ spectrum[:, :-1].abs().square()
    log = mel.clamp(min=1e-10).log10()
    return (log.maximum(log.max() - 8.0) + 4.0) / 4.0


def stacked_mel(audio: Audio, bands: int, stack: int) -> Tensor:
    """`kaldi_mel` with `stack` frames in a row as one, [F, stack x M]; the last ones that are not whole are dropped."""
    mel = kaldi_mel(audio, bands)
    return mel[: len(mel) // stack * stack].unflatten(0, (-1, stack)).flatten(1)


def kaldi_mel(audio: Audio, bands: int = 80) -> Tensor:
    """One clip at 16 kHz -> Kaldi's log-mel frames at 100 Hz, [N, M], each band with mean 0 and variance 1 over the clip: what
    w2v-BERT 2.0 reads, and BEST-RQ, whose codes collapse where the input is not normalized (arXiv 2202.01855)."""
    from torchaudio.compliance.kaldi import fbank

    frames = fbank(audio.samples * 2.0**15, num_mel_bins=bands, sample_frequency=audio.sample_rate_hz, window_type="povey")
    return (frames - frames.mean(0)) / (frames.var(0) + 1e-7).sqrt()
