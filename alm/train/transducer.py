"""Trains an encoder with a transducer loss (RNN-T, arXiv 1211.3711). Sees sound and transcripts.

As objective encoder-ctc, but what reads the encoder's states also knows what was written before: what is left is recognizer `transducer`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from alm.components.recognizers.cards import TRANSDUCER_FILE
from alm.components.recognizers.transducer import Transducer
from alm.core.checkpoint import save_recognizer
from alm.core.parts import Parts
from alm.train.encoder_ctc import EncoderCtc, Spoken, build as build_ctc
from alm.train.options import TransducerFitOptions


class EncoderTransducer(EncoderCtc):
    """See the module."""

    loss_name = "rnnt"
    options: TransducerFitOptions

    def make_head(self, frame_rate_hz: float) -> Transducer:
        return Transducer(self.model.config.hidden_size, self.labels.names, self.options.hidden_size, self.train_config.dropout)

    def losses(self, batch: Spoken) -> tuple[Tensor, Tensor, Tensor]:
        states, mask = self.states(batch)
        rows = [torch.tensor(row) - 1 for row in batch.labels]  # its blank is the last class
        targets = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(states.device)
        lengths = torch.tensor([len(row) for row in rows], device=states.device)
        with torch.autocast(states.device.type, enabled=False):
            return self.head.loss(states.float(), mask.sum(1), targets, lengths), states, mask

    def save_part(self, folder: Path) -> None:
        """The encoder's checkpoint folder with the transducer beside it: a model that transcribes."""
        self.network.save(folder)
        self.head.save(folder)
        encoder = self.parts.recipe.part("encoder")
        options = self.parts.load_options("encoder")
        save_recognizer(folder, self.parts, "transducer", {"encoder": encoder.use, "layers": list(options.layers), "stride": options.stride, "languages": self.languages})

    def load_part(self, folder: Path) -> None:
        """The transducer of an earlier run; the encoder starts from its own weights."""
        self.head.load_state_dict(load_file(folder / TRANSDUCER_FILE))


def build(parts: Parts, options: TransducerFitOptions, track: Any) -> tuple[EncoderCtc, Any, Any]:
    """As objective encoder-ctc."""
    return build_ctc(parts, options, track, EncoderTransducer)
