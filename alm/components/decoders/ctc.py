"""Decoders that score each next id by CTC as well as by the language model. See scores and what a span says again.

Joint CTC/attention decoding (arXiv 1706.02737), in both directions: a transcript must fit the posteriors that were heard
(`ctc-text`), and units must fit the text that they speak (`ctc-units`). Both walk the alignment from left to right, so a
language model that recites what it knows, skips, repeats or stops early is held to its source. A step adds the
log-probability of the language model and `weight` times that of CTC, given what was chosen before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor

from alm.api.cards import DecoderCard
from alm.api.errors import AlmError
from alm.api.interfaces import Decoder, LoadContext, Said
from alm.components.decoders.cards import CTC_TEXT_CARD, CtcTextOptions, CtcUnitsOptions, ctc_units_card
from alm.components.decoders.unit_labels import UnitLabels, load_unit_labels

if TYPE_CHECKING:
    from alm.api.plans import SpanRule
    from alm.api.vocabulary import JointVocabulary

FLOOR = 1e-8  # of a CTC probability: what was not heard at all may still be said
END_FLOOR = 1e-2  # likewise of the end of speech


class CtcText:
    """`ctc-text`: the best id of a transcript by language model and heard posteriors; elsewhere the best id."""

    card: DecoderCard = CTC_TEXT_CARD

    def __init__(self, options: CtcTextOptions) -> None:
        if not 0 <= options.weight <= 1:
            raise AlmError(f"got weight {options.weight}", "0 to 1", "correct the decoder's option")
        self.options = options

    def choose(self, scores: Tensor, generator: Generator) -> Tensor:
        return scores.argmax(-1)

    def follow(self, said: Said, rule: SpanRule, vocabulary: JointVocabulary) -> Decoder | None:
        return Transcript(said, self.options.weight, rule.stop_id) if rule.kind == "text" and isinstance(said, Tensor) else None


class Transcript:
    """The decoder of one transcript: the share of alignments in which each id comes next.

    A frame gives its id or nothing; frames that give the same id were merged before, so neighbours are never one.

    Args:
        posteriors: [F, 1 + V], blank first.
    """

    card: DecoderCard = CTC_TEXT_CARD

    def __init__(self, posteriors: Tensor, weight: float, stop_id: int) -> None:
        self.posteriors, self.weight, self.stop_id = posteriors.cpu().double(), weight, stop_id
        self.blank = self.posteriors[:, 0].tolist()
        self.reached = [1.0]  # [F + 1]: that the first f frames give the ids so far
        for share in self.blank:
            self.reached.append(self.reached[-1] * share)

    def next(self) -> tuple[Tensor, float]:
        """Probability of each id [V] and of the end, given the ids so far."""
        ids = torch.tensor(self.reached[:-1], dtype=torch.float64) @ self.posteriors[:, 1:]
        total = float(ids.sum()) + self.reached[-1]
        return ids / total, self.reached[-1] / total

    def take(self, index: int) -> None:
        """Goes on behind an id."""
        given = self.posteriors[:, 1 + index].tolist()
        reached = [0.0]
        for frame, share in enumerate(self.blank):
            reached.append(reached[-1] * share + self.reached[frame] * given[frame])
        most = max(reached)
        self.reached = [r / most for r in reached] if most > 0 else [0.0] * len(self.blank) + [1.0]

    def choose(self, scores: Tensor, generator: Generator) -> Tensor:
        ids, end = self.next()
        heard = torch.full_like(scores[0], FLOOR)
        heard[: len(ids)] += ids.to(heard.dtype)
        heard[self.stop_id] = FLOOR + end
        allowed = scores[0].isfinite()
        joint = (1 - self.weight) * scores[0].log_softmax(-1).nan_to_num(neginf=0.0) + self.weight * heard.log()
        chosen = joint.masked_fill(~allowed, float("-inf")).argmax()
        if int(chosen) != self.stop_id:
            self.take(int(chosen))
        return chosen[None]


class CtcUnits:
    """`ctc-units`: the best unit by language model and the text that is spoken; elsewhere the best id."""

    def __init__(self, options: CtcUnitsOptions, card: DecoderCard, labels: UnitLabels) -> None:
        if options.weight < 0 or options.smoothing < 0 or options.candidates < 1:
            raise AlmError(f"got {options}", "weight and smoothing from 0, candidates from 1", "correct the decoder's options")
        self.options, self.card, self.labels = options, card, labels
        self.shares = labels.log_probs.exp() + options.smoothing  # [languages, V, O, 1 + C]

    def choose(self, scores: Tensor, generator: Generator) -> Tensor:
        return scores.argmax(-1)

    def follow(self, said: Said, rule: SpanRule, vocabulary: JointVocabulary) -> Decoder | None:
        one_book = len(vocabulary.unit_blocks) == 1 and vocabulary.unit_blocks[0].fingerprint == self.card.units_fingerprint
        if rule.kind != "units" or said is None or isinstance(said, Tensor) or not one_book or rule.language not in self.labels.languages:
            return None
        classes = self.labels.classes(vocabulary.text(said))
        return Speech(self, classes, rule.language, vocabulary.unit_blocks[0].start, rule.stop_id) if classes else None


class Speech:
    """The decoder of one span of units: how far the text has been spoken, over the states of its CTC graph.

    Args:
        classes: of the text's characters, from 1.
        first_unit: the id of unit 0.
    """

    def __init__(self, decoder: CtcUnits, classes: list[int], language: str, first_unit: int, stop_id: int) -> None:
        self.card, self.options, self.first_unit, self.stop_id = decoder.card, decoder.options, first_unit, stop_id
        states = torch.tensor([0, *(c for label in classes for c in (label, 0))])  # blanks between characters
        self.shares = decoder.shares[decoder.labels.languages.index(language)][:, :, states]  # [V, O, S]
        self.may_skip = torch.zeros(len(states))
        self.may_skip[3::2] = (states[3::2] != states[1:-2:2]).float()
        self.reached = torch.zeros(len(states))  # [S]
        self.reached[0] = 1.0

    def after(self, units: Tensor) -> Tensor:
        """Where each of the units [N] would lead: unnormalized shares of the states [N, S]."""
        reached = self.reached.expand(len(units), -1)
        for output in self.shares[units].unbind(1):
            moved = reached.clone()
            moved[:, 1:] += reached[:, :-1]
            moved[:, 2:] += reached[:, :-2] * self.may_skip[2:]
            reached = moved * output
        return reached

    def choose(self, scores: Tensor, generator: Generator) -> Tensor:
        log_probs = scores[0].log_softmax(-1)
        block = log_probs[self.first_unit : self.first_unit + len(self.shares)]
        best, units = block.topk(min(self.options.candidates, len(block)))
        led = self.after(units)
        fits = led.sum(-1).clamp(min=1e-30).log()
        totals = best + self.options.weight * (fits - fits.logsumexp(0))
        end = log_probs[self.stop_id] + self.options.weight * self.reached[-2:].sum().clamp(min=END_FLOOR).log()
        if bool(end >= totals.max()) or not bool(best.isfinite().any()):
            return torch.tensor([self.stop_id])
        row = int(totals.argmax())
        total = led[row].sum()
        if total > 0:
            self.reached = led[row] / total
        return units[row][None] + self.first_unit


def load_ctc_text(options: CtcTextOptions, context: LoadContext) -> CtcText:
    return CtcText(options)


def load_ctc_units(options: CtcUnitsOptions, context: LoadContext) -> CtcUnits:
    if not options.weights:
        raise AlmError("got decoder 'ctc-units' without weights", "the labels of the units", "train them with a recipe of objective unit-labels and set `weights: run:...`")
    return CtcUnits(options, ctc_units_card(options, context), load_unit_labels(context.folders(options.weights)[0]))
