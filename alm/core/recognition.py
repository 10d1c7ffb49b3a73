"""An encoder's posteriors -> text, by a search and a language model of words: a Recognizer made of a recipe's parts. Sees no backbone.

Clips are heard in batches by length and searched in batches; a clip of any length is heard in windows.
"""

from __future__ import annotations

from collections.abc import Sequence as Many
from dataclasses import replace
from functools import cached_property
from typing import Any, Literal

from torch import Tensor

from alm.api.cards import RecognizerCard
from alm.api.errors import AlmError, UnknownNameError
from alm.api.recognition import Heard, Hypothesis, Labels, Rescorer
from alm.api.types import Audio
from alm.core.align import stretched
from alm.core.audio import prepare
from alm.core.parts import Parts
from alm.core.wording import Wording

LEAST = 1e-20  # of a probability, before its logarithm


class SearchRecognizer:
    """Parts encoder and search, language_model and rescorer where there are such. Immutable once loaded.

    Args:
        rescores: False leaves the rescorer aside: its training starts from what the search finds.
    """

    def __init__(self, parts: Parts, *, rescores: bool = True) -> None:
        self.parts, self.rescores = parts, rescores
        languages = {language for corpus in parts.recipe.data.corpora for language in parts.corpus_languages(corpus)}
        languages |= {language for task in parts.recipe.data.tasks for language in task.source}
        self.card = RecognizerCard(tuple(sorted(languages)))

    @cached_property
    def encoder(self) -> Any:
        encoder = self.parts.load("encoder")
        if not encoder.card.posteriors:
            raise AlmError(
                f"got encoder {self.parts.recipe.part('encoder').use!r} without a CTC head",
                "posteriors over labels",
                "set `output: posteriors` and an adapter or a head; objectives ctc and encoder-ctc train them",
            )
        return encoder

    @cached_property
    def labels(self) -> Labels:
        return Labels(tuple(self.encoder.labels))

    @cached_property
    def search(self) -> Any:
        return self.parts.load("search")

    @cached_property
    def language_model(self) -> Any:
        return self.parts.load("language_model") if self.parts.has("language_model") else None

    @cached_property
    def rescorer(self) -> Any:
        return self.parts.load("rescorer") if self.rescores and self.parts.has("rescorer") else None

    @cached_property
    def wording(self) -> Wording:
        """How texts are spelt that it is compared with."""
        return Wording(self.parts)

    def warm_up(self) -> None:
        """Loads every part now."""
        _ = self.encoder, self.search, self.language_model, self.rescorer

    def hear(self, audio: Many[Audio]) -> list[Tensor]:
        """Log-probabilities of labels, [F, C] of each clip."""
        clips = [prepare(clip, self.encoder.card.sample_rate_hz) for clip in audio]
        return [features.values.float().clamp(min=LEAST).log() for features in self.encoder.encode(clips)]

    def readings(self, audio: Many[Audio]) -> list[list[Hypothesis]]:
        """Readings of each clip, best first."""
        return self.searched(self.hear(audio))

    def searched(self, log_probs: Many[Tensor]) -> list[list[Hypothesis]]:
        """Readings of what was heard, in the order of their scores with what the rescorer adds."""
        found = list(self.search.search(log_probs, self.labels, self.language_model))
        return found if self.rescorer is None else rescored(found, self.rescorer, self.rescorer.weight)

    def read(self, audio: Many[Audio], language: str, task: Literal["transcribe", "translate"] = "transcribe") -> list[str]:
        """Text of each clip.

        Raises:
            AlmError: a translation, which a search over what is heard does not make, or a language of none of the recipe's corpora.
        """
        return [heard.text for heard in self.read_closely(audio, language, task)]

    def read_closely(self, audio: Many[Audio], language: str, task: Literal["transcribe", "translate"] = "transcribe") -> list[Heard]:
        """Text of each clip, how likely it is, and when each of its words is said; no times from a search whose readings do not tell them.

        Raises:
            AlmError: as `read`.
        """
        if task != "transcribe":
            raise AlmError(f"got task {task} for a search over what is heard", "a transcript", "choose another recognizer")
        self._check(language)
        heard = self.hear(audio)
        rate_hz = self.encoder.card.frame_rate_hz
        results = []
        for log_probs, found in zip(heard, self.searched(heard), strict=True):
            best = found[0]
            words = [(word, best.frames[first] / rate_hz, (best.frames[stop - 1] + 1) / rate_hz) for word, first, stop in self.labels.words(best.classes)]
            results.append(Heard(best.text, best.acoustic / max(1, len(best.classes)), stretched(words, len(log_probs) / rate_hz)))
        return results

    def _check(self, language: str) -> None:
        if self.card.languages and language not in self.card.languages:
            raise UnknownNameError(f"got language {language!r}", "a language that the recipe's corpora have", f"one of: {', '.join(self.card.languages)}")


def rescored(found: list[list[Hypothesis]], rescorer: Rescorer, weight: float) -> list[list[Hypothesis]]:
    """Readings in another order, their scores with what a rescorer adds."""
    added = iter(rescorer.score([reading.text for readings in found for reading in readings]))
    again = [[replace(reading, score=reading.score + weight * next(added)) for reading in readings] for readings in found]
    return [sorted(readings, key=lambda reading: -reading.score) for readings in again]
