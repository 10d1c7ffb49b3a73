"""Pitch of a waveform, and the sound of a voice at a pitch before the mouth shapes it. See waveforms and Hz, no units."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

LOWEST_HZ, HIGHEST_HZ = 65.0, 450.0
WINDOW_S = 3 / LOWEST_HZ  # three periods of the lowest pitch
VOICED = 0.5  # least autocorrelation of a voiced frame
LOUD = 0.03  # least amplitude of a voiced frame, beside the loudest of the clip
OCTAVE_COST = 0.02
MEDIAN_FRAMES = 5


def track_pitch(samples: Tensor, sample_rate_hz: int, hop_samples: int) -> Tensor:
    """Pitch in Hz of frames centred at each hop, 0 where there is none: the autocorrelation of a window over that of the
    window function (Boersma, "Accurate short-term analysis of the fundamental frequency", 1993), then a median.

    Args:
        samples: [T].

    Returns:
        [T // hop_samples].
    """
    count, size = len(samples) // hop_samples, round(WINDOW_S * sample_rate_hz)
    if not count:
        return samples.new_zeros(0)
    window = torch.hann_window(size, dtype=samples.dtype)
    frames = F.pad(samples, (size // 2, size)).unfold(0, size, hop_samples)[:count]
    frames = (frames - frames.mean(1, keepdim=True)) * window
    length = 2 ** math.ceil(math.log2(2 * size))
    spectra = torch.fft.rfft(torch.cat([frames, window[None]]), length).abs().square()
    correlation = torch.fft.irfft(spectra)[:, : size // 2]
    loudness = correlation[:-1, 0].clamp(min=0).sqrt()
    correlation = correlation / correlation[:, :1].clamp(min=1e-9)
    correlation = correlation[:-1] / correlation[-1:]
    first, last = round(sample_rate_hz / HIGHEST_HZ), min(round(sample_rate_hz / LOWEST_HZ), size // 2 - 2)
    lags = torch.arange(first, last + 1)
    here, before, after = (correlation[:, first + shift : last + 1 + shift] for shift in (0, -1, 1))
    peaks = (here >= before) & (here >= after)
    cost = OCTAVE_COST * torch.log2(lags / first)
    height, best = torch.where(peaks, here - cost, -1.0).max(1)
    left, middle, right = (x.gather(1, best[:, None])[:, 0] for x in (before, here, after))
    curve = (left - 2 * middle + right).clamp(max=-1e-9)
    pitch = sample_rate_hz / (lags[best] + 0.5 * (left - right) / curve)
    voiced = (middle > VOICED) & (height > 0) & (loudness > LOUD * loudness.max())
    pitch = torch.where(voiced, pitch, 0.0)
    return F.pad(pitch, (MEDIAN_FRAMES // 2, MEDIAN_FRAMES // 2)).unfold(0, MEDIAN_FRAMES, 1).median(1).values


def voice_source(pitch_hz: Tensor, mask: Tensor, noise: Tensor, sample_rate_hz: int, hop_samples: int) -> Tensor:
    """All harmonics of a pitch at one strength, with a little noise; noise alone where there is no pitch.

    A neural source-filter model's excitation (arXiv 1904.12088); the sum of cosines in closed form.

    Args:
        pitch_hz: [B, N] by frame, 0 where there is none.
        mask: [B, N]; what lies behind a clip's end is silent.
        noise: [T'] samples that are repeated, so that a clip's sound does not depend on the clips beside it.

    Returns:
        [B, N x hop_samples], of variance about 1.
    """
    hz = gliding(torch.where(mask, pitch_hz, 0.0), hop_samples)
    return Source(noise, sample_rate_hz)(hz) * mask.float().repeat_interleave(hop_samples, 1)


def gliding(pitch_hz: Tensor, hop_samples: int) -> Tensor:
    """Pitch by frame [B, N] -> by sample [B, N x hop_samples]: straight to the next frame's, where that has one."""
    voiced = pitch_hz > 0
    following = torch.where(voiced[:, 1:] & voiced[:, :-1], pitch_hz[:, 1:], pitch_hz[:, :-1])
    following = torch.cat([following, pitch_hz[:, -1:]], 1)
    share = torch.arange(hop_samples, device=pitch_hz.device) / hop_samples
    return (pitch_hz[..., None] + (following - pitch_hz)[..., None] * share).flatten(1)


class Source:
    """The sound of a pitch by sample, which may be given piece by piece: it remembers where in a period it is, and in its noise.

    Args:
        noise: [T'] samples that are repeated.
    """

    def __init__(self, noise: Tensor, sample_rate_hz: int) -> None:
        self.noise, self.sample_rate_hz = noise, sample_rate_hz
        self.cycles: Tensor | float = 0.0  # since the start, without the whole ones
        self.samples = 0

    def __call__(self, hz: Tensor) -> Tensor:
        """hz [B, T], 0 where there is no pitch -> [B, T], as the noise is."""
        cycles = (self.cycles + (hz.double() / self.sample_rate_hz).cumsum(1)) % 1.0
        start, self.samples, self.cycles = self.samples % len(self.noise), self.samples + hz.shape[1], cycles[:, -1:]
        half = math.pi * cycles.to(hz.dtype)
        harmonics = (self.sample_rate_hz / 2 / hz.clamp(min=LOWEST_HZ)).floor()
        divisor = 2 * half.sin()
        near = divisor.abs() < 1e-3
        pulses = torch.where(near, harmonics, ((2 * harmonics + 1) * half).sin() / torch.where(near, 1.0, divisor) - 0.5)
        pulses = pulses / (harmonics / 2).sqrt()
        whisper = self.noise.repeat(-(-(start + hz.shape[1]) // len(self.noise)))[start : start + hz.shape[1]]
        strength = (hz > 0).float()
        return (pulses * strength + whisper * (1 - 0.9 * strength)).to(self.noise.dtype)
