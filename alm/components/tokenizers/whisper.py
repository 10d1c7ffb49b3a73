"""The `whisper` tokenizer: Whisper encoder layers, optionally an adapter, then k-means."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from alm.api.interfaces import LoadContext
from alm.components.codebook import Codebook
from alm.components.encoders import whisper
from alm.components.encoders.cards import encoder_card
from alm.components.tokenizers.cards import WhisperTokenizerOptions, whisper_card
from alm.components.tokenizers.quantized import QuantizedTokenizer


def load_tokenizer(options: WhisperTokenizerOptions, context: LoadContext) -> QuantizedTokenizer:
    encoder = whisper.load_encoder(options.encoder(), context)
    codebook = Codebook.load(context.folders(options.codebook)[0]) if options.codebook else None
    adapter = encoder.adapter
    save = None if adapter is None else lambda folder: whisper.save_adapter(adapter, folder)

    def identify(folder: Path) -> str:
        return encoder_card(dataclasses.replace(options.encoder(), adapter=f"dir:{folder}" if adapter else ""), context).fingerprint

    return QuantizedTokenizer(encoder.encode, whisper_card(options, context), codebook, save, identify)
