"""Posteriors of labels -> texts: what a search over them is given, what it gives, and the language model that it asks. Knows no network.

A search sees log-probabilities [F, C] of a clip, blank first, as any CTC head makes them; a language model sees words alone.
"""

from __future__ import annotations

from collections.abc import Sequence as Many
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from alm.api import cards

if TYPE_CHECKING:
    from torch import Tensor

    from alm.api.interfaces import Backbone, TextTokenizer
    from alm.api.types import Audio, Marks

END_OF_TEXT = ""  # as a word: that nothing follows
UNKNOWN_WORD = "<unk>"  # any that a language model has not, as ARPA files write it
BYTE_SPACE, PIECE_SPACE = "Ġ", "▁"  # which begin a word, among pieces of a text tokenizer
CHARACTER_SPACES = (" ", "|")  # which stand between words, among characters; "|" in wav2vec 2.0


@dataclass(frozen=True)
class Labels:
    """What a CTC head tells apart: class 0 is the blank, class i + 1 is names[i].

    Attributes:
        names: characters; or pieces of a text tokenizer, where some begin with a mark of a word's beginning.
    """

    names: tuple[str, ...]

    @cached_property
    def _mark(self) -> str:
        """Of a word's beginning among pieces; "" for characters."""
        return next((mark for mark in (BYTE_SPACE, PIECE_SPACE) if any(name.startswith(mark) for name in self.names)), "")

    @cached_property
    def parts_words(self) -> tuple[bool, ...]:
        """Of each class, whether the word before it is over."""
        return (False, *(name.startswith(self._mark) if self._mark else name in CHARACTER_SPACES for name in self.names))

    def text(self, classes: Many[int]) -> str:
        """What classes spell, with single spaces; the blank and names in angle brackets, such as <s>, spell nothing."""
        names = [name for name in (self.names[c - 1] for c in classes if c) if not (len(name) > 2 and name[0] == "<" and name[-1] == ">")]
        if self._mark:
            from tokenizers import decoders

            spelt = (decoders.ByteLevel() if self._mark == BYTE_SPACE else decoders.Metaspace()).decode(names)
        else:
            spelt = "".join(" " if name in CHARACTER_SPACES else name for name in names)
        return " ".join(spelt.split())

    def words(self, classes: Many[int]) -> list[tuple[str, int, int]]:
        """The words that classes spell, each with the places of its first class and behind its last one."""
        groups: list[list[int]] = [[]]
        for place, c in enumerate(classes):
            if self.parts_words[c]:
                groups.append([])
            if not (self.parts_words[c] and not self._mark):  # a space between words belongs to none
                groups[-1].append(place)
        spelt = [(self.text([classes[place] for place in group]), group[0], group[-1] + 1) for group in groups if group]
        return [entry for entry in spelt if entry[0]]


@dataclass(frozen=True)
class Heard:
    """What a recognizer made of a clip.

    Attributes:
        log_prob: of a label of its text, as the recognizer itself sees it, a mean of natural logarithms; None if it does not tell.
        words: when each is said; () if it does not tell.
    """

    text: str
    log_prob: float | None = None
    words: Marks = ()


@dataclass(frozen=True)
class Hypothesis:
    """One reading of a clip.

    Attributes:
        score: by which readings are ordered: acoustic + weight x language + what a search adds for each word. Natural logarithms.
        acoustic: of the classes, given the posteriors, over all alignments that the search kept.
        language: of the words, by the language model; 0 without one.
        frames: where each class begins, of the posteriors' frames.
    """

    text: str
    score: float
    acoustic: float
    language: float = 0.0
    classes: tuple[int, ...] = ()
    frames: tuple[int, ...] = ()


@runtime_checkable
class LanguageModel(Protocol):
    """How likely a word is after others."""

    card: cards.LanguageModelCard

    def score(self, histories: Many[tuple[str, ...]], words: Many[str]) -> list[float]:
        """ln P(word | history), for each.

        Args:
            histories: all words before, from the beginning of the text.
            words: the one that follows each; END_OF_TEXT for none.
        """
        ...


@runtime_checkable
class WordLanguageModel(LanguageModel, Protocol):
    """One that can list the words that it knows; any other is UNKNOWN_WORD to it."""

    @property
    def words(self) -> list[str]: ...


class PiecesSoFar:
    """A text that grows piece by piece, and what a causal model says may come next. Each piece is computed once.

    Args:
        begin: the id before the text.
        end: the one behind it.
        size: ids that are pieces; the model's others are none.
    """

    def __init__(self, backbone: Backbone, begin: int, end: int, size: int) -> None:
        self.backbone, self.end, self.size, self.cache = backbone, end, size, backbone.new_cache()
        self.take(begin)

    def next(self) -> tuple[Tensor, float]:
        """ln P of each piece [V], and that nothing follows."""
        return self._log_probs, float(self._log_probs[self.end])

    def take(self, index: int) -> None:
        """Goes on behind a piece."""
        import torch

        with torch.inference_mode():
            ids = torch.tensor([[index]], device=next(self.backbone.parameters()).device)  # type: ignore[attr-defined]
            hidden = self.backbone.hidden(self.backbone.embed(ids), None, self.cache)[0, -1:]
            self._log_probs = self.backbone.block_scores(hidden, 0, self.size)[0].float().log_softmax(-1).cpu()


@runtime_checkable
class PieceLanguageModel(LanguageModel, Protocol):
    """One that writes in the pieces of a text tokenizer."""

    text_tokenizer: TextTokenizer

    def begin(self) -> PiecesSoFar: ...


@runtime_checkable
class Search(Protocol):
    """Log-probabilities of labels -> readings."""

    card: cards.SearchCard

    def search(self, log_probs: Many[Tensor], labels: Labels, language_model: LanguageModel | None = None) -> list[list[Hypothesis]]:
        """Readings of each clip, best first; one at least, which may be empty.

        Args:
            log_probs: [F, C] of each clip, C = labels + 1, blank first.

        Raises:
            AlmError: a language model for a search that asks none, or posteriors of other labels.
        """
        ...


@runtime_checkable
class Rescorer(Protocol):
    """Judges whole readings after the search.

    Attributes:
        weight: of its scores, beside a reading's own.
    """

    card: cards.RescorerCard
    weight: float

    def score(self, texts: Many[str]) -> list[float]:
        """A number for each text, the higher the better; comparable among readings of one clip."""
        ...

    def save(self, folder: Path) -> None: ...


@runtime_checkable
class SpeechDetector(Protocol):
    """Where in a recording somebody speaks."""

    card: cards.SpeechDetectorCard

    def probabilities(self, audio: Audio) -> Tensor:
        """Of speech in each frame, [F], from 0 to 1.

        Args:
            audio: mono, at the card's rate, of any length.
        """
        ...
