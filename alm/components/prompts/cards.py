"""Options and cards of the prompt formats. Read before anything loads, so it imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from alm.api.cards import PromptFormatCard
from alm.api.errors import AlmError
from alm.api.interfaces import LoadContext
from alm.api.languages import LANGUAGES
from alm.components.prompts import qwen_tags

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


CHATML_TAGS = ("<|im_start|>", "<|im_end|>")
TRANSCRIPT, ANALYSIS = "<|startoftranscript|>{source}", "<|startofanalysis|>{source}"
KEYWORD, CAPTION = f"{ANALYSIS}<|keyword|><|en|><|notimestamps|>", f"{ANALYSIS}<|caption|><|en|><|notimestamps|>"
HEADERS = {  # of tasks that Qwen-Audio has tags for; all others are asked as questions
    "ASR": f"{TRANSCRIPT}<|transcribe|>{{source}}<|notimestamps|><|wo_itn|>",
    "SRWT": f"{TRANSCRIPT}<|transcribe|>{{source}}<|timestamps|><|0.00|>",
    "AST": f"{TRANSCRIPT}<|translate|>{{target}}<|notimestamps|><|itn|>",
    "LID": "<|startoftranscript|>",
    "CAPTION": f"{CAPTION}<|caption_plain|>",
    "MUSIC": f"{CAPTION}<|music_description|>",
    "SCENE": f"{KEYWORD}<|scene|>",
    "EVENTS": f"{KEYWORD}<|event|>",
    "VOCAL": f"{KEYWORD}<|vocal_classification|>",
    "EMOTION": f"{KEYWORD}<|emotion_recognition|>",
    "SID": f"{KEYWORD}<|speaker_meta|>",
    "INTENT": f"{KEYWORD}<|speech_understanding|><|action|>",
    "ENTITIES": f"{KEYWORD}<|speech_understanding|><|entities|>",
    "NER": f"{KEYWORD}<|named_entity_recognition|>",
    "NOTE": f"{KEYWORD}<|note_analysis|>",
}


@dataclass(frozen=True)
class QwenAudioOptions:
    """Attributes:
    more_languages: ISO 639-1 codes that get a tag beside those of Qwen-Audio.
    headers: tags of further tasks, or other ones, by the task's tag; `{source}` and `{target}` stand for the languages' tags; "" has it
        asked as a question.
    """

    more_languages: tuple[str, ...] = ()
    headers: dict[str, Any] = field(default_factory=dict)


def qwen_audio_card(options: QwenAudioOptions, context: LoadContext | None) -> PromptFormatCard:
    """
    Raises:
        AlmError: a header whose tags Qwen-Audio has not, or has in another order.
    """
    for tag, header in options.headers.items():
        if not isinstance(header, str):
            raise AlmError(f"got header {header!r} for task {tag}", "a string of tags", "write it in quotation marks")
        if header:
            qwen_tags.check_header(header.replace("{source}", "<|en|>").replace("{target}", "<|en|>"), options.more_languages)
    return PromptFormatCard(
        outputs=("text", "marks"),
        languages=(*qwen_tags.LANGUAGES, *options.more_languages),
        added_tags=(*CHATML_TAGS, *qwen_tags.all_tags(options.more_languages)),
        combines=False,
        times=qwen_tags.TIMES_S,
        source="arXiv 2311.07919",
    )


@dataclass(frozen=True)
class ChatMlOptions:
    """Attributes:
    system: what stands before every conversation; "" writes no system turn.
    audio: the tags around each recording: Qwen-Audio's are `<audio>` and `</audio>`, Qwen2-Audio's `<|audio_bos|>` and `<|audio_eos|>`.
    qwen_audio: it has ids for all tags of format qwen-audio too, so that training goes on from a model of that.
    more_languages: then, those of that format.
    """

    system: str = "You are a helpful assistant."
    qwen_audio: bool = False
    more_languages: tuple[str, ...] = ()
    audio: tuple[str, ...] = (qwen_tags.AUDIO, qwen_tags.END_OF_AUDIO)


def chatml_card(options: ChatMlOptions, context: LoadContext | None) -> PromptFormatCard:
    """
    Raises:
        AlmError: another number of tags than two.
    """
    if len(options.audio) != 2:
        raise AlmError(f"got audio {list(options.audio)}", "a tag before and a tag behind a recording", f"write [{', '.join(ChatMlOptions.audio)}]")
    return PromptFormatCard(
        outputs=("text", "marks"),
        languages=tuple(LANGUAGES),
        added_tags=(*CHATML_TAGS, *(qwen_tags.all_tags(options.more_languages) if options.qwen_audio else options.audio)),
        times=qwen_tags.TIMES_S if options.qwen_audio else (),
        asks_in_words=True,
        combines=False,
        converses=True,
        source="arXiv 2311.07919",
    )
