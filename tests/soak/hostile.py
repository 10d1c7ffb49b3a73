"""Sound files as an attacker or a failing disk makes them, each by its number alone; and what becomes of them in the reader."""

from __future__ import annotations

import io
import random
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import soundfile as sf

from alm.api.errors import AlmError
from alm.core.sandbox import Sandbox
from tests.recorded import RECORDED, write_container

RATE_HZ, SECONDS = 16_000, 1.5
SLOW_S = 10.0
CONTAINERS = ("webm", "m4a", "aac")
FORMS = {
    "wav": ("WAV", "PCM_16"),
    "float.wav": ("WAV", "FLOAT"),
    "adpcm.wav": ("WAV", "MS_ADPCM"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}
FAILED = "the decoder failed"


@cache
def whole(kind: str) -> bytes:
    """A sweep with noise, as a file of a kind."""
    chance = np.random.default_rng(0)
    t = np.arange(round(RATE_HZ * SECONDS)) / RATE_HZ
    sound = (0.3 * np.sin(2 * np.pi * (200 + 300 * t) * t) + 0.02 * chance.standard_normal(len(t))).astype(np.float32)
    file = io.BytesIO()
    if kind in FORMS:
        container, codec = FORMS[kind]
        sf.write(file, sound, RATE_HZ, format=container, subtype=codec)
        return file.getvalue()
    samples = (np.repeat(sound, RECORDED[kind][2] // RATE_HZ)[:, None] * 32_767).astype(np.int16)
    write_container(file, kind, samples)
    return file.getvalue()


def _flip(data: bytearray, chance: random.Random) -> None:
    for _ in range(chance.choice((1, 3, 10, 100))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _lie(data: bytearray, chance: random.Random) -> None:
    """Numbers of the header, where they stand in most formats, become extreme."""
    value = chance.choice((0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, chance.getrandbits(32)))
    at = chance.randrange(min(len(data) - 4, chance.choice((64, 256, 4096))))
    data[at : at + 4] = struct.pack(chance.choice("<>") + "I", value & 0xFFFFFFFF)


def _cut(data: bytearray, chance: random.Random) -> None:
    del data[chance.randrange(1, len(data)) :]


def _drop(data: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(data))
    del data[start : start + chance.choice((1, 7, 64, 1000))]


def _repeat(data: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(data))
    piece = data[start : start + chance.choice((1, 16, 512))]
    data[start:start] = piece * chance.choice((1, 3, 50))


def _blank(data: bytearray, chance: random.Random) -> None:
    start, length = chance.randrange(len(data)), chance.choice((8, 100, 2000))
    data[start : start + length] = bytes([chance.choice((0, 255))]) * len(data[start : start + length])


def _splice(data: bytearray, chance: random.Random) -> None:
    """Goes on as a file of another kind."""
    other = whole(chance.choice((*FORMS, *CONTAINERS)))
    del data[chance.randrange(1, len(data)) :]
    data += other[chance.randrange(len(other)) :]


MUTATIONS: tuple[Callable[[bytearray, random.Random], None], ...] = (_flip, _lie, _cut, _drop, _repeat, _blank, _splice)


def mutated(number: int) -> tuple[str, bytes]:
    """Kind and bytes of a case."""
    chance = random.Random(number)
    kind = chance.choice((*FORMS, *CONTAINERS))
    data = bytearray(whole(kind))
    for _ in range(chance.choice((1, 1, 2, 4))):
        if len(data) > 8:
            chance.choice(MUTATIONS)(data, chance)
    return kind, bytes(data)


def extreme(silence_min: int = 60) -> Iterator[tuple[str, bytes]]:
    """What a header may say and no recording has: rates, channels, values; and small files of long silence."""
    sound = np.zeros(400, np.float32)
    for rate in (1, 10, 999, 1_000, 384_000, 384_001, 10_000_000, 0x7FFFFFFF):
        yield "wav", _wav(sound, rate, 1)
    for channels in (0, 1, 8, 9, 64, 1024, 65_535):
        yield "wav", _wav(np.zeros(4 * max(1, channels), np.float32), RATE_HZ, channels)
    for value in (np.nan, np.inf, -np.inf, 1e-42, 3e38, -3e38):
        yield "wav", _wav(np.full(400, value, np.float32), RATE_HZ, 1)
    minute = np.zeros(RATE_HZ * 60, np.float32)
    for kind in ("flac", "ogg", "opus", "mp3"):
        file = io.BytesIO()
        container, codec = FORMS[kind]
        with sf.SoundFile(file, "w", RATE_HZ, 1, codec, format=container) as out:
            for _ in range(silence_min):
                out.write(minute)
        yield kind, file.getvalue()
    for junk in (b"", b"\0", b"RIFF", b"fLaC", b"OggS", b"ID3", b"\x1aE\xdf\xa3", b"\0\0\0\x20ftypM4A ", b"\xff\xf1" * 2000, b"\0" * 100_000, bytes(range(256)) * 40):
        yield "bin", junk


def _wav(samples: np.ndarray, rate: int, channels: int) -> bytes:
    data = samples.tobytes()
    form = struct.pack("<HHIIHH", 3, channels, rate, min(rate * channels * 4, 0xFFFFFFFF), channels * 4 & 0xFFFF, 32)
    return b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", len(data)) + data


def cases(count: int, silence_min: int = 60) -> Iterator[tuple[str, bytes]]:
    yield from extreme(silence_min)
    yield from map(mutated, range(count))


def through_the_reader(count: int, folder: Path, until: float = float("inf"), max_duration_s: float = 60.0, silence_min: int = 60) -> Counter[str]:
    """What becomes of the cases: read, refused, or worse. Stops at a time of `time.monotonic`."""
    sandbox, found = Sandbox(2), Counter[str]()

    def read(case: tuple[int, tuple[str, bytes]]) -> list[str]:
        number, (kind, data) = case
        if time.monotonic() > until:
            return ["left out"]
        path = folder / f"{number}.{kind}"
        path.write_bytes(data)
        started, outcomes = time.monotonic(), []
        try:
            audio = sandbox.read_audio(path, max_duration_s)
            assert audio.duration_s <= max_duration_s and bool(audio.samples.isfinite().all())
            outcomes.append("read")
        except AlmError as error:
            said = "refused" if "\n" not in str(error) else "refused in several lines"
            outcomes.append(FAILED if "decoder fails" in error.got else said)
        if time.monotonic() - started > SLOW_S:
            outcomes.append("slow")
        if outcomes[0] != FAILED:  # one that a decoder dies of is left to be looked at
            path.unlink()
        return outcomes

    with ThreadPoolExecutor(2) as threads:
        for outcomes in threads.map(read, enumerate(cases(count, silence_min))):
            found.update(outcomes)
    sandbox.close()
    return found
