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


Reach = tuple[int, int]  # frames before and behind one


def decoder_reach(config: dict[str, Any]) -> list[Reach]:
    """How far the convolutions of a codec's decoder hear, in frames of what enters them: those before the part that remembers all that
    was, and those behind it; of DAC, which has none, all of them.
    """
    if config["model_type"] == "dac":
        reach = _convolved((0, 0), 7)
        for ratio in reversed(config.get("upsampling_ratios") or (8, 8, 4, 2)):
            for dilation in (9, 3, 1):
                reach = _convolved(reach, 7, dilation)
            reach = _upsampled(reach, ratio, -(-ratio // 2))
        return [_convolved(reach, 7)]
    mimi = config["model_type"] == "mimi"
    causal, reflects = config.get("use_causal_conv", True), config.get("pad_mode", "constant" if mimi else "reflect") == "reflect"
    kernel, residual, growth = config.get("kernel_size", 7), config.get("residual_kernel_size", 3), config.get("dilation_growth_rate", 2)
    how = {"causal": causal, "reflects": reflects}
    reach = _convolved((0, 0), config.get("last_kernel_size", 3 if mimi else 7), **how)
    for ratio in reversed(config.get("upsampling_ratios") or ((8, 6, 5, 4) if mimi else (8, 5, 4, 2))):
        for number in reversed(range(config.get("num_residual_layers", 1))):
            reach = _convolved(reach, residual, growth**number, **how)
        reach = _upsampled(reach, ratio, 0 if causal else ratio - ratio // 2)
    entrance = _convolved((0, 0), kernel, **how)
    return [_upsampled((0, 0), 2, 0), _convolved(reach, kernel, **how)] if mimi else [entrance, reach]


def _convolved(reach: Reach, kernel: int, dilation: int = 1, *, causal: bool = False, reflects: bool = False) -> Reach:
    """What a convolution adds. One that reflects what is before the start hears as much ahead there."""
    total = (kernel - 1) * dilation
    behind = 0 if causal else total // 2
    before = total - behind
    return reach[0] + before, reach[1] + (max(before, behind) if reflects else behind)


def _upsampled(reach: Reach, ratio: int, cut: int) -> Reach:
    """Of a transposed convolution of twice its stride, of whose output so many samples are cut off at the start."""
    return -(-(reach[0] + 2 * ratio - 1) // ratio), -(-(reach[1] + cut) // ratio)


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
    config = read_json(FrameOptions(options.weights), context, "config.json")
    reach, dac = decoder_reach(config), config["model_type"] == "dac"
    ahead = sum(behind for _, behind in reach[:-1]) + -(-reach[-1][1] // (2 if config["model_type"] == "mimi" else 1))
    uneven = config.get("norm_type") == "time_group_norm" or (dac and any(ratio % 2 for ratio in config.get("upsampling_ratios") or ()))
    return VocoderCard(
        sample_rate_hz=sizes.sample_rate_hz,
        frame_rate_hz=sizes.sample_rate_hz / sizes.hop_samples,
        vocabulary_size=sizes.codebook_size,
        codebooks=sizes.codebooks,
        units_fingerprint=codec_fingerprint(options, sizes, context),
        source=sizes.source,
        streams=not uneven,  # a norm over time hears the whole clip; an odd stride drops a sample
        context_units=0 if uneven else reach[0][0] if dac else -1,
        lookahead_units=0 if uneven else ahead,
    )
