"""Masked language modelling and span denoising: what is hidden, what is learnt, and that both train and lead on to the causal objective."""

from __future__ import annotations

import random

import pytest
import torch
from hypothesis import given, settings, strategies as st

import alm
from alm.api.cards import TokenizerCard
from alm.api.testing import test_text_tokenizer
from alm.api.types import Sequence
from alm.api.vocabulary import JointVocabulary
from alm.train import masked_lm
from alm.train.denoise import denoised, spans_out
from alm.train.options import MaskedLmOptions
from alm.train.run import train
from tests.conftest import write_recipe


@settings(deadline=None)
@given(length=st.integers(1, 200), share=st.floats(0.0, 0.9), span_ids=st.floats(1.0, 20.0), seed=st.integers(0, 99))
def test_stretches_cover_the_share_and_lie_apart(length, share, span_ids, seed):
    stretches = spans_out(length, share, span_ids, random.Random(seed))
    assert sum(s.stop - s.start for s in stretches) in (0, round(share * (length - 1)))
    assert all(0 < s.start < s.stop <= length for s in stretches)
    assert all(a.stop < b.start for a, b in zip(stretches, stretches[1:], strict=False))


def test_what_is_taken_out_stands_behind_the_rest():
    vocabulary = JointVocabulary(test_text_tokenizer(), TokenizerCard(16_000, 50.0, 1000, fingerprint="x"))
    unit = vocabulary.unit_ids.start
    ids = [*vocabulary.text_ids("abcd"), unit + 661, unit + 987, unit + 3]
    made = denoised(Sequence(torch.tensor(ids), torch.zeros(7, dtype=torch.bool)), vocabulary, [slice(1, 3), slice(5, 6)])
    assert vocabulary.spelt(made.ids.tolist()) == "a [1]d<661> [2]<3> [1]bc [2]<987><end>"
    assert vocabulary.spelt(made.ids[made.learn].tolist()) == " [1]bc [2]<987><end>"
    streams = torch.arange(7)[:, None]
    more = denoised(Sequence(torch.tensor(ids), torch.zeros(7, dtype=torch.bool), more=streams), vocabulary, [slice(5, 6)]).more
    assert more[:, 0].tolist() == [0, 1, 2, 3, 4, -1, -1, -1, -1, 6, -1, -1, -1, -1, 5, -1], "further codebooks move along"


@pytest.fixture(scope="module")
def recipe(workspace, small_model):
    """Makes one of an objective, on units and text."""

    def write(objective: str, options: str = "", init: str = "") -> str:
        return write_recipe(
            workspace,
            f"on-{objective}",
            f"""extends: {workspace}/model.yaml
name: on-{objective}
parts: {{encoder: null}}
data: {{audio: units, tasks: [{{use: ASR}}, {{use: TTS}}]}}
train: {{objective: {objective}, steps: 60, learning_rate: 1e-2, warmup_steps: 5, validate_every_steps: 30, dropout: 0.0, init: '{init}', options: {{{options}}}}}
""",
        )

    return write


@pytest.mark.parametrize("objective", ["masked-lm", "denoise"])
def test_it_learns_and_leads_on(recipe, objective, tmp_path, monkeypatch):
    seen = []
    from alm.train.lm import LanguageModelTraining

    step = LanguageModelTraining.training_step

    def kept(self, batch, number):
        loss = step(self, batch, number)
        seen.append(float(loss))
        return loss

    monkeypatch.setattr(LanguageModelTraining, "training_step", kept)
    folder = train(recipe(objective), [], tmp_path / "first", quiet=True)
    assert sum(seen[-8:]) / 8 < 0.85 * sum(seen[:8]) / 8, "the loss falls"
    later = train(recipe("lm", init=f"dir:{folder}"), ["train.steps=2"], tmp_path / "second", quiet=True)
    assert alm.load(str(later)).run("TTS", "thank you", "en").units is not None


def test_hidden_ids_are_seen_from_both_sides(small_model):
    """The state before a hidden position depends on what comes after it; padding is not seen."""
    backbone = alm.load(str(small_model)).model.backbone
    torch.manual_seed(0)
    embeddings = torch.randn(1, 6, backbone.card.hidden_size)
    see = torch.ones(1, 6, 6, dtype=torch.bool)
    changed = embeddings.clone()
    changed[0, 5] += 1.0
    with torch.inference_mode():
        assert not torch.allclose(backbone.hidden(embeddings, see)[0, 0], backbone.hidden(changed, see)[0, 0], atol=1e-3)
        see[..., 5] = False
        torch.testing.assert_close(backbone.hidden(embeddings, see)[0, :5], backbone.hidden(changed, see)[0, :5])
        alone = backbone.hidden(embeddings[:, :5], torch.ones(1, 5, 5, dtype=torch.bool))
        torch.testing.assert_close(backbone.hidden(embeddings, see)[0, :5], alone[0], atol=1e-4, rtol=1e-4)


def test_each_row_hides_something(recipe):
    """However few positions it has: otherwise it has no loss, and a mean over none is no number."""
    from alm.core.parts import Parts

    module, loader, _ = masked_lm.build(Parts.of(recipe("masked-lm")), MaskedLmOptions(mask_share=0.01), lambda batches, total: batches)
    batch = next(iter(loader))
    _, _, rows, _ = module.losses(batch, augment=False)
    assert set(rows.tolist()) == set(range(len(batch.ids)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objective": "masked-lm", "guide_weight": 1.0}, "guide_weight"),
        ({"objective": "masked-lm", "mask_share": 0.0}, "mask_share"),
        ({"objective": "denoise", "ctc_weight": 0.5}, "ctc_weight"),
        ({"objective": "denoise", "span_ids": 0.5}, "span_ids"),
        ({"objective": "lm", "unit_rows": "labels"}, "without parts.unit_decoder"),
        ({"objective": "lm", "unit_rows": "random"}, "one of: normal, codebook, labels"),
    ],
)
def test_what_does_not_go_together_is_refused(recipe, options, message, capsys):
    from alm.cli import main

    objective, *_ = options.values()
    with pytest.raises(SystemExit, match="2"):
        main(["check", recipe(objective), *(f"train.options.{name}={value}" for name, value in options.items() if name != "objective")])
    assert message in capsys.readouterr().err
