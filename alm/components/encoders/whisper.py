"""Whisper's encoder: layers up to the one that is asked for, any clip length, batch-invariant (arXiv 2212.04356).

transformers' WhisperModel wants 30 s of mel for every clip; here a clip costs what it is long. Frames behind a clip's
end are zeroed before each convolution and masked in attention, so a padded batch gives what single clips give.
"""

from __future__ import annotations

import json
from collections.abc import Sequence as Many
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder as HfWhisperEncoder

from alm.api.batching import pad_frames
from alm.api.interfaces import LoadContext
from alm.api.types import Audio
from alm.components.encoders import ctranslate2
from alm.components.encoders.cards import FrameOptions
from alm.components.encoders.frames import WINDOW_S
from alm.components.mel import HOP_SAMPLES, whisper_mel


class WhisperNetwork:
    """A FrameNetwork. Its windows are log-mel frames [N, M], two for each frame that comes out."""

    batch_size = 6_000

    def __init__(self, model: HfWhisperEncoder, layers: tuple[int, ...]) -> None:
        self.model, self.layers = model, layers

    @property
    def device(self) -> torch.device:
        return self.model.conv1.weight.device

    def min_samples(self, frames: int) -> int:
        return 2 * HOP_SAMPLES * frames

    def windows(self, clip: Audio) -> Many[Tensor]:
        mel = whisper_mel(clip, self.model.config.num_mel_bins)
        return mel[:, : mel.shape[1] // 2 * 2].T.split(100 * WINDOW_S)

    def frames(self, windows: Many[Tensor]) -> list[Tensor]:
        mel, mel_mask = pad_frames([window.to(self.device) for window in windows])
        hidden = F.gelu(self.model.conv1(mel.transpose(1, 2))) * mel_mask[:, None]
        hidden = F.gelu(self.model.conv2(hidden)).transpose(1, 2)
        mask = mel_mask[:, ::2]
        hidden = hidden + self.model.embed_positions.weight[: hidden.shape[1]]
        attention = torch.zeros(mask.shape, device=mask.device).masked_fill(~mask, float("-inf"))[:, None, None, :]
        attention = attention.expand(-1, 1, hidden.shape[1], -1)
        taken = []
        for number, layer in enumerate(self.model.layers[: max(self.layers)], start=1):
            output = layer(hidden, attention)
            hidden = output[0] if isinstance(output, tuple) else output
            if number in self.layers:
                last = number == len(self.model.layers)
                taken.append(self.model.layer_norm(hidden) if last else hidden)
        joined = torch.cat(taken, dim=-1)
        return [frames[: int(count)] for frames, count in zip(joined, mask.sum(1), strict=True)]

    def save(self, folder: Path) -> None:
        """A transformers folder of the encoder alone, which loads as any other."""
        self.model.save_pretrained(folder)


def load_network(options: FrameOptions, context: LoadContext) -> WhisperNetwork:
    return WhisperNetwork(load_whisper(options.weights, context).to(context.device), options.layers)


def load_whisper(weights: str, context: LoadContext) -> HfWhisperEncoder:
    """The encoder of a Whisper checkpoint: transformers safetensors or CTranslate2."""
    folders = context.folders(weights)
    parts = sorted(path for folder in folders for path in folder.rglob("model.bin*"))
    if parts:
        state = ctranslate2.whisper_state_dict(ctranslate2.read_variables(parts), sides=("encoder",))
        network = HfWhisperEncoder(whisper_config(state))
        network.load_state_dict({name.removeprefix("model.encoder."): value for name, value in state.items()})
    elif json.loads((folders[0] / "config.json").read_text()).get("architectures") == [HfWhisperEncoder.__name__]:  # as `save` leaves it
        network = HfWhisperEncoder.from_pretrained(folders[0])
    else:
        from transformers import WhisperModel

        network = WhisperModel.from_pretrained(folders[0]).encoder
    return network.eval()


def whisper_config(state: dict[str, Tensor]) -> WhisperConfig:
    """Sizes read off the weights, which may be the encoder's alone; Whisper's heads are 64 wide."""
    width = state["model.encoder.conv1.weight"].shape[0]
    sizes = {} if "model.decoder.embed_tokens.weight" not in state else {"vocab_size": state["model.decoder.embed_tokens.weight"].shape[0]}

    def layers(side: str) -> int:
        return len({name.split(".")[3] for name in state if name.startswith(f"model.{side}.layers.")})

    return WhisperConfig(
        **sizes,
        d_model=width,
        num_mel_bins=state["model.encoder.conv1.weight"].shape[1],
        encoder_layers=layers("encoder"),
        decoder_layers=layers("decoder"),
        encoder_attention_heads=width // 64,
        decoder_attention_heads=width // 64,
        encoder_ffn_dim=4 * width,
        decoder_ffn_dim=4 * width,
    )
