"""A BERT-like encoder that says how good a text is as a reading. Sees texts, no sound.

Unlike a causal language model it reads a text at once, both ways (arXiv 1910.14659 scores by masking each word in turn; here one pass and a trained
head do). Trained with ranking losses on lists of readings (alm.train.rescore).
"""

from __future__ import annotations

from collections.abc import Sequence as Many
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel

from alm.api.batching import batches_by_length
from alm.api.interfaces import LoadContext
from alm.components.rescorers.cards import HEAD_FILE, BertRescorerOptions, bert_rescorer_card

PAD, BEGIN, END = 0, 1, 2
FIRST_BYTE = 3
MAX_BYTES = 512
AT_ONCE = 8192  # ids, padding included


class BertRescorer(nn.Module):
    """`bert`: a number for each text, the higher the better.

    Args:
        tokenizer: a transformers fast tokenizer, or None for bytes.
    """

    def __init__(self, encoder: Any, tokenizer: Any, options: BertRescorerOptions, card: Any) -> None:
        super().__init__()
        self.encoder, self.tokenizer, self.options, self.card = encoder, tokenizer, options, card
        self.weight = options.weight
        self.head = nn.Linear(encoder.config.hidden_size, 1)

    def ids(self, text: str) -> list[int]:
        if self.tokenizer is not None:
            return list(self.tokenizer.encode(text, truncation=True, max_length=self.encoder.config.max_position_embeddings))
        return [BEGIN, *(byte + FIRST_BYTE for byte in text.encode()[: MAX_BYTES - 2]), END]

    def forward(self, texts: Many[str]) -> Tensor:
        """[N] of N texts."""
        rows = [torch.tensor(self.ids(text), device=self.head.weight.device) for text in texts]
        ids = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        mask = torch.arange(ids.shape[1], device=ids.device) < torch.tensor([len(row) for row in rows], device=ids.device)[:, None]
        states = self.encoder(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        pooled = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        scores: Tensor = self.head(pooled)[:, 0]
        return scores

    @torch.inference_mode()
    def score(self, texts: Many[str]) -> list[float]:
        values = [0.0] * len(texts)
        for group in batches_by_length([len(text) for text in texts], AT_ONCE):
            for index, value in zip(group, self([texts[i] for i in group]).tolist(), strict=True):
                values[index] = value
        return values

    def save(self, folder: Path) -> None:
        """A transformers folder, and the head beside it."""
        self.encoder.save_pretrained(folder)
        if self.tokenizer is not None:
            self.tokenizer.save_pretrained(folder)
        save_file({name: value.detach().cpu().contiguous() for name, value in self.head.state_dict().items()}, folder / HEAD_FILE)


def load_rescorer(options: BertRescorerOptions, context: LoadContext) -> BertRescorer:
    """A trained rescorer, or one that is to be trained."""
    card = bert_rescorer_card(options, context)
    source = options.weights or options.encoder
    folder = context.folders(source)[0] if source else None
    if folder is not None:
        encoder = AutoModel.from_pretrained(folder, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(folder) if (folder / "tokenizer.json").is_file() else None
    else:
        sizes = {"hidden_size": options.hidden_size, "num_hidden_layers": options.layers, "num_attention_heads": options.heads, "intermediate_size": 4 * options.hidden_size}
        encoder, tokenizer = BertModel(BertConfig(vocab_size=256 + FIRST_BYTE, max_position_embeddings=MAX_BYTES, pad_token_id=PAD, **sizes), add_pooling_layer=False), None
    rescorer = BertRescorer(encoder, tokenizer, options, card)
    if options.weights and folder is not None:
        rescorer.head.load_state_dict(load_file(folder / HEAD_FILE))
    return rescorer.eval().to(context.device)
