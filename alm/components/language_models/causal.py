"""A causal language model of text pieces, asked for words. See words and pieces."""

from __future__ import annotations

from collections.abc import Sequence as Many

import torch
from torch import Tensor

from alm.api.batching import batches_by_length
from alm.api.cards import LanguageModelCard
from alm.api.interfaces import Backbone, LoadContext, TextTokenizer
from alm.api.recognition import END_OF_TEXT, PiecesSoFar
from alm.components.backbones.cards import HfOptions
from alm.components.language_models.cards import HfLanguageModelOptions, hf_language_model_card


class CausalWords:
    """`hf`: the probability of a word is that of its pieces, each after all before it. Immutable once loaded.

    Args:
        end: what ends a text; what begins one, too, where the text tokenizer has nothing else for it.
        pieces: so many go through at once, padding included.
    """

    def __init__(self, backbone: Backbone, card: LanguageModelCard, begin: int, end: int, pieces: int) -> None:
        self.backbone, self.card, self.begins_with, self.end, self.pieces = backbone, card, begin, end, pieces

    @property
    def text_tokenizer(self) -> TextTokenizer:
        return self.backbone.text_tokenizer

    def begin(self) -> PiecesSoFar:
        return PiecesSoFar(self.backbone, self.begins_with, self.end, len(self.text_tokenizer))

    @torch.inference_mode()
    def score(self, histories: Many[tuple[str, ...]], words: Many[str]) -> list[float]:
        rows, counts = [], []
        for history, word in zip(histories, words, strict=True):
            before = [self.begins_with, *self._ids(" ".join(history))]
            last = [self.end] if word == END_OF_TEXT else self._ids(word)
            rows.append(torch.tensor(before + last))
            counts.append(len(last))
        return self._sums(rows, counts)

    @torch.inference_mode()
    def log_probs(self, texts: Many[str]) -> list[float]:
        """Of texts as they are written, each from its beginning; without their end."""
        rows = [torch.tensor([self.begins_with, *self.text_tokenizer.encode(text, add_special_tokens=False)]) for text in texts]
        return self._sums(rows, [len(row) - 1 for row in rows])

    def _sums(self, rows: list[Tensor], counts: list[int]) -> list[float]:
        """ln P of the last so many pieces of each row."""
        values = [0.0] * len(rows)
        for group in batches_by_length([len(row) for row in rows], self.pieces):
            ids = torch.nn.utils.rnn.pad_sequence([rows[i] for i in group], batch_first=True)
            hidden = self.backbone.hidden(self.backbone.embed(ids[:, :-1]))
            for place, index in enumerate(group):
                stop = len(rows[index])
                values[index] = self._log_prob(hidden[place, stop - 1 - counts[index] : stop - 1], rows[index][stop - counts[index] :])
        return values

    def _log_prob(self, hidden: Tensor, ids: Tensor) -> float:
        return float(self.backbone.scores(hidden).float().log_softmax(-1).gather(1, ids[:, None]).sum())

    def _ids(self, text: str) -> list[int]:
        return self.backbone.text_tokenizer.encode(f" {text}", add_special_tokens=False) if text else []


def load_causal(options: HfLanguageModelOptions, context: LoadContext) -> CausalWords:
    from alm.components.backbones.causal import load_hf

    backbone = load_hf(HfOptions(weights=options.weights), context)
    backbone.eval()
    tokenizer = backbone.text_tokenizer
    end = int(tokenizer.eos_token_id)
    begin = tokenizer.bos_token_id
    return CausalWords(backbone, hf_language_model_card(options, context), end if begin is None else int(begin), end, options.pieces)
