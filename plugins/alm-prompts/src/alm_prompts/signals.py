"""Corpus `signals`: what is heard on a telephone beside speech, drawn by rule: tones as networks have them, music on hold, noise.

Frequencies and rhythms of the tones are those of North America (ITU-T E.180, Q.23 and T.30), a little off, at any level and in some noise, as
they arrive. The label `events` names what is heard; of key tones a question asks for the key.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from alm.api.cards import CorpusCard
from alm.api.errors import AlmError
from alm.api.types import AudioFile, Utterance

RATE_HZ = 16_000
SPLITS = {"train": 0.8, "dev": 0.1, "test": 0.1}
CARD = CorpusCard(("en",), tuple(SPLITS), RATE_HZ, licence="CC0-1.0")
KEYS = {"1": "one", "2": "two", "3": "three", "4": "four", "5": "five", "6": "six", "7": "seven", "8": "eight", "9": "nine", "*": "star", "0": "zero", "#": "pound"}
ROWS_HZ, COLUMNS_HZ = (697, 770, 852, 941), (1209, 1336, 1477)
Chance = np.random.Generator
Wave = NDArray[np.float64]


def tones(seconds: float, frequencies_hz: tuple[float, ...], on_s: float = 0.0, off_s: float = 0.0) -> Wave:
    """Sines together, going on and off; all the time with an `off_s` of 0."""
    time = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    wave = sum(np.sin(2 * np.pi * frequency * time) for frequency in frequencies_hz)
    return wave * (time % (on_s + off_s) < on_s) if off_s else wave  # type: ignore[return-value]


def _dial(seconds: float, chance: Chance) -> Wave:
    return tones(seconds, (350, 440))


def _busy(seconds: float, chance: Chance) -> Wave:
    return tones(seconds, (480, 620), 0.5, 0.5)


def _congestion(seconds: float, chance: Chance) -> Wave:
    return tones(seconds, (480, 620), 0.25, 0.25)


def _ringing(seconds: float, chance: Chance) -> Wave:
    return np.roll(tones(seconds, (440, 480), 2.0, 4.0), int(chance.integers(RATE_HZ)))


def _information(seconds: float, chance: Chance) -> Wave:
    """The three rising tones before an announcement."""
    rising = np.concatenate([tones(0.33, (frequency,)) for frequency in (950, 1400, 1800)])
    return np.resize(np.concatenate([rising, np.zeros(RATE_HZ)]), int(seconds * RATE_HZ))


def _fax(seconds: float, chance: Chance) -> Wave:
    return tones(seconds, (1100,), 0.5, 3.0) if chance.random() < 0.5 else tones(seconds, (2100,), 2.6, 0.4)


def _music(seconds: float, chance: Chance) -> Wave:
    """A melody of plucked notes on a pentatonic scale."""
    scale, length = [220 * 2 ** (step / 12) for step in (0, 3, 5, 7, 10, 12, 15, 17)], chance.uniform(0.18, 0.4)
    notes = []
    for _ in range(int(seconds / length) + 1):
        time, base = np.arange(int(length * RATE_HZ)) / RATE_HZ, chance.choice(scale)
        notes.append(sum(np.sin(2 * np.pi * base * number * time) / number**1.5 for number in range(1, 6)) * np.exp(-3 * time / length))
    return np.concatenate(notes)[: int(seconds * RATE_HZ)]


def _noise(seconds: float, chance: Chance) -> Wave:
    """Noise that falls with frequency, by up to 6 dB an octave."""
    count = int(seconds * RATE_HZ)
    spectrum = np.fft.rfft(chance.standard_normal(count)) / np.maximum(1, np.arange(count // 2 + 1)) ** chance.uniform(0, 1)
    return np.fft.irfft(spectrum, count)


def _key(key: str, seconds: float, chance: Chance) -> Wave:
    row, column = divmod("123456789*0#".index(key), 3)
    wave = np.zeros(int(seconds * RATE_HZ))
    pressed = tones(min(seconds, chance.uniform(0.3, 0.8)), (ROWS_HZ[row], COLUMNS_HZ[column]))
    start = int(chance.integers(len(wave) - len(pressed) + 1))
    wave[start : start + len(pressed)] = pressed
    return wave


SOUNDS: dict[str, Callable[[float, Chance], Wave]] = {
    "dial tone": _dial,
    "busy tone": _busy,
    "congestion tone": _congestion,
    "ringing tone": _ringing,
    "information tone": _information,
    "fax": _fax,
    "music": _music,
    "noise": _noise,
}
KEY_TONE = "key tone"


@dataclass(frozen=True)
class SignalsOptions:
    """Attributes:
    count: recordings of all splits.
    """

    count: int = 900
    seed: int = 0


class Signals:
    """See the module. Every recording is another one: its length, level, pitch and noise."""

    card = CARD

    def __init__(self, options: SignalsOptions, context: Any) -> None:
        if options.count < 10:
            raise AlmError(f"got count {options.count}", "10 or more recordings", "correct the option")
        self.options = options
        self.folder = Path(tempfile.gettempdir()) / f"alm-signals-{options.seed}"

    def utterances(self, split: str) -> Iterator[Utterance]:
        if split not in SPLITS:
            return
        ends = [round(self.options.count * share) for share in itertools.accumulate(SPLITS.values())]
        place = list(SPLITS).index(split)
        for number in range(ends[place - 1] if place else 0, ends[place]):
            chance = np.random.default_rng([self.options.seed, number])
            event = str(chance.choice([*SOUNDS, KEY_TONE]))
            key = str(chance.choice(list(KEYS)))
            labels = {"events": event, **({"question": "which key is pressed", "answer": KEYS[key]} if event == KEY_TONE else {})}
            yield Utterance(f"signal-{number}", AudioFile(self._drawn(number, event, key, chance)), "", "en", group=f"signal-{number}", labels=labels)

    def _drawn(self, number: int, event: str, key: str, chance: Chance) -> Path:
        path = self.folder / f"{number}.flac"
        if path.exists():
            return path
        seconds = chance.uniform(1.5, 4.0)
        wave = _key(key, seconds, chance) if event == KEY_TONE else SOUNDS[event](seconds, chance)
        detuned = np.interp(np.arange(0, len(wave), chance.uniform(0.985, 1.015)), np.arange(len(wave)), wave)
        level, noise_db = 10 ** (chance.uniform(-24, -6) / 20), chance.uniform(-50, -20)
        noisy = detuned / max(1e-6, np.abs(detuned).max()) + 10 ** (noise_db / 20) * chance.standard_normal(len(detuned))
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}.flac")
        sf.write(temporary, np.clip(level * noisy, -1, 1), RATE_HZ)
        temporary.replace(path)
        return path
