"""Options and cards of SpeechT5 (arXiv 2110.07205): recognizer, synthesizer and voice converter. Read before anything loads, so it imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from alm.api.cards import ConverterCard, RecognizerCard, SynthesizerCard
from alm.api.errors import AlmError
from alm.api.interfaces import LoadContext

SAMPLE_RATE_HZ = 16_000
SOURCE = "arXiv 2110.07205"
VOICES_FILE = "voices.safetensors"


@dataclass(frozen=True)
class SpeechT5RecognizerOptions:
    """Attributes:
    weights: weight source of a SpeechT5ForSpeechToText folder with its processor.
    language: that it was trained on; the published ones know English.
    """

    weights: str = ""
    language: str = "en"


@dataclass(frozen=True)
class SpeechT5VoiceOptions:
    """Options of the synthesizer and of the voice converter.

    Attributes:
        weights: weight source of a SpeechT5ForTextToSpeech, or a SpeechT5ForSpeechToSpeech, folder with its processor.
        vocoder: weight source of its SpeechT5HifiGan.
        voices: weight source of a folder with vectors of speakers: voices.safetensors, or a .npy file for each.
        language: that it was trained on; the published ones speak English.
        threshold: probability of the end at which it stops.
    """

    weights: str = ""
    vocoder: str = ""
    voices: str = ""
    language: str = "en"
    threshold: float = 0.5


def recognizer_card(options: SpeechT5RecognizerOptions, context: LoadContext) -> RecognizerCard:
    _check(options.weights, "speecht5", "weights")
    return RecognizerCard((options.language,), (), "MIT", SOURCE)


def synthesizer_card(options: SpeechT5VoiceOptions, context: LoadContext) -> SynthesizerCard:
    return SynthesizerCard(SAMPLE_RATE_HZ, (options.language,), speaker_names(options, context), "MIT", SOURCE)


def converter_card(options: SpeechT5VoiceOptions, context: LoadContext) -> ConverterCard:
    return ConverterCard(SAMPLE_RATE_HZ, speaker_names(options, context), "MIT", SOURCE)


def _check(source: str, name: str, option: str) -> None:
    if not source:
        raise AlmError(f"got {name!r} without {option}", "a weight source", f"set `{option}: dir:PATH` or `{option}: hf:ORG/NAME@REVISION`")


def speaker_names(options: SpeechT5VoiceOptions, context: LoadContext) -> tuple[str, ...]:
    """The voices of a folder, in order.

    Raises:
        AlmError: an option that is not set, a threshold outside of 0 to 1, or a folder without voices.
    """
    for option in ("weights", "vocoder", "voices"):
        _check(getattr(options, option), "speecht5", option)
    if not 0 < options.threshold < 1:
        raise AlmError(f"got threshold {options.threshold:g}", "above 0, below 1", "correct the option")
    folder = context.folders(options.voices)[0]
    if (folder / VOICES_FILE).is_file():
        from safetensors import safe_open

        with safe_open(folder / VOICES_FILE, "numpy") as file:
            return tuple(sorted(file.keys()))
    names = tuple(path.stem for path in _arrays(folder))
    if not names:
        raise AlmError(f"got {folder}, which has no voice", f"{VOICES_FILE}, or a .npy file for each speaker", "put vectors of speakers there")
    return names


def _arrays(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.npy"))
