"""Instruction data from any corpus: `alm instruct RECIPE OUT`. Writes SpeechInstruct's JSON lines (SpeechGPT, arXiv 2305.11000).

What a recipe's tasks make of its corpora, in many wordings, as text and units; corpus `speech-instruct` reads it again, and so does any
reader of JSON lines.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from alm.api.errors import AlmError
from alm.components.prompts.cards import SpeechGptOptions
from alm.components.prompts.speechgpt import SpeechGptFormat
from alm.core.files import write_lines
from alm.core.parts import Parts
from alm.core.units import Track
from alm.train.mixture import Mixture


def write_instructions(parts: Parts, folder: Path, splits: tuple[str, ...], system: str, track: Track) -> dict[str, Counter[str]]:
    """Writes FOLDER/instruct_SPLIT.jsonl for each split that has samples; returns how many lines each task gave.

    Raises:
        AlmError: a recipe that hears features or has text alone, a tokenizer of several codebooks, or a split without a sample.
    """
    if parts.has("tokenizer") and parts.card("tokenizer").codebooks > 1:
        raise AlmError(f"got a tokenizer with {parts.card('tokenizer').codebooks} codebooks", "one: a line holds one unit a frame", "choose a tokenizer with one codebook")
    for task in parts.recipe.data.tasks:
        card = parts.task(task.use).card
        if card.reads is None and card.outputs[0].modality == "text":
            raise AlmError(f"got task {task.use!r}, whose lines would be text alone", "tasks that are given something, or speech alone", "leave it out of data.tasks")
    prompt = SpeechGptFormat(SpeechGptOptions(system))
    counts: dict[str, Counter[str]] = {}
    for split in splits:
        mixture = Mixture(parts, split, len, track)
        if not mixture.entries:
            continue
        folder.mkdir(parents=True, exist_ok=True)
        write_lines(folder / f"instruct_{split}.jsonl", (json.dumps(prompt.line(entry.sample), ensure_ascii=False) for entry in mixture.entries))
        counts[split] = Counter(mixture.names[entry.task] for entry in mixture.entries)
    if not counts:
        raise AlmError(f"got splits {', '.join(splits)} without a sample", "a split that the recipe's corpora have", "name another with --split")
    return counts
