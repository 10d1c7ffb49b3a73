"""What units sound like: the probability of each character, by language and unit. Learnt by CTC (alm.train.unit_labels)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from alm.components.decoders.cards import UNIT_LABELS_FILE, unit_labels_header
from alm.components.nets import label_classes


@dataclass(frozen=True, eq=False)
class UnitLabels:
    """Attributes:
    log_probs: [languages, V, outputs a unit, 1 + C], blank first.
    labels: the characters.
    languages: ISO 639-1.
    """

    log_probs: Tensor
    labels: tuple[str, ...]
    languages: tuple[str, ...]
    units_fingerprint: str

    def classes(self, text: str) -> list[int]:
        """Classes of a text's characters, from 1; characters without a label are left out."""
        return label_classes(text, self.labels)

    def save(self, folder: Path) -> None:
        header = {"labels": json.dumps(self.labels, ensure_ascii=False), "languages": json.dumps(self.languages), "units_fingerprint": self.units_fingerprint}
        folder.mkdir(parents=True, exist_ok=True)
        save_file({"log_probs": self.log_probs.half().contiguous()}, folder / UNIT_LABELS_FILE, header)


def load_unit_labels(folder: Path) -> UnitLabels:
    """Reads what `save` wrote.

    Raises:
        AlmError: a folder without it.
    """
    header = unit_labels_header(folder)
    log_probs = load_file(folder / UNIT_LABELS_FILE)["log_probs"]
    return UnitLabels(log_probs.to(torch.float32), tuple(json.loads(header["labels"])), tuple(json.loads(header["languages"])), header["units_fingerprint"])
