"""Options and cards of the prompt formats. Read before anything loads, so it imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from alm.api.cards import PromptFormatCard
from alm.api.languages import LANGUAGES

AUDIOPALM_CARD = PromptFormatCard(tag_pattern="[A-Z][A-Z0-9-]*", languages=tuple(LANGUAGES), weaves=True, source="arXiv 2306.12925")
SPEECHGPT_CARD = PromptFormatCard(
    languages=tuple(LANGUAGES),
    added_tags=("<sosp>", "<eosp>", "[Human]", "[SpeechGPT]", "<eoh>", "<eos>"),
    unit_token="<{}>",
    asks_in_words=True,
    source="arXiv 2305.11000",
)


@dataclass(frozen=True)
class SpeechGptOptions:
    """Attributes:
    system: what stands before every conversation.
    learn_human: the loss covers the human's turn too, as in the script that SpeechGPT's authors released; False learns answers alone.
    ask_as_released: a prompt is spaced as in the authors' inference script, `[Human]: question <eoh>. [SpeechGPT]: `, which is not
        quite how their data are.
    """

    system: str = ""
    learn_human: bool = False
    ask_as_released: bool = False
