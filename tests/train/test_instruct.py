"""SpeechInstruct's format: written from a corpus, read again, trained on, and answered in."""

from __future__ import annotations

import json

import pytest

from alm.api.errors import AlmError
from alm.api.types import Units
from alm.cli import main
from alm.components.prompts.cards import SpeechGptOptions
from alm.components.prompts.speechgpt import SpeechGptFormat, read_line
from alm.core.parts import Parts
from alm.core.pipeline import Pipeline
from alm.train.mixture import Mixture
from alm.train.run import train
from tests.conftest import write_recipe


@pytest.fixture(scope="module")
def recipe(workspace, small_model) -> str:
    return write_recipe(
        workspace,
        "speechgpt",
        f"""extends: {workspace}/model.yaml
name: speechgpt
parts:
  prompt: {{use: speechgpt, learn_human: true}}
data:
  audio: units
  tasks:
    - {{use: ASR}}
    - {{use: TTS}}
    - {{use: S2ST}}
    - {{use: SID}}
train: {{steps: 3, warmup_steps: 1, validate_every_steps: 0, options: {{join: 0.0}}}}
""",
    )


@pytest.fixture(scope="module")
def lines(recipe, tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("instruct")
    with pytest.raises(SystemExit, match="0"):
        main(["instruct", recipe, str(folder), "--split", "train", "--system", "You are an assistant. "])
    return folder


def test_lines_have_two_fields_and_read_as_what_was_written(lines, recipe):
    entries = [json.loads(line) for line in (lines / "instruct_train.jsonl").read_text().splitlines()]
    samples = [entry.sample for entry in Mixture(Parts.of(recipe), "train", len, lambda batches, total: batches).entries]
    assert len(entries) == len(samples) > 40 and all(set(entry) == {"prefix", "plain_text"} for entry in entries)
    prompt = SpeechGptFormat(SpeechGptOptions("You are an assistant. "))
    for entry, sample in zip(entries, samples, strict=True):
        assert entry["prefix"] == "You are an assistant. "
        again = read_line(entry["plain_text"], "line", 25.0)
        assert prompt.line(again) == entry and again.instruction == sample.instruction
        spaced = read_line(entry["plain_text"].replace("><", "> <"), "line", 25.0)
        assert prompt.line(spaced) == entry, "units with spaces between them are the same"
    assert len({sample.instruction for sample in samples}) > 8, "in many wordings"


def test_a_plain_loader_of_json_lines_reads_them(lines, tmp_path):
    from datasets import load_dataset

    loaded = load_dataset("json", data_files=str(lines / "instruct_train.jsonl"), split="train", cache_dir=str(tmp_path))
    assert loaded.column_names == ["prefix", "plain_text"]
    assert list(loaded) == [json.loads(line) for line in (lines / "instruct_train.jsonl").read_text().splitlines()]


def test_speech_alone_is_a_line_too(recipe, tmp_path, capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["instruct", recipe, str(tmp_path), "data.tasks=[{use: SPEECH}]", "--split", "train"])
    line = json.loads((tmp_path / "instruct_train.jsonl").read_text().splitlines()[0])["plain_text"]
    assert line.startswith("<sosp><") and SpeechGptFormat(SpeechGptOptions()).line(read_line(line, "line", 25.0))["plain_text"] == line
    with pytest.raises(SystemExit, match="2"):
        main(["instruct", recipe, str(tmp_path), "data.tasks=[{use: TEXT}]"])
    assert "text alone" in capsys.readouterr().err


def test_a_model_may_learn_the_human_too(recipe, tmp_path):
    """With CTC beside: what is heard is then learnt, and there is nothing for CTC to read."""
    folder = train(recipe, ["parts.prompt.learn_human=true", "train.options.ctc_weight=0.5", "data.tasks=[{use: ASR}]", "train.steps=1"], tmp_path, quiet=True)
    weights = Pipeline(folder).model.backbone.state_dict()
    assert all(bool(value.isfinite().all()) for value in weights.values())


def test_what_a_line_says_of_several_turns_is_refused():
    for text in ("hello", "[Human]: a<eoh> [SpeechGPT]: b<eoa> [Human]: c<eoh> [SpeechGPT]: d<eoa>", "[Human]: a [SpeechGPT]: b<eoa>"):
        with pytest.raises(AlmError, match="line 7"):
            read_line(text, "line 7", 50.0)


def test_a_model_trains_on_lines_and_answers(lines, recipe, workspace, tmp_path):
    own = write_recipe(workspace, "on-lines", f"extends: {recipe}\nname: on-lines\ndata: {{corpora: [{{use: speech-instruct, folder: 'dir:{lines}'}}], tasks: []}}\n")
    folder = train(own, [], tmp_path / "lines", quiet=True)
    assert (folder / "model.safetensors").is_file()

    model = Pipeline(train(recipe, [], tmp_path / "tasks", quiet=True))
    assert model.recipe.part("prompt").options == {"learn_human": True}
    result = model.run("TTS", "thank you", "en")
    assert isinstance(result.units, Units) or result.units is None
    assert model.run("ASR", result.audio, "en").text == model.run("ASR", result.audio, "en").text if result.audio else True
    kinds = [span.kind for span in result.spans]
    assert kinds[0] == "tag" and "units" in kinds


def test_units_of_another_tokenizer_are_refused(lines, recipe, tmp_path):
    (tmp_path / "instruct_train.jsonl").write_text(json.dumps({"prefix": "", "plain_text": "[Human]: <sosp><999><eosp><eoh> [SpeechGPT]: a<eoa> "}) + "\n")
    parts = Parts.of(recipe, [f"data.corpora=[{{use: speech-instruct, folder: 'dir:{tmp_path}'}}]", "data.tasks=[]"])
    with pytest.raises(AlmError, match="got unit 999"):
        Mixture(parts, "train", len, lambda batches, total: batches)
