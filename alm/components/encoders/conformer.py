"""torchaudio's Conformer (arXiv 2005.08100) on stacked log-mel frames: a small encoder that starts untrained.

Its convolutions see what stands behind a clip's end, so clips are heard one by one; in training they stand beside each other.
"""

from __future__ import annotations

import json
from collections.abc import Sequence as Many
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torchaudio.models import Conformer

from alm.api.batching import pad_frames
from alm.api.errors import AlmError
from alm.api.interfaces import LoadContext
from alm.api.types import Audio
from alm.components.encoders.cards import CONFORMER_FILE, CONFORMER_TYPE, ConformerOptions, ConformerSizes, conformer_config
from alm.components.encoders.frames import WINDOW_S
from alm.components.encoders.mels import WINDOW_SAMPLES
from alm.components.mel import HOP_SAMPLES, stacked_mel


class ConformerModel(nn.Module):
    """Stacked log-mel frames -> states of each layer.

    Attributes:
        config: its sizes; `hidden_size` is what an objective asks for.
    """

    def __init__(self, sizes: ConformerSizes) -> None:
        super().__init__()
        self.config = sizes
        self.enter = nn.Linear(sizes.bands * sizes.stack, sizes.hidden_size)
        self.conformer = Conformer(sizes.hidden_size, sizes.heads, sizes.ffn_size, sizes.layers, sizes.convolution_kernel, sizes.dropout)

    @property
    def layers(self) -> nn.ModuleList:
        return self.conformer.conformer_layers

    def forward(self, frames: Tensor, mask: Tensor) -> list[Tensor]:
        """frames [B, F, stack x M], mask [B, F] -> what each layer gives [B, F, D]."""
        hidden = self.enter(frames).transpose(0, 1)
        states = []
        for layer in self.layers:
            hidden = layer(hidden, None if bool(mask.all()) else ~mask)
            states.append(hidden.transpose(0, 1))
        return states


class ConformerNetwork:
    """A FrameNetwork. Its windows are stacked log-mel frames [F, stack x M].

    Args:
        layers: whose outputs are joined, counted from 1.
    """

    batch_size = 1  # window at a time

    def __init__(self, model: ConformerModel, layers: tuple[int, ...]) -> None:
        self.model, self.wanted = model, sorted(layers)

    @property
    def stack(self) -> int:
        return self.model.config.stack

    @property
    def device(self) -> torch.device:
        return self.model.enter.weight.device

    def min_samples(self, frames: int) -> int:
        return WINDOW_SAMPLES + HOP_SAMPLES * (self.model.config.stack * frames - 1)

    def windows(self, clip: Audio) -> Many[Tensor]:
        config = self.model.config
        return stacked_mel(clip, config.bands, config.stack).split(100 * WINDOW_S // config.stack)

    def frames(self, windows: Many[Tensor]) -> list[Tensor]:
        groups = [windows] if self.model.training else [[window] for window in windows]
        found: list[Tensor] = []
        for group in groups:
            states = self.model(*pad_frames([window.to(self.device) for window in group]))
            joined = torch.cat([states[layer - 1] for layer in self.wanted], dim=-1)
            found += [frames[: len(window)] for frames, window in zip(joined, group, strict=True)]
        return found

    def save(self, folder: Path) -> None:
        """config.json and model.safetensors."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps({"model_type": CONFORMER_TYPE, **asdict(self.model.config)}, indent=1))
        save_file({name: value.detach().cpu().contiguous() for name, value in self.model.state_dict().items()}, folder / CONFORMER_FILE)


def load_network(options: ConformerOptions, context: LoadContext) -> ConformerNetwork:
    """From a folder, or untrained without one."""
    model: Any = ConformerModel(conformer_config(options, context))
    if options.weights:
        folder = context.folders(options.weights)[0]
        try:
            model.load_state_dict(load_file(folder / CONFORMER_FILE))
        except (OSError, RuntimeError) as error:
            raise AlmError(
                f"got weights {options.weights!r}, which do not load ({' '.join(str(error).split())[:160]})", "a Conformer that alm trained", "check the folder"
            ) from error
    return ConformerNetwork(model.eval().to(context.device), options.layers)
