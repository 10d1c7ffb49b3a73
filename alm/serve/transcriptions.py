"""/v1/audio/transcriptions and /v1/audio/translations: a recording of any length in, its text out, in five forms or as it is heard."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Request, UploadFile
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from alm.api.languages import language_name
from alm.api.types import Audio
from alm.core.results import Request as Asked
from alm.core.transcripts import Line, written
from alm.serve.served import Served
from alm.serve.state import EVENTS, events, ignored, state_of

WHOLE_S = 28.0  # a recording up to this is heard in one go, batched with others
INTO = "en"  # what OpenAI's translations are in

router = APIRouter(tags=["audio"])
ResponseFormat = Literal["json", "text", "srt", "verbose_json", "vtt"]
FORMS: dict[str, tuple[str, str]] = {"text": (".txt", "text/plain"), "srt": (".srt", "application/x-subrip"), "vtt": (".vtt", "text/vtt")}


@router.post("/v1/audio/transcriptions")
async def transcriptions(
    request: Request,
    file: UploadFile,
    model: Annotated[str, Form()] = "",
    language: Annotated[str, Form(description="ISO 639-1, of what is said.")] = "",
    response_format: Annotated[ResponseFormat, Form()] = "json",
    stream: Annotated[bool, Form()] = False,
    granularities: Annotated[list[Literal["word", "segment"]] | None, Form(alias="timestamp_granularities[]")] = None,
    prompt: Annotated[str, Form()] = "",
    temperature: Annotated[float, Form()] = 0.0,
) -> Response:
    """Writes down what is said."""
    headers = ignored({"prompt": prompt, "temperature": temperature})
    return await _heard(request, file, model, language, "", response_format, stream, set(granularities or ["segment"]), headers)


@router.post("/v1/audio/translations")
async def translations(
    request: Request,
    file: UploadFile,
    model: Annotated[str, Form()] = "",
    language: Annotated[str, Form(description="ISO 639-1, of what is said; beside OpenAI's fields.")] = "",
    response_format: Annotated[ResponseFormat, Form()] = "json",
    prompt: Annotated[str, Form()] = "",
    temperature: Annotated[float, Form()] = 0.0,
) -> Response:
    """Writes down in English what is said in another language."""
    headers = ignored({"prompt": prompt, "temperature": temperature})
    return await _heard(request, file, model, language, INTO, response_format, False, {"segment"}, headers)


async def _heard(
    request: Request, file: UploadFile, model: str, language: str, into: str, form: ResponseFormat, streams: bool, granularities: set[str], headers: dict[str, str]
) -> Response:
    state = state_of(request)
    served = state.model(model)
    audio = await run_in_threadpool(state.read_audio, file.file, file.filename or "audio")
    language = language or await state.language_of(audio)
    target = "" if into == language else into
    short = audio.duration_s <= WHOLE_S
    if streams:
        return StreamingResponse(events(await state.begun(_in_pieces(served, audio, language, target, short))), media_type=EVENTS, headers=headers)
    if short and form in ("json", "text"):
        task = served.pipeline.combined("AST", language, target) if target else "ASR"
        result = await state.answered(lambda: served.batcher.ask(Asked(task, audio, language, target)))
        lines = [Line(result.text, 0.0, audio.duration_s)]
    else:
        found = state.in_turn(_marked(served, served.lines(audio, language, target), audio, target or language, "word" in granularities))
        lines = [line async for line in found]
    text = " ".join(line.text for line in lines)
    if form == "json":
        usage = {"usage": {"type": "duration", "seconds": round(audio.duration_s, 2)}} if not into else {}
        return JSONResponse({"text": text, **usage}, headers=headers)
    if form == "verbose_json":
        return JSONResponse(_verbose(lines, text, audio.duration_s, target or language, granularities, translates=bool(into)), headers=headers)
    if form == "text":
        return PlainTextResponse(f"{text}\n", headers=headers)
    ending, media_type = FORMS[form]
    return Response(written(tuple(lines), ending), media_type=media_type, headers=headers)


def _marked(served: Served, lines: Iterator[Line], audio: Audio, language: str, words: bool) -> Iterator[Line]:
    """Lines with the times of their words, if these are wanted."""
    for line in lines:
        if words and not line.words:
            cut = Audio(audio.samples[:, round(line.start_s * audio.sample_rate_hz) : round(line.stop_s * audio.sample_rate_hz)], audio.sample_rate_hz)
            found = Line("", 0.0, 0.0, served.words(cut, line.text, language)).later(line.start_s)
            line = Line(line.text, line.start_s, line.stop_s, found.words, line.log_prob, line.speech)
        yield line


def _in_pieces(served: Served, audio: Audio, language: str, target: str, short: bool) -> Iterator[dict[str, Any]]:
    """OpenAI's events of a transcript."""
    text = ""
    parts = served.pipeline.stream("ASR", audio, language) if short else served.lines(audio, language, target)
    found = (part.text for part in parts if part.text)
    for new in found:
        delta = new if short or not text else f" {new}"
        text += delta
        yield {"type": "transcript.text.delta", "delta": delta}
    yield {"type": "transcript.text.done", "text": text}


def _verbose(lines: list[Line], text: str, duration_s: float, language: str, granularities: set[str], *, translates: bool) -> dict[str, Any]:
    """As Whisper's own; `seek` counts hundredths of a second."""
    segments = [
        {
            "id": number,
            "seek": round(100 * line.start_s),
            "start": round(line.start_s, 2),
            "end": round(line.stop_s, 2),
            "text": line.text,
            "tokens": [],
            "temperature": 0.0,
            "avg_logprob": 0.0 if line.log_prob is None else round(line.log_prob, 4),
            "compression_ratio": round(_compression(line.text), 4),
            "no_speech_prob": round(1 - line.speech, 4),
        }
        for number, line in enumerate(lines)
    ]
    found: dict[str, Any] = {"task": "translate" if translates else "transcribe", "language": language_name(language).lower(), "duration": round(duration_s, 2), "text": text}
    if "segment" in granularities:
        found["segments"] = segments
    if "word" in granularities:
        found["words"] = [{"word": word.text, "start": round(word.start_s, 2), "end": round(word.stop_s, 2)} for line in lines for word in line.words]
    if not translates:
        found["usage"] = {"type": "duration", "seconds": round(duration_s, 2)}
    return found


def _compression(text: str) -> float:
    raw = text.encode()
    return len(raw) / len(zlib.compress(raw))
