"""Masked language modelling on sequences of text and units: hidden ids are found again from both sides.

As BERT hides them (Devlin et al., arXiv 1810.04805): of the chosen positions four in five hold a vector that is learnt, one in ten a
random id, one in ten what was there. Attention sees every position of the sequence, and the id at a position is told from the state
before it, as a decoder-only model's head is used to (masked next token prediction, BehnamGhader et al., arXiv 2404.05961), so that
causal training can follow.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alm.api.errors import AlmError
from alm.api.types import SLOT_ID
from alm.core.assemble import Model, input_embeddings
from alm.core.parts import Parts
from alm.train import lm
from alm.train.options import MaskedLmOptions


class MaskedLanguageModelTraining(lm.LanguageModelTraining):
    """The language model's module under this loss."""

    options: MaskedLmOptions

    def __init__(self, model: Model, parts: Parts, options: MaskedLmOptions) -> None:
        super().__init__(model, parts, options)
        self.hidden_id = nn.Parameter(torch.randn(model.backbone.card.hidden_size) * 0.02)

    def losses(self, batch: lm.Batch, *, augment: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Cross-entropy of each hidden id [N], the ids [N], the row of each [N], and the states [B, S - 1, D].

        The same positions are hidden in each validation of a batch.
        """
        assert batch.lengths is not None
        device = batch.ids.device
        chance = None if augment else torch.Generator(device).manual_seed(0)
        real = torch.arange(batch.ids.shape[1], device=device) < batch.lengths[:, None]
        can = real & (batch.ids != SLOT_ID)
        can[:, 0] = False
        drawn = torch.rand(batch.ids.shape, generator=chance, device=device)
        hidden = can & (drawn < self.options.mask_share)
        none = can.any(1) & ~hidden.any(1)  # each row hides something
        hidden[none, drawn.masked_fill(~can, 2.0).argmin(1)[none]] = True
        share = drawn / self.options.mask_share
        random = torch.randint(0, len(self.vocabulary), batch.ids.shape, generator=chance, device=device)
        ids = torch.where(hidden & (share < 0.1), random, batch.ids)
        embeddings = input_embeddings(self.backbone, self.projector, ids, batch.slots)
        embeddings = torch.where((hidden & (share >= 0.2))[..., None], self.hidden_id.to(embeddings.dtype), embeddings)
        embeddings = F.dropout(embeddings, self.train_config.dropout, self.training)
        states = self.backbone.hidden(embeddings, real[:, None].expand(-1, real.shape[1], -1))[:, :-1]
        found = hidden[:, 1:]
        targets = batch.ids[:, 1:][found]
        losses = F.cross_entropy(self.backbone.scores(states[found]).float(), targets, reduction="none")
        return losses, targets, found.nonzero()[:, 0], states


def build(parts: Parts, options: MaskedLmOptions, track: Any) -> tuple[lm.LanguageModelTraining, Any, Any]:
    """The module and its loaders.

    Raises:
        AlmError: several ids at one position.
    """
    if parts.layout.streams > 1 or parts.layout.text_beside:
        raise AlmError("got a layout with several ids at one position", "one id", "write layout.kind: flattened, without text_beside")
    return lm.build(parts, replace(options, replace_frames=0.0, replace_text=0.0, replace_units=0.0), track, MaskedLanguageModelTraining)
