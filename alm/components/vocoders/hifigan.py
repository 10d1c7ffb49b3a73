"""HiFi-GAN's generator (arXiv 2010.05646) as unit-hifigan and unit-mel train it: its sizes and its first weights."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor, nn
from torch.nn.utils import parametrize

from alm.api.errors import AlmError
from alm.components.vocoders.cards import GeneratorSizes

STEPS = (8, 7, 5, 4, 3, 2)
SLOPE = 0.1  # of the leaky ReLUs


def generator_sizes(sizes: GeneratorSizes, hop_samples: int) -> dict[str, Any]:
    """Keys of transformers' configurations for a generator that makes `hop_samples` of a frame.

    Raises:
        AlmError: steps that do not make `hop_samples`, or more of them than the channels can be halved.
    """
    rates = list(sizes.upsample_rates) or upsampling(hop_samples)
    if math.prod(rates) != hop_samples:
        raise AlmError(f"got upsample_rates {rates}, {math.prod(rates)} samples a frame", f"a product of {hop_samples}", "leave upsample_rates out, or mend it")
    if sizes.channels % 2 ** len(rates):
        raise AlmError(f"got {sizes.channels} channels to halve {len(rates)} times", f"a multiple of {2 ** len(rates)}", "choose other channels or fewer upsample_rates")
    return {
        "upsample_initial_channel": sizes.channels,
        "upsample_rates": rates,
        "upsample_kernel_sizes": [2 * rate + rate % 2 for rate in rates],
        "resblock_kernel_sizes": list(sizes.resblock_kernel_sizes),
        "resblock_dilation_sizes": [list(sizes.resblock_dilations)] * len(sizes.resblock_kernel_sizes),
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
    """Weights that keep the size of what passes through (He et al., arXiv 1502.01852), at half size within residual blocks. HiFi-GAN's
    own, of standard deviation 0.01, first spend their steps on growing."""
    for module in generator.modules():
        if isinstance(module, nn.ConvTranspose1d):
            inputs = module.in_channels * module.kernel_size[0] / module.stride[0]  # that one output sums
            nn.init.normal_(module.weight, 0.0, math.sqrt(2 / inputs))
        elif isinstance(module, nn.Conv1d):
            nn.init.kaiming_normal_(module.weight, SLOPE)
            module.weight.data.mul_(0.5)
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
            assert module.bias is not None, "as transformers makes them"
            nn.init.zeros_(module.bias)


def without_weight_norm(model: nn.Module) -> dict[str, Tensor]:
    """The state of a network, normalized weights multiplied out."""
    state = {name: value for name, value in model.state_dict().items() if ".parametrizations." not in name}
    for name, module in model.named_modules():
        if parametrize.is_parametrized(module, "weight"):
            state[f"{name}.weight"] = module.weight.detach()  # type: ignore[union-attr,operator]
    return state
