"""Questions about prompts: what is asked can be answered from the transcript, and never without it."""

from __future__ import annotations

import pytest

pytest.importorskip("alm_prompts")

from alm_prompts.questions import Choice, choices

from alm.api.testing import check_corpus
from alm.core.parts import load_component
from alm.core.plugins import registry
from alm.core.sources import SourceContext


@pytest.mark.parametrize(
    ("text", "expected", "whole"),
    [
        ("Press 1 to list users, 2 to mute.", [Choice("one", "list users"), Choice("two", "mute")], True),
        ("press 1 to accept this call, or 2 to reject it", [Choice("one", "accept this call"), Choice("two", "reject it")], True),
        ("press * to toggle pause, press # to enter a new filename", [Choice("star", "toggle pause"), Choice("pound", "enter a new filename")], True),
        ("To change folders, press five.", [Choice("five", "change folders")], True),
        ("press 0 for help", [Choice("zero", "help", False)], True),
        ("Press 1 to mute, 4 or 6 to change the volume.", [Choice("one", "mute")], False),
        ("Press one to stop. Press one to go on.", [], False),
        ("If this is correct, press...", [], True),
        ("Please try again.", [], True),
    ],
)
def test_keys_and_actions_are_found(text, expected, whole):
    found, is_whole = choices(text)
    assert found == expected and is_whole == whole


def test_the_corpus_asks_and_answers():
    corpus = load_component(registry(), "corpus", "prompts-questions", {}, SourceContext())
    check_corpus(corpus, "test")
    asked = list(corpus.utterances("test"))
    assert len(asked) > 80 and all(u.labels["question"] and u.labels["answer"] for u in asked)
    answers = {u.labels["answer"] for u in asked if u.labels["question"].startswith("how many")}
    assert len(answers) > 1, "the number of keys cannot be guessed"
    assert list(corpus.utterances("no such split")) == []
