"""Trains a byte-level BPE text tokenizer on a recipe's transcripts, for backbones from scratch. Sees text alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from alm.api.text import normalize_text
from alm.core.parts import Parts

END, PAD = "<end>", "<pad>"


@dataclass(frozen=True)
class BpeOptions:
    """`train.options` of objective bpe.

    Attributes:
        vocabulary_size: ids, with the 256 bytes and two special tokens.
    """

    vocabulary_size: int = 1024


def fit_text_tokenizer(parts: Parts, options: BpeOptions, target: Path) -> None:
    """Trains on the train split and saves a transformers fast tokenizer."""
    data = parts.recipe.data
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=options.vocabulary_size, special_tokens=[PAD, END], initial_alphabet=pre_tokenizers.ByteLevel.alphabet())

    def texts() -> list[str]:
        spelt = (normalize_text(u.text, u.language, accents=data.accents) if data.normalize_text else u.text for u in parts.utterances("train"))
        return [" " + text for text in spelt if text]

    tokenizer.train_from_iterator(texts(), trainer)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=PAD).save_pretrained(target)
