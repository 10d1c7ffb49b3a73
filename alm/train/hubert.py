"""HuBERT: a transformer on the waveform learns to name, behind masked spans, the units of a tokenizer. Sees sound and units.

The first iteration's units are clusters of MFCC, the next one's are clusters of a middle layer of the network before it: each is a
recipe whose tokenizer makes the targets (arXiv 2106.07447).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

from alm.api.batching import pad_frames
from alm.api.errors import AlmError
from alm.api.types import Audio, AudioFile
from alm.components.encoders.waves import normalized
from alm.core.parts import Parts
from alm.core.units import cached_units
from alm.train.options import HubertOptions
from alm.train.pretraining import Heard, Pretraining, clips, frames_of, loaders, wave_config

TEMPERATURE = 0.1


class Hubert(Pretraining):
    """See the module.

    Args:
        targets: units of each clip [F].
        units: how many there are.
    """

    def __init__(self, options: HubertOptions, train: Any, targets: dict[AudioFile, Tensor], units: int) -> None:
        config = HubertConfig(**wave_config(options, train.dropout))
        super().__init__(HubertModel(config), Wav2Vec2FeatureExtractor(return_attention_mask=True), 50.0, options, train)
        self.options: HubertOptions = options
        self.targets = targets
        self.project = nn.Linear(options.hidden_size, options.projection_size)
        self.units = nn.Parameter(torch.randn(units, options.projection_size))

    def read(self, audio: Audio) -> Tensor:
        return normalized(audio.samples[0])

    def losses(self, batch: Heard, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor | float]]:
        lengths = [frames_of(samples, self.model.config) for samples in batch.lengths]
        features = self.model.feature_extractor(batch.inputs).transpose(1, 2)[:, : max(lengths)]
        heard = torch.arange(max(lengths), device=self.device) < torch.tensor(lengths, device=self.device)[:, None]
        found = pad_frames([at_speed(self.targets[file], batch.speed)[:length] for file, length in zip(batch.files, lengths, strict=True)])
        targets, known = (part.to(self.device) for part in found)
        masked = self.spans(lengths, generator).to(self.device)
        hidden = torch.where(masked[..., None], self.model.masked_spec_embed, self.model.feature_projection(features))
        states = self.model.encoder(hidden, attention_mask=heard).last_hidden_state
        known = F.pad(known, (0, max(lengths) - known.shape[1]))  # the last frame may have no unit
        targets = F.pad(targets, (0, max(lengths) - targets.shape[1]))
        loss, accuracy = self._named(states, targets, masked & known)
        penalty = features[heard].float().square().mean()
        logged = {"masked": loss, "penalty": penalty, "mask_density": masked.sum() / sum(lengths), "accuracy": accuracy}
        total = loss + self.options.feature_penalty * penalty
        if self.options.unmasked_weight:
            logged["unmasked"], logged["accuracy_unmasked"] = self._named(states, targets, known & ~masked)
            total = total + self.options.unmasked_weight * logged["unmasked"]
        return total, logged

    def _named(self, states: Tensor, targets: Tensor, asked: Tensor) -> tuple[Tensor, Tensor]:
        """Cross-entropy and accuracy of the units of the frames that are asked for. [B, F, D], [B, F], [B, F]"""
        wanted = targets[asked]
        scores = F.normalize(self.project(states[asked]), dim=-1) @ F.normalize(self.units, dim=-1).T / TEMPERATURE
        return F.cross_entropy(scores.float(), wanted), (scores.argmax(-1) == wanted).float().mean()


def at_speed(units: Tensor, speed: float) -> Tensor:
    """Units [F] of a clip that is played faster or slower. [F / speed]"""
    return units if speed == 1.0 else units[(torch.arange(int(len(units) / speed)) * speed).long()]


def build(parts: Parts, options: HubertOptions, track: Any) -> tuple[Hubert, Any, Any]:
    """The module and its loaders.

    Raises:
        AlmError: a tokenizer of another rate, of several codebooks or with merged repeats.
    """
    card = parts.card("tokenizer")
    if card.frame_rate_hz != 50.0 or card.codebooks != 1 or card.merges_repeats:
        raise AlmError(
            f"got a tokenizer of {card.frame_rate_hz:g} units/s, {card.codebooks} codebooks{', repeats merged' if card.merges_repeats else ''}",
            "one unit for each of HuBERT's 50 frames a second",
            "use mfcc with hop_samples: 320, or a hubert tokenizer with stride: 1",
        )
    audio = clips(parts)
    files = list(dict.fromkeys(file for some in audio.values() for file in some))
    targets = {file: units.codes[0] for file, units in zip(files, cached_units(parts, files, track), strict=True)}
    module = Hubert(options, parts.recipe.train, targets, card.vocabulary_size)
    return module, *loaders(parts, module, audio)
