"""What every group of commands needs: the application, options that several have, and how a result is shown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from alm.core.pipeline import Pipeline
    from alm.core.results import Result

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None, help="Audio language models: tokenize, train, listen and speak."
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]
Model = Annotated[str, typer.Option("--model", help="A registered model's name or a checkpoint folder.")]
DEFAULT_MODEL = "prompts"


def load_model(model: str, overrides: Sequence[str] = ()) -> Pipeline:
    from alm.core.models import load

    return load(model, overrides)


def result_as_json(result: Result, output: Path | None) -> dict[str, Any]:
    units = result.units.codes.tolist() if result.units else None
    return {"task": result.request.task, "texts": result.texts, "units": units, "audio": str(output) if output else None, "seconds": result.seconds}


def show(result: Result, output: Path | None) -> None:
    """What came out, a line each."""
    for text in result.texts:
        print(text)
    if result.audio is not None:
        print(f"{result.audio.duration_s:.2f} s of speech" + (f" -> {output}" if output else "; write it with -o FILE.wav"))
