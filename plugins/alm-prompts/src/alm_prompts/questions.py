"""Questions about what a prompt says: which key, which action, how many keys. Made from English transcripts by rule.

"Press 1 to list users, 2 to mute" names the keys one and two with their actions. Each is asked in both directions, and their number
once, so that an answer cannot be given without listening.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from alm.api.cards import CorpusCard
from alm.api.interfaces import LoadContext
from alm.api.manifests import utterances_from_cuts
from alm.api.text import normalize_text
from alm.api.types import Utterance

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
KEYS = (*DIGITS, "star", "pound")
SPELT = {**{str(i): name for i, name in enumerate(DIGITS)}, "*": "star", "#": "pound"}
KEY = rf"(?:the )?(?P<key>{'|'.join(map(re.escape, (*SPELT, *KEYS)))})(?: key)?"
FIRST = re.compile(rf"\b(?:press|dial) {KEY} (?:to|for|if you wish to) (?P<action>[^,.;:]+)", re.IGNORECASE)
NEXT = re.compile(rf"[,;.]\s*(?:or\s+)?(?:press )?{KEY} (?:to|for) (?P<action>[^,.;:]+)", re.IGNORECASE)
BEHIND = re.compile(rf"\bto (?P<action>[^,.;:]+?),? (?:press|dial) {KEY}(?=\W|$)", re.IGNORECASE)
NAMED = re.compile(rf"\b(?:press|dial) {KEY}(?=\W|$)", re.IGNORECASE)
EITHER = re.compile(rf"\b(?:{'|'.join(map(re.escape, (*SPELT, *KEYS)))}) or (?:{'|'.join(map(re.escape, (*SPELT, *KEYS)))})(?=\W)", re.IGNORECASE)
CUT = re.compile(rf"\s(?:or|and)\s+(?:press\s+)?(?:{'|'.join(map(re.escape, (*SPELT, *KEYS)))})\b.*", re.IGNORECASE)
ASK_KEY = ("which key do i press to {action}", "what do i press to {action}", "what must i press to {action}")
ASK_KEY_FOR = ("which key is for {action}", "what do i press for {action}")
ASK_ACTION = ("what happens if i press {key}", "what is key {key} for", "what does {key} do")
ASK_COUNT = ("how many keys are named", "how many choices are there")


@dataclass(frozen=True)
class Choice:
    """A key, spelt out, and what it does; `is_verb` where it is pressed to do it, not for it."""

    key: str
    action: str
    is_verb: bool = True


def choices(text: str) -> tuple[list[Choice], bool]:
    """The keys that an English prompt names, in their order, each with its action, without those that are named twice; and whether these
    are all that it names."""
    found: dict[int, Choice] = {}
    for pattern in (FIRST, NEXT, BEHIND):
        for match in pattern.finditer(text):
            key = match["key"].lower()
            action = normalize_text(CUT.sub("", match["action"]), "en")
            if action:
                verb = not re.search(r"\bfor $", text[: match.start("action")], re.IGNORECASE)
                found.setdefault(match.start("key"), Choice(SPELT.get(key, key), action, verb))
    ordered = [found[start] for start in sorted(found)]
    names = [choice.key for choice in ordered]
    once = [choice for choice in ordered if names.count(choice.key) == 1]
    whole = len(once) == len(ordered) and len(NAMED.findall(text)) <= len(once) and not EITHER.search(text)
    return once, whole


def asked(utterances: Iterable[Utterance]) -> Iterator[Utterance]:
    """Each recording once for each question about it, with the labels `question` and `answer`."""
    for utterance in utterances:
        if utterance.language != "en" or utterance.audio is None:
            continue
        named, whole = choices(utterance.text)
        pairs = []
        for number, choice in enumerate(named):
            pairs.append((f"key-{number}", ASK_KEY if choice.is_verb else ASK_KEY_FOR, choice.key, choice))
            pairs.append((f"action-{number}", ASK_ACTION, choice.action, choice))
        if named and whole:
            pairs.append(("count", ASK_COUNT, DIGITS[len(named)] if len(named) < len(DIGITS) else str(len(named)), named[0]))
        for kind, wordings, answer, choice in pairs:
            name = f"{utterance.id}/{kind}"
            question = wordings[zlib.crc32(name.encode()) % len(wordings)].format(key=choice.key, action=choice.action)
            yield replace(utterance, id=name, group=name, labels={**utterance.labels, "question": question, "answer": answer})


@dataclass(frozen=True)
class QuestionsOptions:
    """Attributes:
    folder: `dir:` of a folder of cuts to ask about, as tools/synthesize.py writes it; "" asks about the prompts.
    """

    folder: str = ""


def questions_card(options: QuestionsOptions, context: LoadContext) -> CorpusCard:
    data = _folder(options, context)
    splits = tuple(path.name.removeprefix("cuts_").removesuffix(".jsonl.gz") for path in sorted(data.glob("cuts_*.jsonl.gz")))
    return CorpusCard(("en",), splits, 16_000, {"en": "allison"} if not options.folder else {})


def _folder(options: QuestionsOptions, context: LoadContext) -> Path:
    return context.folders(options.folder)[0] if options.folder else Path(__file__).parent / "data"


class QuestionsCorpus:
    """See the module."""

    def __init__(self, options: QuestionsOptions, context: LoadContext) -> None:
        self.card, self.data = questions_card(options, context), _folder(options, context)

    def utterances(self, split: str) -> Iterator[Utterance]:
        return asked(utterances_from_cuts(self.data / f"cuts_{split}.jsonl.gz")) if split in self.card.splits else iter(())
