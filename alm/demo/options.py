"""What `alm demo` may be told. Imports no gradio."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DemoOptions:
    """Attributes:
    models: registered models, checkpoint folders or recipes; all registered models and the cascade, if none is named.
    max_upload_mb, max_duration_s: of a recording.
    waiting: visitors' requests that may wait.
    """

    models: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    port: int = 7860
    max_upload_mb: int = 20
    max_duration_s: float = 60.0
    waiting: int = 16
