"""Options and cards of the tokenizers. Read before anything loads, so it imports no torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alm.api.cards import TokenizerCard
from alm.api.errors import AlmError
from alm.api.interfaces import LoadContext
from alm.components.encoders import cards as encoders

MFCC_RATE_HZ = 16_000
CODEBOOK_FILE = "codebook.safetensors"
CODEBOOK_CARD = "codebook.json"


@dataclass(frozen=True)
class FrameTokenizerOptions:
    """Options of a tokenizer that quantizes the frames of an encoder: weights, layers, stride and adapter as FrameOptions, and:

    Attributes:
        clusters: size of the codebook, before it is trained.
        codebook: weight source of the trained codebook, or "" before training.
        merge_repeats: equal units in a row become one, with its duration beside it.
    """

    weights: str = ""
    layers: tuple[int, ...] = (6,)
    stride: int = 1
    adapter: str = ""
    adapter_size: int = 64
    clusters: int = 500
    codebook: str = ""
    merge_repeats: bool = False


@dataclass(frozen=True)
class WhisperTokenizerOptions(FrameTokenizerOptions):
    """As FrameTokenizerOptions."""

    weights: str = encoders.WhisperOptions.weights
    layers: tuple[int, ...] = encoders.WhisperOptions.layers
    stride: int = encoders.WhisperOptions.stride
    clusters: int = 1024


@dataclass(frozen=True)
class W2vBertTokenizerOptions(FrameTokenizerOptions):
    """As FrameTokenizerOptions; AudioPaLM has 1024 units at 25 Hz."""

    stride: int = encoders.W2vBertOptions.stride
    clusters: int = 1024


@dataclass(frozen=True)
class UsmTokenizerOptions(FrameTokenizerOptions):
    """As FrameTokenizerOptions; AudioPaLM has 1024 units."""

    clusters: int = 1024


TOKENIZER_OPTIONS: dict[str, type[FrameTokenizerOptions]] = {"whisper": WhisperTokenizerOptions, "w2v-bert": W2vBertTokenizerOptions, "usm": UsmTokenizerOptions}


def frame_options(kind: encoders.Kind, options: FrameTokenizerOptions) -> encoders.FrameOptions:
    """The options of the encoder below a tokenizer."""
    return kind.options(options.weights, options.layers, options.stride, options.adapter, options.adapter_size)


def frame_card(kind: encoders.Kind, options: FrameTokenizerOptions, context: LoadContext) -> TokenizerCard:
    encoder = kind.card(frame_options(kind, options), context)
    fingerprint, size = codebook_identity(options.codebook, encoder.fingerprint, context, options.clusters)
    return TokenizerCard(
        sample_rate_hz=encoder.sample_rate_hz,
        frame_rate_hz=encoder.frame_rate_hz,
        vocabulary_size=size,
        merges_repeats=options.merge_repeats,
        needs_padding_mask=encoder.needs_padding_mask,
        fingerprint=units_fingerprint(fingerprint, merged=options.merge_repeats),
        trainable=("kmeans",),
        licence=encoder.licence,
        source=encoder.source,
    )


@dataclass(frozen=True)
class MfccOptions:
    """Attributes:
    coefficients: MFCCs; with first and second differences three times as many numbers a frame.
    hop_samples: 320 is 50 Hz.
    clusters: size of the codebook, before it is trained.
    codebook: weight source of the trained codebook, or "" before training.
    merge_repeats: equal units in a row become one, with its duration beside it.
    """

    coefficients: int = 13
    hop_samples: int = 320
    clusters: int = 100
    codebook: str = ""
    merge_repeats: bool = False


def mfcc_identity(options: MfccOptions) -> str:
    """What the features depend on."""
    return f"mfcc-{options.coefficients}-{options.hop_samples}"


def mfcc_card(options: MfccOptions, context: LoadContext) -> TokenizerCard:
    if options.coefficients < 1 or options.hop_samples < 1 or options.clusters < 1:
        raise AlmError(f"got {options}", "1 or more coefficients, hop_samples and clusters", "correct the option")
    fingerprint, size = codebook_identity(options.codebook, mfcc_identity(options), context, options.clusters)
    return TokenizerCard(
        MFCC_RATE_HZ,
        MFCC_RATE_HZ / options.hop_samples,
        size,
        merges_repeats=options.merge_repeats,
        fingerprint=units_fingerprint(fingerprint, merged=options.merge_repeats),
        trainable=("kmeans",),
        source="arXiv 2106.07447",
    )


def units_fingerprint(codebook: str, *, merged: bool) -> str:
    """Units with their repeats merged are other units: a vocoder or a cache of the unmerged ones must not take them."""
    return f"{codebook}-merged" if codebook and merged else codebook


def codebook_content(codebook: str, context: LoadContext) -> dict[str, Any]:
    """The card of a trained codebook: `fingerprint`, `size`, `feature_size`, `features`.

    Raises:
        AlmError: no codebook there.
    """
    folder = context.folders(codebook)[0]
    path: Path = folder / CODEBOOK_CARD
    if not path.exists():
        raise AlmError(f"got {folder}, which has no {CODEBOOK_CARD}", "a folder with a trained codebook", "train it with a recipe of objective kmeans")
    return json.loads(path.read_text())


def codebook_identity(codebook: str, features: str, context: LoadContext, clusters: int) -> tuple[str, int]:
    """Fingerprint and size of a codebook, read from its card without loading it; ("", clusters) before it is trained.

    Args:
        features: fingerprint of the features that it is to quantize.

    Raises:
        AlmError: no codebook, or one that was fitted on other features.
    """
    if not codebook:
        return "", clusters
    content = codebook_content(codebook, context)
    if content.get("features", "") not in ("", features):
        raise AlmError(
            f"got features {features} for the codebook in {context.folders(codebook)[0]}",
            f"features {content['features']}, on which it was fitted",
            "use the weights, layers, stride and adapter of its recipe",
        )
    return str(content["fingerprint"]), int(content["size"])
