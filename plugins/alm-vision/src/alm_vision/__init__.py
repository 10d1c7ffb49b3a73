"""Yi-VL in alm: pictures through the interfaces that carry sound. Importing this imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from alm.api.hookspecs import hookimpl

ALM_PLUGIN_API = 1


@hookimpl
def register_encoders(register: Callable[..., None]) -> None:
    from alm_vision.cards import ClipOptions, clip_card

    register("clip", _load_clip, clip_card, ClipOptions)


@hookimpl
def register_prompt_formats(register: Callable[..., None]) -> None:
    from alm_vision.cards import YI_VL_CARD, YiVlOptions

    register("yi-vl", _load_yi_vl, YI_VL_CARD, YiVlOptions)


@hookimpl
def register_tasks(register: Callable[..., None]) -> None:
    from alm_vision.cards import TASKS

    for card in TASKS:
        register(card.tag, card=card)


@hookimpl
def register_corpora(register: Callable[..., None]) -> None:
    from alm_vision.drawings import CARD, DrawingsOptions, load_drawings

    register("drawings", load_drawings, CARD, DrawingsOptions)


@hookimpl
def register_recipes(register: Callable[..., None]) -> None:
    register(Path(__file__).parent / "recipes")


def _load_clip(options: Any, context: Any) -> Any:
    from alm_vision.clip import load_clip

    return load_clip(options, context)


def _load_yi_vl(options: Any, context: Any) -> Any:
    from alm_vision.yi_vl import YiVlFormat

    return YiVlFormat(options)
