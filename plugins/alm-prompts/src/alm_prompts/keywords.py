"""The one keyword that a prompt is about, by its English wording: what task KWS asks for in any of the languages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from alm.api.types import Utterance

KEYWORDS = ("agent", "call", "conference", "extension", "hold", "mailbox", "menu", "message", "number", "participants", "password", "record", "volume")
WORD = re.compile(r"[a-z]+")


def keyword_of(english: str) -> str:
    """ "" of a wording that holds none of them, or several."""
    held = sorted(set(WORD.findall(english.lower())).intersection(KEYWORDS))
    return held[0] if len(held) == 1 else ""


def with_keywords(utterances: Iterable[Utterance]) -> Iterator[Utterance]:
    """The utterances with the label `keyword`, where the English one of their group has one."""
    found = list(utterances)
    keywords = {u.group: keyword_of(u.text) for u in found if u.language == "en"}
    for utterance in found:
        keyword = keywords.get(utterance.group)
        yield replace(utterance, labels={**utterance.labels, "keyword": keyword}) if keyword else utterance
