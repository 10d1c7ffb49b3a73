"""Yi-VL on pictures that the plugin draws itself: three stages, through the interfaces that carry sound."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from alm_vision.cards import YiVlOptions
from alm_vision.yi_vl import YiVlFormat
from PIL import Image

import alm
from alm.api.errors import AlmError
from alm.api.tasks import DeclaredTask
from alm.api.testing import check_encoder, check_prompt_format
from alm.core.evaluate import evaluate
from alm.core.parts import Parts, load_task
from alm.core.plugins import registry
from alm.core.results import Request
from alm.train.run import train


@pytest.fixture(scope="module")
def model(workspace):
    """The three stages, after the text tokenizer and the language model that they begin with."""
    for name in ("drawings-text", "yi-vl-text", "yi-vl-1", "yi-vl-2", "yi-vl-3"):
        folder = train(name, [], quiet=True)
    return alm.load(str(folder))


def test_it_sees(model):
    """Shape, colour and number of what is drawn, on pictures that no training saw."""
    scores, rows = evaluate(model, "VQA", list(model.parts.utterances("test")))
    assert scores[0].name == "vqa/en/accuracy" and scores[0].clips == 900
    wrong = [(row["source"], row["reference"], row["texts"]) for row in rows if row["texts"] != [row["reference"]]]
    assert scores[0].value >= 95, wrong


def test_it_is_asked_as_any_model(model, tmp_path):
    """By a path or a picture; a question as a label."""
    utterance = next(u for u in model.parts.utterances("test") if u.labels["question"] == "which colour is it")
    path = utterance.media["image"].path
    by_path = model.run("VQA", path, "en", labels={"question": "which colour is it"})
    by_picture = model.run("VQA", Image.open(path), "en", labels={"question": "which colour is it"})
    assert by_path.text == by_picture.text == utterance.labels["answer"]
    (tmp_path / "no.png").write_text("hello")
    with pytest.raises(AlmError, match="holds no picture"):
        model.run("VQA", tmp_path / "no.png", "en", labels={"question": "which colour is it"})
    with pytest.raises(AlmError, match="got str for task VQA; wanted image"):
        model.run("VQA", "hello", "en", labels={"question": "which colour is it"})


def test_the_parts_conform(model):
    parts = Parts.of("yi-vl-1")
    pictures = [utterance.media["image"].path for utterance, _ in zip(parts.utterances("dev"), range(9), strict=False)]
    check_encoder(parts.load("encoder"), pictures[::3])
    check_prompt_format(parts.load("prompt"), model.model.vocabulary)


def test_yi_vl_writes(model):
    prompt, vocabulary = YiVlFormat(YiVlOptions()), model.model.vocabulary
    utterance = next(iter(model.parts.utterances("test")))
    sample = model.sample(Request("VQA", utterance.media["image"].path, "en", labels={"question": "which shape is it"}))
    asked = prompt.prompt(sample, vocabulary)
    assert vocabulary.spelt(asked.ids.tolist()) == "### Human: \nwhich shape is it\n### Assistant:"
    assert len(asked.slots) == 1 and int((asked.ids == -1).sum()) == 16
    described = DeclaredTask(load_task(registry(), "TEXT").card).build(utterance)
    assert vocabulary.spelt(prompt.encode(described, vocabulary).ids.tolist()).startswith("### Human: ")


def test_what_does_not_fit_is_refused():
    for encoder, task, message in (
        ("{use: clip, image_size: 50, patch_size: 4}", "VQA", "a multiple of 4"),
        ("{use: whisper}", "VQA", "reads image; wanted an encoder of it; 'whisper' reads audio"),
        ("{use: clip, image_size: 24, patch_size: 4}", "ASR", "got audio given"),
    ):
        with pytest.raises(AlmError, match=message):
            train("yi-vl-text", [f"data.tasks=[{{use: {task}}}]", f"parts.encoder={encoder}"], quiet=True)


def test_core_knows_nothing_of_pictures():
    """No word of the plugin's in the core and its interfaces but as an example."""
    root = Path(alm.__file__).parent
    found = subprocess.run(["grep", "-rniE", r"\b(pil|clip_vision|pixel|vit)\b", root / "core", root / "api", "--include=*.py"], capture_output=True, text=True, check=False)
    assert found.stdout == ""
