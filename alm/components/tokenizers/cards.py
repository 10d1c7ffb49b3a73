"""Options and cards of the tokenizers. Read before anything loads, so it imports no torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from alm.api.cards import TokenizerCard
from alm.api.errors import AlmError
from alm.api.interfaces import LoadContext
from alm.components.encoders import cards as encoders

MFCC_RATE_HZ = 16_000
CODEBOOK_FILE = "codebook.safetensors"
CODEBOOK_CARD = "codebook.json"


@dataclass(frozen=True)
class WhisperTokenizerOptions:
    """As WhisperOptions, and:

    Attributes:
        clusters: size of the codebook.
        codebook: weight source of the trained codebook, or "" before training.
    """

    weights: str = encoders.WhisperOptions.weights
    layers: tuple[int, ...] = (4,)
    stride: int = 2
    adapter: str = ""
    adapter_size: int = 64
    clusters: int = 1024
    codebook: str = ""

    def encoder(self) -> encoders.WhisperOptions:
        return encoders.WhisperOptions(self.weights, self.layers, self.stride, self.adapter, self.adapter_size)


def whisper_card(options: WhisperTokenizerOptions, context: LoadContext) -> TokenizerCard:
    encoder = encoders.encoder_card(options.encoder(), context)
    fingerprint, size = saved_fingerprint(context.folders(options.codebook)[0], encoder.fingerprint) if options.codebook else ("", options.clusters)
    return TokenizerCard(
        sample_rate_hz=encoder.sample_rate_hz,
        frame_rate_hz=encoder.frame_rate_hz,
        vocabulary_size=size,
        needs_padding_mask=True,
        fingerprint=fingerprint,
        trainable=("kmeans",),
        licence=encoder.licence,
        source=encoder.source,
    )


@dataclass(frozen=True)
class MfccOptions:
    """Attributes:
    coefficients: MFCCs; with first and second differences three times as many numbers a frame.
    hop_samples: 320 is 50 Hz.
    clusters: size of the codebook.
    codebook: weight source of the trained codebook, or "" before training.
    """

    coefficients: int = 13
    hop_samples: int = 320
    clusters: int = 100
    codebook: str = ""


def mfcc_identity(options: MfccOptions) -> str:
    """What the features depend on."""
    return f"mfcc-{options.coefficients}-{options.hop_samples}"


def mfcc_card(options: MfccOptions, context: LoadContext) -> TokenizerCard:
    if options.coefficients < 1 or options.hop_samples < 1 or options.clusters < 1:
        raise AlmError(f"got {options}", "1 or more coefficients, hop_samples and clusters", "correct the option")
    fingerprint, size = saved_fingerprint(context.folders(options.codebook)[0], mfcc_identity(options)) if options.codebook else ("", options.clusters)
    rate = MFCC_RATE_HZ / options.hop_samples
    return TokenizerCard(MFCC_RATE_HZ, rate, size, fingerprint=fingerprint, trainable=("kmeans",), source="arXiv 2106.07447")


def saved_fingerprint(folder: Path, features: str) -> tuple[str, int]:
    """Fingerprint and size of a saved codebook, read from its card without loading it.

    Args:
        features: fingerprint of the features that it is to quantize.

    Raises:
        AlmError: no codebook, or one that was fitted on other features.
    """
    path = folder / CODEBOOK_CARD
    if not path.exists():
        raise AlmError(f"got {folder}, which has no {CODEBOOK_CARD}", "a folder with a trained codebook", "train it with a recipe of objective kmeans")
    content = json.loads(path.read_text())
    if content.get("features", "") not in ("", features):
        raise AlmError(
            f"got features {features} for the codebook in {folder}",
            f"features {content['features']}, on which it was fitted",
            "use the weights, layers, stride and adapter of its recipe",
        )
    return str(content["fingerprint"]), int(content["size"])
