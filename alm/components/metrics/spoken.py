"""Metrics of speech: what a recognizer reads back, against a text or by a language model, and DNSMOS. See audio and texts."""

from __future__ import annotations

import math
from collections.abc import Sequence as Many
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from alm.api.cards import MetricCard
from alm.api.errors import AlmError
from alm.api.interfaces import LoadContext
from alm.api.types import Audio
from alm.components.metrics.cards import DNSMOS_CARD, GENERATIVE_PERPLEXITY_CARD, WHISPER_BASE, GenerativePerplexityOptions, spoken_card
from alm.components.metrics.text import text_metric
from alm.components.recognizers.cards import WhisperRecognizerOptions

DNSMOS_RATE_HZ = 16_000
DNSMOS_WINDOW_SAMPLES = round(9.01 * DNSMOS_RATE_HZ)
DNSMOS_CURVE = (-0.06766283, 1.11546468, 0.04602535)  # the published fit from raw output to the scale of P.835
DNSMOS_MODEL = "sig_bak_ovr.onnx"


class SpokenMetric:
    """A text metric of what a recognizer reads in the hypotheses."""

    def __init__(self, metric: str, context: LoadContext) -> None:
        from alm.components.recognizers.whisper import load_recognizer

        self.card: MetricCard = spoken_card(metric)
        self.recognizer = load_recognizer(WhisperRecognizerOptions(WHISPER_BASE), context)
        self.text_metric = text_metric(metric)

    def read(self, hypotheses: Many[Audio], language: str) -> list[str]:
        return self.recognizer.read(hypotheses, language)

    def score_read(self, texts: Many[str], references: Many[str], language: str) -> float:
        return self.text_metric.score(texts, references, language)

    def score(self, hypotheses: Many[Audio], references: Many[str], language: str) -> float:
        return self.score_read(self.read(hypotheses, language), references, language)


class GenerativePerplexity:
    """How well a text LLM predicts what a recognizer reads in speech that nobody wrote beforehand (arXiv 2102.01192). Needs no reference.

    The perplexity over the ids of all texts, each by itself; infinite where nothing is read. A model that repeats itself scores well, so
    listen too.
    """

    card = GENERATIVE_PERPLEXITY_CARD

    def __init__(self, recognizer: Any, backbone: Any) -> None:
        self.recognizer, self.backbone = recognizer, backbone.eval()

    def read(self, hypotheses: Many[Audio], language: str) -> list[str]:
        return self.recognizer.read(hypotheses, language)

    @torch.inference_mode()
    def score_read(self, texts: Many[str], references: Many[Any], language: str) -> float:
        tokenizer, total, count = self.backbone.text_tokenizer, 0.0, 0
        first = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        for text in filter(None, (text.strip() for text in texts)):
            ids = torch.tensor([[first, *tokenizer.encode(text, add_special_tokens=False)]])
            scores = self.backbone.scores(self.backbone.hidden(self.backbone.embed(ids[:, :-1]))).float()
            total += float(F.cross_entropy(scores[0], ids[0, 1:], reduction="sum"))
            count += ids.shape[1] - 1
        return math.exp(total / count) if count else math.inf

    def score(self, hypotheses: Many[Audio], references: Many[Any], language: str) -> float:
        return self.score_read(self.read(hypotheses, language), references, language)


class Dnsmos:
    """Overall quality on a scale of 1 to 5 by DNSMOS P.835 (arXiv 2110.01763), the mean over clips. Needs no reference.

    The network hears windows of 9.01 s in steps of a second; a shorter clip is repeated until it fills one.
    """

    card = DNSMOS_CARD

    def __init__(self, model: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])

    def score(self, hypotheses: Many[Audio], references: Many[Any], language: str) -> float:
        return float(np.mean([self.rate(clip) for clip in hypotheses]))

    def rate(self, clip: Audio) -> float:
        """The score of one clip."""
        samples = clip.mono().resample(DNSMOS_RATE_HZ).samples[0].clamp(-1, 1).numpy()
        samples = np.tile(samples, -(-DNSMOS_WINDOW_SAMPLES // len(samples)))
        starts = range(0, len(samples) - DNSMOS_WINDOW_SAMPLES + 1, DNSMOS_RATE_HZ)
        windows = [samples[start : start + DNSMOS_WINDOW_SAMPLES] for start in starts]
        raw = [float(self._session.run(None, {"input_1": window[None]})[0][0][2]) for window in windows]
        return float(np.mean(np.polyval(DNSMOS_CURVE, raw)))


def load_spoken(metric: str, context: LoadContext) -> SpokenMetric:
    return SpokenMetric(metric, context)


def load_generative_perplexity(options: GenerativePerplexityOptions, context: LoadContext) -> GenerativePerplexity:
    from alm.components.backbones.cards import HfOptions
    from alm.components.backbones.causal import load_hf
    from alm.components.recognizers.whisper import load_recognizer

    return GenerativePerplexity(load_recognizer(WhisperRecognizerOptions(WHISPER_BASE), context), load_hf(HfOptions(weights=options.weights), context))


def load_dnsmos(options: None, context: LoadContext) -> Dnsmos:
    """DNSMOS with the weights that package speechmos ships.

    Raises:
        AlmError: the package is not installed, or has no such model.
    """
    hits = sorted(context.folders("pip:speechmos")[0].glob(f"dnsmos_models/{DNSMOS_MODEL}"))
    if not hits:
        raise AlmError("got a package speechmos without its DNSMOS model", DNSMOS_MODEL, "install the version that requirements/weights.txt names")
    return Dnsmos(hits[0])
