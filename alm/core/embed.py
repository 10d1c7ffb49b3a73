"""Ids -> embeddings. Where a layout puts several codebooks at one position, their rows are added. Sees ids, no sound."""

from __future__ import annotations

from torch import Tensor

from alm.api.interfaces import Backbone


def embed_ids(backbone: Backbone, ids: Tensor, more: Tensor | None = None) -> Tensor:
    """Rows of the ids at each position, [B, S, D].

    Args:
        ids: [B, S]; negative ones (feature slots) get the row of id 0.
        more: further ids at the same positions, [B, S, K - 1], -1 where there is none.
    """
    embeddings = backbone.embed(ids.clamp(min=0))
    if more is not None:
        there = more >= 0
        embeddings = embeddings.index_put(tuple(there.nonzero().T[:2]), backbone.embed(more[there]), accumulate=True)
    return embeddings
