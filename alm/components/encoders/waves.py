"""HuBERT, wav2vec 2.0 and WavLM through transformers, cut off behind the last layer that is wanted.

The convolutions see each clip by itself, without padding: a group norm over time (`feat_extract_norm: group`) would mix a
clip's padding into its frames, and no mask mends that. The transformer then runs on batches of like length with a mask, which
gives what single clips give. (HuBERT: arXiv 2106.07447; wav2vec 2.0: arXiv 2006.11477; WavLM: arXiv 2110.13900.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence as Many
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from transformers import Wav2Vec2FeatureExtractor

from alm.api.batching import pad_frames
from alm.api.interfaces import LoadContext
from alm.api.types import Audio
from alm.components.encoders.cards import SAMPLE_RATE_HZ, FrameOptions, read_json
from alm.components.encoders.checkpoints import load_layers
from alm.components.encoders.frames import WINDOW_S


def normalized(samples: Tensor) -> Tensor:
    """[T] with mean 0 and variance 1, as Wav2Vec2FeatureExtractor has it."""
    return (samples - samples.mean()) / (samples.var(unbiased=False) + 1e-7).sqrt()


def _keep_float32(module: nn.Module) -> None:
    """Computes a module in float32 under autocast as well."""
    forward = module.forward

    def exact(hidden: Tensor) -> Any:
        with torch.autocast(hidden.device.type, enabled=False):
            return forward(hidden.float())

    module.forward = exact  # a wrapper would rename the weights


class WaveNetwork:
    """A FrameNetwork. Its windows are samples [T].

    Args:
        model: a HubertModel, Wav2Vec2Model or WavLMModel; it is changed.
        layers: hidden states that are joined, counted from 1.
        normalize: whether it was trained on clips of mean 0 and variance 1.
        normed: what comes behind the last layer's norm, where the family has one (`do_stable_layer_norm`): what a head reads.
    """

    def __init__(self, model: Any, layers: tuple[int, ...], *, normalize: bool, normed: bool = False) -> None:
        config = model.config
        self.convolutions, model.feature_extractor = model.feature_extractor, nn.Identity()
        self.model, self.layers, self.normalize, self.normed = model, sorted(layers), normalize, normed
        first, *_, last_but_one, last = self.convolutions.conv_layers
        for exact in (first.conv, last_but_one, last, model.feature_projection):  # bfloat16's eight bits cost units here, float32 next to no time
            _keep_float32(exact)
        self.hop = math.prod(config.conv_stride)
        self.reach = 1 + sum((kernel - 1) * math.prod(config.conv_stride[:i]) for i, kernel in enumerate(config.conv_kernel))
        self.batch_size = SAMPLE_RATE_HZ * (20 if self.device.type == "cpu" else 400)

    @property
    def device(self) -> torch.device:
        return torch.device(self.model.device)

    def min_samples(self, frames: int) -> int:
        return self.reach + self.hop * (frames - 1)

    def windows(self, clip: Audio) -> Many[Tensor]:
        """Windows overlap by what a frame reaches beyond its hop, so that no frame is lost between them."""
        samples = normalized(clip.samples[0]) if self.normalize else clip.samples[0]
        step = SAMPLE_RATE_HZ * WINDOW_S // self.hop * self.hop
        starts = range(0, len(samples) - self.reach + 1, step)
        return [samples[start : start + step + self.reach - self.hop] for start in starts]

    def frames(self, windows: Many[Tensor]) -> list[Tensor]:
        convolved = [self.convolutions(window[None].to(self.device))[0].T for window in windows]
        hidden, mask = pad_frames(convolved)
        if bool(mask.all()):
            heard = None
        else:  # transformers counts the frames of each row from its samples
            lengths = torch.tensor([len(window) for window in windows], device=self.device)
            heard = torch.arange(int(lengths.max()), device=self.device) < lengths[:, None]
        output = self.model(hidden.transpose(1, 2), attention_mask=heard, output_hidden_states=self.layers)
        joined = output.last_hidden_state if self.normed else torch.cat([output.hidden_states[layer] for layer in self.layers], dim=-1)
        return [frames[: len(own)] for frames, own in zip(joined, convolved, strict=True)]

    def save(self, folder: Path) -> None:
        """A transformers checkpoint folder, which loads as any other."""
        convolution = self.model.encoder.pos_conv_embed.conv
        self.model.feature_extractor = self.convolutions
        nn.utils.parametrizations.weight_norm(convolution, name="weight", dim=2)
        try:
            self.model.save_pretrained(folder)
        finally:
            parametrize.remove_parametrizations(convolution, "weight")
            self.model.feature_extractor = nn.Identity()
        masked = self.model.config.feat_extract_norm == "layer"
        Wav2Vec2FeatureExtractor(do_normalize=self.normalize, return_attention_mask=masked).save_pretrained(folder)


def load_network(options: FrameOptions, context: LoadContext) -> WaveNetwork:
    model = load_layers(options, context)
    position = model.encoder.pos_conv_embed.conv
    if parametrize.is_parametrized(position, "weight"):  # computed once, not in each batch
        parametrize.remove_parametrizations(position, "weight")
    return WaveNetwork(model, options.layers, normalize=bool(read_json(options, context, "preprocessor_config.json").get("do_normalize", True)), normed=bool(options.head))
