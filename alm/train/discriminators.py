"""What a vocoder's sound is judged by: convolutions over spectrograms and over the samples of each period. See waveforms alone.

Several resolutions of the first (UnivNet, arXiv 2106.07889), several periods of the second (HiFi-GAN, arXiv 2010.05646); each gives
scores and inner features, for the hinge loss and feature matching.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

Judged = tuple[Tensor, list[Tensor]]  # scores, inner features
SLOPE = 0.1


class SpectrogramDiscriminator(nn.Module):
    """Sees log magnitudes, and the spectrum compressed to |X|^0.3 with its phase kept, so that wrong phases are heard too."""

    def __init__(self, fft_samples: int, channels: int = 16) -> None:
        super().__init__()
        self.fft_samples = fft_samples
        self.register_buffer("window", torch.hann_window(fft_samples))
        sizes = [3, channels, channels, channels, channels]
        self.convs = nn.ModuleList(weight_norm(nn.Conv2d(a, b, (9, 3), stride=(2 if i else 1, 1), padding=(4, 1))) for i, (a, b) in enumerate(zip(sizes, sizes[1:], strict=False)))
        self.last = weight_norm(nn.Conv2d(channels, 1, 3, padding=1))

    def forward(self, samples: Tensor) -> Judged:
        """[B, T]"""
        spectrum = torch.stft(samples, self.fft_samples, self.fft_samples // 4, window=self.window, return_complex=True)
        magnitude = spectrum.abs() + 1e-3
        compressed = spectrum * magnitude**-0.7
        return _judge(torch.stack([magnitude.log(), compressed.real, compressed.imag], 1), self.convs, self.last)  # [B, 3, fft / 2 + 1, N]


class PeriodDiscriminator(nn.Module):
    """Sees samples that are a period apart side by side."""

    def __init__(self, period: int, channels: int = 16) -> None:
        super().__init__()
        self.period = period
        sizes = [1, channels, 2 * channels, 4 * channels, 4 * channels]
        self.convs = nn.ModuleList(weight_norm(nn.Conv2d(a, b, (5, 1), (3, 1), (2, 0))) for a, b in zip(sizes, sizes[1:], strict=False))
        self.last = weight_norm(nn.Conv2d(4 * channels, 1, (3, 1), padding=(1, 0)))

    def forward(self, samples: Tensor) -> Judged:
        """[B, T]"""
        whole = samples[:, : samples.shape[1] // self.period * self.period]
        return _judge(whole.unflatten(1, (-1, self.period))[:, None], self.convs, self.last)


def _judge(hidden: Tensor, convs: Iterable[nn.Module], last: nn.Module) -> Judged:
    features = []
    for conv in convs:
        hidden = F.leaky_relu(conv(hidden), SLOPE)
        features.append(hidden)
    return last(hidden), features


class Discriminators(nn.ModuleList):
    """All of them.

    Args:
        periods, resolutions: in samples.
    """

    def __init__(self, periods: Iterable[int], resolutions: Iterable[int]) -> None:
        super().__init__([*(SpectrogramDiscriminator(size) for size in resolutions), *(PeriodDiscriminator(period) for period in periods)])

    def loss(self, made: Tensor, real: Tensor) -> Tensor:
        """Hinge loss of telling them apart, the mean over discriminators. [B, T] each"""
        losses = [F.relu(1 - judge(real)[0]).mean() + F.relu(1 + judge(made)[0]).mean() for judge in self]
        return torch.stack(losses).mean()

    def against(self, made: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        """What the vocoder pays for sound that is told apart, and for features unlike those of the recording."""
        scores, matching = [], []
        for judge in self:
            with torch.no_grad():
                _, wanted = judge(real)
            score, features = judge(made)
            scores.append(F.relu(1 - score).mean())
            matching.append(torch.stack([(a - b).abs().mean() for a, b in zip(features, wanted, strict=True)]).mean())
        return torch.stack(scores).mean(), torch.stack(matching).mean()
