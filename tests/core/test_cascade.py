"""Recognizer, text model, synthesizer behind the calls of a pipeline; models side by side."""

from __future__ import annotations

import json

import pytest

import alm
from alm.api.errors import AlmError
from alm.api.testing import check_recognizer, check_synthesizer
from alm.cli import main
from alm.core.cascade import Cascade, seconds_to_first
from alm.core.check import check_recipe
from alm.core.parts import Parts
from alm.train.run import train

pytest.importorskip("piper", reason="alm-piper needs piper-tts: pip install -e plugins/alm-piper")


@pytest.fixture(scope="module")
def model(small_cascade):
    return alm.load(small_cascade)


def test_parts_conform(model):
    check_recognizer(model.recognizer)
    check_synthesizer(model.synthesizer)


def test_each_step_is_taken(model, clip):
    assert isinstance(model, Cascade) and not check_recipe(model.parts)
    assert model.transcribe(clip, "en").lower().startswith("please enter your password")
    spoken = model.speak("Please enter your password.", "en")
    assert model.transcribe(spoken, "en").lower().startswith("please enter your password"), "what it says is what it reads"
    chain = model.chat(clip, "en")
    assert chain.request.task == "CHAT-COM" and len(chain.texts) == 2 and chain.texts[0].lower().startswith("please enter your password")
    shown = model.model.vocabulary.spelt(chain.prompt.ids.tolist())
    assert shown.endswith(f"<|im_start|>user\n{chain.texts[0]}<|im_end|>\n<|im_start|>assistant\n"), "the language model is given what was heard"
    answer = model.run("SQA-ABOUT", clip, "en", labels={"question": "What is to be entered?"})
    assert not any(parameter.requires_grad for parameter in model.model.backbone.model.parameters()), "or every id that is written keeps what a gradient would need"
    assert "What is to be entered?" in model.model.vocabulary.spelt(answer.prompt.ids.tolist()) and len(answer.texts) == 1


def test_a_conversation_goes_on_from_what_is_heard(model, clip):
    talk = model.conversation("en")
    talk.recall("user", "What do I hear?")
    talk.recall("assistant", "A menu.")
    talk.say(clip)
    shown = [(turn.role, turn.segments[0].content) for turn in talk.turns]
    assert [role for role, _ in shown] == ["user", "assistant", "user", "assistant"]
    assert shown[2][1].lower().startswith("please enter your password"), "the words of the recording, since a cascade's language model hears nothing"
    with pytest.raises(AlmError, match="nothing is said"):
        talk.recall("user", "")


def test_it_streams_what_it_gives_at_once(model, clip):
    pieces = list(model.stream("TTS", "Please hold. Thank you for calling, good bye.", "en"))
    assert pieces[-1].result.audio.num_samples == sum(piece.audio.num_samples for piece in pieces if piece.audio)
    text_s, audio_s, result = seconds_to_first(model.stream("ASR", clip, "en"))
    assert text_s > 0 and audio_s is None and result.text.lower().startswith("please")
    assert result.seconds["recognize"] > 0


def test_models_stand_side_by_side(small_cascade, small_model, capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["compare", small_cascade, str(small_model), "--task", "ASR", "--split", "dev", "--max-clips", "2"])
    table = capsys.readouterr().out.splitlines()
    assert table[0] == f"| figure | {small_cascade} | {small_model} |"
    rows = {line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:4]] for line in table[2:]}
    assert float(rows["ASR en wer, %"][0]) < float(rows["ASR en wer, %"][1]), "Whisper hears better than a model of twelve steps"
    assert float(rows["first text, s"][0]) > 0 and float(rows["memory, MB"][1]) > 100
    with pytest.raises(SystemExit, match="2"):
        main(["compare", str(small_model), "--task", "LID"])
    assert "none of the tasks LID" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="0"):
        main(["compare", str(small_model), "--task", "MT", "--split", "dev", "--max-clips", "2", "--json"])
    assert json.loads(capsys.readouterr().out)[0]["audio_s"] is None


def test_what_does_not_fit_is_refused(small_cascade, model, clip, tmp_path):
    for change, message in (
        (["parts.synthesizer=null"], "task 'TTS' speaks"),
        (["parts.recognizer=null"], "task 'ASR' hears"),
        (["data.tasks=[{use: ASR, source: [es]}]"], "got language 'es'"),
    ):
        problems = check_recipe(Parts.of(small_cascade, change))
        assert any(message in got for got, _, _ in problems), problems
    with pytest.raises(AlmError, match="a cascade, to train"):
        train(small_cascade, [], tmp_path, quiet=True)
    with pytest.raises(AlmError, match="a speaker by name"):
        model.run("TTS", "hello", "en", speaker=clip)
    with pytest.raises(AlmError, match="got Audio for task TTS"):
        model.run("TTS", clip, "en")
