"""Trains a byte-level BPE text tokenizer on a recipe's transcripts, for backbones from scratch. Sees text alone."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from alm.core.parts import Parts
from alm.core.wording import Wording
from alm.train.options import BpeOptions

END, PAD = "<end>", "<pad>"


def fit_text_tokenizer(parts: Parts, options: BpeOptions, target: Path) -> None:
    """Trains on the train split, on what a front end makes of it too if there is one, and saves a transformers fast tokenizer."""
    wording, utterances = Wording(parts), list(parts.utterances("train"))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=options.vocabulary_size, special_tokens=[PAD, END], initial_alphabet=pre_tokenizers.ByteLevel.alphabet())

    def texts() -> list[str]:
        spelt = [wording.written(u.text, u.language) for u in utterances]
        read = [wording.frontend.analyse(u.text, u.language) for u in utterances if u.text] if wording.frontend is not None else []
        return [" " + text for text in spelt + read if text]

    tokenizer.train_from_iterator(texts(), trainer)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=PAD).save_pretrained(target)
