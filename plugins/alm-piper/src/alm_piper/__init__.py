"""Piper voices for alm. Importing this imports neither torch nor onnxruntime."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from alm.api.hookspecs import hookimpl

ALM_PLUGIN_API = 1


@hookimpl
def register_synthesizers(register: Callable[..., None]) -> None:
    from alm_piper.cards import PiperOptions, piper_card

    register("piper", _load, piper_card, PiperOptions)


def _load(options: Any, context: Any) -> Any:
    from alm_piper.voice import load_voice

    return load_voice(options, context)
