"""wav2vec 2.0: a transformer learns to tell, behind masked spans, the true quantized latent from others of the same clip. Sees sound.

Network, quantizer and loss are transformers' Wav2Vec2ForPreTraining (arXiv 2006.11477).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2ForPreTraining

from alm.api.types import Audio
from alm.components.encoders.waves import normalized
from alm.core.parts import Parts
from alm.train.optimize import progress
from alm.train.options import Wav2Vec2Options
from alm.train.pretraining import Heard, Pretraining, clips, frames_of, loaders, wave_config

HOT, COLD = 2.0, 0.5  # temperature of the Gumbel softmax, from the first step to the last


class Wav2Vec2(Pretraining):
    """See the module."""

    def __init__(self, options: Wav2Vec2Options, train: Any) -> None:
        config = Wav2Vec2Config(
            **wave_config(options, train.dropout),
            num_codevector_groups=options.groups,
            num_codevectors_per_group=options.codes,
            codevector_dim=options.projection_size,
            proj_codevector_dim=options.projection_size,
            num_negatives=options.distractors,
            diversity_loss_weight=options.diversity_weight,
        )
        network = Wav2Vec2ForPreTraining(config)
        super().__init__(network.wav2vec2, Wav2Vec2FeatureExtractor(return_attention_mask=True), 50.0, options, train)
        self.options: Wav2Vec2Options = options
        self.network = network
        self.train()

    def read(self, audio: Audio) -> Tensor:
        return normalized(audio.samples[0])

    def losses(self, batch: Heard, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor | float]]:
        lengths = [frames_of(samples, self.model.config) for samples in batch.lengths]
        masked = self.spans(lengths, generator)
        negatives = distractors(masked, self.options.distractors, generator).to(self.device)
        if self.training:
            self.network.set_gumbel_temperature(HOT * (COLD / HOT) ** progress(self))
        output = self.network(batch.inputs, attention_mask=batch.mask, mask_time_indices=masked.to(self.device), sampled_negative_indices=negatives)
        count = int(masked.sum())
        logged = {
            "contrastive": output.contrastive_loss / count,
            "perplexity": output.codevector_perplexity,
            "codes_used": output.codevector_perplexity / (self.options.groups * self.options.codes),
            "mask_density": count / sum(lengths),
        }
        return output.loss / count, logged


def distractors(masked: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """For each masked frame, `count` other masked frames of its clip, as places in the flattened batch. [B, F] -> [B, F, N]"""
    batch, frames = masked.shape
    chosen = torch.zeros(batch, frames, count, dtype=torch.int64)
    for row in range(batch):
        places = masked[row].nonzero()[:, 0]
        others = torch.randint(max(1, len(places) - 1), (len(places), count), generator=generator)
        others += others >= torch.arange(len(places))[:, None]  # all but the frame itself
        chosen[row, places] = places[others.clamp(max=len(places) - 1)]
        chosen[row] += row * frames
    return chosen


def build(parts: Parts, options: Wav2Vec2Options, track: Any) -> tuple[Wav2Vec2, Any, Any]:
    """The module and its loaders."""
    module = Wav2Vec2(options, parts.recipe.train)
    return module, *loaders(parts, module, clips(parts))
