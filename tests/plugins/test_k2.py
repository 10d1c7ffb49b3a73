"""alm-k2 in alm's own environment: graphs, and search `kaldi` against all readings of short clips. k2's numbers: `make test-k2`."""

from __future__ import annotations

import importlib.util
import itertools

import pytest
import torch

from alm.api.errors import AlmError
from alm.api.recognition import Labels
from alm.components.language_models.ngram import estimate, read_arpa, write_arpa
from alm.core.parts import load_component
from alm.core.plugins import registry
from alm.core.sources import SourceContext

graphs = pytest.importorskip("alm_k2.graphs", reason="alm-k2 is not installed: pip install -e plugins/alm-k2")
pytest.importorskip("kaldi_decoder", reason="search kaldi needs kaldi-decoder: pip install 'alm-k2[kaldi]'")

LABELS = Labels(("a", "b", " "))
SPELT = {"ab": [1, 2], "b": [2], "ba": [2, 1]}
NEVER = -1e9


@pytest.fixture(scope="module")
def bigram(tmp_path_factory):
    path = tmp_path_factory.mktemp("k2") / "lm.arpa.gz"
    write_arpa(estimate(["ab ba", "ab b", "ba ab ab", "b"], 2), path)
    return read_arpa(path)


def kaldi(**options):
    return load_component(registry(), "search", "kaldi", {"beam": 1e3, **options}, SourceContext())


def best_alignment(log_probs, classes):
    """ln P of the best path that spells classes."""
    states = [0, *itertools.chain.from_iterable((c, 0) for c in classes)]
    reached = [float(log_probs[0, c]) if place < 2 else NEVER for place, c in enumerate(states)]
    for frame in log_probs[1:]:
        before = reached
        reached = []
        for place, c in enumerate(states):
            ways = [before[place], *before[max(0, place - 1) : place]]
            if place > 1 and c and c != states[place - 2]:
                ways.append(before[place - 2])
            reached.append(max(ways) + float(frame[c]))
    return max(reached[-2:])


def best_language(model, words):
    """ln P of words by the best way through the n-gram, which may back off where it need not."""
    contexts = {gram[:-1] for gram in model.log_probs if len(gram) > 1}
    reached = {("<s>",): 0.0}
    for word in [*words, "</s>"]:
        for context in sorted(reached, key=len, reverse=True):
            if context:
                value = reached[context] + model.back_offs.get(context, 0.0)
                reached[context[1:]] = max(reached.get(context[1:], NEVER), value)
        found = {}
        for context, value in reached.items():
            if (*context, word) in model.log_probs:
                after = (word,) if (word,) in contexts else ()
                found[after] = max(found.get(after, NEVER), value + model.log_probs[(*context, word)])
        reached = found
    return max(reached.values(), default=NEVER)


def test_kaldi_finds_the_best_of_all_readings(bigram):
    weight, bonus = 0.7, 0.3
    generator = torch.Generator().manual_seed(0)
    clips = [torch.randn(frames, 4, generator=generator).log_softmax(-1) for frames in (8, 7, 5)]
    for log_probs, (reading,) in zip(clips, kaldi(weight=weight, word_bonus=bonus).search(clips, LABELS, bigram), strict=True):
        scored = []
        for count in range(4):
            for words in itertools.product(SPELT, repeat=count):
                classes = list(itertools.chain.from_iterable([*([3] if place else []), *SPELT[word]] for place, word in enumerate(words)))
                acoustic = max(best_alignment(log_probs, c) for c in (classes, [*classes, 3])) if len(classes) < len(log_probs) else NEVER
                scored.append((acoustic + weight * best_language(bigram, words) + bonus * count, " ".join(words)))
        assert (reading.score, reading.text) == (pytest.approx(max(scored)[0], abs=1e-2), max(scored)[1])
        assert reading.score == pytest.approx(reading.acoustic + reading.language)


def test_pieces_are_joined_as_they_fit():
    spelling = graphs.Spelling(("Ġthe", "Ġt", "he", "re", "r", "e", "|", "Ã", "©", "Ġcaf"))
    assert spelling.space == 0
    assert sorted(spelling.arcs("there")) == [(0, 1, 2), (0, 3, 1), (1, 3, 3), (3, 4, 5), (3, 5, 4), (4, 5, 6)]
    assert sorted(spelling.arcs("café")) == [(0, 3, 10), (3, 4, 8), (4, 5, 9)]
    assert spelling.arcs("dog") == []


def test_what_is_missing_is_said(bigram):
    with pytest.raises(AlmError, match="no n-gram in a file"):
        kaldi().search([], LABELS, estimate(["a"], 1))
    with pytest.raises(AlmError, match="without a space"):
        kaldi().search([], Labels(("a", "b")), bigram)
    with pytest.raises(AlmError, match="the best reading alone"):
        kaldi(readings=3)
    if importlib.util.find_spec("k2") is None:
        with pytest.raises(AlmError, match="choose search kaldi or ctc-beam"):
            load_component(registry(), "search", "k2", {}, SourceContext())
