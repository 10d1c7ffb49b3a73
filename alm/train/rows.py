"""Where new rows of the embedding table start: units from centroids or from what they sound like, tags from their words or from their times.

Rows at random cost a pretrained language model most of a short training.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from alm.api.errors import AlmError
from alm.api.languages import LANGUAGES
from alm.core.assemble import Model

TIME_LOUDNESS = 0.3
NO_WORD = re.compile(r"[^A-Za-z0-9.]+")


def start_rows_from_codebook(model: Model, tokenizer: Any) -> None:
    """Unit rows = centroids x a random matrix, with the spread of the text rows. One codebook.

    Raises:
        AlmError: a tokenizer without a codebook of centroids.
    """
    codebook = getattr(tokenizer, "codebook", None)
    if codebook is None:
        raise AlmError("got train.options.unit_rows codebook for a tokenizer without centroids", "a k-means tokenizer", "set unit_rows: normal")
    table = model.backbone.model.get_input_embeddings().weight
    block = model.vocabulary.unit_blocks[0]
    centroids = codebook.centroids.to(table.device)
    rows = centroids @ torch.randn(centroids.shape[1], table.shape[1], device=table.device)
    with torch.no_grad():
        table[block.start : block.start + block.size] = rows / rows.std() * table[: block.start].std()


def start_rows_from_labels(model: Model, unit_decoder: Any) -> None:
    """Unit rows = text rows of the characters that a unit sounds like, by their probability, and half as much noise. One codebook.

    Raises:
        AlmError: a decoder of units without labels, or without those of the model's units.
    """
    labels, block = getattr(unit_decoder, "labels", None), model.vocabulary.unit_blocks[0]
    if labels is None or labels.units_fingerprint != block.fingerprint:
        raise AlmError(
            "got train.options.unit_rows labels without the labels of these units",
            "parts.unit_decoder: {use: ctc-units, weights: ...} trained on them",
            "train them (objective unit-labels), or set unit_rows: codebook",
        )
    table = model.backbone.model.get_input_embeddings().weight
    text = table[: model.vocabulary.blocks[0].size].detach()
    characters = torch.stack([text[model.vocabulary.text_ids(label)].mean(0) for label in labels.labels])
    heard = labels.log_probs.exp()[..., 1:].mean((0, 2)).to(table.device)  # [V, C], over languages and the outputs of a unit
    rows = heard / heard.sum(-1, keepdim=True).clamp(min=1e-6) @ characters
    with torch.no_grad():
        table[block.start : block.start + block.size] = rows + 0.5 * text.std() * torch.randn_like(rows)


def start_rows_from_times(model: Model, times: tuple[tuple[str, float], ...], begun: int) -> None:
    """New rows of tags that stand for a time lie from the mean text row in the direction of what a projector that reads stamps adds to a frame
    that is heard then: a time is then copied from what was heard, and its neighbours are like it, before any of them was seen. What is added to
    a frame is softer by TIME_LOUDNESS, so that its words are still heard.

    Args:
        begun: so many ids have trained rows, beside those of the text tokenizer.
    """
    time = getattr(model.projector, "time", None)
    if time is None:
        return
    trained = max(begun, model.vocabulary.blocks[0].size)
    new = {number: seconds for tag, seconds in times if (number := model.vocabulary.tag_id(tag)) >= trained}
    if not new:
        return
    with torch.no_grad():
        rows = time(torch.tensor(list(new.values())))
        time.net.weight *= TIME_LOUDNESS * _place(model, new, rows) / rows.norm(dim=1).mean()


def start_rows_from_words(model: Model, begun: int) -> None:
    """New rows of tags lie from the mean text row where the rows of their words do: `<|translate|>` of " translate", `<|es|>` of " Spanish".

    Args:
        begun: so many ids have trained rows, beside those of the text tokenizer.
    """
    vocabulary = model.vocabulary
    text = vocabulary.blocks[0].size
    named = {tag: NO_WORD.sub(" ", tag).strip() for tag in vocabulary.tags}
    new = {vocabulary.tag_id(tag): LANGUAGES.get(words, words) for tag, words in named.items() if words and vocabulary.tag_id(tag) >= max(begun, text)}
    if not new:
        return
    with torch.no_grad():
        rows = model.backbone.model.get_input_embeddings().weight[:text]
        _place(model, new, torch.stack([rows[vocabulary.text_ids(f" {words}")].mean(0) for words in new.values()]) - rows.mean(0))


def _place(model: Model, ids: Iterable[int], directions: Tensor) -> Tensor:
    """Puts rows in the table that lie from the mean text row in these directions [N, D], as far as text rows do: what all rows have in common
    decides how likely an id is before anything is known of it. Returns how far that is.
    """
    backbone = model.backbone.model
    text = backbone.get_input_embeddings().weight[: model.vocabulary.blocks[0].size]
    mean = text.mean(0)
    distance = (text - mean).norm(dim=1).mean()
    rows = mean + directions * (distance / directions.norm(dim=1, keepdim=True).clamp(min=1e-6))
    for table in (backbone.get_input_embeddings(), backbone.get_output_embeddings()):
        table.weight[torch.tensor(list(ids))] = rows.to(table.weight)
    return distance
