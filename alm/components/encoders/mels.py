"""w2v-BERT through transformers: a Conformer on stacked log-mel frames, cut off behind the last layer that is wanted.

The encoder that alm.train pretrains with BEST-RQ is of the same class. (w2v-BERT 2.0: arXiv 2312.05187.)
"""

from __future__ import annotations

from collections.abc import Sequence as Many
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import SeamlessM4TFeatureExtractor

from alm.api.batching import pad_frames
from alm.api.interfaces import LoadContext
from alm.api.types import Audio
from alm.components.encoders.cards import FrameOptions, mel_stack, read_json
from alm.components.encoders.checkpoints import load_layers
from alm.components.encoders.frames import WINDOW_S
from alm.components.mel import HOP_SAMPLES, stacked_mel

WINDOW_SAMPLES = 400  # of one log-mel frame


class MelNetwork:
    """A FrameNetwork. Its windows are stacked log-mel frames [F, stack x M].

    Args:
        model: a Wav2Vec2BertModel.
        layers: hidden states that are joined, counted from 1.
        stack: log-mel frames that are read as one.
    """

    def __init__(self, model: Any, layers: tuple[int, ...], stack: int) -> None:
        self.model, self.layers, self.stack = model, sorted(layers), stack
        self.bands = model.config.feature_projection_input_dim // stack
        self.batch_size = 100 // stack * (10 if self.device.type == "cpu" else 400)

    @property
    def device(self) -> torch.device:
        return torch.device(self.model.device)

    def min_samples(self, frames: int) -> int:
        return WINDOW_SAMPLES + HOP_SAMPLES * (self.stack * frames - 1)

    def windows(self, clip: Audio) -> Many[Tensor]:
        return stacked_mel(clip, self.bands, self.stack).split(100 * WINDOW_S // self.stack)

    def frames(self, windows: Many[Tensor]) -> list[Tensor]:
        hidden, mask = pad_frames([window.to(self.device) for window in windows])
        states = self.model(hidden, attention_mask=None if bool(mask.all()) else mask, output_hidden_states=self.layers).hidden_states
        joined = torch.cat([states[layer] for layer in self.layers], dim=-1)
        return [frames[: len(window)] for frames, window in zip(joined, windows, strict=True)]

    def save(self, folder: Path) -> None:
        """A transformers checkpoint folder, which loads as any other."""
        self.model.save_pretrained(folder)
        SeamlessM4TFeatureExtractor(feature_size=self.bands, num_mel_bins=self.bands, stride=self.stack).save_pretrained(folder)


def load_network(options: FrameOptions, context: LoadContext) -> MelNetwork:
    model = load_layers(options, context)
    model.adapter = model.intermediate_ffn = None  # they come behind the last layer
    model.config.add_adapter = model.config.use_intermediate_ffn_before_adapter = False
    return MelNetwork(model, options.layers, mel_stack(model.config.to_dict(), read_json(options, context, "preprocessor_config.json")))
