"""Options and cards of the decoders. Read before anything loads, so it imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from alm.api.cards import DecoderCard
from alm.api.errors import AlmError
from alm.api.interfaces import LoadContext
from alm.components.headers import header_notes

GREEDY_CARD = DecoderCard(deterministic=True)
SAMPLE_CARD = DecoderCard(deterministic=False, source="arXiv 1904.09751")
CTC_TEXT_CARD = DecoderCard(needs_posteriors=True, source="arXiv 1706.02737")
UNIT_LABELS_FILE = "unit_labels.safetensors"


@dataclass(frozen=True)
class SampleOptions:
    """Attributes:
    temperature: divides the scores; towards 0 it becomes greedy.
    top_k: 0 keeps all ids.
    top_p: nucleus: the smallest set of ids with this probability.
    """

    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 0.95


@dataclass(frozen=True)
class CtcTextOptions:
    """Attributes:
    weight: of CTC, beside 1 - weight for the language model.
    """

    weight: float = 0.5


@dataclass(frozen=True)
class CtcUnitsOptions:
    """Attributes:
    weights: weight source of trained unit labels, or "" before training.
    weight: of CTC, beside 1 for the language model.
    smoothing: added to the probability of every character, so that sound in which no character is heard moves the alignment
        on as well; without it a model that has said a word unheard waits in silence.
    candidates: how many of the language model's best units are scored.
    """

    weights: str = ""
    weight: float = 1.0
    smoothing: float = 0.2
    candidates: int = 64


def ctc_units_card(options: CtcUnitsOptions, context: LoadContext) -> DecoderCard:
    fingerprint = unit_labels_header(context.folders(options.weights)[0])["units_fingerprint"] if options.weights else ""
    return DecoderCard(units_fingerprint=fingerprint, trainable=("unit-labels",), source="arXiv 1706.02737")


def unit_labels_header(folder: Path) -> dict[str, str]:
    """What the file of trained unit labels says of itself, without its weights.

    Raises:
        AlmError: a folder without it.
    """
    path = folder / UNIT_LABELS_FILE
    if not path.is_file():
        raise AlmError(f"got {folder}, which has no {UNIT_LABELS_FILE}", "a folder with trained unit labels", "train them with a recipe of objective unit-labels")
    return header_notes(path)
