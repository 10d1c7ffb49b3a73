"""An encoder that is trained together with the language model: its network stands in the projector, its features are what the network reads.

Qwen-Audio trains its encoder in one stage and its language model in the other (arXiv 2311.07919): `train.options.freeze` says which rests.
"""

from __future__ import annotations

from collections.abc import Sequence as Many

import torch
from torch import Tensor, nn

from alm.api.batching import pad_frames
from alm.api.cards import EncoderCard
from alm.api.interfaces import LoadContext
from alm.api.types import Audio, Features
from alm.components.encoders.cards import WHISPER, WhisperOptions
from alm.components.encoders.frames import WINDOW_S, check_audio
from alm.components.encoders.projectors import build_projector
from alm.components.encoders.whisper import WhisperNetwork, load_whisper
from alm.components.mel import HOP_SAMPLES, whisper_mel

WINDOW_FRAMES = 100 * WINDOW_S  # of log-mel


class LiveEncoder:
    """Log-mel frames, an even number, at 100 Hz."""

    def __init__(self, card: EncoderCard, options: WhisperOptions, context: LoadContext) -> None:
        self.card, self.options, self.context = card, options, context

    def encode(self, audio: Many[Audio]) -> list[Features]:
        card, results = self.card, []
        for clip in audio:
            check_audio(clip, card.sample_rate_hz, "encoder 'whisper'", 2 * HOP_SAMPLES * self.options.stride)
            mel = whisper_mel(clip, card.feature_size).T
            results.append(Features(mel[: len(mel) // 2 * 2].contiguous(), card.frame_rate_hz, card.fingerprint, card.frames_per_slot, card.extra_slots))
        return results

    def build_projector(self, hidden_size: int) -> nn.Module:
        options = self.options
        network = load_whisper(options.weights, self.context)
        size = network.config.d_model * len(options.layers)
        return LiveProjector(network, options, build_projector(options.projector, size, hidden_size, options.stack * options.stride))


class LiveProjector(nn.Module):
    """Whisper's encoder, then a projector.

    Attributes:
        network: the encoder.
        projector: what follows it.
    """

    def __init__(self, network: nn.Module, options: WhisperOptions, projector: nn.Module) -> None:
        super().__init__()
        self.network, self.projector = network, projector
        self.options = options

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """values [B, N, M], mask [B, N] -> [B, S, hidden_size]."""
        clips = [row[: int(count)].split(WINDOW_FRAMES) for row, count in zip(values, mask.sum(1), strict=True)]
        frames = iter(WhisperNetwork(self.network, self.options.layers).frames([window for windows in clips for window in windows]))
        return self.projector(*pad_frames([torch.cat([next(frames) for _ in windows]) for windows in clips]))


def load_encoder(options: WhisperOptions, context: LoadContext) -> LiveEncoder:
    return LiveEncoder(WHISPER.card(options, context), options, context)
