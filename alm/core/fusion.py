"""Shallow fusion: a language model of text has a say in each id of a transcript that a backbone writes. Sees scores and ids, no sound.

A model of words says how likely those are that begin as what is written so far (look-ahead, Ortmanns et al., ICSLP 1996), so that each piece costs
its share of the word, not all of it the last one; what it has no word for costs what <unk> does, and a letter a letter. A model of pieces scores the
pieces themselves. The backbone may be asked again without what it heard: with a weight below 0, what it expects of its own is taken back
(internal language model estimation, arXiv 2011.01991).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from functools import cached_property
from typing import Any

import torch
from torch import Generator, Tensor

from alm.api.cards import DecoderCard
from alm.api.errors import AlmError
from alm.api.interfaces import Backbone, Decoder, FollowingDecoder, Said
from alm.api.plans import SpanRule
from alm.api.recognition import BYTE_SPACE, END_OF_TEXT, PIECE_SPACE, UNKNOWN_WORD, LanguageModel, PieceLanguageModel, PiecesSoFar, WordLanguageModel
from alm.api.vocabulary import JointVocabulary
from alm.core.config import FusionConfig

CANDIDATES = 256  # of a step's ids, those that a model of words is asked for
LETTERS = 30  # equally likely, in a word that a model of words has not
BEHIND = "\U0010ffff"  # sorts behind any letter
LEAST = 1e-30  # of a probability, before its logarithm


class Fused:
    """A decoder with a language model beside it. Immutable; what is asked of one span lives in a FusedSpan.

    Args:
        decoder: chooses by the scores of both.
        backbone: asked without what is heard, where `config.own_weight` says so.

    Raises:
        AlmError: a language model of other pieces.
    """

    def __init__(self, decoder: Decoder, config: FusionConfig, language_model: LanguageModel | None, backbone: Backbone) -> None:
        self.decoder, self.config, self.language_model, self.backbone = decoder, config, language_model, backbone
        self.card: DecoderCard = decoder.card
        own = getattr(language_model, "text_tokenizer", None)
        if isinstance(language_model, PieceLanguageModel) and own.get_vocab() != backbone.text_tokenizer.get_vocab():  # type: ignore[union-attr, attr-defined]
            raise AlmError("got a language model of other pieces than the backbone's", "the same text tokenizer, or a model of words", "set `language_model: {use: ngram, ...}`")
        if language_model is not None and not isinstance(language_model, PieceLanguageModel | WordLanguageModel):
            raise AlmError(
                "got a language model that neither scores pieces nor lists its words", "one that does, to say what may come next", "set `language_model: {use: ngram, ...}`"
            )

    def choose(self, scores: Tensor, generator: Generator) -> Tensor:
        return self.decoder.choose(scores, generator)

    def follow(self, said: Said, rule: SpanRule, vocabulary: JointVocabulary) -> Decoder | None:
        """Transcripts are fused, but for those with other ids among their text."""
        inner = self.decoder.follow(said, rule, vocabulary) if isinstance(self.decoder, FollowingDecoder) else None
        if rule.kind != "text" or rule.also:
            return inner
        voices: list[tuple[float, Any]] = []
        model = self.language_model if self.config.weight else None  # 0 times what it rules out is no number
        if isinstance(model, PieceLanguageModel):
            voices.append((self.config.weight, Pieces(model.begin(), rule)))
        elif isinstance(model, WordLanguageModel):
            voices.append((self.config.weight, WordsAhead(self._words, rule, self.config)))
        if self.config.own_weight:
            voices.append((self.config.own_weight, Pieces(PiecesSoFar(self.backbone, vocabulary.end_id, vocabulary.end_id, vocabulary.blocks[0].size), rule)))
        return FusedSpan(inner or self.decoder, voices, rule.stop_id)

    @cached_property
    def _words(self) -> Spelling:
        assert isinstance(self.language_model, WordLanguageModel)
        return Spelling(self.language_model, self.backbone.text_tokenizer)


class FusedSpan:
    """The decoder of one transcript.

    Args:
        voices: weights, and what scores the ids that may come next.
    """

    def __init__(self, decoder: Decoder, voices: list[tuple[float, Any]], stop_id: int) -> None:
        self.decoder, self.voices, self.stop_id, self.card = decoder, voices, stop_id, decoder.card

    def choose(self, scores: Tensor, generator: Generator) -> Tensor:
        joint = scores.log_softmax(-1)
        for weight, voice in self.voices:
            joint = joint + weight * voice.next(joint[0])
        chosen = self.decoder.choose(joint, generator)
        index = int(chosen[0])
        if index != self.stop_id:
            for _, voice in self.voices:
                voice.take(index)
        return chosen


class Pieces:
    """What a model of pieces says of each id; its end of text is the span's."""

    def __init__(self, model: Any, rule: SpanRule) -> None:
        self.model, self.stop_id = model, rule.stop_id

    def next(self, scores: Tensor) -> Tensor:
        pieces, end = self.model.next()
        log_probs = torch.full_like(scores, float("-inf"))
        log_probs[: len(pieces)] = pieces
        log_probs[self.stop_id] = end
        return torch.where(scores.isfinite(), log_probs, 0.0)[None]

    def take(self, index: int) -> None:
        self.model.take(index)


class Spelling:
    """The words of a language model as pieces of a text tokenizer spell them, in order, so that those that begin alike stand together."""

    def __init__(self, model: WordLanguageModel, text_tokenizer: Any) -> None:
        pieces = {index: piece for piece, index in text_tokenizer.get_vocab().items()}
        self.mark = BYTE_SPACE if any(piece.startswith(BYTE_SPACE) for piece in pieces.values()) else PIECE_SPACE
        self.model, self.pieces = model, pieces
        spelt = sorted((self.of(word), word) for word in model.words)
        self.spelt, self.words = [letters for letters, _ in spelt], [word for _, word in spelt]
        self.known: dict[tuple[str, ...], tuple[list[float], float, float]] = {}

    def of(self, word: str) -> str:
        """A word in the letters of pieces: of byte-level ones a letter stands for a byte."""
        if self.mark != BYTE_SPACE:
            return word
        from tokenizers import pre_tokenizers

        return "".join(piece for piece, _ in pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(word))

    def word(self, letters: str) -> str:
        """The word that letters spell."""
        from tokenizers import decoders

        return decoders.ByteLevel().decode([letters]) if self.mark == BYTE_SPACE else letters

    def after(self, history: tuple[str, ...]) -> tuple[list[float], float, float]:
        """Of each word the probability of all before it in order [W + 1], that of an unknown one, and that of the end."""
        order = self.model.card.order
        history = history[max(0, len(history) - order + 1) :] if 0 < order <= len(history) else history
        if history not in self.known:
            asked = [*self.words, UNKNOWN_WORD, END_OF_TEXT]
            values = torch.tensor(self.model.score([history] * len(asked), asked), dtype=torch.float64).exp()
            self.known[history] = ([0.0, *values[:-2].cumsum(0).tolist()], float(values[-2]), float(values[-1]))
        return self.known[history]


class WordsAhead:
    """What a model of words says of each id that may come next in one transcript."""

    def __init__(self, spelling: Spelling, rule: SpanRule, config: FusionConfig) -> None:
        self.spelling, self.stop_id = spelling, rule.stop_id
        self.bonus = config.word_bonus / config.weight
        self.history: tuple[str, ...] = ()
        self.letters = ""  # of the word that is being written
        self.marked = False  # that a word begins, by a piece that holds no letter of it

    def next(self, scores: Tensor) -> Tensor:
        """[1, V], of the likeliest ids; the others are out."""
        best, ids = scores.topk(min(CANDIDATES, len(scores)))
        values = torch.full_like(scores, float("-inf"))
        here = math.log(self._share(self.history, self.letters)) if self.letters else 0.0
        closing, behind = 0.0, self.history
        if self.letters:
            word = self.spelling.word(self.letters)
            closing, behind = math.log(self._whole(self.letters)) - here + self.bonus, (*self.history, word)
        for index in [i for i, score in zip(ids.tolist(), best.tolist(), strict=True) if math.isfinite(score)]:
            piece = self.spelling.pieces.get(index, "")
            if index == self.stop_id:
                values[index] = closing + math.log(max(self.spelling.after(behind)[2], LEAST))
            elif piece.startswith(self.spelling.mark) or not self.letters:
                letters = piece.removeprefix(self.spelling.mark)
                again = self.marked and piece.startswith(self.spelling.mark)  # a space behind a space
                values[index] = math.log(LEAST) if again else closing + (math.log(self._share(behind, letters)) if letters else 0.0)
            else:
                values[index] = math.log(self._share(self.history, self.letters + piece)) - here
        return torch.where(scores.isfinite(), values, 0.0)[None]

    def take(self, index: int) -> None:
        piece = self.spelling.pieces.get(index, "")
        if piece.startswith(self.spelling.mark):
            if self.letters:
                self.history = (*self.history, self.spelling.word(self.letters))
            self.letters = piece.removeprefix(self.spelling.mark)
        else:
            self.letters += piece
        self.marked = not self.letters

    def _share(self, history: tuple[str, ...], letters: str) -> float:
        """Of the words that begin so."""
        before, unknown, _ = self.spelling.after(history)
        low, high = bisect_left(self.spelling.spelt, letters), bisect_left(self.spelling.spelt, letters + BEHIND)
        return max(before[high] - before[low] + unknown * LETTERS ** -len(letters), LEAST)

    def _whole(self, letters: str) -> float:
        """Of the word itself."""
        before, unknown, _ = self.spelling.after(self.history)
        place = bisect_left(self.spelling.spelt, letters)
        known = place < len(self.spelling.spelt) and self.spelling.spelt[place] == letters
        return max((before[place + 1] - before[place] if known else 0.0) + unknown * LETTERS ** -len(letters) / LETTERS, LEAST)
