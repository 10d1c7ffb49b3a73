"""What all routes share: the models, who is let in, and what is counted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import IO, Any, TypeVar

from fastapi import Request
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool

from alm.api.errors import AlmError
from alm.api.languages import language_code
from alm.api.types import Audio
from alm.core.results import Request as Asked
from alm.core.sandbox import Sandbox
from alm.serve.admission import Admission
from alm.serve.errors import error_body, message_of, status_of, unknown_model
from alm.serve.metrics import Metrics
from alm.serve.options import ServeOptions
from alm.serve.served import Served
from alm.serve.sounds import as_file

T = TypeVar("T")
EVENTS = "text/event-stream"
LANGUAGE_TASK, LISTENED_S = "LID", 30.0
END_OF_EVENTS = "data: [DONE]\n\n"


class State:
    """Made when the server starts."""

    def __init__(self, options: ServeOptions) -> None:
        self.options = options
        self.models = {name: Served(name, source, options) for name, source in options.models.items()}
        self.linguist = Served(options.language_by, options.language_by, options) if options.language_by else None
        if self.linguist is not None and LANGUAGE_TASK not in self.linguist.pipeline.tasks:
            raise AlmError(f"got {options.language_by!r} to tell languages", f"a model with task {LANGUAGE_TASK}, such as prompts-languages", "choose another")
        self.sandbox = Sandbox()
        self.admission, self.metrics = Admission(options.running, options.waiting), Metrics()

    def model(self, name: str) -> Served:
        """
        Raises:
            Refused: one that is not served (404).
        """
        if not name:
            return next(iter(self.models.values()))
        if name not in self.models:
            raise unknown_model(name, list(self.models))
        return self.models[name]

    def read_audio(self, data: IO[bytes], name: str) -> Audio:
        """What a client sent, decoded in a process of its own, and counted.

        Raises:
            AlmError: what cannot be decoded, or is too long.
        """
        with as_file(data, name) as path:
            audio = self.sandbox.read_audio(path, self.options.max_duration_s, name)
        self.metrics.heard.inc(audio.duration_s)
        return audio

    async def language_of(self, audio: Audio) -> str:
        """What is spoken in a recording whose request does not tell, by its first half minute."""
        if self.linguist is None:
            return self.options.language
        linguist, begins = self.linguist, Audio(audio.samples[:, : round(LISTENED_S * audio.sample_rate_hz)], audio.sample_rate_hz)
        result = await self.answered(lambda: linguist.batcher.ask(Asked(LANGUAGE_TASK, begins, self.options.language)))
        return language_code(result.text)

    async def answered(self, ask: Callable[[], Awaitable[T]]) -> T:
        """What comes of a request, with a place among those that are answered.

        Raises:
            Refused: too many wait.
            TimeoutError: it took too long.
        """
        async with self.admission.place(), asyncio.timeout(self.options.request_s):
            return await ask()

    async def in_turn(self, pieces: Iterator[T]) -> AsyncIterator[T]:
        """What a generator gives, each piece computed in a thread while the one before is sent; it is closed when the client leaves.

        Raises:
            Refused, TimeoutError: as `answered`.
        """
        until = asyncio.get_running_loop().time() + self.options.request_s
        async with self.admission.place():
            try:
                async for piece in iterate_in_threadpool(pieces):
                    yield piece
                    if asyncio.get_running_loop().time() > until:
                        raise TimeoutError
            finally:
                close = getattr(pieces, "close", None)
                if close is not None:
                    await run_in_threadpool(close)

    async def begun(self, pieces: Iterator[T]) -> AsyncIterator[T]:
        """The same with the first piece computed already, so that what is wrong with a request is answered with a status of its own."""
        running = self.in_turn(pieces)
        first = await anext(running, None)

        async def all_of_it() -> AsyncIterator[T]:
            try:
                if first is not None:
                    yield first
                async for piece in running:
                    yield piece
            finally:
                await running.aclose()  # type: ignore[attr-defined]

        return all_of_it()


async def events(pieces: AsyncIterator[dict[str, Any]], *, ends: bool = False) -> AsyncIterator[str]:
    """Server-sent events; an error in their midst is the last one.

    Args:
        ends: whether "[DONE]" comes at the end.
    """
    try:
        async for piece in pieces:
            yield f"data: {json.dumps(piece, ensure_ascii=False)}\n\n"
    except Exception as error:
        yield f"data: {json.dumps(error_body(message_of(error), status_of(error)))}\n\n"
        if status_of(error) >= 500:
            raise
        return
    if ends:
        yield END_OF_EVENTS


def ignored(asked: Mapping[str, object]) -> dict[str, str]:
    """The header that names what a client asked for and what makes no difference here, if there is such."""
    names = sorted(name for name, value in asked.items() if value)
    return {"X-Alm-Ignored": ", ".join(names)} if names else {}


def state_of(request: Request) -> State:
    found: State = request.app.state.alm
    return found
