"""Zero-resource evaluation: of two recordings, which one a model of speech finds likelier. Sees units, never what is said.

ZeroSpeech 2021 (arXiv 2011.11588) and its successors: in how many pairs (a word and a non-word, a sentence and one that breaks a rule, a story and
a wrong end) the right one has the higher mean log-likelihood of its units. Ties count half, so that a model that knows nothing gets 50 %.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence as Many
from dataclasses import dataclass, replace
from statistics import fmean

import torch

from alm.api.batching import batches_by_length, pad_frames
from alm.api.errors import AlmError
from alm.api.types import Segment, Units, Utterance
from alm.core.assemble import input_embeddings
from alm.core.audio import read_audio
from alm.core.parts import load_task
from alm.core.pipeline import Pipeline

MAX_POSITIONS = 8000  # of a batch
TIE = 1e-6  # of a mean log-likelihood


@dataclass(frozen=True)
class Contrast:
    """Share of pairs in which the right one is likelier, in percent: over all, and of each kind that the benchmark names."""

    accuracy: float
    pairs: int
    kinds: dict[str, float]


def contrast(pipeline: Pipeline, utterances: Many[Utterance], on_done: Callable[[int], None] | None = None) -> Contrast:
    """Pairs of utterances of one group, one with the label `correct` "yes", the other "no".

    Raises:
        AlmError: utterances without recordings or labels, or a group that is no pair.
    """
    groups: dict[str, dict[str, int]] = defaultdict(dict)
    for number, utterance in enumerate(utterances):
        label = utterance.labels.get("correct")
        if utterance.audio is None or label not in ("yes", "no") or label in groups[utterance.group]:
            raise AlmError(f"got utterance {utterance.id!r}", 'a recording whose label `correct` is "yes" or "no", one of each in a group', "choose a benchmark of pairs")
        groups[utterance.group][str(label)] = number
    broken = [group for group, pair in groups.items() if len(pair) != 2]
    if broken or not groups:
        raise AlmError(f"got group {broken[0]!r} without its pair" if broken else "got no pair", "a right and a wrong one in each group", "check the benchmark's folder")
    likelihoods = mean_log_likelihoods(pipeline, utterances, on_done)
    won: dict[str, list[float]] = defaultdict(list)
    for pair in groups.values():
        ahead = likelihoods[pair["yes"]] - likelihoods[pair["no"]]
        won[str(utterances[pair["yes"]].labels.get("kind", ""))].append(0.5 if abs(ahead) <= TIE else float(ahead > 0))
    kinds = {kind: 100 * fmean(values) for kind, values in sorted(won.items()) if kind}
    return Contrast(100 * fmean(value for values in won.values() for value in values), len(groups), kinds)


@torch.inference_mode()
def mean_log_likelihoods(pipeline: Pipeline, utterances: Many[Utterance], on_done: Callable[[int], None] | None = None) -> list[float]:
    """Of each recording, as task SPEECH writes it: the mean log-likelihood of its units among units, in nats."""
    model, task = pipeline.model, load_task(pipeline.parts.found, "SPEECH")
    sequences = []
    for utterance in utterances:
        assert utterance.audio is not None
        (units,) = pipeline.hear(read_audio(utterance.audio), "units")

        def spoken(segment: Segment, units: Units = units) -> list[Segment]:
            return [replace(segment, content=units)]

        sequences.append(pipeline.prompt.encode(task.build(utterance).changed(spoken), model.vocabulary))
        if on_done:
            on_done(1)
    books = len(model.vocabulary.unit_blocks)
    if model.vocabulary.streams > 1:
        raise AlmError(f"got a model with {model.vocabulary.streams} ids at a position", "one id at a position", "use a model of one codebook, or of flattened ones")
    block = model.vocabulary.unit_ids
    results = [0.0] * len(sequences)
    for numbers in batches_by_length([len(sequence) for sequence in sequences], MAX_POSITIONS):
        ids, _ = pad_frames([sequences[i].ids for i in numbers])
        learnt, _ = pad_frames([sequences[i].learn for i in numbers])
        states = model.backbone.hidden(input_embeddings(model.backbone, model.projector, ids[:, :-1], []))
        for row, number in enumerate(numbers):
            targets = ids[row, 1:]
            where = learnt[row, 1:] & (targets >= block.start) & (targets < block.stop)
            scores = model.backbone.block_scores(states[row][where], block.start, block.stop).double()
            if books > 1:  # each unit among those of its own codebook
                size = len(block) // books
                own = (targets[where] - block.start) // size
                scores = scores.unflatten(-1, (books, size))[torch.arange(len(own)), own]
                chosen = (targets[where] - block.start) % size
            else:
                chosen = targets[where] - block.start
            results[number] = float(scores.log_softmax(-1).gather(1, chosen[:, None]).mean()) if len(chosen) else 0.0
    return results
