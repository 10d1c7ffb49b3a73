"""The generation loop: ids and embeddings in, ids out. Never sees audio or text.

A request carries a plan: spans of one modality each, with the id that ends them and a limit. The mask built from the
plan is what keeps a model from writing text into audio, and what ends runaway silence. Requests are batched with left
padding; each has its own plan and its own random generator, so a request's result does not depend on its neighbours'
randomness. A decoder that can follow is given what a span says again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence as Many
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from alm.api.errors import AlmError
from alm.api.interfaces import Backbone, Decoder, FollowingDecoder, Said
from alm.api.vocabulary import GIVEN, JointVocabulary, SpanRule


@dataclass
class Progress:
    """Where one request stands in its plan. Held by the loop, one a request."""

    plan: Many[SpanRule]
    said: Said = None
    rule: int = 0
    position: int = 0
    emitted: list[int] = field(default_factory=list)
    pieces: list[list[int]] = field(default_factory=lambda: [[]])  # the emitted ids by span, without stop ids
    decoder: Decoder | None = None  # of the span that is being emitted

    @property
    def done(self) -> bool:
        return self.rule >= len(self.plan)

    def advance(self, chosen: int) -> None:
        """Takes one emitted id; a stop id moves on to the next span."""
        self.emitted.append(chosen)
        if chosen == self.plan[self.rule].stop_id:
            self.rule, self.position, self.decoder = self.rule + 1, 0, None
            self.pieces.append([])
        else:
            self.pieces[-1].append(chosen)
            self.position += 1

    def span_decoder(self, decoders: dict[str, Decoder], vocabulary: JointVocabulary) -> Decoder:
        """The decoder of the present span: one that follows what the span says again, where there is such a one."""
        if self.decoder is None:
            rule = self.plan[self.rule]
            self.decoder = decoders[rule.kind]
            said = None if rule.renders is None else self.said if rule.renders == GIVEN else self.pieces[rule.renders]
            if said is not None and isinstance(self.decoder, FollowingDecoder):
                self.decoder = self.decoder.follow(said, rule, vocabulary) or self.decoder
        return self.decoder


@torch.inference_mode()
def generate(
    backbone: Backbone,
    embeddings: Many[Tensor],
    plans: Many[Many[SpanRule]],
    vocabulary: JointVocabulary,
    decoder: Decoder,
    seed: int = 0,
    on_step: Callable[[int], None] | None = None,
    unit_decoder: Decoder | None = None,
    said: Many[Said] = (),
) -> list[list[int]]:
    """Continues each prompt by its plan.

    Args:
        embeddings: one prompt a request, [S, D], slots already projected.
        plans: the spans each request may emit, in order.
        decoder: chooses among the allowed ids.
        seed: of the sampler; each request gets its own generator.
        on_step: called with the number of requests still running, for a progress bar.
        unit_decoder: chooses in spans of units; `decoder` if not given.
        said: what each request is given to say again, for decoders that follow; see `alm.api.interfaces.FollowingDecoder`.

    Returns:
        The emitted ids of each request, stop ids included.

    Raises:
        AlmError: a prompt and plan that are longer than the backbone's positions.
    """
    longest = max(len(e) + sum(rule.max_ids + 1 for rule in plan) for e, plan in zip(embeddings, plans, strict=True))
    if longest > backbone.card.max_positions:
        raise AlmError(f"got a prompt and an answer of up to {longest} positions", f"at most {backbone.card.max_positions}", "shorten the input or lower the limit of its output")
    requests = [Progress(plan, given) for plan, given in zip(plans, said or [None] * len(plans), strict=True)]
    for step in generate_steps(backbone, embeddings, requests, vocabulary, decoder, seed, unit_decoder):
        if on_step:
            on_step(step)
    return [request.emitted for request in requests]


def generate_steps(
    backbone: Backbone,
    embeddings: Many[Tensor],
    requests: list[Progress],
    vocabulary: JointVocabulary,
    decoder: Decoder,
    seed: int = 0,
    unit_decoder: Decoder | None = None,
) -> Iterator[int]:
    """One step of every running request at a time; yields how many still run. Results grow in `requests`."""
    padded, mask = _left_pad(embeddings)
    device = padded.device
    generators = [torch.Generator().manual_seed(seed) for _ in requests]
    masks: dict[tuple[Any, ...], Tensor] = {}
    decoders = {"text": decoder, "units": unit_decoder or decoder}
    cache = backbone.new_cache()
    step_input = padded
    while not all(request.done for request in requests):
        hidden = backbone.hidden(step_input, mask, cache)[:, -1]  # [B, D]
        scores = backbone.scores(hidden).float().cpu()  # [B, V]
        chosen = [
            vocabulary.end_id if request.done else _choose(request, scores[row : row + 1], vocabulary, decoders, generators[row], masks) for row, request in enumerate(requests)
        ]
        for request, index in zip(requests, chosen, strict=True):
            if not request.done:
                request.advance(index)
        yield sum(not request.done for request in requests)
        step_input = backbone.embed(torch.tensor(chosen, device=device)[:, None])  # [B, 1, D]
        mask = torch.cat([mask, mask.new_ones(len(requests), 1)], dim=1)


def _choose(request: Progress, scores: Tensor, vocabulary: JointVocabulary, decoders: dict[str, Decoder], generator: torch.Generator, masks: dict) -> int:
    rule, position = request.plan[request.rule], request.position
    books = max(1, len(vocabulary.unit_blocks))
    key = (rule, position % books, position >= rule.min_ids, position >= rule.max_ids)
    if key not in masks:
        masks[key] = vocabulary.allowed(rule, position)
    decoder = request.span_decoder(decoders, vocabulary)
    return int(decoder.choose(scores.masked_fill(~masks[key], float("-inf")), generator)[0])


def _left_pad(embeddings: Many[Tensor]) -> tuple[Tensor, Tensor]:
    """[B, S, D] with the prompts at the right edge, and the mask [B, S]."""
    longest = max(len(e) for e in embeddings)
    padded = embeddings[0].new_zeros(len(embeddings), longest, embeddings[0].shape[1])
    mask = torch.zeros(len(embeddings), longest, dtype=torch.bool, device=padded.device)
    for row, prompt in enumerate(embeddings):
        padded[row, longest - len(prompt) :] = prompt
        mask[row, longest - len(prompt) :] = True
    return padded, mask
