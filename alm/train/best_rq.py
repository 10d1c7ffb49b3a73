"""BEST-RQ: a Conformer learns to name, behind masked spans, the codes of a random quantizer. Sees log-mel frames.

The quantizer is frozen: a Xavier projection and codebooks drawn from N(0, 1), both sides normalized; the nearest code is the
target (arXiv 2202.01855). USM has 16 codebooks and 16 softmaxes of equal weight (arXiv 2303.01037). Its codes are never a
tokenizer's units: those are clusters of a middle layer (objective kmeans on tokenizer `usm`).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import SeamlessM4TFeatureExtractor, Wav2Vec2BertConfig, Wav2Vec2BertModel

from alm.api.types import Audio
from alm.components.mel import stacked_mel
from alm.core.parts import Parts
from alm.train.options import BestRqOptions
from alm.train.pretraining import CodeUse, Heard, Pretraining, clips, loaders

NOISE = 0.1  # standard deviation of what replaces masked input


class RandomQuantizer(nn.Module):
    """Frozen projection and codebooks."""

    projection: Tensor
    codebooks: Tensor

    def __init__(self, input_size: int, codebooks: int, codes: int, code_size: int, generator: torch.Generator) -> None:
        super().__init__()
        bound = (6 / (input_size + code_size)) ** 0.5  # Xavier, uniform
        self.register_buffer("projection", (2 * torch.rand(codebooks, input_size, code_size, generator=generator) - 1) * bound)
        self.register_buffer("codebooks", F.normalize(torch.randn(codebooks, codes, code_size, generator=generator), dim=-1))

    @torch.no_grad()
    def forward(self, frames: Tensor) -> Tensor:
        """frames [N, D], each dimension with mean 0 and variance 1 -> nearest codes [K, N]."""
        with torch.autocast(frames.device.type, enabled=False):
            projected = F.normalize(torch.einsum("nd,kdc->knc", frames.float(), self.projection), dim=-1)
            return (projected @ self.codebooks.transpose(1, 2)).argmax(-1)  # both sides have length 1


class BestRq(Pretraining):
    """See the module."""

    def __init__(self, options: BestRqOptions, train: Any) -> None:
        size = options.bands * options.stack
        config = Wav2Vec2BertConfig(
            hidden_size=options.hidden_size,
            num_hidden_layers=options.layers,
            num_attention_heads=options.heads,
            intermediate_size=options.ffn_size,
            feature_projection_input_dim=size,
            conv_depthwise_kernel_size=options.convolution_kernel,
            hidden_dropout=train.dropout,
            attention_dropout=train.dropout,
            conformer_conv_dropout=train.dropout,
            activation_dropout=0.0,
            feat_proj_dropout=0.0,
            layerdrop=0.0,
            mask_time_prob=0.0,
        )
        preprocessor = SeamlessM4TFeatureExtractor(feature_size=options.bands, num_mel_bins=options.bands, stride=options.stack)
        super().__init__(Wav2Vec2BertModel(config), preprocessor, 100 / options.stack, options, train)
        self.options: BestRqOptions = options
        self.stack = options.stack
        self.quantizer = RandomQuantizer(size, options.codebooks, options.codes, options.code_size, torch.Generator().manual_seed(train.seed))
        self.head = nn.Linear(options.hidden_size, options.codebooks * options.codes)
        self.use = CodeUse(options.codes)

    def read(self, audio: Audio) -> Tensor:
        return stacked_mel(audio, self.options.bands, self.options.stack)

    def losses(self, batch: Heard, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor | float]]:
        masked = self.spans(batch.lengths, generator).to(self.device)
        noise = NOISE * torch.randn(batch.inputs.shape, generator=generator).to(self.device)
        heard = torch.where(masked[..., None], noise, batch.inputs)
        states = self.model(heard, attention_mask=batch.mask).last_hidden_state[masked]
        targets = self.quantizer(batch.inputs[masked])  # [K, N]
        scores = self.head(states).unflatten(-1, (self.options.codebooks, -1)).transpose(0, 1)  # [K, N, C]
        loss = F.cross_entropy(scores.flatten(0, 1).float(), targets.flatten())
        density = masked.sum() / sum(batch.lengths)
        return loss, {"mask_density": density, "accuracy": (scores.argmax(-1) == targets).float().mean(), **self.use.add(targets[0])}


def build(parts: Parts, options: BestRqOptions, track: Any) -> tuple[BestRq, Any, Any]:
    """The module and its loaders."""
    module = BestRq(options, parts.recipe.train)
    return module, *loaders(parts, module, clips(parts))
