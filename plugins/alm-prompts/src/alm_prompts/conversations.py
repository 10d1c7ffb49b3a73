"""Corpus `prompts-conversations`: three turns about two prompts, in the manner of Qwen-Audio-Chat (arXiv 2311.07919). Made by rule.

Two recordings are heard; a question compares them, the next one is about the one that was meant, the last about the other one, so that no
answer can be given without the recordings and what was said before. Asked and answered in English.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from alm.api.cards import CorpusCard
from alm.api.errors import AlmError
from alm.api.languages import language_name
from alm.api.manifests import utterances_from_cuts
from alm.api.text import normalize_text
from alm.api.types import Sample, Segment, Turn, Utterance
from alm_prompts.questions import NAMED

DATA = Path(__file__).parent / "data"
LONGEST_S, MOST_WORDS = 7.0, 16
PLACES = ("the first", "the second")
WHICH_KEY = ("which of the two mentions a key", "which recording tells me to press a key", "in which of them is a key named")
WHICH_LANGUAGE = ("which of the two is in {language}", "which recording is {language}", "in which of them is {language} spoken")
SAID = ("what does it say", "what is said in it", "write down what it says")
SAID_IN_ENGLISH = ("what does it say in english", "translate it into english")
OTHER_LANGUAGE = ("which language is the other one in", "in which language is the other one")
OTHER_SAID = ("what does the other one say", "and what is said in the other one")


@dataclass(frozen=True)
class ConversationsOptions:
    """Attributes:
    clips: short recordings of each split that take part; 0 takes all.
    partners: conversations about each of them, beside others.
    """

    clips: int = 0
    partners: int = 1


class ConversationsCorpus:
    """A SampleCorpus: each short recording as the first of two, or the second."""

    def __init__(self, options: ConversationsOptions, card: CorpusCard) -> None:
        if options.clips < 0 or options.partners < 1:
            raise AlmError(f"got clips {options.clips} and partners {options.partners}", "0 or more, and 1 or more", "correct the option")
        self.options, self.card = options, card

    def utterances(self, split: str) -> Iterator[Utterance]:
        return iter(())

    def samples(self, split: str) -> Iterator[Sample]:
        if split not in self.card.splits:
            return
        found = [u for u in utterances_from_cuts(DATA / f"cuts_{split}.jsonl.gz") if u.audio is not None]
        english = {u.group: u.text for u in found if u.language == "en"}
        short = [u for u in found if (u.audio.duration_s or 0) <= LONGEST_S and 2 <= len(u.text.split()) <= MOST_WORDS and u.group in english]  # type: ignore[union-attr]
        if 0 < self.options.clips < len(short):
            short = random.Random(split).sample(short, self.options.clips)
        names_key = {u.id: bool(NAMED.search(english[u.group])) for u in short}
        with_key, without = ([u for u in short if names_key[u.id] is wanted] for wanted in (True, False))
        for utterance, number in itertools.product(short, range(self.options.partners)):
            chance = random.Random(f"{utterance.id} {number}" if number else utterance.id)
            about_key = bool(with_key) and chance.random() < 0.5
            others = (without if names_key[utterance.id] else with_key) if about_key else [u for u in short if u.language != utterance.language]
            if others:
                yield _conversation(f"{utterance.id}/{number}", [utterance, chance.choice(others)], english, names_key if about_key else None, chance)


def _conversation(name: str, heard: list[Utterance], english: dict[str, str], names_key: dict[str, bool] | None, chance: random.Random) -> Sample:
    chance.shuffle(heard)
    if names_key is not None:
        meant = 0 if names_key[heard[0].id] else 1
        first = chance.choice(WHICH_KEY)
    else:
        meant = chance.randrange(2)
        first = chance.choice(WHICH_LANGUAGE).format(language=_language(heard[meant]))
    it, rest = heard[meant], heard[1 - meant]
    if it.language != "en" and chance.random() < 0.5:
        second = (chance.choice(SAID_IN_ENGLISH), normalize_text(english[it.group], "en"))
    else:
        second = (chance.choice(SAID), normalize_text(it.text, it.language))
    asks_language = chance.random() < 0.5
    third = (chance.choice(OTHER_LANGUAGE), _language(rest)) if asks_language else (chance.choice(OTHER_SAID), normalize_text(rest.text, rest.language))
    recordings = tuple(Segment(u.audio, language=u.language) for u in heard if u.audio is not None)
    turns: list[Turn] = []
    for number, (question, answer) in enumerate(((first, PLACES[meant]), second, third)):
        asked = Segment(question, language="en")
        turns += [Turn("user", (*recordings, asked) if not number else (asked,)), Turn("assistant", (Segment(answer, learn=True, language="en"),))]
    return Sample(name, (), ("en",), tuple(turns))


def _language(utterance: Utterance) -> str:
    return language_name(utterance.language).lower()
