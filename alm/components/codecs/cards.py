"""Options and cards of the codecs. Read before anything loads, so it imports no torch."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from alm.api.cards import TokenizerCard, VocoderCard
from alm.api.errors import AlmError
from alm.api.interfaces import LoadContext
from alm.components.encoders.cards import FrameOptions, read_json, source_identity


@dataclass(frozen=True)
class CodecOptions:
    """Attributes:
    weights: weight source of a transformers checkpoint.
    codebooks: how many of its codebooks to use, the first ones; 0 takes all.
    """

    weights: str = ""
    codebooks: int = 0


@dataclass(frozen=True)
class CodecSizes:
    sample_rate_hz: int
    hop_samples: int
    codebooks: int
    codebook_size: int
    source: str


def _mimi(config: dict[str, Any]) -> CodecSizes:
    hop = 2 * math.prod(config.get("upsampling_ratios") or (8, 6, 5, 4))
    return CodecSizes(config.get("sampling_rate", 24_000), hop, config.get("num_quantizers", 32), config.get("codebook_size", 2048), "arXiv 2410.00037")


def _encodec(config: dict[str, Any]) -> CodecSizes:
    if config.get("audio_channels", 1) != 1 or config.get("normalize") or config.get("chunk_length_s"):
        raise AlmError("got an EnCodec of two channels, in chunks or with scales", "the mono one (24 kHz)", "choose other weights")
    rate, size = config.get("sampling_rate", 24_000), config.get("codebook_size", 1024)
    hop = math.prod(config.get("upsampling_ratios") or (8, 5, 4, 2))
    books = int(1000 * max(config.get("target_bandwidths") or (24.0,)) // (math.ceil(rate / hop) * math.log2(size)))
    return CodecSizes(rate, hop, books, size, "arXiv 2210.13438")


def _dac(config: dict[str, Any]) -> CodecSizes:
    hop = math.prod(config.get("downsampling_ratios") or (2, 4, 8, 8))
    return CodecSizes(config.get("sampling_rate", 16_000), hop, config.get("n_codebooks", 9), config.get("codebook_size", 1024), "arXiv 2306.06546")


CODECS: dict[str, Callable[[dict[str, Any]], CodecSizes]] = {"mimi": _mimi, "encodec": _encodec, "dac": _dac}  # by transformers' model type


def sizes_of(options: CodecOptions, context: LoadContext, wanted: str = "") -> CodecSizes:
    """Sizes from config.json, with as many codebooks as the options want.

    Args:
        wanted: the model type that is asked for, "" for any codec.

    Raises:
        AlmError: no weights, a checkpoint that is no such codec, or more codebooks than it has.
    """
    if not options.weights:
        raise AlmError("got a codec without weights", "a weight source", "set `weights: hf:ORG/NAME@REVISION` or `weights: dir:PATH`")
    config = read_json(FrameOptions(options.weights), context, "config.json")
    found = config.get("model_type", "")
    if found not in CODECS or wanted not in ("", found):
        fix = f"write `use: {found}`" if found in CODECS else "choose other weights"
        raise AlmError(f"got weights {options.weights!r} of model type {found!r}", f"model type {wanted!r}" if wanted else f"one of {', '.join(CODECS)}", fix)
    sizes = CODECS[found](config)
    if not 0 <= options.codebooks <= sizes.codebooks:
        raise AlmError(f"got {options.codebooks} codebooks", f"1 to {sizes.codebooks}, or 0 for all", "correct codebooks")
    return CodecSizes(sizes.sample_rate_hz, sizes.hop_samples, options.codebooks or sizes.codebooks, sizes.codebook_size, sizes.source)


def codec_fingerprint(options: CodecOptions, sizes: CodecSizes, context: LoadContext) -> str:
    """Units of a codec are known by its weights and the number of codebooks."""
    return hashlib.sha256(json.dumps([source_identity(options.weights, context), sizes.codebooks]).encode()).hexdigest()[:16]


def tokenizer_card(wanted: str, options: CodecOptions, context: LoadContext) -> TokenizerCard:
    sizes = sizes_of(options, context, wanted)
    return TokenizerCard(
        sample_rate_hz=sizes.sample_rate_hz,
        frame_rate_hz=sizes.sample_rate_hz / sizes.hop_samples,
        vocabulary_size=sizes.codebook_size,
        codebooks=sizes.codebooks,
        fingerprint=codec_fingerprint(options, sizes, context),
        source=sizes.source,
    )


def vocoder_card(options: CodecOptions, context: LoadContext) -> VocoderCard:
    sizes = sizes_of(options, context)
    return VocoderCard(
        sample_rate_hz=sizes.sample_rate_hz,
        frame_rate_hz=sizes.sample_rate_hz / sizes.hop_samples,
        vocabulary_size=sizes.codebook_size,
        codebooks=sizes.codebooks,
        units_fingerprint=codec_fingerprint(options, sizes, context),
        source=sizes.source,
    )
