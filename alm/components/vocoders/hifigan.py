"""HiFi-GAN's generator (arXiv 2010.05646) as unit-hifigan and unit-mel train it: its sizes and its first weights."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn.utils import parametrize

from alm.api.errors import AlmError
from alm.components.vocoders.cards import HIFIGAN_BLOCKS, HIFIGAN_DILATIONS

STEPS = (8, 7, 5, 4, 3, 2)
INITIAL_STD = 0.01


def generator_sizes(channels: int, hop_samples: int) -> dict[str, Any]:
    """Keys of transformers' configurations for a generator that makes `hop_samples` of a frame."""
    rates = upsampling(hop_samples)
    return {
        "upsample_initial_channel": channels,
        "upsample_rates": rates,
        "upsample_kernel_sizes": [2 * rate + rate % 2 for rate in rates],
        "resblock_kernel_sizes": list(HIFIGAN_BLOCKS),
        "resblock_dilation_sizes": [list(HIFIGAN_DILATIONS)] * len(HIFIGAN_BLOCKS),
    }


def upsampling(hop_samples: int) -> list[int]:
    """Steps from the rate of frames to the sample rate, the largest first: 320 -> 8, 8, 5.

    Raises:
        AlmError: a number of samples that is no product of small numbers.
    """
    rates, left = [], hop_samples
    while left > 1:
        step = next((rate for rate in STEPS if left % rate == 0), 0)
        if not step:
            raise AlmError(f"got frames of {hop_samples} samples", f"a product of {', '.join(map(str, STEPS))}", "choose another rate of frames or of samples")
        rates.append(step)
        left //= step
    return sorted(rates, reverse=True)


def start_weights(generator: nn.Module) -> None:
    """HiFi-GAN's first weights."""
    for module in generator.modules():
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
            nn.init.normal_(module.weight, 0.0, INITIAL_STD)


def without_weight_norm(model: nn.Module) -> dict[str, Tensor]:
    """The state of a network, normalized weights multiplied out."""
    state = {name: value for name, value in model.state_dict().items() if ".parametrizations." not in name}
    for name, module in model.named_modules():
        if parametrize.is_parametrized(module, "weight"):
            state[f"{name}.weight"] = module.weight.detach()  # type: ignore[union-attr,operator]
    return state
