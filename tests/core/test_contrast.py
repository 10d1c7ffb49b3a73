"""Of two recordings the likelier: chance for a model that knows nothing, the right value on a set made by hand."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch

import alm
from alm.api.errors import AlmError
from alm.api.types import Audio, Utterance
from alm.cli import main
from alm.core.contrast import contrast, mean_log_likelihoods


@pytest.fixture
def pairs(small_model, tmp_path):
    """Real prompts, each beside itself played backwards and cut off, so that the two differ in length."""
    pipeline, found = alm.load(str(small_model)), []
    for number, utterance in enumerate(u for u in pipeline.parts.utterances("train") if u.language == "en"):
        clip = alm.read_audio(utterance.audio)
        alm.write_audio(tmp_path / f"{number}_correct.wav", clip)
        alm.write_audio(tmp_path / f"{number}_incorrect.wav", Audio(clip.samples.flip(1)[:, : clip.num_samples * 3 // 4], clip.sample_rate_hz))
        found += [number]
        if number == 3:
            break
    return tmp_path


def test_a_model_that_knows_nothing_gets_half(small_model, pairs, capsys):
    pipeline = alm.load(str(small_model))
    with pytest.raises(SystemExit, match="0"):
        main(["contrast", str(small_model), "story-cloze", str(pairs), "--json"])
    printed = json.loads(capsys.readouterr().out)
    assert printed["pairs"] == 4 and printed["accuracy"] in (0, 25, 50, 75, 100)
    with torch.no_grad():
        pipeline.model.backbone.model.get_input_embeddings().weight.zero_()
    utterances = list(story(pairs))
    assert contrast(pipeline, utterances).accuracy == 50
    units = pipeline.parts.card("tokenizer").vocabulary_size
    assert mean_log_likelihoods(pipeline, utterances) == pytest.approx([-torch.tensor(float(units)).log().item()] * 8, abs=1e-5)


def story(folder):
    from alm.components.corpora.benchmarks import story_cloze

    return story_cloze(folder)


def test_the_likelier_wins_and_kinds_are_told_apart(small_model, pairs, monkeypatch):
    pipeline, utterances = alm.load(str(small_model)), list(story(pairs))
    values = dict(zip([u.id for u in utterances], (-1.0, -2.0, -3.0, -2.5, -1.0, -1.0, -4.0, -5.0), strict=True))
    kinds = [dataclasses.replace(u, labels={**u.labels, "kind": "first" if int(u.group) < 2 else "second"}) for u in utterances]
    monkeypatch.setattr("alm.core.contrast.mean_log_likelihoods", lambda *_: [values[u.id] for u in kinds])
    found = contrast(pipeline, kinds)
    assert (found.accuracy, found.pairs, found.kinds) == (62.5, 4, {"first": 50.0, "second": 75.0})


def test_what_is_no_pair_is_refused(small_model, pairs):
    pipeline, utterances = alm.load(str(small_model)), list(story(pairs))
    with pytest.raises(AlmError, match="without its pair"):
        contrast(pipeline, utterances[:-1])
    with pytest.raises(AlmError, match="label `correct`"):
        contrast(pipeline, [Utterance("a", utterances[0].audio, "", "en")])
    with pytest.raises(AlmError, match="got no pair"):
        contrast(pipeline, [])
