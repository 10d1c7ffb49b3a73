"""What several tabs ask of a model."""

from __future__ import annotations

from collections.abc import Sequence as Many
from typing import Any

from alm.api.demos import DemoPage


def languages_of(pipeline: Any) -> list[str]:
    return list(pipeline.languages)


def voices_of(pipeline: Any) -> list[tuple[str, str]]:
    """Speakers with their names; "" is whoever speaks the language."""
    parts = pipeline.parts
    names = next((parts.card(kind).speakers for kind in ("vocoder", "synthesizer") if parts.has(kind)), ())
    return [("of the language", ""), *((name, name) for name in names)]


def speaks(pipeline: Any) -> bool:
    return any(pipeline.task_card(use).outputs[-1].modality == "audio" for use in pipeline.tasks)


def starts_with(names: Many[str], wanted: str, otherwise: int = 0) -> str | None:
    """The wanted one, if it is there; else another."""
    return wanted if wanted in names else names[min(otherwise, len(names) - 1)] if names else None


def examples(page: DemoPage, inputs: list[Any], languages: Many[str], *, spoken_in: bool = True) -> None:
    """Held-out clips to begin with.

    Args:
        inputs: the gr.Audio, and with `spoken_in` what is told the clip's language.
    """
    import gradio as gr

    clips = [clip for clip in page.examples() if clip.language in languages]
    if clips:
        labels = [f"{clip.language}: {clip.text[:48]}{'…' * (len(clip.text) > 48)}" for clip in clips]
        gr.Examples([[str(clip.path), clip.language][: 1 + spoken_in] for clip in clips], inputs, label="Held-out clips", example_labels=labels)
