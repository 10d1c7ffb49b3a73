"""`gruut`: the analysis of text before it is spoken, by the library of that name. Knows text and IPA, no models.

Numbers, dates, money and abbreviations are written out as they are said; pronunciations come from lexicons, those of other words
from a model of letters and sounds (grapheme to phoneme).
"""

from __future__ import annotations

import re
from types import ModuleType
from typing import Any

from alm.api.cards import FrontendCard
from alm.api.errors import AlmError, UnknownNameError
from alm.api.interfaces import LoadContext
from alm.components.frontends.cards import VOICES, GruutOptions, gruut_card

STRESS = re.compile("[ˈˌ]")
WORD_BREAK = "|"


class Gruut:
    """See the module. A TextFrontend."""

    def __init__(self, library: ModuleType, card: FrontendCard, options: GruutOptions) -> None:
        self.library, self.card, self.options = library, card, options

    def analyse(self, text: str, language: str) -> str:
        """See alm.api.interfaces.TextFrontend."""
        if language not in VOICES:
            raise UnknownNameError(f"got language {language!r} for front end 'gruut'", "a language that it can read", f"one of: {', '.join(VOICES)}")
        voice, pronounces = VOICES[language], self.options.symbols == "phonemes"
        if pronounces and self.library.utils.find_lang_dir(voice) is None:
            raise AlmError(f"got language {language!r}, whose lexicon is not installed", "the package that holds it", f"pip install 'gruut[{language}]'")
        tokens = [token for sentence in self.library.sentences(text, lang=voice, phonemes=pronounces) for token in sentence]
        match self.options.symbols:
            case "phonemes":
                return " ".join(filter(None, map(self._phonemes, tokens)))
            case "words":
                return " ".join(_words(tokens))
            case _:
                return f" {WORD_BREAK} ".join(" ".join(word) for word in _words(tokens))

    def _phonemes(self, token: Any) -> str:
        sounds = "".join(token.phonemes or ())
        return sounds if self.options.stress else STRESS.sub("", sounds)


def _words(tokens: list[Any]) -> list[str]:
    """What is said of tokens, in lower case."""
    return [word for token in tokens if token.is_spoken for word in re.sub(r"[^\w\s']|_", " ", token.text.lower()).split()]


def load_frontend(options: GruutOptions, context: LoadContext) -> Gruut:
    card = gruut_card(options, context)
    try:
        import gruut.utils
    except ImportError as error:
        raise AlmError(f"got front end 'gruut', which is not installed ({error})", "the package gruut", "pip install 'alm-audio[phonemes]'") from error
    return Gruut(gruut, card, options)
