"""Puts the server together: `alm serve`, or create_app(options) for a server of one's own."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from alm.serve import about, chat, errors, speech, transcriptions
from alm.serve.guard import Guard
from alm.serve.options import ServeOptions
from alm.serve.state import State


def create_app(options: ServeOptions) -> FastAPI:
    """An ASGI application with the models loaded.

    Raises:
        AlmError: a model that cannot be opened.
    """
    state = State(options)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        for served in (*state.models.values(), *([state.linguist] if state.linguist else [])):
            await served.batcher.close()
        state.sandbox.close()

    app = FastAPI(title="alm", description="Audio language models behind OpenAI's endpoints.", version="1", lifespan=lifespan)
    app.state.alm = state
    errors.install(app)
    for part in (transcriptions, speech, chat, about):
        app.include_router(part.router)
    app.add_middleware(Counted, state=state)
    app.add_middleware(Guard, api_key=options.api_key, max_body_bytes=options.max_body_bytes)
    return app


class Counted:
    """Counts what is answered, by route and status."""

    def __init__(self, app: Any, state: State) -> None:
        self.app, self.state = app, state

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def noted(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noted)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self.state.metrics.requests.labels(route, str(status)).inc()
            self.state.metrics.seconds.labels(route).observe(time.perf_counter() - started)
