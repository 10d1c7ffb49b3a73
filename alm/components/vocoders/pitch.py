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
    voiced = (pitch_hz > 0) & mask
    held = torch.where(voiced, pitch_hz, 0.0)
    following = torch.where(voiced[:, 1:] & voiced[:, :-1], held[:, 1:], held[:, :-1])
    following = torch.cat([following, held[:, -1:]], 1)
    share = torch.arange(hop_samples, device=held.device) / hop_samples
    hz = (held[..., None] + (following - held)[..., None] * share).flatten(1)  # [B, T]
    cycles = (hz.double() / sample_rate_hz).cumsum(1) % 1.0
    half = math.pi * cycles.float()
    harmonics = (sample_rate_hz / 2 / hz.clamp(min=LOWEST_HZ)).floor()
    divisor = 2 * half.sin()
    near = divisor.abs() < 1e-3
    pulses = torch.where(near, harmonics, ((2 * harmonics + 1) * half).sin() / torch.where(near, 1.0, divisor) - 0.5)
    pulses = pulses / (harmonics / 2).sqrt()
    whisper = noise.repeat(-(-hz.shape[1] // len(noise)))[: hz.shape[1]]
    strength = voiced.float().repeat_interleave(hop_samples, 1)
    return (pulses * strength + whisper * (1 - 0.9 * strength)) * mask.float().repeat_interleave(hop_samples, 1)
