"""The prompts corpus, its recipes and the reference model, as a plugin of alm."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from alm.api.cards import CorpusCard
from alm.api.hookspecs import hookimpl
from alm.api.manifests import utterances_from_cuts
from alm.api.types import Utterance
from alm_prompts.keywords import with_keywords

ALM_PLUGIN_API = (1, 1)
HERE = Path(__file__).parent
CARD = CorpusCard(
    languages=("en", "es", "fr", "it", "ru"),
    splits=("train", "dev", "test"),
    sample_rate_hz=16_000,
    speakers={"en": "allison", "es": "allison-es", "fr": "june", "it": "carlo", "ru": "ivrvoice"},
    licence="CC-BY-SA-3.0 (ru, it: CC-BY-3.0)",
    source="Debian packages asterisk-core-sounds-{en,es,fr,it,ru}",
)


class PromptsCorpus:
    """Recorded telephone prompts in five languages, parallel by prompt id; with the times of their words, and the keyword of some."""

    card = CARD

    def utterances(self, split: str) -> Iterator[Utterance]:
        return with_keywords(utterances_from_cuts(HERE / "data" / f"cuts_{split}.jsonl.gz"))


@hookimpl
def register_corpora(register: Callable[..., None]) -> None:
    from alm_prompts import signals
    from alm_prompts.conversations import ConversationsCorpus, ConversationsOptions
    from alm_prompts.dialogues import DialoguesCorpus
    from alm_prompts.questions import QuestionsCorpus, QuestionsOptions, questions_card

    register("prompts", lambda options, context: PromptsCorpus(), CARD)
    register("prompts-dialogues", lambda options, context: DialoguesCorpus(CARD), CARD)
    register("prompts-conversations", lambda options, context: ConversationsCorpus(options, CARD), CARD, ConversationsOptions)
    register("signals", signals.Signals, signals.CARD, signals.SignalsOptions)
    register("prompts-questions", QuestionsCorpus, questions_card, QuestionsOptions)


@hookimpl
def register_recipes(register: Callable[..., None]) -> None:
    register(HERE / "recipes")


@hookimpl
def register_models(register: Callable[..., Any]) -> None:
    for folder in sorted((HERE / "models").glob("*/recipe.yaml")):
        register(folder.parent.name, folder.parent)
