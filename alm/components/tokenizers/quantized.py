"""Frames -> nearest centroid -> Units: what every k-means tokenizer shares."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence as Many
from pathlib import Path

from torch import Tensor

from alm.api.cards import TokenizerCard
from alm.api.errors import AlmError
from alm.api.types import Audio, Features, Units
from alm.components.codebook import Codebook
from alm.components.tokenizers.cards import units_fingerprint


class QuantizedTokenizer:
    """A feature extractor and a codebook. Immutable; `with_codebook` makes another one.

    Args:
        extract: clips -> frames [F, D] of each, independent of the clips beside it, on the codebook's device.
        features_fingerprint: identifies those frames.
        save_extractor: writes what was trained below the codebook, or None.
        identify: the fingerprint of the features, given the folder into which the extractor was saved.
    """

    def __init__(
        self,
        extract: Callable[[Many[Audio]], list[Tensor]],
        card: TokenizerCard,
        features_fingerprint: str,
        codebook: Codebook | None,
        save_extractor: Callable[[Path], None] | None = None,
        identify: Callable[[Path], str] = lambda folder: "",
    ) -> None:
        self._extract, self.card, self.features_fingerprint = extract, card, features_fingerprint
        self.codebook, self._save_extractor, self._identify = codebook, save_extractor, identify

    def features(self, audio: Many[Audio]) -> list[Features]:
        return [Features(frames.cpu(), self.card.frame_rate_hz, self.features_fingerprint) for frames in self._extract(audio)]

    def quantize(self, features: Many[Features]) -> list[Units]:
        """Units of features that were extracted before."""
        return [self._units(f.values) for f in features]

    def encode(self, audio: Many[Audio]) -> list[Units]:
        return [self._units(frames) for frames in self._extract(audio)]

    def _units(self, frames: Tensor) -> Units:
        """frames [F, D] -> units; without a codebook there are none."""
        if self.codebook is None:
            raise AlmError("got a tokenizer without a codebook", "a trained one", "train it with a recipe of objective kmeans and set `codebook: dir:...`")
        codes, durations = self.codebook.assign(frames).cpu(), None
        if self.card.merges_repeats:
            codes, durations = codes.unique_consecutive(return_counts=True)
        return Units(codes[None], self.card.frame_rate_hz, self.card.fingerprint, durations)

    def with_codebook(self, centroids: Tensor) -> QuantizedTokenizer:
        codebook = Codebook(centroids.float())
        fingerprint = units_fingerprint(codebook.fingerprint, merged=self.card.merges_repeats)
        card = dataclasses.replace(self.card, fingerprint=fingerprint, vocabulary_size=codebook.size)
        return QuantizedTokenizer(self._extract, card, self.features_fingerprint, codebook, self._save_extractor, self._identify)

    def save(self, folder: Path) -> None:
        if self._save_extractor is not None:
            self._save_extractor(folder)
        if self.codebook is not None:
            self.codebook.save(folder, self._identify(folder))
