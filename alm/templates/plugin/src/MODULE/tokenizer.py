"""Audio -> Units by loudness in 2 dB steps: a tokenizer that is small enough to read, and real enough to train with."""

import torch

from alm.api.errors import AlmError
from alm.api.types import Units


class LoudnessTokenizer:
    def __init__(self, card):
        self.card = card

    def encode(self, audio):
        return [Units(self._codes(clip), self.card.frame_rate_hz, self.card.fingerprint) for clip in audio]

    def save(self, folder):
        folder.mkdir(parents=True, exist_ok=True)  # nothing was trained

    def _codes(self, clip):
        hop = round(self.card.sample_rate_hz / self.card.frame_rate_hz)
        if clip.sample_rate_hz != self.card.sample_rate_hz:
            raise AlmError(f"got {clip.sample_rate_hz} Hz", f"{self.card.sample_rate_hz} Hz", "call audio.resample(...)")
        if clip.num_samples < hop:
            raise AlmError(f"got {clip.num_samples} samples", f"at least {hop}", "record a longer clip")
        frames = clip.mono().samples[0, : clip.num_samples // hop * hop].reshape(-1, hop)
        decibels = 10 * frames.square().mean(1).clamp(min=1e-7).log10()
        return ((decibels + 64) / 2).long().clamp(0, self.card.vocabulary_size - 1)[None].to(torch.int64)
