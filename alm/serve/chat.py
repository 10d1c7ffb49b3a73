"""/v1/chat/completions: messages of text and sound in, an answer in text or in both out, whole or as it is made.

A model whose prompt format carries conversations is shown all messages; another answers one message at a time, and is given no others.
"""

from __future__ import annotations

import base64
import dataclasses
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from alm.api.errors import AlmError
from alm.api.types import Audio
from alm.core.conversation import Conversation
from alm.core.parts import load_component
from alm.core.results import Piece, Result
from alm.serve.errors import Refused
from alm.serve.served import Served
from alm.serve.sounds import SoundEncoder, from_base64
from alm.serve.speech import VoiceId, voice_of
from alm.serve.state import EVENTS, State, events, ignored, state_of

router = APIRouter(tags=["chat"])
KEPT_S = 3600  # what OpenAI calls expires_at; nothing is kept here, the sound is in the answer
ROLES: dict[str, Literal["system", "user", "assistant"]] = {"developer": "system", "system": "system", "user": "user", "assistant": "assistant"}
AUDIO_FORMATS = {"pcm16": "pcm"}  # as OpenAI calls them here


class TextPart(BaseModel):
    type: Literal["text"]
    text: str


class InputAudio(BaseModel):
    data: str
    format: str


class AudioPart(BaseModel):
    type: Literal["input_audio"]
    input_audio: InputAudio


Part = Annotated[TextPart | AudioPart, Field(discriminator="type")]


class Message(BaseModel):
    """Of an earlier answer in sound (`audio.id`) nothing is kept: its transcript is to be sent."""

    role: Literal["developer", "system", "user", "assistant"]
    content: str | list[Part] | None = None
    audio: VoiceId | None = None


class AudioAsked(BaseModel):
    format: Literal["wav", "aac", "mp3", "flac", "opus", "pcm16"] = "wav"
    voice: str | VoiceId = "default"


class StreamOptions(BaseModel):
    include_usage: bool = False


class ChatRequest(BaseModel):
    """As OpenAI's, with the language beside it. Further fields are taken; which of them make no difference the header X-Alm-Ignored says."""

    model_config = ConfigDict(extra="allow")

    messages: list[Message] = Field(min_length=1)
    model: str = ""
    modalities: list[Literal["text", "audio"]] = ["text"]
    audio: AudioAsked | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    seed: int = 0
    n: int | None = None
    tools: list[Any] | None = None
    language: str = ""


@dataclass(frozen=True)
class Said:
    """A message as a pipeline takes it."""

    role: Literal["system", "user", "assistant"]
    pieces: tuple[str | Audio, ...]


@router.post("/v1/chat/completions", response_class=JSONResponse)
async def completions(request: Request, asked: ChatRequest) -> Response:
    """Answers the last message."""
    state = state_of(request)
    served = state.model(asked.model)
    _check(asked)
    said = await run_in_threadpool(_said, asked, state)
    headers = ignored(dict.fromkeys(asked.model_extra or {}, True))
    pieces = _answered(served, asked, said, asked.language or state.options.language)
    identity = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": served.name}
    if asked.stream:
        found = await state.begun(_chunks(pieces, asked, identity, state))
        return StreamingResponse(events(found, ends=True), media_type=EVENTS, headers=headers)
    text, sound, result = "", list[bytes](), None
    async for piece in state.in_turn(_encoded(pieces, asked, state)):
        text += piece.text
        sound += [piece.sound] if piece.sound else []
        result = piece.result or result
    message: dict[str, Any] = {"role": "assistant", "content": None if asked.audio else text, "refusal": None}
    if asked.audio:
        message["audio"] = {"id": _audio_id(), "data": base64.b64encode(b"".join(sound)).decode(), "expires_at": int(time.time()) + KEPT_S, "transcript": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    return JSONResponse({**identity, "object": "chat.completion", "choices": [choice], "usage": _usage(result)}, headers=headers)


def _check(asked: ChatRequest) -> None:
    """
    Raises:
        AlmError: what is not done here.
    """
    if asked.n not in (None, 1):
        raise AlmError(f"got n={asked.n}", "1", "ask once for each answer")
    if asked.tools:
        raise AlmError("got tools", "none: the models call no functions", "leave them out")
    if "audio" in asked.modalities and asked.audio is None:
        raise AlmError('got modalities with "audio" and no `audio`', 'audio: {"format": ..., "voice": ...}', "name both")
    if "audio" not in asked.modalities and asked.audio is not None:
        raise AlmError("got `audio` for an answer in text", 'modalities: ["text", "audio"]', "name both, or leave it out")
    if asked.audio is not None and asked.stream and asked.audio.format != "pcm16":
        raise AlmError(f"got audio format {asked.audio.format!r} for a streamed answer", "'pcm16'", "choose it, or do not stream")
    if asked.messages[-1].role != "user":
        raise AlmError(f"got a last message of the {asked.messages[-1].role}", "one of the user", "end with what is to be answered")


def _said(asked: ChatRequest, state: State) -> list[Said]:
    """Messages with their recordings read.

    Raises:
        AlmError: a message without content, a recording that cannot be read, or more text than is taken.
    """
    found, characters = [], 0
    for message in asked.messages:
        parts = message.content if isinstance(message.content, list) else [TextPart(type="text", text=message.content or "")]
        pieces: list[str | Audio] = []
        for part in parts:
            if isinstance(part, TextPart):
                characters += len(part.text)
                pieces += [part.text] if part.text.strip() else []
            else:
                pieces.append(state.read_audio(from_base64(part.input_audio.data), f"audio.{part.input_audio.format}"))
        if not pieces:
            raise AlmError(f"got a message of the {message.role} without content", "text or sound", "of an answer in sound send its transcript")
        found.append(Said(ROLES[message.role], tuple(pieces)))
    if characters > state.options.max_characters:
        raise AlmError(f"got messages of {characters} characters", f"at most {state.options.max_characters}", "leave out earlier ones")
    return found


def _answered(served: Served, asked: ChatRequest, said: list[Said], language: str) -> Iterator[Piece]:
    """Text of the answer, and its sound where that is wanted; the Result with the last piece."""
    pipeline = served.pipeline
    voice = voice_of(served, asked.audio.voice if isinstance(asked.audio.voice, str) else asked.audio.voice.id) if asked.audio else ""
    decoder = _decoder(served, asked)
    if pipeline.converses:
        talk = Conversation(pipeline, language, "refuse")
        for turn in said[:-1]:
            talk.recall(turn.role, *turn.pieces)
        yield from talk.stream(*said[-1].pieces, aloud=asked.audio is not None, speaker=voice, decoder=decoder, seed=asked.seed)
        return
    if len(said) > 1 or len(said[0].pieces) > 1:
        raise AlmError(
            f"got {len(said)} messages for model {served.name!r}",
            "one of one text or one recording: it answers one at a time",
            "send the last one alone, or serve a model that converses",
        )
    for piece in pipeline.chat_in_pieces(said[0].pieces[0], language, to="audio" if asked.audio else "text", speaker=voice, decoder=decoder, seed=asked.seed):
        yield piece if asked.audio else dataclasses.replace(piece, audio=None)


def _decoder(served: Served, asked: ChatRequest) -> Any:
    """A sampler, where a temperature above 0 or `top_p` asks for one."""
    if not asked.temperature and asked.top_p is None:
        return None
    options = {"temperature": asked.temperature if asked.temperature else 1.0, "top_p": asked.top_p or 1.0}
    return load_component(served.pipeline.parts.found, "decoder", "sample", options, served.pipeline.parts.context)


@dataclass(frozen=True)
class Encoded:
    text: str = ""
    sound: bytes = b""
    result: Result | None = None


def _encoded(pieces: Iterator[Piece], asked: ChatRequest, state: State) -> Iterator[Encoded]:
    """Pieces with their sound as bytes of the wanted format."""
    encoder = None
    for piece in pieces:
        sound = b""
        if piece.audio is not None and asked.audio is not None:
            kind = AUDIO_FORMATS.get(asked.audio.format, asked.audio.format)
            encoder = encoder or SoundEncoder(kind, piece.audio.sample_rate_hz)
            state.metrics.spoken.inc(piece.audio.duration_s)
            sound = encoder.add(piece.audio)
        yield Encoded(piece.text, sound, piece.result)
    if asked.audio is not None:
        if encoder is None:
            raise Refused(400, "the model made no sound", "a spoken answer", "try another message, or ask for text alone")
        yield Encoded(sound=encoder.finish())


def _chunks(pieces: Iterator[Piece], asked: ChatRequest, identity: dict[str, Any], state: State) -> Iterator[dict[str, Any]]:
    """OpenAI's chunks: of an answer in sound the text is its transcript."""
    audio_id, result, usage = _audio_id(), None, asked.stream_options is not None and asked.stream_options.include_usage

    def chunk(delta: dict[str, Any] | None, finish: str | None = None, counted: dict[str, Any] | None = None) -> dict[str, Any]:
        choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}]
        return {**identity, "object": "chat.completion.chunk", "choices": choices, **({"usage": counted} if usage else {})}

    yield chunk({"role": "assistant", "content": None if asked.audio else "", "refusal": None})
    for piece in _encoded(pieces, asked, state):
        result = piece.result or result
        if asked.audio:
            audio = {"transcript": piece.text} if piece.text else {"data": base64.b64encode(piece.sound).decode()} if piece.sound else {}
            if audio:
                yield chunk({"audio": {"id": audio_id, **audio}})
        elif piece.text:
            yield chunk({"content": piece.text})
    if asked.audio:
        yield chunk({"audio": {"expires_at": int(time.time()) + KEPT_S}})
    yield chunk({}, "stop")
    if usage:
        yield chunk(None, counted=_usage(result))


def _usage(result: Result | None) -> dict[str, int]:
    shown, made = (len(result.prompt), len(result.emitted)) if result is not None else (0, 0)
    return {"prompt_tokens": shown, "completion_tokens": made, "total_tokens": shown + made}


def _audio_id() -> str:
    return f"audio_{uuid.uuid4().hex}"
