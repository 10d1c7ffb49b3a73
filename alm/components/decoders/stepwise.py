"""Decoders that choose one id a step: the best, or a sample (temperature, top-k, nucleus). See scores alone."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from alm.api.cards import DecoderCard
from alm.api.errors import AlmError
from alm.api.interfaces import LoadContext
from alm.components.decoders.cards import GREEDY_CARD, SAMPLE_CARD, SampleOptions


class Greedy:
    """The best id; the lowest of equals."""

    card: DecoderCard = GREEDY_CARD

    def choose(self, scores: Tensor, generator: Generator) -> Tensor:
        return scores.argmax(-1)


class Sample:
    """A sample of the distribution, after temperature, top-k and nucleus."""

    card: DecoderCard = SAMPLE_CARD

    def __init__(self, options: SampleOptions) -> None:
        if options.temperature <= 0 or not 0 < options.top_p <= 1 or options.top_k < 0:
            raise AlmError(f"got {options}", "temperature > 0, 0 < top_p <= 1, top_k >= 0", "correct the decoder's options")
        self.options = options

    def choose(self, scores: Tensor, generator: Generator) -> Tensor:
        scores = scores / self.options.temperature
        if self.options.top_k:
            floor = scores.topk(min(self.options.top_k, scores.shape[-1]), -1).values[..., -1:]
            scores = scores.masked_fill(scores < floor, float("-inf"))
        ranked, order = scores.softmax(-1).sort(-1, descending=True)
        ranked = ranked.masked_fill(ranked.cumsum(-1) - ranked >= self.options.top_p, 0.0)
        return order.gather(-1, torch.multinomial(ranked, 1, generator=generator))[..., 0]


def load_greedy(options: None, context: LoadContext) -> Greedy:
    return Greedy()


def load_sample(options: SampleOptions, context: LoadContext) -> Sample:
    return Sample(options)
