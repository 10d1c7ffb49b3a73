"""What is registered with alm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from alm.api.hookspecs import hookimpl

ALM_PLUGIN_API = 1


@hookimpl
def register_searches(register: Callable[..., None]) -> None:
    from alm_k2.cards import GraphOptions, K2Options, graph_card

    register("k2", _load_k2, graph_card, K2Options)
    register("kaldi", _load_kaldi, graph_card, GraphOptions)


def _load_k2(options: Any, context: Any) -> Any:
    from alm_k2.searches import load_k2

    return load_k2(options, context)


def _load_kaldi(options: Any, context: Any) -> Any:
    from alm_k2.searches import load_kaldi

    return load_kaldi(options, context)
