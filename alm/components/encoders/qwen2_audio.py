"""The sound of Qwen2-Audio checkpoints: their encoder (a Whisper that pools to 25 Hz), and their own projector (arXiv 2407.10759).

transformers' network as it is, which reads 30 s of log-mel, silence behind a shorter clip. A longer clip is encoded in pieces of 30 s, one after
another in one run of slots, where the released code cuts it off.
"""

from __future__ import annotations

from collections.abc import Sequence as Many
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn
from transformers import WhisperFeatureExtractor
from transformers.models.qwen2_audio.modeling_qwen2_audio import Qwen2AudioEncoder as HfQwen2AudioEncoder

from alm.api.errors import AlmError
from alm.api.interfaces import LoadContext
from alm.api.types import Audio, Features
from alm.components.encoders.cards import Qwen2AudioOptions, qwen2_audio_card
from alm.components.encoders.checkpoints import load_pretrained
from alm.components.encoders.frames import WINDOW_S, check_audio

PIECES_AT_ONCE = 4
MIN_MEL_FRAMES = 3  # that give one frame behind two strides of two
TOWER, PROJECTOR = r"^(model\.)?audio_tower\.", "multi_modal_projector.linear."


class Qwen2AudioEncoder:
    """See the module. Immutable once loaded."""

    def __init__(self, network: Any, extractor: WhisperFeatureExtractor, projector: dict[str, Tensor], options: Qwen2AudioOptions, context: LoadContext) -> None:
        self.card = qwen2_audio_card(options, context)
        self.network, self.extractor, self.projector = network, extractor, projector

    @torch.inference_mode()
    def encode(self, audio: Many[Audio]) -> list[Features]:
        card, samples = self.card, WINDOW_S * self.card.sample_rate_hz
        pieces, counts = list[Tensor](), list[int]()
        for clip in audio:
            check_audio(clip, card.sample_rate_hz, "encoder 'qwen2-audio'", MIN_MEL_FRAMES * self.extractor.hop_length)
            own = [piece for piece in clip.samples[0].split(samples) if len(piece) >= MIN_MEL_FRAMES * self.extractor.hop_length]
            pieces += own
            counts.append(len(own))
        frames = [frame for start in range(0, len(pieces), PIECES_AT_ONCE) for frame in self._frames(pieces[start : start + PIECES_AT_ONCE])]
        results, start = [], 0
        for count in counts:
            results.append(Features(torch.cat(frames[start : start + count]), card.frame_rate_hz, card.fingerprint))
            start += count
        return results

    def _frames(self, pieces: Many[Tensor]) -> list[Tensor]:
        """Of each piece, [F, D]; silence behind it is masked where attention sees it."""
        made = self.extractor(
            [piece.numpy() for piece in pieces], sampling_rate=self.card.sample_rate_hz, padding="max_length", return_attention_mask=True, return_tensors="pt"
        ).to(self.network.device)
        heard, kept = self.network._get_feat_extract_output_lengths(made["attention_mask"].sum(-1))
        mask = torch.arange(self.network.max_source_positions, device=heard.device) < heard[:, None]  # [B, F]
        hidden = self.network(made["input_features"], attention_mask=mask[:, None, None, :].expand(-1, 1, mask.shape[1], -1)).last_hidden_state
        return [row[:count].float().cpu() for row, count in zip(hidden, kept.tolist(), strict=True)]

    def build_projector(self, hidden_size: int) -> nn.Module:
        """The checkpoint's own, where it fits the backbone; otherwise one to be trained."""
        return LinearProjector(self.projector if len(self.projector["weight"]) == hidden_size else {}, self.card.feature_size, hidden_size)


class LinearProjector(nn.Module):
    """One layer, frame by frame."""

    def __init__(self, state: dict[str, Tensor], feature_size: int, hidden_size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(feature_size, hidden_size)
        if state:
            self.linear.load_state_dict(state)

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """values [B, F, D], mask [B, F] -> [B, F, hidden_size]."""
        return self.linear(values * mask[..., None])


def load_encoder(options: Qwen2AudioOptions, context: LoadContext) -> Qwen2AudioEncoder:
    """
    Raises:
        AlmError: a folder that holds no Qwen2-Audio.
    """
    (folder,) = context.folders(options.weights)
    network = load_pretrained(options.weights, context, HfQwen2AudioEncoder, {TOWER: ""}, part_of_config="audio_config")
    extractor = WhisperFeatureExtractor.from_pretrained(folder)
    projector: dict[str, Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            projector |= {name.split(PROJECTOR)[1]: file.get_tensor(name).float() for name in file.keys() if PROJECTOR in name}  # noqa: SIM118
    if projector.keys() != {"weight", "bias"}:
        raise AlmError(f"got weights {options.weights!r} without {PROJECTOR}weight and bias", "a Qwen2-Audio checkpoint in safetensors", "check the folder")
    return Qwen2AudioEncoder(network, extractor, projector, options, context)
