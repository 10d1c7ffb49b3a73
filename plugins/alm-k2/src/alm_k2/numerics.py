"""CTC loss and decoding by graphs, n-best lists, lattice rescoring, pruned transducer loss, with k2. Imports torch and k2 alone.

So it runs under k2's wheels for Python 3.9 and torch 1.13, by which the repository tests it, and under k2's own builds for newer ones. What it is
given is plain: log-probabilities, classes, transducers as text (alm_k2.graphs). (k2: icefall's recipes; pruned RNN-T: arXiv 2206.13236.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import k2
import torch
from torch import Tensor


class Reading(NamedTuple):
    """A path of a lattice.

    Attributes:
        words: their numbers.
        acoustic, language: ln P of the posteriors on the path, and what the graph adds.
    """

    words: list[int]
    score: float
    acoustic: float
    language: float


def dense(log_probs: Sequence[Tensor]) -> tuple[Any, list[int]]:
    """Log-probabilities [F, C] of clips as k2 takes them, and the order in which it does: longest first."""
    order = sorted(range(len(log_probs)), key=lambda i: -len(log_probs[i]))
    padded = torch.nn.utils.rnn.pad_sequence([log_probs[i] for i in order], batch_first=True)
    segments = torch.tensor([[row, 0, len(log_probs[i])] for row, i in enumerate(order)], dtype=torch.int32)
    return k2.DenseFsaVec(padded, segments), order


def ctc_loss(log_probs: Sequence[Tensor], targets: Sequence[Sequence[int]], output_beam: float = 1000.0) -> Tensor:
    """-ln P of each clip's classes, [B]; differentiable.

    Args:
        output_beam: alignments that are so much worse than the best are left out.
    """
    fsas, order = dense(log_probs)
    graph = k2.ctc_graph([list(targets[i]) for i in order])
    losses = k2.ctc_loss(graph, fsas, output_beam=output_beam, reduction="none", use_double_scores=True)
    back = torch.empty(len(order), dtype=torch.int64)
    back[torch.tensor(order)] = torch.arange(len(order))
    return losses[back]


def compile_graph(classes: int, lexicon: str, grammar: str, back_off: int, back_off_word: int) -> Any:
    """H, L and G as one graph, frames -> words; its `lm_scores` are what G adds.

    Args:
        classes: the blank and the labels.
        lexicon: L with the back-off symbol, as text.
        grammar: G as text, as kaldilm's arpa2fst writes it.
        back_off, back_off_word: the symbol's class and its number as a word.
    """
    both = k2.connect(k2.compose(k2.arc_sort(_from_openfst(lexicon)), k2.arc_sort(_from_openfst(grammar))))
    both = k2.connect(k2.determinize(both))
    labels = both.labels.clone()
    labels[labels == back_off] = 0
    both.labels = labels
    both = k2.connect(k2.remove_epsilon(_without(both, back_off_word)))
    both = k2.arc_sort(_without(both, 0))
    graph = k2.compose(k2.ctc_topo(classes - 1), both, inner_labels="tokens")
    graph = k2.arc_sort(k2.connect(graph))
    graph.lm_scores = graph.scores.clone()  # none but the grammar's
    return graph


def _without(fsa: Any, word: int) -> Any:
    """The same, where a word is output no more."""
    words = fsa.aux_labels
    if isinstance(words, Tensor):
        fsa.aux_labels = torch.where(words == word, torch.zeros_like(words), words)
    else:
        fsa.aux_labels = words.remove_values_eq(word)
    return fsa


def _from_openfst(text: str) -> Any:
    return k2.Fsa.from_openfst(text, acceptor=False)


def lattices(log_probs: Sequence[Tensor], graph: Any, search_beam: float = 20.0, output_beam: float = 8.0, max_active: int = 10_000) -> tuple[Any, list[int]]:
    """What of a graph the clips may have said, and the order of the clips in it."""
    fsas, order = dense(log_probs)
    return k2.intersect_dense_pruned(graph, fsas, search_beam=search_beam, output_beam=output_beam, min_active_states=30, max_active_states=max_active), order


def best(lattice: Any) -> list[Reading | None]:
    """The best path of each lattice; None where it has none."""
    return [Lattice(path).along(range(path.num_arcs)) if path.num_arcs else None for path in _each(k2.shortest_path(lattice, use_double_scores=True))]


def n_best(lattice: Any, readings: int, paths: int = 200, seed: int = 0) -> list[list[Reading]]:
    """The best readings among paths that were drawn by their probability, and the best path; each reading once, by its best path."""
    found: list[list[Reading]] = []
    for one, first in zip(_each(lattice), best(lattice)):
        kept = {tuple(first.words): first} if first is not None else {}
        if one.num_arcs:
            torch.manual_seed(seed)
            arcs_of = Lattice(one)
            drawn = k2.random_paths(k2.Fsa.from_fsas([one]), use_double_scores=True, num_paths=paths).tolist()[0]
            for path in {tuple(arcs) for arcs in drawn}:
                reading = arcs_of.along(path)
                known = kept.get(tuple(reading.words))
                if known is None or known.score < reading.score:
                    kept[tuple(reading.words)] = reading
        found.append(sorted(kept.values(), key=lambda reading: -reading.score)[:readings])
    return found


def rescored(lattice: Any, grammar: str, back_off_word: int) -> Any:
    """The lattice with another grammar's scores in place of those that it was made with: a larger n-gram, over all its paths."""
    other = _from_openfst(grammar)
    del other.aux_labels
    other.labels[other.labels == back_off_word] = 0
    other.__dict__["_properties"] = None
    other = k2.arc_sort(k2.Fsa.from_fsas([other]))
    other = k2.arc_sort(k2.add_epsilon_self_loops(other))
    other.lm_scores = other.scores.clone()
    bare = k2.Fsa(lattice.arcs, aux_labels=lattice.aux_labels)
    bare.scores = lattice.scores - lattice.lm_scores
    inverted = k2.arc_sort(k2.invert(bare))
    clips = torch.zeros(lattice.shape[0], dtype=torch.int32)
    both = k2.intersect_device(other, inverted, clips, sorted_match_a=True)
    return k2.invert(k2.top_sort(k2.connect(both)))


def _each(lattice: Any) -> list[Any]:
    return [lattice[i] for i in range(lattice.shape[0])]


class Lattice:
    """The arcs of one lattice as Python numbers, to read many paths."""

    def __init__(self, fsa: Any) -> None:
        self.scores: list[float] = fsa.scores.double().tolist()
        self.language: list[float] = fsa.lm_scores.double().tolist()
        listed = fsa.aux_labels.tolist()
        self.words = [[word] for word in listed] if isinstance(fsa.aux_labels, Tensor) else listed

    def along(self, arcs: Sequence[int]) -> Reading:
        """What is on a path."""
        score, language = sum(self.scores[arc] for arc in arcs), sum(self.language[arc] for arc in arcs)
        return Reading([word for arc in arcs for word in self.words[arc] if word > 0], score, score - language, language)


def transducer_loss(
    encoded: Tensor, predicted: Tensor, targets: Tensor, frames: Tensor, labels: Tensor, join: Any, blank: int = 0, keep: int = 5, smoothing: float = 0.0
) -> tuple[Tensor, Tensor]:
    """The simple and the pruned transducer loss, each the sum over the batch, differentiable.

    Args:
        encoded, predicted: scores of encoder [B, F, C] and prediction network [B, L + 1, C], whose sum is the simple joiner.
        targets: [B, L] int64; `frames` [B], `labels` [B]: how many are real.
        join: (encoded [B, F, keep, C], predicted [B, F, keep, C]) -> scores [B, F, keep, C].
        keep: labels that are looked at for each frame.
        smoothing: share of the simple loss that sees the prediction network alone (0.25 in the paper).
    """
    boundary = torch.stack([torch.zeros_like(frames), torch.zeros_like(frames), labels, frames], 1).long()
    simple, (by_label, by_frame) = k2.rnnt_loss_smoothed(
        predicted, encoded, targets, blank, lm_only_scale=smoothing, am_only_scale=0.0, boundary=boundary, reduction="sum", return_grad=True
    )
    ranges = k2.get_rnnt_prune_ranges(by_label, by_frame, boundary, keep)
    kept_encoded, kept_predicted = k2.do_rnnt_pruning(am=encoded, lm=predicted, ranges=ranges)
    pruned = k2.rnnt_loss_pruned(join(kept_encoded, kept_predicted), targets, ranges, blank, boundary=boundary, reduction="sum")
    return simple, pruned
