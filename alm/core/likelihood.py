"""How likely a model finds what it is shown. Sees ids, never audio."""

from __future__ import annotations

import math
from collections.abc import Sequence as Many

import torch

from alm.api.batching import batches_by_length, pad_frames
from alm.api.errors import AlmError
from alm.api.types import Sequence, Utterance
from alm.core.assemble import input_embeddings
from alm.core.parts import load_task
from alm.core.pipeline import Pipeline

MAX_POSITIONS = 4000  # of a batch


@torch.inference_mode()
def perplexity(pipeline: Pipeline, texts: Many[str], language: str) -> tuple[float, int]:
    """exp of the mean negative log-likelihood of the texts' ids, each text by itself as task TEXT writes it, among text ids alone: how well
    a model of texts predicts them, before and after it learnt to hear. Comparable between models of one text tokenizer whose recipes
    word and write texts alike (`data`, prompt format).

    Returns:
        The perplexity, and how many texts had a word.

    Raises:
        AlmError: no text with a word.
    """
    model, task = pipeline.model, load_task(pipeline.parts.found, "TEXT")
    worded = [text for text in (pipeline.wording.written(text, language) for text in texts) if text.strip()]
    if not worded:
        raise AlmError("got no text with a word", "one or more", "name a file with a text a line")
    sequences = [pipeline.prompt.encode(task.build(Utterance("text", None, text, language)), model.vocabulary) for text in worded]
    text_size, total, count = model.vocabulary.blocks[0].size, 0.0, 0
    for numbers in batches_by_length([len(sequence) for sequence in sequences], MAX_POSITIONS):
        ids, _ = pad_frames([sequences[i].ids for i in numbers])
        scored, _ = pad_frames([_of_text(sequences[i]) for i in numbers])
        states = model.backbone.hidden(input_embeddings(model.backbone, model.projector, ids[:, :-1], []))
        where = scored[:, 1:]
        scores = model.backbone.block_scores(states[where], 0, text_size).float().log_softmax(-1)
        total -= float(scores.gather(1, ids[:, 1:][where][:, None]).sum())
        count += int(where.sum())
    return math.exp(total / count), len(worded)


def _of_text(sequence: Sequence) -> torch.Tensor:
    """Bool [S]: the ids of the text itself, without what stands around it."""
    kept = torch.zeros(len(sequence), dtype=torch.bool)
    for span in sequence.spans:
        if span.kind == "text":
            kept[span.start : span.stop] = True
    return kept
