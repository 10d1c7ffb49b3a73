"""alm: audio language models from parts that plug in. Public names load when they are used; `import alm` loads no torch."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alm.api.errors import AlmError as AlmError
    from alm.api.hookspecs import hookimpl as hookimpl
    from alm.api.types import Audio as Audio, AudioFile as AudioFile, Features as Features, Segment as Segment, Units as Units
    from alm.core.audio import read_audio as read_audio, write_audio as write_audio
    from alm.core.models import load as load
    from alm.core.pipeline import Pipeline as Pipeline

__version__ = "0.1.0"

# Speech comes in ever new lengths. oneDNN keeps what it compiled for 1,024 of them, in small pieces between the freed tensors, whose memory then
# cannot be used again: a long job seems to grow. A step repeats fewer shapes than these.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")

_WHERE = {
    "AlmError": "alm.api.errors",
    "hookimpl": "alm.api.hookspecs",
    "Audio": "alm.api.types",
    "AudioFile": "alm.api.types",
    "Features": "alm.api.types",
    "Segment": "alm.api.types",
    "Units": "alm.api.types",
    "read_audio": "alm.core.audio",
    "write_audio": "alm.core.audio",
    "Pipeline": "alm.core.pipeline",
    "load": "alm.core.models",
}

__all__ = [*_WHERE, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'alm' has no attribute {name!r}")
    return getattr(importlib.import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
