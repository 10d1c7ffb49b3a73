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
from alm.api.plans import PlanReader, SpanRule
from alm.api.types import GIVEN
from alm.api.vocabulary import JointVocabulary
from alm.core.embed import embed_ids

MOST_BESIDE = 200  # ids of a text beside its speech
Depth = Callable[[Tensor, Tensor], Tensor]  # see alm.core.depth.DepthTransformer


@dataclass
class Progress(PlanReader):
    """Where one request stands in its plan. Held by the loop, one a request."""

    said: Said = None
    ended: int = 0  # positions of this span at which the first of several codebooks had no code any more
    text_ended: bool = False  # beside the units of this span
    log_probs: list[float] = field(default_factory=list)  # of each id of text that was chosen, among those that the plan allows
    span_decoders: dict[int, Decoder] = field(default_factory=dict)  # of each span that was begun

    def advance(self, chosen: Many[int]) -> bool:
        ended = super().advance(chosen)
        if ended:
            self.ended, self.text_ended = 0, False
        return ended

    def span_decoder(self, decoders: dict[str, Decoder], vocabulary: JointVocabulary) -> Decoder:
        """The decoder of the present span: one that follows what the span says again, where there is such a one."""
        if self.rule not in self.span_decoders:
            rule = self.plan[self.rule]
            decoder = decoders[rule.kind]
            said = None if rule.renders is None else self.said if rule.renders == GIVEN else self.pieces[rule.renders]
            if rule.renders is not None and isinstance(decoder, FollowingDecoder):
                decoder = decoder.follow(said, rule, vocabulary) or decoder
            self.span_decoders[self.rule] = decoder
        return self.span_decoders[self.rule]


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
    depth: Depth | None = None,
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
        depth: where several codebooks stand side by side, gives the states from which all but the first are scored; without it
            that is the backbone's own.

    Returns:
        The emitted ids of each request, stop ids included; those of one position stand one after another.

    Raises:
        AlmError: a prompt and plan that are longer than the backbone's positions.
    """
    requests = [Progress(plan, said=given) for plan, given in zip(plans, said or [None] * len(plans), strict=True)]
    for step in generate_steps(backbone, embeddings, requests, vocabulary, decoder, seed, unit_decoder, depth):
        if on_step:
            on_step(step)
    return [request.emitted for request in requests]


@torch.inference_mode()
def generate_steps(
    backbone: Backbone,
    embeddings: Many[Tensor],
    requests: list[Progress],
    vocabulary: JointVocabulary,
    decoder: Decoder,
    seed: int = 0,
    unit_decoder: Decoder | None = None,
    depth: Depth | None = None,
) -> Iterator[int]:
    """One step of every running request at a time; yields how many still run. Results grow in `requests`.

    Raises:
        AlmError: a prompt and plan that are longer than the backbone's positions.
    """
    longest = max(len(e) + sum(rule.most_positions for rule in request.plan) for e, request in zip(embeddings, requests, strict=True))
    if longest > backbone.card.max_positions:
        raise AlmError(f"got a prompt and an answer of up to {longest} positions", f"at most {backbone.card.max_positions}", "shorten the input or lower the limit of its output")
    padded, mask = _left_pad(embeddings)
    generators = [torch.Generator().manual_seed(seed) for _ in requests]
    masks: dict[tuple[Any, ...], Tensor] = {}
    decoders = {"text": decoder, "units": unit_decoder or decoder}
    cache = backbone.new_cache()
    step_input = padded
    while not all(request.done for request in requests):
        hidden = backbone.hidden(step_input, mask, cache)[:, -1]  # [B, D]
        scores = backbone.scores(hidden).float().cpu()  # [B, V]
        chosen = [
            [vocabulary.end_id if request.done else _choose(request, scores[row : row + 1], vocabulary, decoders, generators[row], masks)] for row, request in enumerate(requests)
        ]
        if vocabulary.layout.text_beside:
            _choose_text_beside(backbone, hidden, requests, chosen, vocabulary, decoders["text"], generators)
        elif vocabulary.layout.streams > 1:
            _choose_more(backbone, hidden, requests, chosen, vocabulary, decoders["units"], generators, depth)
        step_input = _embed(backbone, chosen, padded.device)
        for request, ids in zip(requests, chosen, strict=True):
            if not request.done:
                request.advance(ids)
        yield sum(not request.done for request in requests)
        mask = torch.cat([mask, mask.new_ones(len(requests), 1)], dim=1)


def _choose(request: Progress, scores: Tensor, vocabulary: JointVocabulary, decoders: dict[str, Decoder], generator: torch.Generator, masks: dict) -> int:
    if request.forced:
        return request.forced[0]
    rule, position = request.plan[request.rule], request.position
    books = max(1, len(vocabulary.unit_blocks))
    key = (rule, position % books, position >= rule.min_ids, position >= rule.max_ids - vocabulary.layout.tail, position >= rule.max_ids, request.ended)
    if key not in masks:
        masks[key] = vocabulary.allowed(rule, position, request.ended)
    decoder = request.span_decoder(decoders, vocabulary)
    allowed = scores.masked_fill(~masks[key], float("-inf"))
    chosen = int(decoder.choose(allowed, generator)[0])
    if rule.kind == "text":
        request.log_probs.append(float(allowed.log_softmax(-1)[0, chosen]))
    return chosen


def _choose_more(
    backbone: Backbone,
    hidden: Tensor,
    requests: list[Progress],
    chosen: list[list[int]],
    vocabulary: JointVocabulary,
    decoder: Decoder,
    generators: list[torch.Generator],
    depth: Depth | None,
) -> None:
    """Adds the ids of the further codebooks to each position that holds units, and counts positions behind the first one's end."""
    blocks, empty = vocabulary.unit_blocks, vocabulary.empty_ids
    rows = [row for row, request in enumerate(requests) if not request.done and chosen[row][0] in vocabulary.unit_ids]
    for row in rows:
        requests[row].ended += chosen[row][0] == empty[0]
    if not rows:
        return
    states = hidden[rows]
    for book, block in enumerate(blocks[1:], start=1):
        if depth is not None:
            so_far = torch.tensor([chosen[row] for row in rows], device=hidden.device)
            states = depth(hidden[rows], backbone.embed(so_far))[:, -1]
        scores = backbone.block_scores(states, block.start, block.start + block.size).float().cpu()
        for row, score in zip(rows, scores, strict=True):
            request = requests[row]
            if vocabulary.has_code(book, request.position, request.ended):
                score[-1] = float("-inf")
                chosen[row].append(block.start + int(decoder.choose(score[None], generators[row])[0]))
            else:
                chosen[row].append(empty[book])


def _choose_text_beside(
    backbone: Backbone, hidden: Tensor, requests: list[Progress], chosen: list[list[int]], vocabulary: JointVocabulary, decoder: Decoder, generators: list[torch.Generator]
) -> None:
    """Adds an id of text to each position that holds a unit, until the text is closed, in spans that have text beside."""
    rows = [
        row
        for row, request in enumerate(requests)
        if not request.done and request.plan[request.rule].text_beside and chosen[row][0] in vocabulary.unit_ids and not request.text_ended
    ]
    if not rows:
        return
    text = vocabulary.blocks[0]
    scores = backbone.block_scores(hidden[rows], text.start, text.start + text.size).float().cpu()
    rule = SpanRule("text", vocabulary.end_id, MOST_BESIDE)
    for row, score in zip(rows, scores, strict=True):
        request = requests[row]
        allowed = vocabulary.allowed(rule, request.position)[text.start : text.start + text.size]
        index = text.start + int(decoder.choose(score.masked_fill(~allowed, float("-inf"))[None], generators[row])[0])
        chosen[row].append(index)
        request.text_ended = index == vocabulary.end_id


def _embed(backbone: Backbone, chosen: list[list[int]], device: torch.device) -> Tensor:
    """The ids of one position of each request -> [B, 1, D]."""
    longest = max(map(len, chosen))
    ids = torch.tensor([[row + [-1] * (longest - len(row))] for row in chosen], device=device)  # [B, 1, K]
    return embed_ids(backbone, ids[..., 0], ids[..., 1:] if longest > 1 else None)


def _left_pad(embeddings: Many[Tensor]) -> tuple[Tensor, Tensor]:
    """[B, S, D] with the prompts at the right edge, and the mask [B, S]."""
    longest = max(len(e) for e in embeddings)
    padded = embeddings[0].new_zeros(len(embeddings), longest, embeddings[0].shape[1])
    mask = torch.zeros(len(embeddings), longest, dtype=torch.bool, device=padded.device)
    for row, prompt in enumerate(embeddings):
        padded[row, longest - len(prompt) :] = prompt
        mask[row, longest - len(prompt) :] = True
    return padded, mask
