"""Puts backbone, vocabulary and projector together, for training and for serving alike. Loads no tokenizer, no vocoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from alm.api.batching import pad_frames
from alm.api.errors import AlmError
from alm.api.interfaces import Said
from alm.api.types import SLOT_ID, Sequence, Slot
from alm.api.vocabulary import JointVocabulary
from alm.core.depth import DepthTransformer
from alm.core.embed import embed_ids
from alm.core.parts import Parts


@dataclass(frozen=True, eq=False)
class Model:
    """The language model of a recipe."""

    backbone: Any
    projector: nn.Module | None
    vocabulary: JointVocabulary
    depth: DepthTransformer | None = None


def assemble(parts: Parts) -> Model:
    """The backbone with its vocabulary grown, and the projector if the recipe has an encoder."""
    backbone = parts.load("backbone")
    prompt = parts.card("prompt")
    vocabulary = JointVocabulary(backbone.text_tokenizer, parts.card("tokenizer") if parts.has("tokenizer") else None, parts.layout, prompt.added_tags, prompt.unit_token)
    started_from = getattr(backbone, "started_from", None)
    if started_from is not None:
        vocabulary.check_begun(started_from)
    backbone.resize(len(vocabulary))
    reads_features = parts.has("encoder")
    projector: Any = parts.load("encoder").build_projector(backbone.card.hidden_size) if reads_features else None
    labels = getattr(projector, "text_labels", None)
    if labels is not None:
        ids = {piece: index for index, piece in enumerate(text_pieces(backbone.text_tokenizer))}
        unknown = [label for label in labels if label not in ids]
        if unknown:
            raise AlmError(
                f"got an encoder that hears {len(labels)} labels, among them {unknown[-1]!r}",
                f"pieces of the backbone's text tokenizer, of which there are {len(ids)}",
                "train the encoder's CTC head on this text tokenizer (train.options.text_tokenizer), or choose projector: stack-mlp",
            )
        projector.register_buffer("text_ids", torch.tensor([ids[label] for label in labels]), persistent=False)
    layout = parts.recipe.layout
    has_depth = layout.depth_layers and vocabulary.layout.streams > 1
    depth = DepthTransformer(backbone.card.hidden_size, vocabulary.layout.streams, layout.depth_layers, layout.depth_size) if has_depth else None
    return Model(backbone, projector, vocabulary, depth)


def text_pieces(text_tokenizer: Any) -> list[str]:
    """Its pieces by id."""
    return list(text_tokenizer.convert_ids_to_tokens(list(range(len(text_tokenizer)))))


def input_embeddings(backbone: Any, projector: nn.Module | None, ids: Tensor, slots: list[tuple[int, Slot]], more: Tensor | None = None) -> Tensor:
    """ids [B, S], further ids at the same positions [B, S, K - 1] and the feature slots of its rows -> [B, S, D]."""
    embeddings = embed_ids(backbone, ids, more)
    if not slots:
        return embeddings
    assert projector is not None, "a format writes slots only where the recipe has an encoder"
    values, mask = pad_frames([slot.features.values.to(embeddings.device) for _, slot in slots])
    text_ids = getattr(projector, "text_ids", None)
    rows = () if text_ids is None else (backbone.embed(text_ids),)
    projected = projector(values, mask, *rows)
    embeddings = embeddings.clone()
    for (row, slot), frames in zip(slots, projected, strict=True):
        count = slot.features.num_slots
        assert bool((ids[row, slot.start : slot.start + count] == SLOT_ID).all()), "slots and placeholders must agree"
        embeddings[row, slot.start : slot.start + count] = frames[:count]
    return embeddings


def said_again(model: Model, sequence: Sequence) -> Said:
    """What a prompt gives to say again: posteriors over text ids [F, 1 + V], or the ids of its text; None where it gives neither
    or several."""
    text_ids = getattr(model.projector, "text_ids", None)
    if text_ids is not None and len(sequence.slots) == 1:
        values = sequence.slots[0].features.values
        if values.shape[1] != 1 + len(text_ids):
            return None
        posteriors = values.new_zeros(len(values), 1 + model.vocabulary.blocks[0].size)
        posteriors[:, 0], posteriors[:, 1 + text_ids.to(values.device)] = values[:, 0], values[:, 1:]
        return posteriors
    texts = [span for span in sequence.spans if span.kind == "text"]
    return sequence.ids[texts[0].start : texts[0].stop].tolist() if len(texts) == 1 and not sequence.slots else None


def prompt_embeddings(model: Model, sequence: Sequence) -> Tensor:
    """One prompt -> [S, D]."""
    with torch.inference_mode():
        more = None if sequence.more is None else sequence.more[None]
        return input_embeddings(model.backbone, model.projector, sequence.ids[None], [(0, slot) for slot in sequence.slots], more)[0]
