"""Tasks on what is known of a recording: read from manifests, trained, asked and scored through the real path."""

from __future__ import annotations

import dataclasses
import json

import pytest

from alm.api.errors import AlmError
from alm.api.manifests import utterances_from_cuts, utterances_from_lines
from alm.api.types import Mark
from alm.cli import main
from alm.core.evaluate import evaluate, pairs_of
from alm.core.pipeline import Pipeline
from alm.train.run import train
from tests.conftest import write_recipe


@pytest.fixture(scope="module")
def labelled(small_corpus, tmp_path_factory):
    """The small corpus with a question, words in time and a second recording in its cuts."""
    from lhotse import CutSet
    from lhotse.supervision import AlignmentItem

    cuts = list(CutSet.from_file(small_corpus / "cuts_train.jsonl.gz"))
    folder = tmp_path_factory.mktemp("labelled")
    for cut in cuts:
        (supervision,) = cut.supervisions
        other = cuts[0].recording.sources[0].source
        supervision.custom = {**(supervision.custom or {}), "question": "who speaks", "answer": supervision.speaker, "same_speaker": "yes", "other_audio": other}
        supervision.gender = "female"
        supervision.alignment = {"word": [AlignmentItem("first", 0.1, 0.2), AlignmentItem("last", 0.5, 0.1)]}
    for split in ("train", "dev"):
        CutSet.from_cuts(cuts).to_file(folder / f"cuts_{split}.jsonl.gz")
    return folder


@pytest.fixture(scope="module")
def model(workspace, small_model, labelled, tmp_path_factory):
    recipe = write_recipe(
        workspace,
        "labelled",
        f"""extends: {workspace}/model.yaml
name: labelled
data:
  corpora: [{{use: cuts, folder: 'dir:{labelled}'}}]
  tasks: [{{use: SID}}, {{use: LID}}, {{use: SQA-ABOUT}}, {{use: SV, audio: both}}, {{use: SRWT}}, {{use: GENDER, corpora: [cuts]}}, {{use: ASR GENDER}}]
train: {{steps: 4, validate_every_steps: 2, optimizer: adafactor}}
""",
    )
    return Pipeline(train(recipe, [], tmp_path_factory.mktemp("run"), quiet=True))


def test_cuts_give_labels(labelled):
    utterance = next(iter(utterances_from_cuts(labelled / "cuts_train.jsonl.gz")))
    assert utterance.labels["gender"] == "female" and utterance.labels["answer"] == utterance.speaker and utterance.other is not None
    assert utterance.labels["words"] == (Mark("first", 0.1, pytest.approx(0.3)), Mark("last", 0.5, pytest.approx(0.6)))
    assert "prompt" not in utterance.labels and "other_audio" not in utterance.labels


def test_lines_give_labels(tmp_path):
    path = tmp_path / "a.jsonl"
    line = {"audio": "a.wav", "text": "hi", "language": "en", "labels": {"emotion": "happy", "words": [["hi", 0.1, 0.3]]}, "other_audio": "b.wav"}
    path.write_text(json.dumps(line) + "\n")
    (utterance,) = utterances_from_lines(path)
    assert utterance.labels == {"emotion": "happy", "words": (Mark("hi", 0.1, 0.3),)} and utterance.other.path == tmp_path / "b.wav"
    for labels in ({"emotion": 3}, ["happy"], {"words": [["hi", "soon", 0.3]]}):
        path.write_text(json.dumps({**line, "labels": labels}) + "\n")
        with pytest.raises(AlmError, match="line 1: got label"):
            list(utterances_from_lines(path))


def test_each_task_is_asked_and_scored(model):
    utterances = [u for u in model.parts.utterances("dev") if u.language == "en"][:3]
    assert all(u.corpus == "cuts" for u in utterances)
    for use in model.tasks:
        scores, rows = evaluate(model, use, utterances)
        assert scores and len(rows) == 3, use
    assert not pairs_of(model, "GENDER", [dataclasses.replace(u, corpus="others") for u in utterances])


def test_what_a_task_is_given_beside_the_sound(model, clip):
    result = model.run("SQA-ABOUT", clip, "en", labels={"question": "who speaks"})
    assert len(result.segments) <= 1 and [s.kind for s in result.prompt.spans].count("text") == 1
    both = model.run("SV", clip, "en", other=clip)
    assert [s.kind for s in both.prompt.spans].count("features") == 2 and [s.kind for s in both.prompt.spans].count("units") == 2
    with pytest.raises(AlmError, match=r"label\.question"):
        model.run("SQA-ABOUT", clip, "en")
    with pytest.raises(AlmError, match="no other"):
        model.run("SV", clip, "en")
    assert isinstance(model.run("SRWT", clip, "en").marks, tuple)


def test_recipes_and_tasks_are_listed(capsys):
    for flag, wanted in (("--recipes", "audio (features), text"), ("--tasks", "source.audio, source.label.question")):
        with pytest.raises(SystemExit, match="0"):
            main(["plugins", flag])
        assert wanted in capsys.readouterr().out
    with pytest.raises(SystemExit, match="0"):
        main(["plugins", "--recipes", "--json"])
    rows = json.loads(capsys.readouterr().out)
    assert {"name", "objective", "inputs", "outputs", "tasks", "description"} == set(rows[0])
    shipped = next(row for row in rows if row["name"] == "prompts/prompts")
    assert "interleaved" in shipped["outputs"] and "ASR AST S2ST" in shipped["tasks"]
