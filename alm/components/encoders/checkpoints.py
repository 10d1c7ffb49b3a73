"""transformers checkpoint folders -> the bare network, as deep as it is needed. Knows no sound."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from safetensors import SafetensorError

from alm.api.errors import AlmError
from alm.api.interfaces import LoadContext
from alm.components.encoders.cards import FrameOptions


@contextmanager
def _without_report() -> Iterator[None]:
    """transformers lists every weight that a network does not use: heads, and layers behind the last that is wanted."""
    logger = logging.getLogger("transformers.modeling_utils")
    was, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = was


def load_layers(options: FrameOptions, context: LoadContext) -> Any:
    """The encoder of a checkpoint (also of one with a head, such as HubertForCTC), in float32, evaluating, without the layers
    behind the last of `options.layers`.

    Raises:
        AlmError: a folder from which transformers cannot load it, or weights that lack a part of the network.
    """
    return load_pretrained(options.weights, context, num_hidden_layers=max(options.layers))


def load_pretrained(weights: str, context: LoadContext, network: Any = None, key_mapping: dict[str, str] | None = None, part_of_config: str = "", **sizes: Any) -> Any:
    """A transformers model in float32, evaluating, on the context's device.

    Args:
        network: its class, where it is not what AutoModel makes of its config.
        key_mapping: patterns of names in the checkpoint -> names in the network.
        part_of_config: the key of the config's part that is the network's.
        sizes: keys of its config to change first.

    Raises:
        AlmError: a folder from which transformers cannot load it, or weights that lack a part of the network.
    """
    from transformers import AutoConfig, AutoModel

    folder = context.folders(weights)[0]
    try:
        config = AutoConfig.from_pretrained(folder)
        config = getattr(config, part_of_config) if part_of_config else config
        for key, value in sizes.items():
            setattr(config, key, value)
        with _without_report():
            model, report = (network or AutoModel).from_pretrained(folder, config=config, key_mapping=key_mapping, dtype=torch.float32, output_loading_info=True)
    except (OSError, ValueError, RuntimeError, AttributeError, SafetensorError) as error:
        raise AlmError(f"got weights {weights!r}, which do not load ({' '.join(str(error).split())[:200]})", "a transformers checkpoint", "check the folder") from error
    missing = sorted(name for name in report["missing_keys"] if name != "masked_spec_embed")
    if missing:
        raise AlmError(f"got weights {weights!r} without {missing[0]} and {len(missing) - 1} more", f"all weights of a {type(model).__name__}", "check the folder")
    return model.eval().to(context.device)
