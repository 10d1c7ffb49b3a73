"""Features -> what a recording is: labels of clips or of their frames, and vectors that are compared. Knows no encoder and no text.

An encoder's features go in, so that one probe or head stands on any encoder, on any of its layers.
"""

from __future__ import annotations

from collections.abc import Sequence as Many
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from alm.api import cards
from alm.api.types import Features

if TYPE_CHECKING:
    from torch import Tensor


@runtime_checkable
class Classifier(Protocol):
    """Says of each clip, or of each of its frames, which label it has."""

    card: cards.ClassifierCard

    def classify(self, features: Many[Features]) -> list[Tensor]:
        """Log-probabilities of the card's labels: [L] of each clip, or [F, L] where the card says `frames`."""
        ...

    def embed(self, features: Many[Features]) -> Tensor:
        """A vector of length 1 for each clip, [N, D]: the cosine of two says how alike they are.

        Raises:
            AlmError: a classifier of frames, which has none.
        """
        ...

    def save(self, folder: Path) -> None: ...
