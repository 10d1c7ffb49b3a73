"""A k-means codebook: nearest centroid by one matrix product, float32 whatever the caller's precision. Sees frames.

Saved as safetensors with its card beside it; its fingerprint is a hash of the centroids, so two codebooks never pass for
each other under one name.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from alm.api.errors import AlmError
from alm.components.tokenizers.cards import CODEBOOK_CARD as CARD, CODEBOOK_FILE as FILE


@dataclass(frozen=True, eq=False)
class Codebook:
    """Centroids [V, D] float32."""

    centroids: Tensor

    def __post_init__(self) -> None:
        object.__setattr__(self, "half_squares", self.centroids.float().square().sum(1) / 2)

    @property
    def size(self) -> int:
        return int(self.centroids.shape[0])

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(self.centroids.cpu().contiguous().numpy().tobytes()).hexdigest()[:16]

    def assign(self, frames: Tensor) -> Tensor:
        """frames [..., D] -> nearest centroid [...] int64. argmin |x - c|^2 = argmax (x.c - |c|^2 / 2)."""
        with torch.autocast(frames.device.type, enabled=False):
            return (frames.float() @ self.centroids.T - self.half_squares).argmax(-1)  # type: ignore[attr-defined]

    def save(self, folder: Path, features: str = "") -> None:
        """Centroids and card; `features` is the fingerprint of what they were fitted on."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file({"centroids": self.centroids.contiguous()}, folder / FILE)
        card = {"fingerprint": self.fingerprint, "size": self.size, "feature_size": self.centroids.shape[1], "features": features}
        (folder / CARD).write_text(json.dumps(card))

    @staticmethod
    def load(folder: Path, device: str = "cpu") -> Codebook:
        """Reads a saved codebook.

        Raises:
            AlmError: no codebook in the folder.
        """
        path = folder / FILE
        if not path.exists():
            raise AlmError(f"got {folder}, which has no {FILE}", "a folder with a trained codebook", "train it with a recipe of objective kmeans")
        with safe_open(path, "pt", device=device) as file:
            return Codebook(file.get_tensor("centroids"))
