"""A causal language model judges readings: each is as good as it is likely to be written. Sees texts, no sound. Not trained here."""

from __future__ import annotations

from collections.abc import Sequence as Many
from pathlib import Path

from alm.api.cards import RescorerCard
from alm.api.interfaces import LoadContext
from alm.components.language_models.cards import HfLanguageModelOptions
from alm.components.language_models.causal import CausalWords, load_causal
from alm.components.rescorers.cards import CausalRescorerOptions, causal_rescorer_card


class CausalRescorer:
    """`causal`: the logarithm of a reading's probability, written as a sentence is, and a bonus for each of its words. Immutable once loaded."""

    def __init__(self, model: CausalWords, options: CausalRescorerOptions, card: RescorerCard) -> None:
        self.model, self.options, self.card, self.weight = model, options, card, options.weight

    def score(self, texts: Many[str]) -> list[float]:
        found = self.model.log_probs([as_sentence(text) for text in texts])
        return [value + self.options.word_bonus * len(text.split()) for value, text in zip(found, texts, strict=True)]

    def save(self, folder: Path) -> None:
        """There is nothing of its own: a recipe names its weights."""


def as_sentence(text: str) -> str:
    """Readings have neither capitals nor full stops; what a language model has read has both."""
    return f"{text[:1].upper()}{text[1:]}."


def load_causal_rescorer(options: CausalRescorerOptions, context: LoadContext) -> CausalRescorer:
    model = load_causal(HfLanguageModelOptions(options.weights, options.pieces), context)
    return CausalRescorer(model, options, causal_rescorer_card(options, context))
