"""Options and cards of the searches. Read before anything loads, so it imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from alm.api.cards import SearchCard
from alm.api.interfaces import LoadContext

GREEDY_CARD = SearchCard()
TUNES = {"weight": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0), "word_bonus": (-0.5, 0.0, 0.5, 1.0, 1.5, 2.0)}


@dataclass(frozen=True)
class BeamOptions:
    """Attributes:
    beam: prefixes that are kept.
    readings: how many are given, best first.
    candidates: labels that a frame may add, its best ones.
    threshold: a prefix that is so much less likely than the best one (ln) is dropped.
    weight: of the language model's ln P.
    word_bonus: added for each word, since a language model likes few.
    skip_blank: frames whose blank is at least so likely are passed over, but for the first of a run; 1 looks at every frame.
    """

    beam: int = 16
    readings: int = 1
    candidates: int = 16
    threshold: float = 10.0
    weight: float = 0.5
    word_bonus: float = 1.0
    skip_blank: float = 0.99


def beam_card(options: BeamOptions, context: LoadContext) -> SearchCard:
    return SearchCard(fuses=True, readings=options.readings, tunes=TUNES, source="arXiv 1408.2873")
