"""Options and cards of the text front ends. Read before anything loads."""

from __future__ import annotations

from dataclasses import dataclass

from alm.api.cards import FrontendCard
from alm.api.errors import UnknownNameError
from alm.api.interfaces import LoadContext

SYMBOLS = ("phonemes", "words", "characters")
VOICES = {  # ISO 639-1 -> what gruut calls it
    "ar": "ar",
    "cs": "cs-cz",
    "de": "de-de",
    "en": "en-us",
    "es": "es-es",
    "fa": "fa",
    "fr": "fr-fr",
    "it": "it-it",
    "lb": "lb",
    "nl": "nl",
    "pt": "pt",
    "ru": "ru-ru",
    "sv": "sv-se",
    "sw": "sw",
}


@dataclass(frozen=True)
class GruutOptions:
    """Attributes:
    symbols: what the text becomes. "phonemes": IPA, a space between words, | and ‖ for short and long breaks. "words": numbers,
        dates, sums of money and abbreviations as they are said, in lower case. "characters": the same, a space between letters
        and | between words.
    stress: keep the marks of stress among phonemes.
    """

    symbols: str = "phonemes"
    stress: bool = True


def gruut_card(options: GruutOptions, context: LoadContext) -> FrontendCard:
    """
    Raises:
        UnknownNameError: other symbols.
    """
    if options.symbols not in SYMBOLS:
        raise UnknownNameError(f"got symbols {options.symbols!r} for front end 'gruut'", "what it can write", f"one of: {', '.join(SYMBOLS)}")
    return FrontendCard(tuple(VOICES), options.symbols, source="github.com/rhasspy/gruut")
