"""Front ends: texts as they are said, in words, letters or phonemes."""

from __future__ import annotations

import pytest

from alm.api import testing
from alm.api.errors import AlmError, UnknownNameError
from alm.components.frontends.cards import SYMBOLS, GruutOptions
from alm.components.frontends.gruut import Gruut, load_frontend
from alm.core.sources import SourceContext

INSTALLED = ("en", "es", "fr", "it", "ru")


def gruut(**options) -> Gruut:
    return load_frontend(GruutOptions(**options), SourceContext())


@pytest.mark.parametrize("symbols", SYMBOLS)
def test_it_conforms_in_the_languages_of_the_prompts(symbols):
    from dataclasses import replace

    made = gruut(symbols=symbols)
    assert set(INSTALLED) < set(made.card.languages)
    made.card = replace(made.card, languages=INSTALLED)
    testing.check_frontend(made)


def test_numbers_money_and_abbreviations_are_written_out():
    words = gruut(symbols="words")
    assert words.analyse("Dr. Smith owes $12.50 at 10:30.", "en") == "doctor smith owes twelve dollars fifty cents at ten thirty"
    assert words.analyse("Vous avez 21 messages.", "fr") == "vous avez vingt et un messages"
    assert words.analyse("«...»", "en") == ""


def test_letters_are_said_one_by_one():
    assert gruut(symbols="characters").analyse("Press 2", "en") == "p r e s s | t w o"


def test_phonemes_and_their_stress():
    said = gruut().analyse("Press two, please.", "en")
    assert said == "pɹˈɛs tˈu | plˈiz ‖"
    assert gruut(stress=False).analyse("Press two, please.", "en") == "pɹɛs tu | pliz ‖"
    assert gruut().analyse("молоко", "ru") != gruut().analyse("молоко", "en")
    assert gruut().analyse("blorfing", "en"), "a word of no lexicon has sounds too"


def test_what_it_cannot_write_is_refused():
    with pytest.raises(UnknownNameError, match="phonemes, words, characters"):
        gruut(symbols="runes")
    with pytest.raises(UnknownNameError, match="can read"):
        gruut().analyse("hei", "fi")
    with pytest.raises(AlmError, match=r"gruut\[cs\]"):
        gruut().analyse("dobrý den", "cs")
