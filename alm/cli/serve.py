"""Models behind an HTTP API: serve."""

from __future__ import annotations

from typing import Annotated

import typer

from alm.api.errors import AlmError
from alm.cli.common import DEFAULT_MODEL, app


@app.command()
def serve(
    models: Annotated[list[str] | None, typer.Argument(help="Registered models, checkpoint folders or recipes; NAME=MODEL gives one the name by which clients ask.")] = None,
    host: Annotated[str, typer.Option(help="Where to listen; 0.0.0.0 for other machines, then with a key.")] = "127.0.0.1",
    port: int = 8000,
    api_key: Annotated[str, typer.Option(envvar="ALM_API_KEY", help="That every route asks for.")] = "",
    language: Annotated[str, typer.Option(help="Of requests that do not tell.")] = "en",
    language_by: Annotated[str, typer.Option(help="A model that tells it instead, of recordings: prompts-languages.")] = "",
    detector: Annotated[str, typer.Option(help="By which long recordings are cut at pauses: a registered speech detector, or a model.")] = "silero",
    max_upload_mb: Annotated[int, typer.Option(min=1)] = 25,
    max_duration_s: Annotated[float, typer.Option(min=1, help="Of a recording.")] = 3600.0,
    running: Annotated[int, typer.Option(min=1, help="Requests that are answered at a time.")] = 16,
    waiting: Annotated[int, typer.Option(min=0, help="That may wait besides; one more is told to come again.")] = 64,
    request_s: Annotated[float, typer.Option(min=0.1, help="After which a request is given up.")] = 600.0,
) -> None:
    """Serve models over HTTP, as OpenAI's clients speak it: /v1/audio/transcriptions, translations, speech, /v1/chat/completions."""
    try:
        import uvicorn

        from alm.serve.app import create_app
    except ImportError as error:
        raise AlmError(f"got no package {error.name}", "what the server needs", "pip install alm-audio[serve]") from error
    from alm.serve.options import ServeOptions

    named = dict(entry.split("=", 1) if "=" in entry else (entry, entry) for entry in models or [DEFAULT_MODEL])
    options = ServeOptions(named, api_key, language, language_by, detector, max_upload_mb, max_duration_s, running=running, waiting=waiting, request_s=request_s)
    uvicorn.run(create_app(options), host=host, port=port, log_level="info", timeout_keep_alive=5, h11_max_incomplete_event_size=1 << 16)
