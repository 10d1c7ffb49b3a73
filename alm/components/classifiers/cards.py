"""Options and card of the classifier. Read before anything loads, so it imports no torch."""

from __future__ import annotations

import json
from dataclasses import dataclass

from alm.api.cards import ClassifierCard
from alm.api.errors import AlmError
from alm.api.interfaces import LoadContext
from alm.components.headers import header_notes

CLASSIFIER_FILE = "classifier.safetensors"
POOLINGS = ("statistics", "attention", "frames")


@dataclass(frozen=True)
class MlpOptions:
    """Attributes:
    weights: weight source of a trained classifier, or "" before training.
    pooling: of a clip's frames: "statistics" (mean and deviation), "attention" (the same, weighed by a learned attention; ECAPA-TDNN, arXiv
        2005.07143), or "frames": each frame has a label of its own.
    hidden_size, embedding_size: of the layer before pooling and of the one behind it, whose output is compared for verification.
    context: frames on either side that a frame sees besides itself, by convolutions; for "frames".
    """

    weights: str = ""
    pooling: str = "statistics"
    hidden_size: int = 256
    embedding_size: int = 128
    context: int = 0


def mlp_card(options: MlpOptions, context: LoadContext) -> ClassifierCard:
    """
    Raises:
        AlmError: an unknown pooling, sizes below 1, or weights without a classifier.
    """
    if options.pooling not in POOLINGS:
        raise AlmError(f"got pooling {options.pooling!r}", " or ".join(map(repr, POOLINGS)), "correct the option")
    if min(options.hidden_size, options.embedding_size) < 1 or options.context < 0:
        raise AlmError(f"got {options}", "sizes from 1, context from 0", "correct the option")
    if not options.weights:
        return ClassifierCard(frames=options.pooling == "frames", trainable=("classify",))
    path = context.folders(options.weights)[0] / CLASSIFIER_FILE
    if not path.is_file():
        raise AlmError(f"got classifier weights {options.weights}, which have no {CLASSIFIER_FILE}", "a trained classifier", "train one with a recipe of objective classify")
    notes = header_notes(path)
    return ClassifierCard(notes["label"], tuple(json.loads(notes["labels"])), notes["pooling"] == "frames", notes["features"], ("classify",))
