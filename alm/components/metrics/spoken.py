"""Metrics of speech: what a recognizer reads back against a text, and DNSMOS. See audio and texts."""

from __future__ import annotations

from collections.abc import Sequence as Many
from typing import Any

import numpy as np

from alm.api.cards import MetricCard
from alm.api.errors import AlmError
from alm.api.interfaces import LoadContext
from alm.api.types import Audio
from alm.components.metrics.cards import DNSMOS_CARD, SpokenOptions, spoken_card
from alm.components.metrics.text import text_metric

DNSMOS_RATE_HZ = 16_000
DNSMOS_MIN_S = 9.01  # the model's input length; shorter clips are repeated, as its authors do


class SpokenMetric:
    """A text metric of what a recognizer reads in the hypotheses."""

    def __init__(self, options: SpokenOptions, context: LoadContext) -> None:
        from alm.components.metrics.recognizer import load_recognizer

        self.card: MetricCard = spoken_card(options, context)
        self.recognizer = load_recognizer(options.recognizer, context)
        self.text_metric = text_metric(options.metric)

    def score(self, hypotheses: Many[Audio], references: Many[str], language: str) -> float:
        return self.text_metric.score(self.recognizer.read(hypotheses, language), references, language)


class Dnsmos:
    """Overall quality on a scale of 1 to 5 by DNSMOS (arXiv 2110.01763), the mean over clips. Needs no reference."""

    card = DNSMOS_CARD

    def __init__(self) -> None:
        try:
            from speechmos import dnsmos
        except ImportError as error:
            raise AlmError("got metric 'dnsmos' without its weights", "package speechmos", "run: pip install --no-deps speechmos (or `make setup`)") from error
        self._run = dnsmos.run

    def score(self, hypotheses: Many[Audio], references: Many[Any], language: str) -> float:
        scores = []
        for clip in hypotheses:
            samples = clip.mono().resample(DNSMOS_RATE_HZ).samples[0].clamp(-1, 1).numpy()
            repeats = int(np.ceil(DNSMOS_MIN_S * DNSMOS_RATE_HZ / len(samples)))
            scores.append(float(self._run(np.tile(samples, repeats), DNSMOS_RATE_HZ)["ovrl_mos"]))
        return float(np.mean(scores))


def load_spoken(metric: str, context: LoadContext) -> SpokenMetric:
    return SpokenMetric(SpokenOptions(metric), context)


def load_dnsmos(options: None, context: LoadContext) -> Dnsmos:
    return Dnsmos()
