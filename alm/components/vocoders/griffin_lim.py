"""`griffin-lim`: the magnitudes of a trained unit-vocos, with phases found by Griffin-Lim instead of its phase head.

The baseline that says what the phase head is worth (Griffin and Lim, 1984; fast variant of torchaudio).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchaudio.transforms import GriffinLim

from alm.api.interfaces import LoadContext
from alm.components.vocoders.cards import GriffinLimOptions, griffin_lim_card
from alm.components.vocoders.unit_vocos import UnitVocos, read_net


class GriffinLimVocoder(UnitVocos):
    """unit-vocos without its phases; they are sought over the whole clip, so that it does not stream."""

    iterations = 32
    stream = None  # type: ignore[assignment]

    def _samples(self, spectrum: Tensor) -> Tensor:
        options = self.net.options
        transform = GriffinLim(options.fft_samples, self.iterations, hop_length=options.hop_samples, power=1.0, rand_init=False)
        magnitude = spectrum.abs().transpose(1, 2)
        magnitude = torch.cat([magnitude, magnitude[..., -1:]], -1)
        return transform(magnitude)[:, : spectrum.shape[1] * options.hop_samples]


def load_vocoder(options: GriffinLimOptions, context: LoadContext) -> GriffinLimVocoder:
    vocoder = GriffinLimVocoder(read_net(context.folders(options.weights)[0]), griffin_lim_card(options, context))
    vocoder.iterations = options.iterations
    return vocoder
