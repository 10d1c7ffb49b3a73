"""Where a Llama-type backbone looks while it writes an answer, for pictures. Sees ids and embeddings, never audio."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from alm.api.errors import AlmError
from alm.core.assemble import prompt_embeddings
from alm.core.loaded import LoadedModel
from alm.core.results import Result


def attention(model: LoadedModel, result: Result, layer: int = -1) -> Tensor:
    """How each position of a result's sequence, its prompt and what was emitted, attends to those up to it: the mean over the heads of a layer.

    Args:
        layer: counted from 0, or from the last as -1.

    Returns:
        [S, S] float32; rows sum to 1.

    Raises:
        AlmError: a backbone without rotary self-attention, or a layer that it has not.
    """
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

    backbone = model.model.backbone
    layers = getattr(getattr(backbone.model, "model", None), "layers", None)
    if layers is None or not all(hasattr(layers[0].self_attn, name) for name in ("q_proj", "k_proj", "head_dim", "scaling")):
        raise AlmError(f"got a picture of attention for {type(backbone.model).__name__}", "a Llama-type backbone", "choose another model")
    if not -len(layers) <= layer < len(layers):
        raise AlmError(f"got layer {layer}", f"{-len(layers)} to {len(layers) - 1}", "choose one of them")
    seen: dict[str, Any] = {}
    part = layers[layer].self_attn

    def keep(_: Any, args: tuple[Any, ...], given: dict[str, Any]) -> None:
        seen.update(given, **({"hidden_states": args[0]} if args else {}))

    handle = part.register_forward_pre_hook(keep, with_kwargs=True)
    try:
        with torch.inference_mode():
            emitted = backbone.embed(torch.tensor(result.emitted, dtype=torch.int64))
            backbone.hidden(torch.cat([prompt_embeddings(model.model, result.prompt), emitted])[None])
            states, (cos, sin) = seen["hidden_states"], seen["position_embeddings"]
            query, key = (project(states).unflatten(-1, (-1, part.head_dim)).transpose(1, 2) for project in (part.q_proj, part.k_proj))
            query, key = apply_rotary_pos_emb(query, key, cos, sin)
            scores = query.float() @ key.repeat_interleave(query.shape[1] // key.shape[1], 1).float().transpose(-1, -2) * part.scaling
            future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
            return scores.masked_fill(future, float("-inf")).softmax(-1).mean(1)[0]
    finally:
        handle.remove()
