"""The depth transformer: the codes of one position, one after another. Sees hidden states and embeddings, no audio.

Moshi (arXiv 2410.00037): a small transformer over the codebooks, begun from the backbone's state at each position. The first code
is the backbone's own; each further one sees those before it. Without it the codes of a position are chosen independently, from one
state.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class DepthTransformer(nn.Module):
    """States of codebooks 1 to K - 1 at each position.

    Args:
        hidden_size: of the backbone.
        codebooks: K.
        layers, size, heads: of the transformer over codebooks.
    """

    def __init__(self, hidden_size: int, codebooks: int, layers: int, size: int, heads: int = 4) -> None:
        super().__init__()
        self.state = nn.Linear(hidden_size, size)
        self.code = nn.Linear(hidden_size, size)
        self.book = nn.Parameter(0.02 * torch.randn(codebooks - 1, size))
        layer = nn.TransformerEncoderLayer(size, heads, 4 * size, dropout=0.0, activation="gelu", batch_first=True, norm_first=True)
        self.transformer = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(size)
        self.leave = nn.Linear(size, hidden_size)

    def forward(self, hidden: Tensor, chosen: Tensor) -> Tensor:
        """hidden [N, D], embeddings of the codes chosen so far [N, k, D] -> states of codebooks 1 to k, [N, k, D]."""
        count = chosen.shape[1]
        inputs = self.state(hidden)[:, None] + self.code(chosen) + self.book[:count]
        causal = nn.Transformer.generate_square_subsequent_mask(count, device=hidden.device, dtype=inputs.dtype)
        return hidden[:, None] + self.leave(self.norm(self.transformer(inputs, mask=causal, is_causal=True)))
