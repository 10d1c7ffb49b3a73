"""Preferences: made by a model that answers several times, and trained on: better answers become likelier, on held-out pairs too."""

from __future__ import annotations

import json

import pytest
import torch

from alm.api.errors import AlmError
from alm.cli import main
from alm.core.parts import Parts, load_component
from alm.core.pipeline import Pipeline
from alm.core.preferences import prefer
from alm.train.dpo import build
from alm.train.options import DpoOptions
from alm.train.run import VALIDATION, train
from tests.conftest import write_recipe


@pytest.fixture(scope="module")
def pairs(small_model, tmp_path_factory):
    """The right translation beside another sentence, a dozen each to train on and to hold out."""
    folder = tmp_path_factory.mktemp("preferences")
    model = Pipeline(small_model)
    spoken = [u for u in model.parts.utterances("train") if u.language == "en"]
    for split, own in (("train", spoken[::2]), ("dev", spoken[1::2])):
        lines = []
        for utterance in own:
            piece = {"text": utterance.text.lower(), "language": "en", "says": "source"}
            lines.append({"task": "MT", "languages": ["en", "es"], "given": [piece], "chosen": [{"text": "uno dos tres"}], "rejected": [{"units": [[1, 2, 3, 4]]}]})
        (folder / f"preferences_{split}.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    return folder


@pytest.fixture(scope="module")
def recipe(workspace, small_model, pairs) -> str:
    content = f"""extends: {workspace}/model.yaml
name: preferred
data: {{corpora: [{{use: preferences, folder: 'dir:{pairs}'}}]}}
train: {{objective: dpo, init: 'dir:{small_model}', steps: 12, warmup_steps: 0, learning_rate: 1e-3, validate_every_steps: 4, options: {{beta: 0.1, likelihood_weight: 0.1}}}}
"""
    return write_recipe(workspace, "preferred", content)


def test_better_answers_become_likelier(recipe, small_model, tmp_path):
    parts = Parts.of(recipe)
    module, loaded, _ = build(parts, DpoOptions(), None)
    module.load_part(small_model)
    assert not bool(module.reference_train.isnan().any() | module.reference_validation.isnan().any())
    numbers, batch = next(iter(loaded))
    module.eval()
    loss, gained, _ = module.loss(numbers, batch, module.reference_train)
    assert float(loss) == pytest.approx(0.6931, abs=1e-3) and not bool(gained.any()), "the model itself is the reference"

    folder = train(recipe, [], tmp_path, quiet=True, validate=True)
    after, _, _ = build(parts, DpoOptions(), None)
    after.load_part(small_model)
    after.lm.load_part(folder)
    after.eval()
    pair = (numbers, batch)
    assert float(after.loss(*pair, after.reference_train)[0]) < 0.5, "learnt"
    losses = json.loads((tmp_path / VALIDATION).read_text())
    assert losses["val/likelier_before"] == pytest.approx(float(module.likelier_validation.mean()), abs=1e-4)
    assert losses["val/likelier"] >= losses["val/likelier_before"] and losses["val/gained"] == 1
    gains = torch.cat([after.log_probs(b)[0].view(-1, 2) - after.reference_validation[n] for n, b in after._batches("validation")])
    assert float((gains[:, 0] - gains[:, 1]).min()) > 0, "on every held-out pair"
    Pipeline(folder).run("MT", "thank you", "en", "es")


def test_a_model_answers_several_times(small_model, tmp_path):
    model = Pipeline(small_model)
    spoken = [u for u in model.parts.utterances("dev") if u.language in ("en", "es")]
    sampler = load_component(model.parts.found, "decoder", "sample", {"temperature": 1.5}, model.parts.context)
    found = list(prefer(model, "MT", spoken, sampler, answers=3, max_clips=4))
    assert found
    for preference in found:
        assert preference.scores[0] > preference.scores[1], "BLEU: higher is better"
        line = json.loads(preference.line())
        assert line["task"] == "MT" and line["given"][0]["text"] and line["chosen"] != line["rejected"]
    with pytest.raises(AlmError, match="always answers alike"):
        next(prefer(model, "MT", spoken, model.decoder))
    with pytest.raises(SystemExit, match="0"):
        main(["prefer", str(small_model), "MT", str(tmp_path), "--split", "dev", "--answers", "2", "--max-clips", "3", "--temperature", "1.5"])
    written = tmp_path / "preferences_dev.jsonl"
    if written.exists():
        card = load_component(model.parts.found, "corpus", "preferences", {"folder": f"dir:{tmp_path}"}, model.parts.context).card
        assert card.splits == ("dev",)


def test_without_a_model_to_start_from_it_is_refused(recipe):
    from alm.core.check import check_recipe

    problems = check_recipe(Parts.of(recipe, ["train.init=''"]))
    assert any("train.init" in problem[0] for problem in problems)


def test_a_broken_line_is_named(small_model, tmp_path):
    (tmp_path / "preferences_train.jsonl").write_text('{"task": "MT", "languages": [], "given": [], "chosen": [{"x": 1}], "rejected": []}\n')
    corpus = load_component(Pipeline(small_model).parts.found, "corpus", "preferences", {"folder": f"dir:{tmp_path}"}, Pipeline(small_model).parts.context)
    with pytest.raises(AlmError, match="line 1"):
        list(corpus.preferences("train"))
