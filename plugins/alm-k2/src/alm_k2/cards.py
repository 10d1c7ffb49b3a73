"""Options and card of the finite-state searches. Read before anything loads."""

from __future__ import annotations

from dataclasses import dataclass

from alm.api.cards import SearchCard
from alm.api.interfaces import LoadContext

TUNES = {"weight": (0.2, 0.4, 0.6, 0.8, 1.0, 1.3), "word_bonus": (-0.5, 0.0, 0.5, 1.0, 1.5)}


@dataclass(frozen=True)
class GraphOptions:
    """Attributes:
    weight: of the n-gram's ln P.
    word_bonus: added for each word.
    beam: a path that is so much worse than the best one (ln) is dropped.
    max_active: states that are kept at each frame.
    readings: how many are given, best first; 1 of `kaldi`.
    """

    weight: float = 0.5
    word_bonus: float = 1.0
    beam: float = 15.0
    max_active: int = 7000
    readings: int = 1


@dataclass(frozen=True)
class K2Options(GraphOptions):
    """As GraphOptions, and:

    Attributes:
        lattice_beam: paths that are so much worse than the best one (ln) are not in the lattice from which readings are drawn.
        paths: that are drawn from it, where several readings are wanted.
    """

    lattice_beam: float = 8.0
    paths: int = 200


def graph_card(options: GraphOptions, context: LoadContext) -> SearchCard:
    return SearchCard(fuses=True, readings=options.readings if isinstance(options, K2Options) else 1, compiles=True, tunes=TUNES, source="arXiv cs/9903008")
