"""Text metrics by jiwer, sacrebleu and torchmetrics, after alm.api.text.normalize_text without accents. See texts alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence as Many

from alm.api.cards import MetricCard
from alm.api.text import normalize_text
from alm.components.metrics.cards import TEXT_CARDS
from alm.components.metrics.labels import ITEM_BREAK, accuracy, choice_accuracy, cider, macro_f1, rouge_l, set_f1


class TextMetric:
    """A corpus-level score of normalized texts."""

    def __init__(self, card: MetricCard, score: Callable[[list[str], list[str]], float]) -> None:
        self.card, self._score = card, score

    def score(self, hypotheses: Many[str], references: Many[str], language: str) -> float:
        """Hypotheses against references of one language."""
        spelt = [[self._spelt(text, language) for text in texts] for texts in (hypotheses, references)]
        return self._score(*spelt)

    def _spelt(self, text: str, language: str) -> str:
        return normalize_text(text, language, accents=False)


class ListMetric(TextMetric):
    """The same of texts that list items: what parts them is kept."""

    def _spelt(self, text: str, language: str) -> str:
        return "; ".join(normalize_text(item, language, accents=False) for item in ITEM_BREAK.split(text))


def _wer(hypotheses: list[str], references: list[str]) -> float:
    import jiwer

    return 100 * jiwer.wer(references, hypotheses)


def _cer(hypotheses: list[str], references: list[str]) -> float:
    import jiwer

    return 100 * jiwer.cer(references, hypotheses)


def _bleu(hypotheses: list[str], references: list[str]) -> float:
    import sacrebleu

    return float(sacrebleu.corpus_bleu(hypotheses, [references], lowercase=True).score)


def _chrf(hypotheses: list[str], references: list[str]) -> float:
    import sacrebleu

    return float(sacrebleu.corpus_chrf(hypotheses, [references]).score)


class RawMetric(TextMetric):
    """The same of texts as they are."""

    def _spelt(self, text: str, language: str) -> str:
        return text


SCORES = {"wer": _wer, "cer": _cer, "bleu": _bleu, "chrf": _chrf, "accuracy": accuracy, "macro_f1": macro_f1, "rouge_l": rouge_l, "cider": cider}


def text_metric(name: str) -> TextMetric:
    """One of TEXT_CARDS."""
    if name == "set_f1":
        return ListMetric(TEXT_CARDS[name], set_f1)
    if name == "choice_accuracy":
        return RawMetric(TEXT_CARDS[name], choice_accuracy)
    return TextMetric(TEXT_CARDS[name], SCORES[name])
