"""Metrics of sound against sound: spectrum, pitch, intelligibility, quality, voice. See waveforms, no words.

Each resamples by the rates that come with the clips. The first two compare what is spoken at different speeds: frames are paired by
dynamic time warping of their mel cepstra. STOI and PESQ compare samples one by one, so both clips must begin together; the longer one
is cut off.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence as Many
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchaudio.functional import create_dct
from torchaudio.transforms import MelSpectrogram

from alm.api.cards import MetricCard
from alm.api.errors import AlmError
from alm.api.interfaces import LoadContext
from alm.api.types import Audio
from alm.components.metrics.cards import SIGNAL_CARDS
from alm.components.speaker_encoder import load_speaker_encoder
from alm.components.vocoders.pitch import track_pitch

RATE_HZ, HOP_SAMPLES, BANDS, CEPSTRA = 16_000, 80, 80, 24
DECIBEL = 10 / math.log(10) * math.sqrt(2)
WORST_PESQ, WORST_STOI = 1.0, 0.0  # of a clip in which no speech is found


def mel_cepstra(samples: Tensor) -> Tensor:
    """Coefficients 1 to 24 of 80 log-mel bands, each 5 ms: [T] -> [F, 24]. Loudness, the coefficient 0, is left out."""
    mel = MelSpectrogram(RATE_HZ, 512, hop_length=HOP_SAMPLES, n_mels=BANDS, power=1.0, norm="slaney", mel_scale="slaney")(samples)
    return mel.clamp(min=1e-5).log().T @ create_dct(CEPSTRA + 1, BANDS, "ortho")[:, 1:] / math.sqrt(BANDS / 2)


def warp(costs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The cheapest way through costs [N, M] from corner to corner in steps of one: row and column of each of its pairs."""
    rows, columns = costs.shape
    total = np.full((rows + 1, columns + 1), np.inf)
    total[0, 0] = 0.0
    for diagonal in range(2, rows + columns + 1):  # all of one diagonal depend on the two before it alone
        i = np.arange(max(1, diagonal - columns), min(rows, diagonal - 1) + 1)
        j = diagonal - i
        total[i, j] = costs[i - 1, j - 1] + np.minimum(np.minimum(total[i - 1, j], total[i, j - 1]), total[i - 1, j - 1])
    path, i, j = [], rows, columns
    while i and j:
        path.append((i - 1, j - 1))
        before = [(total[i - 1, j - 1], i - 1, j - 1), (total[i - 1, j], i - 1, j), (total[i, j - 1], i, j - 1)]
        _, i, j = min(before)
    found = np.array(path[::-1])
    return found[:, 0], found[:, 1]


def _paired(made: Tensor, real: Tensor) -> tuple[Tensor, Tensor, np.ndarray, np.ndarray]:
    """Mel cepstra of both, and the frames that go together."""
    a, b = mel_cepstra(made), mel_cepstra(real)
    return a, b, *warp(torch.cdist(a, b).numpy())


def mel_cepstral_distortion(made: Tensor, real: Tensor) -> float:
    """In dB (Kubichek, 1993), of DCT coefficients of log-mel bands; published figures often use other cepstra."""
    a, b, i, j = _paired(made, real)
    return DECIBEL * float((a[i] - b[j]).square().sum(1).sqrt().mean())


def f0_rmse(made: Tensor, real: Tensor) -> float:
    """In Hz, over pairs of frames that both have a pitch; NaN where there is none."""
    _, _, i, j = _paired(made, real)
    pitches = [track_pitch(samples, RATE_HZ, HOP_SAMPLES) for samples in (made, real)]
    a, b = (pitch[np.minimum(index, len(pitch) - 1)] for pitch, index in zip(pitches, (i, j), strict=True))
    voiced = (a > 0) & (b > 0)
    return float((a - b)[voiced].square().mean().sqrt())


def stoi(made: Tensor, real: Tensor) -> float:
    """Short-time objective intelligibility, 0 to 1 (Taal et al., 2011), by package pystoi."""
    length = min(len(made), len(real))
    if not bool(made[:length].any()) or not bool(real[:length].any()):
        return WORST_STOI
    return float(_package("pystoi").stoi(real[:length].numpy(), made[:length].numpy(), RATE_HZ))


def pesq(made: Tensor, real: Tensor) -> float:
    """Perceptual quality, wide band, 1 to 4.64 (ITU-T P.862.2), by package pesq."""
    package, length = _package("pesq"), min(len(made), len(real))
    try:
        return float(package.pesq(RATE_HZ, real[:length].numpy(), made[:length].numpy(), "wb"))
    except (package.NoUtterancesError, package.BufferTooShortError, ZeroDivisionError, ValueError):
        return WORST_PESQ


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise AlmError(f"got metric {name.removeprefix('py')} without package {name}", "the package", f"run: pip install {name} (or install alm-audio[metrics])") from error


class SignalMetric:
    """The mean over clips of what a function says of two waveforms at 16 kHz; clips of which it can say nothing are left out."""

    def __init__(self, card: MetricCard, compare: Callable[[Tensor, Tensor], float]) -> None:
        self.card, self.compare = card, compare

    def score(self, hypotheses: Many[Audio], references: Many[Audio], language: str) -> float:
        pairs = zip(hypotheses, references, strict=True)
        values = [self.compare(*(clip.mono().resample(RATE_HZ).samples[0] for clip in pair)) for pair in pairs]
        known = [value for value in values if not math.isnan(value)]
        return float(np.mean(known)) if known else math.nan


class SpeakerSimilarity:
    """The cosine of the vectors of both voices, the mean over clips."""

    card = SIGNAL_CARDS["speaker_similarity"]

    def __init__(self, context: LoadContext) -> None:
        self.encoder = load_speaker_encoder(context)

    def score(self, hypotheses: Many[Audio], references: Many[Audio], language: str) -> float:
        return float((self.encoder.embed(hypotheses) * self.encoder.embed(references)).sum(1).mean())


COMPARE = {"mcd": mel_cepstral_distortion, "f0_rmse": f0_rmse, "stoi": stoi, "pesq": pesq}


def load_signal(name: str, context: LoadContext) -> Any:
    """A metric of SIGNAL_CARDS."""
    return SpeakerSimilarity(context) if name == "speaker_similarity" else SignalMetric(SIGNAL_CARDS[name], COMPARE[name])
