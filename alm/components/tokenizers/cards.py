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
    fingerprint, size = saved_fingerprint(context.folders(options.codebook)[0]) if options.codebook else ("", options.clusters)
    return TokenizerCard(
        sample_rate_hz=encoder.sample_rate_hz,
        frame_rate_hz=encoder.frame_rate_hz,
        vocabulary_size=size,
        needs_padding_mask=True,
        fingerprint=fingerprint,
        trainable=("kmeans", "ctc"),
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


def mfcc_card(options: MfccOptions, context: LoadContext) -> TokenizerCard:
    fingerprint, size = saved_fingerprint(context.folders(options.codebook)[0]) if options.codebook else ("", options.clusters)
    rate = MFCC_RATE_HZ / options.hop_samples
    return TokenizerCard(MFCC_RATE_HZ, rate, size, fingerprint=fingerprint, trainable=("kmeans",), source="arXiv 2106.07447")


def saved_fingerprint(folder: Path) -> tuple[str, int]:
    """Fingerprint and size of a saved codebook, read from its card without loading it."""
    path = folder / CODEBOOK_CARD
    if not path.exists():
        raise AlmError(f"got {folder}, which has no {CODEBOOK_CARD}", "a folder with a trained codebook", "train it with a recipe of objective kmeans")
    content = json.loads(path.read_text())
    return str(content["fingerprint"]), int(content["size"])
