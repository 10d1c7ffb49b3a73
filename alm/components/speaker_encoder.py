"""Who speaks: a vector of a voice, by the GE2E network that package Resemblyzer ships. Sees sound, no words.

Three LSTM layers over 1.6 s windows of mel energies, of which the mean is taken (Wan et al., arXiv 1710.10467; weights of
resemble-ai/Resemblyzer, Apache-2.0). Package and weights are found, not imported: its own code wants a tracker of voice activity
that compiles on few machines. Quiet clips are raised to -30 dBFS, as there; pauses are kept.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Sequence as Many
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchaudio.transforms import MelSpectrogram

from alm.api.errors import AlmError
from alm.api.interfaces import LoadContext
from alm.api.types import Audio

SOURCE = "pip:resemblyzer"
RATE_HZ, HOP_SAMPLES, BANDS, SIZE = 16_000, 160, 40, 256
WINDOW_FRAMES, STEP_FRAMES = 160, 77  # 1.3 windows a second
LEAST_COVERED = 0.75  # of a last window, to count
LEVEL_DBFS = -30.0
PROMPT_S = 3.0


class SpeakerEncoder(nn.Module):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(BANDS, SIZE, 3, batch_first=True)
        self.linear = nn.Linear(SIZE, SIZE)
        self.mel = MelSpectrogram(RATE_HZ, 400, hop_length=HOP_SAMPLES, n_mels=BANDS, norm="slaney", mel_scale="slaney", pad_mode="constant")

    @torch.inference_mode()
    def embed(self, clips: Many[Audio]) -> Tensor:
        """A vector of length 1 for each clip, at any rate: [B, 256]."""
        windows = [self._windows(clip) for clip in clips]
        _, (hidden, _) = self.lstm(torch.cat(windows))
        vectors = F.normalize(F.relu(self.linear(hidden[-1])), dim=-1)
        return F.normalize(torch.stack([own.mean(0) for own in vectors.split([len(own) for own in windows])]), dim=-1)

    def _windows(self, clip: Audio) -> Tensor:
        """Mel energies [W, WINDOW_FRAMES, BANDS]; a clip shorter than a window is filled up with silence."""
        samples = clip.mono().resample(RATE_HZ).samples[0]
        power = samples.square().mean()
        if power > 0:
            samples = samples * max(1.0, float(10 ** (LEVEL_DBFS / 20) / power.sqrt()))
        frames = len(samples) // HOP_SAMPLES + 1
        starts = list(range(0, max(1, frames - WINDOW_FRAMES + STEP_FRAMES + 1), STEP_FRAMES))
        if len(starts) > 1 and (frames - starts[-1]) / WINDOW_FRAMES < LEAST_COVERED:
            starts.pop()
        samples = F.pad(samples, (0, max(0, (starts[-1] + WINDOW_FRAMES) * HOP_SAMPLES - len(samples))))
        mel = self.mel(samples).T
        return torch.stack([mel[start : start + WINDOW_FRAMES] for start in starts])


def prompt_vectors(encoder: SpeakerEncoder, prompts: Many[Audio]) -> Tensor:
    """Vectors of voice prompts [B, 256]; one that is shorter than 3 s is repeated until it is as long, as in AudioPaLM."""
    return encoder.embed([replace(p, samples=p.samples.repeat(1, max(1, math.ceil(PROMPT_S / p.duration_s)))) for p in prompts])


def load_speaker_encoder(context: LoadContext) -> SpeakerEncoder:
    """The network with the weights that package Resemblyzer ships.

    Raises:
        AlmError: the package is not installed, or has no such weights.
    """
    path = context.folders(SOURCE)[0] / "pretrained.pt"
    encoder = SpeakerEncoder()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)["model_state"]
        encoder.load_state_dict({**encoder.state_dict(), **{name: value for name, value in state.items() if not name.startswith("similarity")}})
    except (OSError, RuntimeError, KeyError, pickle.UnpicklingError) as error:
        raise AlmError(
            f"got a package Resemblyzer whose weights do not load ({' '.join(str(error).split())[:160]})", "version 0.1.4", "run: pip install --no-deps resemblyzer==0.1.4"
        ) from error
    return encoder.eval()
