"""/v1/audio/speech: a text read aloud, sent while it is being made, as a sound file or as events."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, Field

from alm.api.errors import AlmError, UnknownNameError, did_you_mean
from alm.api.types import Prosody
from alm.core.results import Result
from alm.serve.served import Served
from alm.serve.sounds import FORMATS, SoundEncoder
from alm.serve.state import EVENTS, State, events, ignored, state_of

DEFAULT_VOICE = "default"  # whoever speaks the language
router = APIRouter(tags=["audio"])
SoundFormat = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]


class VoiceId(BaseModel):
    id: str


class SpeechRequest(BaseModel):
    """As OpenAI's, with the language beside it."""

    input: str
    model: str = ""
    voice: str | VoiceId = DEFAULT_VOICE
    response_format: SoundFormat = "mp3"
    speed: float = Field(1.0, ge=0.25, le=4.0)
    stream_format: Literal["audio", "sse"] = "audio"
    instructions: str = ""
    language: str = ""


@router.post("/v1/audio/speech", response_class=Response)
async def speech(request: Request, asked: SpeechRequest) -> Response:
    """Reads a text aloud. Sound comes in pieces, but for FLAC, whose header says how long it is; `pcm` is 16 bit at 24 kHz."""
    state = state_of(request)
    served, started = state.model(asked.model), time.perf_counter()
    _check_length(asked.input, state)
    headers = ignored({"instructions": asked.instructions})
    pieces = _spoken(served, asked, asked.language or state.options.language, state, started)
    if asked.stream_format == "sse":
        return StreamingResponse(events(await state.begun(_as_events(pieces))), media_type=EVENTS, headers=headers)
    sound = await state.begun(data for data, _ in pieces if data)
    return StreamingResponse(sound, media_type=FORMATS[asked.response_format].media_type, headers=headers)


def voice_of(served: Served, voice: str) -> str:
    """The speaker whom a client means; "" for whoever speaks the language.

    Raises:
        UnknownNameError: one whom the model does not know.
    """
    if voice == DEFAULT_VOICE:
        return ""
    if voice not in served.voices:
        raise UnknownNameError(f"got voice {voice!r}", f"{DEFAULT_VOICE!r} or a speaker of model {served.name!r}", did_you_mean(voice, [DEFAULT_VOICE, *served.voices]))
    return voice


def _check_length(text: str, state: State) -> None:
    most = state.options.max_characters
    if len(text) > most:
        raise AlmError(f"got a text of {len(text)} characters", f"at most {most}", "send it in pieces")


def _spoken(served: Served, asked: SpeechRequest, language: str, state: State, started: float) -> Iterator[tuple[bytes, Result | None]]:
    """Bytes of the sound as they are there; the Result with the last."""
    voice = voice_of(served, asked.voice if isinstance(asked.voice, str) else asked.voice.id)
    encoder, result = None, None
    for piece in served.pipeline.stream("TTS", asked.input, language, speaker=voice, prosody=Prosody(tempo=asked.speed)):
        result = piece.result or result
        if piece.audio is None:
            continue
        if encoder is None:
            encoder = SoundEncoder(asked.response_format, piece.audio.sample_rate_hz)
            state.metrics.first.labels("/v1/audio/speech").observe(time.perf_counter() - started)
        state.metrics.spoken.inc(piece.audio.duration_s)
        yield encoder.add(piece.audio), None
    if encoder is None:
        raise AlmError("the model emitted no unit", "audio", "try another text")
    yield encoder.finish(), result


def _as_events(pieces: Iterator[tuple[bytes, Result | None]]) -> Iterator[dict[str, Any]]:
    result = None
    for data, whole in pieces:
        result = whole or result
        if data:
            yield {"type": "speech.audio.delta", "audio": base64.b64encode(data).decode()}
    yield {"type": "speech.audio.done", "usage": usage_of(result)}


def usage_of(result: Result | None) -> dict[str, int]:
    """Ids that were shown and made, as OpenAI counts them for speech."""
    shown, made = (len(result.prompt), len(result.emitted)) if result is not None else (0, 0)
    return {"input_tokens": shown, "output_tokens": made, "total_tokens": shown + made}
