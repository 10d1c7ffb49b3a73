"""Decoders that follow: their probabilities are those of CTC, and a model that says anything is held to its source."""

from __future__ import annotations

import dataclasses
from itertools import product

import pytest
import torch
from torch.nn import functional as F

from alm.api import testing
from alm.api.cards import TokenizerCard
from alm.api.errors import AlmError
from alm.api.plans import SpanRule
from alm.api.types import GIVEN
from alm.api.vocabulary import JointVocabulary
from alm.components.decoders.cards import CtcTextOptions, CtcUnitsOptions, ctc_units_card
from alm.components.decoders.ctc import CtcText, CtcUnits, Speech, Transcript, load_ctc_units
from alm.components.decoders.unit_labels import UnitLabels, load_unit_labels
from alm.core.generate import generate
from alm.core.sources import SourceContext
from tests.fakes import fake_backbone

BACKBONE = fake_backbone()
LABELS = ("a", "b", "c")
VOCABULARY = JointVocabulary(BACKBONE.text_tokenizer, TokenizerCard(16_000, 25, 8, fingerprint="f"))
BACKBONE.resize(len(VOCABULARY))
BACKBONE.eval()
STOP = VOCABULARY.separator_id
ANY = torch.Generator().manual_seed(0)


def probabilities(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64).softmax(-1)


def prompt(seed=0):
    with torch.inference_mode():
        return BACKBONE.embed(torch.randint(2, 200, (1, 6), generator=torch.Generator().manual_seed(seed)))[0]


def test_a_transcript_has_the_probabilities_of_all_alignments():
    heard = probabilities(4, 4)
    spelt: dict[tuple[int, ...], float] = {}
    for path in product(range(4), repeat=4):
        ids = tuple(c - 1 for c in path if c)
        spelt[ids] = spelt.get(ids, 0.0) + float(torch.stack([heard[f, c] for f, c in enumerate(path)]).prod())
    follower, so_far = Transcript(heard, 0.5, STOP), ()
    for chosen in (2, 0, 0, 1):
        total = sum(p for ids, p in spelt.items() if ids[: len(so_far)] == so_far)
        ids, end = follower.next()
        for index in range(3):
            wanted = sum(p for ids_, p in spelt.items() if ids_[: len(so_far) + 1] == (*so_far, index))
            assert float(ids[index]) == pytest.approx(wanted / total)
        assert end == pytest.approx(spelt.get(so_far, 0.0) / total)
        follower.take(chosen)
        so_far = (*so_far, chosen)
    assert follower.next()[1] == pytest.approx(1.0)  # every frame is used up


@pytest.mark.parametrize("word", [[1, 2], [1, 1, 3], [2]])
def test_speech_walks_the_graph_of_ctc(word):
    """After the last unit, the share of the last two states is what torch's CTC loss says."""
    table = probabilities(1, 8, 2, 4).float()
    options = CtcUnitsOptions(smoothing=0.0)
    decoder = CtcUnits(options, ctc_units_card(options, SourceContext()), UnitLabels(table.log(), LABELS, ("en",), "f"))
    speech = Speech(decoder, word, "en", 0, STOP)
    units = [3, 0, 7, 2]
    for unit in units:
        speech.reached = speech.after(torch.tensor([unit]))[0]
    log_probs = table[0][units].flatten(0, 1).log()[:, None]
    wanted = F.ctc_loss(log_probs, torch.tensor([word]), torch.tensor([8]), torch.tensor([len(word)]), reduction="sum")
    assert float(speech.reached[-2:].sum()) == pytest.approx(float((-wanted).exp()), rel=1e-4)


def heard_as(text):
    """Posteriors that are nearly sure of a text, one frame an id, with a frame of nothing between."""
    rows = []
    for index in VOCABULARY.text_ids(text):
        for sure in (1 + index, 0):
            row = torch.full((1 + VOCABULARY.blocks[0].size,), 1e-4)
            row[sure] = 1.0
            rows.append(row / row.sum())
    return torch.stack(rows)


def test_a_random_model_transcribes_what_is_heard():
    plan = [SpanRule("text", STOP, 40, renders=GIVEN), SpanRule("text", STOP, 5)]
    texts = ["two words", "hello hello"]
    emitted = generate(BACKBONE, [prompt(), prompt(1)], [plan, plan], VOCABULARY, CtcText(CtcTextOptions(0.9)), said=[heard_as(t) for t in texts])
    for ids, text in zip(emitted, texts, strict=True):
        assert VOCABULARY.text(ids[: ids.index(STOP)]) == text
    free = generate(BACKBONE, [prompt()], [plan[1:]], VOCABULARY, CtcText(CtcTextOptions(0.9)), said=[heard_as("two words")])[0]
    assert VOCABULARY.text(free) != "two words"[:5]  # a translation is not held to the sound


def test_a_random_model_speaks_the_text():
    """Units 1 to 3 sound like a, b and c, the others like all and nothing: each text is spoken in its order."""
    sounds = torch.full((1, 8, 2, 4), 0.25)
    for unit in (1, 2, 3):
        sounds[0, unit] = torch.full((4,), 1e-3)
        sounds[0, unit, 0, unit] = sounds[0, unit, 1, 0] = 1.0
    labels = UnitLabels((sounds / sounds.sum(-1, keepdim=True)).log(), LABELS, ("en",), "f")
    options = CtcUnitsOptions(weight=20.0, smoothing=0.0)
    decoder = CtcUnits(options, dataclasses.replace(ctc_units_card(options, SourceContext()), units_fingerprint="f"), labels)
    plan = [SpanRule("text", STOP, 3, min_ids=3), SpanRule("units", STOP, 40, renders=GIVEN, language="en")]
    for text in ("abc", "caab"):
        ids = generate(BACKBONE, [prompt()], [plan], VOCABULARY, CtcText(CtcTextOptions()), unit_decoder=decoder, said=[VOCABULARY.text_ids(text)])[0]
        units = VOCABULARY.units(ids[4:-1]).codes[0]
        path = sounds[0][units].flatten(0, 1).argmax(-1)
        assert "".join(LABELS[i - 1] for i in torch.unique_consecutive(path).tolist() if i) == text
    assert decoder.follow(VOCABULARY.text_ids("abc"), SpanRule("units", STOP, 9, renders=GIVEN, language="fr"), VOCABULARY) is None


def test_conformance_and_files(tmp_path):
    UnitLabels(probabilities(2, 8, 2, 4).log(), LABELS, ("en", "es"), "f").save(tmp_path)
    again = load_unit_labels(tmp_path)
    assert (again.labels, again.languages, again.units_fingerprint) == (LABELS, ("en", "es"), "f")
    decoder = load_ctc_units(CtcUnitsOptions(f"dir:{tmp_path}"), SourceContext())
    assert decoder.card.units_fingerprint == "f"
    speech = SpanRule("units", STOP, 9, renders=GIVEN, language="es")
    testing.check_following_decoder(decoder, VOCABULARY.text_ids("abc"), speech, VOCABULARY)
    for weight in (0.0, 0.5, 1.0):
        testing.check_following_decoder(CtcText(CtcTextOptions(weight)), heard_as("two words"), SpanRule("text", STOP, 9, renders=GIVEN), VOCABULARY)
    with pytest.raises(AlmError, match="unit_labels.safetensors"):
        load_ctc_units(CtcUnitsOptions(f"dir:{tmp_path.parent}"), SourceContext())
    for damage in (b"", b"\xff" * 8, (1 << 40).to_bytes(8, "little") + b"{}", (2).to_bytes(8, "little") + b"{}"):
        (tmp_path / "unit_labels.safetensors").write_bytes(damage)
        with pytest.raises(AlmError, match="copy or train it again"):
            load_ctc_units(CtcUnitsOptions(f"dir:{tmp_path}"), SourceContext())
    with pytest.raises(AlmError, match="weight 2"):
        CtcText(CtcTextOptions(2.0))
