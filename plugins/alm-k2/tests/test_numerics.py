"""k2's numbers on real posteriors against torch, torchaudio and kaldi-decoder. Runs in k2's environment: `make test-k2`.

Imports neither alm nor anything newer than Python 3.9; what it compares with is made by tools/make_fixtures.py (ALM_K2_FIXTURES names the folder).
"""

import json
import os
from pathlib import Path

import pytest
import torch
from alm_k2 import graphs, numerics
from safetensors.torch import load_file

FOLDER = Path(os.environ.get("ALM_K2_FIXTURES", "out/k2"))


@pytest.fixture(scope="module")
def expected():
    return json.loads((FOLDER / "expected.json").read_text())


@pytest.fixture(scope="module")
def clips():
    tensors = load_file(str(FOLDER / "clips.safetensors"))
    return [tensors[name].float() for name in sorted(tensors)]


def compiled(expected, order):
    found = expected["orders"][order]
    return numerics.compile_graph(expected["labels"] + 1, found["lexicon"], found["grammar"], found["back_off"], len(found["words"]) - 1), found


@pytest.fixture(scope="module")
def bigram(expected):
    return compiled(expected, "2")


@pytest.fixture(scope="module")
def wide(expected, clips, bigram):
    """Lattices from which hardly anything was dropped, and the order of the clips in them."""
    return numerics.lattices(clips, bigram[0], expected["beam"], 20.0, 100_000)


def errors(wanted, read):
    """Share of words that are wrong (Levenshtein)."""
    total, wrong = 0, 0
    for text, reading in zip(wanted, read):
        a, b = text.split(), reading.split()
        row = list(range(len(b) + 1))
        for i, word in enumerate(a, start=1):
            before, row[0] = row[0], i
            for j, other in enumerate(b, start=1):
                before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (word != other))
        total, wrong = total + len(a), wrong + row[-1]
    return wrong / total


def test_ctc_loss_is_torchs(expected, clips):
    losses = numerics.ctc_loss(clips, expected["classes"])
    torch.testing.assert_close(losses, torch.tensor(expected["losses"]), atol=1e-2, rtol=1e-4)


def test_ctc_gradient_is_torchs(expected, clips):
    ours, theirs = clips[0].clone().requires_grad_(), clips[0].clone().requires_grad_()
    numerics.ctc_loss([ours], expected["classes"][:1]).sum().backward()
    target = torch.tensor(expected["classes"][:1])
    torch.nn.functional.ctc_loss(theirs[:, None], target, torch.tensor([len(theirs)]), torch.tensor([target.shape[1]]), reduction="sum").backward()
    # torch gives the gradient with regard to what came before the log-softmax: the same, but for the share of each class
    torch.testing.assert_close(ours.grad + clips[0].exp(), theirs.grad, atol=1e-3, rtol=0)


def test_the_best_path_is_kaldis(expected, wide, bigram):
    lattice, order = wide
    for index, reading in zip(order, numerics.best(lattice)):
        words, score, acoustic = bigram[1]["kaldi"][index]
        assert reading.score == pytest.approx(score, abs=2e-2)
        assert reading.acoustic == pytest.approx(acoustic, abs=2e-2)
        assert [w for w in reading.words if w < len(bigram[1]["words"]) - 1] == words


def test_hlg_reads_about_as_well_as_the_torch_search(expected, wide, bigram):
    lattice, order = wide
    words = graphs.Words(bigram[1]["words"][1:-1])
    read = dict(zip(order, (words.text(reading.words) for reading in numerics.best(lattice))))
    ours = errors(expected["texts"], [read[i] for i in range(len(read))])
    torchs = errors(expected["texts"], [text for text, _, _ in bigram[1]["torch"]])
    assert abs(ours - torchs) < 0.08, (ours, torchs)


def test_n_best_lists_begin_with_the_best_path_and_descend(expected, clips, bigram):
    lattice, _ = numerics.lattices(clips[:6], bigram[0], expected["beam"], 8.0)
    for readings, first in zip(numerics.n_best(lattice, 5), numerics.best(lattice)):
        assert readings[0].score == pytest.approx(first.score, abs=1e-3)
        scores = [reading.score for reading in readings]
        assert scores == sorted(scores, reverse=True)
        assert len({tuple(reading.words) for reading in readings}) == len(readings)
        for reading in readings:
            assert reading.score == pytest.approx(reading.acoustic + reading.language, abs=1e-3)


def test_a_lattice_rescored_by_a_larger_grammar_reads_as_the_graph_of_that_grammar(expected, clips, bigram):
    lattice, order = numerics.lattices(clips[:8], bigram[0], expected["beam"], 8.0)
    trigram = expected["orders"]["3"]
    again = numerics.rescored(lattice, trigram["grammar"], len(trigram["words"]) - 1)
    found = dict(zip(order, numerics.best(again)))
    same = 0
    for index, (_, score, _) in enumerate(trigram["kaldi"][:8]):
        assert found[index].score <= score + 2e-2  # paths that the bigram's lattice lost are not found again
        same += found[index].score == pytest.approx(score, abs=2e-2)
    assert same >= 6


def test_pruned_transducer_loss_is_torchaudios_where_nothing_is_pruned():
    given = load_file(str(FOLDER / "transducer.safetensors"))
    encoded = given["encoded"].clone().requires_grad_()
    keep = given["targets"].shape[1] + 1
    simple, pruned = numerics.transducer_loss(encoded, given["predicted"], given["targets"], given["frames"], given["labels"], lambda a, b: a + b, keep=keep)
    assert float(simple) == pytest.approx(float(given["loss"]), rel=1e-3)
    assert float(pruned) == pytest.approx(float(given["loss"]), rel=1e-3)
    pruned.backward()
    torch.testing.assert_close(encoded.grad, given["gradient"], atol=2e-3, rtol=0)


def test_pruning_loses_little():
    given = load_file(str(FOLDER / "transducer.safetensors"))
    _, pruned = numerics.transducer_loss(given["encoded"], given["predicted"], given["targets"], given["frames"], given["labels"], lambda a, b: a + b, keep=5)
    assert float(given["loss"]) <= float(pruned) < 1.1 * float(given["loss"])
