"""Frame encoder, optionally an adapter, then k-means: `whisper`, `hubert`, `wav2vec2`, `wavlm`, `w2v-bert`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from alm.api.interfaces import LoadContext
from alm.components.codebook import Codebook
from alm.components.encoders.adapter import save_adapter
from alm.components.encoders.cards import Kind
from alm.components.encoders.frames import load_encoder
from alm.components.tokenizers.cards import FrameTokenizerOptions, frame_card, frame_options
from alm.components.tokenizers.quantized import QuantizedTokenizer


def load_tokenizer(kind: Kind, options: FrameTokenizerOptions, context: LoadContext) -> QuantizedTokenizer:
    encoder = load_encoder(kind, frame_options(kind, options), context)
    codebook = Codebook.load(context.folders(options.codebook)[0], context.device) if options.codebook else None
    adapter = encoder.adapter
    save = None if adapter is None else lambda folder: save_adapter(adapter, folder)

    def identify(folder: Path) -> str:
        return kind.card(dataclasses.replace(frame_options(kind, options), adapter=f"dir:{folder}" if adapter else ""), context).fingerprint

    return QuantizedTokenizer(encoder.frames, frame_card(kind, options, context), encoder.card.fingerprint, codebook, save, identify)
