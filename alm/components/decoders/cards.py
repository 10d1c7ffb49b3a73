"""Options and cards of the decoders. Read before anything loads, so it imports no torch."""

from dataclasses import dataclass

from alm.api.cards import DecoderCard

GREEDY_CARD = DecoderCard(deterministic=True)
SAMPLE_CARD = DecoderCard(deterministic=False, source="arXiv 1904.09751")


@dataclass(frozen=True)
class SampleOptions:
    """Attributes:
    temperature: divides the scores; towards 0 it becomes greedy.
    top_k: 0 keeps all ids.
    top_p: nucleus: the smallest set of ids with this probability.
    """

    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 0.95
