"""Short dialogues between prompts: what a caller hears, and what is said in return. Made from the recordings by rule.

Which reply fits, and whether a prompt is good or bad news, is decided by `data/dialogues.yaml` from the English wording; the parallel
recordings in other languages take the same reply in their own language and voice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import yaml

from alm.api.cards import CorpusCard
from alm.api.manifests import utterances_from_cuts
from alm.api.types import Utterance

DATA = Path(__file__).parent / "data"
KEYS = {"*": "star", "#": "pound", "zero": "0", "one": "1", "two": "2"}


@dataclass(frozen=True)
class Rule:
    """Attributes:
    heard: what the English wording holds, a regular expression without regard to case.
    reply: the prompt id of the answer; `{key}` in it is what the expression names so.
    """

    heard: str
    reply: str
    sentiment: str = "neutral"

    def reply_to(self, text: str) -> str | None:
        """The prompt id of the reply to an English wording; None where the rule does not fit."""
        found = re.search(self.heard, text, re.IGNORECASE)
        if found is None:
            return None
        key = found.groupdict().get("key") or ""
        return self.reply.format(key=KEYS.get(key.lower(), key))


@cache
def rules() -> tuple[Rule, ...]:
    """In their order: the first that fits decides."""
    return tuple(Rule(**entry) for entry in yaml.safe_load((DATA / "dialogues.yaml").read_text()))


def reply_to(text: str) -> tuple[str, str] | None:
    """Of an English wording, the prompt id of the reply and the sentiment; None where no rule fits."""
    found = ((rule.reply_to(text), rule.sentiment) for rule in rules())
    return next(((reply, sentiment) for reply, sentiment in found if reply is not None), None)


class DialoguesCorpus:
    """Each prompt with a reply, followed by its reply; both have the prompt's id as group. Replies are recordings of the train split."""

    def __init__(self, card: CorpusCard) -> None:
        self.card = card

    def utterances(self, split: str) -> Iterator[Utterance]:
        if split not in self.card.splits:
            return
        prompts = list(utterances_from_cuts(DATA / f"cuts_{split}.jsonl.gz"))
        wordings = {u.group: u.text for u in prompts if u.language == "en"}
        replies = {u.id: u for u in (prompts if split == "train" else utterances_from_cuts(DATA / "cuts_train.jsonl.gz"))}
        for prompt in prompts:
            name, sentiment = reply_to(wordings.get(prompt.group, "")) or ("", "")
            reply = replies.get(f"{prompt.language}/{name}")
            if reply is not None and reply.id != prompt.id:
                yield replace(prompt, group=prompt.id, labels={**prompt.labels, "sentiment": sentiment})
                yield replace(reply, id=f"{prompt.id}/reply", group=prompt.id, labels={**reply.labels, "reply_to": prompt.id})
