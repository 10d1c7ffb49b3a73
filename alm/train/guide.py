"""Guided attention: one head is shown, at first, where along the input the next id is said.

Text and speech of the same words run in parallel, so the i-th of N ids is near the share i / N of the frames (Tachibana
et al., arXiv 1710.08969, who guide a synthesizer so; here it serves recognition as well). A head that once looks there
finds what next-id prediction wants by itself, and the guide fades out. Sees attention, no text and no audio.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from alm.api.errors import AlmError
from alm.api.types import Sample, Sequence

SPREAD = 0.06  # of the window, as a share of the source
MIN_SPREAD = 1.5  # positions


@dataclass(frozen=True)
class Guide:
    """Positions [source, source_stop) and [target, target_stop) of a row say the same."""

    row: int
    source: int
    source_stop: int
    target: int
    target_stop: int


def guides_of(row: int, sample: Sample, sequence: Sequence) -> list[Guide]:
    """Each learnt span with the last span before it that says the same in the other modality; none where outputs are woven together."""
    spans = [span for span in sequence.spans if span.kind in ("text", "units", "features")]
    if len(spans) != len(list(sample.segments())):
        return []
    pairs = list(zip(sample.segments(), spans, strict=True))
    guides = []
    for number, (segment, span) in enumerate(pairs):
        if segment.learn and span.stop > span.start:
            sources = [s for other, s in pairs[:number] if segment.renders(other) and s.stop > s.start]
            if sources:
                guides.append(Guide(row, sources[-1].start, sources[-1].stop, span.start, span.stop))
    return guides


class GuidedAttention:
    """The loss on one head of a Llama-type network's middle layer: how little of its attention falls into the window.

    Raises:
        AlmError: a backbone without rotary self-attention layers.
    """

    def __init__(self, backbone: Any, head: int = 0) -> None:
        layers = getattr(backbone.model.base_model, "layers", None)
        attention = getattr(layers[len(layers) // 2], "self_attn", None) if layers is not None else None
        if not all(hasattr(attention, name) for name in ("q_proj", "k_proj", "head_dim", "scaling")):
            raise AlmError(f"got guided attention for {type(backbone.model).__name__}", "a Llama-type backbone", "set train.options.guide_weight: 0")
        self.attention, self.head = attention, head
        self._inputs: tuple[Tensor, tuple[Tensor, Tensor]] | None = None
        attention.register_forward_pre_hook(self._keep, with_kwargs=True)  # type: ignore[union-attr]

    def _keep(self, module: Any, args: Any, kwargs: Any) -> None:
        if module.training:
            self._inputs = (kwargs["hidden_states"] if "hidden_states" in kwargs else args[0], kwargs["position_embeddings"])

    def start_copying(self) -> None:
        """The head's values and outputs become one random projection and its transpose, so that with tied rows it says
        what it looks at from the first step. Learning that from nothing took a small network thousands of steps."""
        size = self.attention.head_dim
        projection = torch.linalg.qr(torch.randn(self.attention.o_proj.weight.shape[0], size)).Q  # [D, head_dim]
        value = self.head // self.attention.num_key_value_groups
        with torch.no_grad():
            self.attention.v_proj.weight[value * size : (value + 1) * size] = projection.T
            self.attention.o_proj.weight[:, self.head * size : (self.head + 1) * size] = projection

    def loss(self, guides: list[Guide]) -> Tensor:
        """-log of the head's attention within each window of the last forward pass, the mean over target positions."""
        from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

        assert self._inputs is not None, "the network has run"
        hidden, (cos, sin) = self._inputs
        self._inputs = None
        size, shared = self.attention.head_dim, self.attention.num_key_value_groups

        def project(layer: Any, head: int) -> Tensor:
            return layer(hidden)[..., head * size : (head + 1) * size].unsqueeze(1)

        query, key = apply_rotary_pos_emb(project(self.attention.q_proj, self.head), project(self.attention.k_proj, self.head // shared), cos, sin)
        scores = (query @ key.transpose(-1, -2))[:, 0].float() * self.attention.scaling  # [B, S, S]
        future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
        shares = scores.masked_fill(future, float("-inf")).log_softmax(-1)
        rows = torch.tensor([g.row for g in guides for _ in range(g.target, g.target_stop)])
        positions = torch.cat([torch.arange(g.target - 1, g.target_stop - 1) for g in guides])
        windows, start = torch.full((len(rows), scores.shape[-1]), float("-inf")), 0  # all together: a GPU waits at every small copy
        for guide in guides:
            stop = start + guide.target_stop - guide.target
            windows[start:stop, guide.source : guide.source_stop] = _window(guide)
            start = stop
        return -torch.logsumexp(shares[rows.to(scores.device), positions.to(scores.device)] + windows.to(scores.device), -1).mean()


def _window(guide: Guide) -> Tensor:
    """Log-weights [targets, sources]: a Gaussian around the place that runs in parallel."""
    targets, sources = guide.target_stop - guide.target, guide.source_stop - guide.source
    centres = (torch.arange(targets) + 0.5) / targets * sources
    distances = torch.arange(sources) + 0.5 - centres[:, None]
    return -0.5 * (distances / max(MIN_SPREAD, SPREAD * sources)).square()
