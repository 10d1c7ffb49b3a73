"""Searches over posteriors against all alignments of short clips, and n-grams against what they must sum to."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch.nn import functional as F

from alm.api.errors import AlmError
from alm.api.recognition import END_OF_TEXT, Labels
from alm.api.testing import check_language_model, check_search
from alm.components.language_models.ngram import estimate, read_arpa, write_arpa
from alm.components.searches.cards import BeamOptions
from alm.components.searches.ctc import CtcBeam, CtcGreedy
from alm.core.parts import load_component
from alm.core.plugins import registry
from alm.core.sources import SourceContext
from tests import fakes

LABELS = Labels(("a", "b", " "))
WIDE = {"beam": 600, "candidates": 3, "threshold": 1e9, "skip_blank": 1.0}
TEXTS = ["the cat sat", "the dog sat", "a cat ran", "the cat ran away", "please enter your number", "enter the number"]


def clips(*frames, classes=4):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(count, classes, generator=generator).log_softmax(-1) for count in frames]


def all_readings(log_probs):
    """ln P of every sequence of classes, summed over its alignments."""
    found = {}
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        value = sum(float(log_probs[frame, c]) for frame, c in enumerate(path))
        classes = tuple(c for c, _ in itertools.groupby(path) if c)
        found[classes] = float(torch.logaddexp(torch.tensor(found.get(classes, -math.inf)), torch.tensor(value)))
    return found


def test_beam_search_finds_the_best_readings_with_their_probability():
    batch = clips(6, 5, 3, 7, 1)
    for log_probs, readings in zip(batch, CtcBeam(BeamOptions(**WIDE, readings=5)).search(batch, LABELS), strict=True):
        wanted = all_readings(log_probs)
        ranked = list(dict.fromkeys(LABELS.text(c) for c in sorted(wanted, key=lambda c: -wanted[c])))
        assert [reading.text for reading in readings] == ranked[: len(readings)]
        for reading in readings:
            assert reading.acoustic == pytest.approx(wanted[reading.classes], abs=1e-4)
            assert reading.score == pytest.approx(reading.acoustic)


def test_acoustic_score_is_torchs_ctc_loss():
    (log_probs,) = clips(6)
    (reading,) = CtcBeam(BeamOptions(**WIDE)).search([log_probs], LABELS)[0]
    loss = F.ctc_loss(log_probs[:, None], torch.tensor([reading.classes]), torch.tensor([6]), torch.tensor([len(reading.classes)]), reduction="sum")
    assert reading.acoustic == pytest.approx(-float(loss), abs=1e-3)


def test_fusion_finds_the_best_of_posteriors_and_words():
    model, weight, bonus = estimate(["a b", "ab a", "b b a", "aab"], 2), 0.7, 0.3
    batch = clips(6, 5, 3, 7)
    for log_probs, (reading,) in zip(batch, CtcBeam(BeamOptions(**WIDE, weight=weight, word_bonus=bonus)).search(batch, LABELS, model), strict=True):

        def scored(classes, acoustic):
            words = LABELS.text(classes).split()
            language = sum(model.score([tuple(words[:i]) for i in range(len(words) + 1)], [*words, END_OF_TEXT]))
            return acoustic + weight * language + bonus * len(words), language

        score, language = max(scored(classes, acoustic) for classes, acoustic in all_readings(log_probs).items())
        assert (reading.score, reading.language) == (pytest.approx(score, abs=1e-3), pytest.approx(language, abs=1e-3))


def test_a_clip_reads_the_same_beside_others():
    batch = clips(40, 7, 33, 21)
    search = CtcBeam(BeamOptions(beam=8, readings=3))
    together, alone = search.search(batch, LABELS), [search.search([clip], LABELS)[0] for clip in batch]
    assert [[r.text for r in readings] for readings in together] == [[r.text for r in readings] for readings in alone]


def test_passing_over_silence_changes_nothing_but_the_frames_that_are_looked_at():
    path = [0, 0, 0, 1, 1, 0, 0, 0, 1, 2, 0, 0, 3, 0, 2]  # "aab b": the same label twice, with silence between
    log_probs = F.one_hot(torch.tensor(path), 4).float().mul(20).log_softmax(-1)
    for skip in (1.0, 0.99):
        (reading,) = CtcBeam(BeamOptions(skip_blank=skip)).search([log_probs], LABELS)[0]
        assert (reading.text, reading.frames) == ("aab b", (3, 8, 9, 12, 14))


def test_greedy_gives_the_best_path():
    (log_probs,) = clips(30)
    (reading,) = CtcGreedy().search([log_probs], LABELS)[0]
    assert reading.acoustic == pytest.approx(float(log_probs.max(1).values.sum()))
    assert reading.classes == tuple(c for c, _ in itertools.groupby(log_probs.argmax(1).tolist()) if c)
    assert [int(log_probs[frame].argmax()) for frame in reading.frames] == list(reading.classes)


def test_a_silent_clip_reads_as_nothing():
    silent = torch.tensor([[20.0, 0, 0, 0]]).log_softmax(-1).expand(50, -1)
    for search in (CtcGreedy(), CtcBeam(BeamOptions())):
        assert search.search([silent], LABELS)[0][0].text == ""
    assert CtcBeam(BeamOptions()).search([silent], LABELS, estimate(["a b"], 2))[0][0].text == ""


@pytest.mark.parametrize(
    ("names", "classes", "text"),
    [
        (("<s>", "|", "h", "i"), (1, 3, 4, 2, 3, 4), "hi hi"),  # wav2vec 2.0
        (("Ġthe", "re", "Ġca", "Ã©"), (1, 2, 3, 4), "there caé"),  # byte pairs
        (("▁the", "re", "▁cat"), (1, 2, 3), "there cat"),  # sentence pieces
    ],
)
def test_labels_spell_texts(names, classes, text):
    assert Labels(names).text(classes) == text


def test_posteriors_of_other_labels_are_refused():
    with pytest.raises(AlmError, match="the blank and 3 labels"):
        CtcBeam(BeamOptions()).search(clips(5, classes=7), LABELS)
    with pytest.raises(AlmError, match="asks none"):
        CtcGreedy().search(clips(5), LABELS, estimate(["a"], 1))


@pytest.mark.parametrize("order", [1, 2, 3])
def test_ngram_is_a_distribution_and_survives_its_file(tmp_path, order):
    model = estimate(TEXTS, order)
    histories = [(), ("the",), ("the", "cat"), ("unheard", "the"), ("number",)]
    for history in histories:
        words = [*model.words, END_OF_TEXT, "unheard"]
        assert sum(map(math.exp, model.score([history] * len(words), words))) == pytest.approx(1.0)
    for name in ("lm.arpa", "lm.arpa.gz"):
        write_arpa(model, tmp_path / name)
        again = read_arpa(tmp_path / name)
        assert (again.card.order, again.words) == (order, model.words)
        assert again.score(histories, ["sat"] * 5) == pytest.approx(model.score(histories, ["sat"] * 5), abs=1e-4)


def test_ngram_prefers_what_it_has_read():
    model = estimate(TEXTS, 3)
    likely, unlikely = model.score([("the",), ("the",)], ["cat", "away"])
    assert likely > unlikely + 1


def test_a_file_that_is_no_arpa_file_is_refused(tmp_path):
    path = tmp_path / "lm.arpa"
    path.write_text("\\data\\\nngram 1=2\n\n\\1-grams:\n-1.0\ta\n\\end\\\n")
    with pytest.raises(AlmError, match="announces"):
        read_arpa(path)
    path.write_text("\\data\\\nngram 1=1\n\n\\1-grams:\nmuch\ta\n\\end\\\n")
    with pytest.raises(AlmError, match="line 5"):
        read_arpa(path)


def test_parts_conform():
    check_search(CtcGreedy())
    check_search(CtcBeam(BeamOptions(readings=3)))
    check_search(CtcBeam(BeamOptions()), estimate(["ab ab", "ba", "ab"], 2))
    check_language_model(estimate(TEXTS, 3))


def test_a_causal_model_scores_words_by_their_pieces(tmp_path):
    torch.manual_seed(0)
    backbone = fakes.fake_backbone()
    backbone.model.save_pretrained(tmp_path)
    backbone.text_tokenizer.save_pretrained(tmp_path)
    model = load_component(registry(), "language_model", "hf", {"weights": f"dir:{tmp_path}"}, SourceContext())
    check_language_model(model)
    ids = [backbone.text_tokenizer.eos_token_id, *backbone.text_tokenizer.encode(" the cat", add_special_tokens=False)]
    with torch.inference_mode():
        scores = backbone.model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
    wanted = sum(float(scores[place, ids[place + 1]]) for place in range(len(ids) - 5, len(ids) - 1))  # of " cat", in bytes
    assert model.score([("the",)], ["cat"])[0] == pytest.approx(wanted, abs=1e-3)
