"""Features -> nearest centroid -> Units: what every k-means tokenizer shares."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence as Many
from pathlib import Path

from torch import Tensor

from alm.api.cards import TokenizerCard
from alm.api.errors import AlmError
from alm.api.types import Audio, Features, Units
from alm.components.codebook import Codebook


class QuantizedTokenizer:
    """A feature extractor and a codebook. Immutable; `with_codebook` makes another one.

    Args:
        extract: clips -> Features, independent of the clips beside it.
        save_extractor: writes what was trained below the codebook, or None.
        identify: the fingerprint of the features, given the folder into which the extractor was saved.
    """

    def __init__(
        self,
        extract: Callable[[Many[Audio]], list[Features]],
        card: TokenizerCard,
        codebook: Codebook | None,
        save_extractor: Callable[[Path], None] | None = None,
        identify: Callable[[Path], str] = lambda folder: "",
    ) -> None:
        self._extract, self.card, self.codebook, self._save_extractor, self._identify = extract, card, codebook, save_extractor, identify

    def features(self, audio: Many[Audio]) -> list[Features]:
        return self._extract(audio)

    def quantize(self, features: Many[Features]) -> list[Units]:
        """Units of features that were extracted before."""
        if self.codebook is None:
            raise AlmError("got a tokenizer without a codebook", "a trained one", "train it with a recipe of objective kmeans and set `codebook: dir:...`")
        return [Units(self.codebook.assign(f.values)[None], self.card.frame_rate_hz, self.card.fingerprint) for f in features]

    def encode(self, audio: Many[Audio]) -> list[Units]:
        return self.quantize(self.features(audio))

    def with_codebook(self, centroids: Tensor) -> QuantizedTokenizer:
        codebook = Codebook(centroids.float())
        card = dataclasses.replace(self.card, fingerprint=codebook.fingerprint, vocabulary_size=codebook.size)
        return QuantizedTokenizer(self._extract, card, codebook, self._save_extractor, self._identify)

    def save(self, folder: Path) -> None:
        if self._save_extractor is not None:
            self._save_extractor(folder)
        if self.codebook is not None:
            self.codebook.save(folder, self._identify(folder))
