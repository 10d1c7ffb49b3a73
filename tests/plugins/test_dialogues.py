"""Dialogues between prompts: the reply and the sentiment follow from what is said, and both are real recordings."""

from __future__ import annotations

import pytest

pytest.importorskip("alm_prompts")

from alm_prompts.dialogues import reply_to

from alm.api.tasks import targets_of
from alm.api.testing import check_corpus
from alm.components.tasks import TASKS
from alm.core.parts import load_component
from alm.core.plugins import registry
from alm.core.sources import SourceContext


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Which folder should I save the message to ?", ("vm-Family", "neutral")),
        ("Press 4 for the previous message", ("digits/4", "neutral")),
        ("press star to return to the main menu", ("digits/star", "neutral")),
        ("press # to enter a new name", ("digits/pound", "neutral")),
        ("I'm sorry, that number is not valid.", ("sorry-youre-having-problems", "negative")),
        ("Thank you for your patience", ("vm-goodbye", "positive")),
        ("Please enter your password followed by the pound key.", ("one-moment-please", "neutral")),
        ("twenty", None),
    ],
)
def test_a_reply_follows_from_what_is_said(text, expected):
    assert reply_to(text) == expected


def test_every_prompt_stands_beside_its_reply():
    corpus = load_component(registry(), "corpus", "prompts-dialogues", {}, SourceContext())
    check_corpus(corpus)
    card = next(card for card in TASKS if card.tag == "CHAT-COM")
    held_out = [u for u in corpus.utterances("test") if "sentiment" in u.labels]
    assert {u.language for u in held_out} == {"en", "es", "fr", "it", "ru"} and {u.labels["sentiment"] for u in held_out} == {"positive", "negative", "neutral"}
    for split in ("train", "test"):
        utterances = list(corpus.utterances(split))
        asked = [u for u in utterances if "sentiment" in u.labels]
        assert len(utterances) == 2 * len(asked) > 400
        for source, reply in zip(utterances[::2], utterances[1::2], strict=True):
            assert list(targets_of(card, source, [source, reply])) == [reply] and reply.language == source.language and reply.audio != source.audio
