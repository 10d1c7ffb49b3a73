"""The page in the browser: demo."""

from __future__ import annotations

from typing import Annotated

import typer

from alm.cli.common import app


@app.command()
def demo(
    models: Annotated[list[str] | None, typer.Argument(help="Registered models, checkpoint folders or recipes; all registered ones and the cascade, if none is named.")] = None,
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 7860,
    max_upload_mb: Annotated[int, typer.Option(min=1)] = 20,
    max_duration_s: Annotated[float, typer.Option(min=1, help="Of a recording.")] = 60.0,
) -> None:
    """Open the page: talk with models, translate, see and edit units, compare, and look through the plugins."""
    from alm.demo.options import DemoOptions
    from alm.demo.page import Page, launch

    launch(Page(DemoOptions(tuple(models or ()), host, port, max_upload_mb, max_duration_s)))
