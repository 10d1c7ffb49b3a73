"""Sound out: the shipped vocoder against transformers' HiFi-GAN (V1 size, random weights), whole clips and in pieces."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path

import torch
from measure import CLIPS, Bench, Row, row, seconds_of, timed_in_turn
from torch import Tensor

from alm.api.types import Units

PEER = "transformers SpeechT5HifiGan (HiFi-GAN V1 size, random weights)"
MEL_RATE_HZ, MEL_REACH = 62.5, 14  # frames on either side that HiFi-GAN hears
CHUNK_S, STREAM_S, HOUR_S = 0.1, 20, 3600


@contextmanager
def cores(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def hifigan() -> Callable[[Tensor], Tensor]:
    from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

    return torch.inference_mode()(SpeechT5HifiGan(SpeechT5HifiGanConfig()).eval())


def offline(bench: Bench) -> list[Row]:
    """Seconds of speech per second, on all cores and on one."""
    vocoder, peer = bench.pipeline.vocoder, hifigan()
    units = bench.pipeline.tokenizer.encode(bench.clips)
    speakers, total_s = [""] * len(units), sum(u.duration_s for u in units)
    mels = [torch.randn(round(u.duration_s * MEL_RATE_HZ), 80) for u in units]
    rows = []
    for name, count in (("vocoder/unit-vocos/offline", torch.get_num_threads()), ("vocoder/unit-vocos/offline-one-core", 1)):
        with cores(count):
            vocoder.synthesize(units[:3], speakers[:3])
            mine_s, peer_s = timed_in_turn(lambda: vocoder.synthesize(units, speakers), lambda: [peer(mel) for mel in mels], rounds=1)
        rows.append(row(name, "s of speech per s", total_s, mine_s, PEER, peer_s))
    return rows


def stream(bench: Bench) -> list[Row]:
    """Milliseconds that 95 % of chunks of 100 ms need at most, on one core; the peer makes each chunk from as much of the spectrum
    around it as it hears."""
    vocoder, peer = bench.pipeline.vocoder, hifigan()
    units = Units.join(bench.pipeline.tokenizer.encode(bench.clips))
    bounds = [round(number * CHUNK_S * units.frame_rate_hz) for number in range(round(STREAM_S / CHUNK_S) + 1)]
    chunks = [units[start:stop] for start, stop in zip(bounds, bounds[1:], strict=False)]
    frames = round(CHUNK_S * MEL_RATE_HZ) + 2 * MEL_REACH
    mel = torch.randn(frames, 80)
    with cores(1):
        voice = vocoder.stream("")
        for chunk in chunks[:20]:
            voice.push(chunk)
            peer(mel)
        mine = sorted(seconds_of(lambda chunk=chunk: voice.push(chunk)) for chunk in chunks[20:])
        theirs = sorted(seconds_of(lambda: peer(mel)) for _ in chunks[20:60])
    mine_ms, peer_ms = (1000 * taken[int(0.95 * len(taken))] for taken in (mine, theirs))
    name = "vocoder/unit-vocos/stream-p95-ms"
    return [Row(name, round(mine_ms, 2), f"ms for {1000 * CHUNK_S:.0f} ms of speech, one core", PEER, round(peer_ms, 2), round(peer_ms / mine_ms, 2), CLIPS)]


def memory(bench: Bench) -> list[Row]:
    """Resident memory after an hour of streaming beside that after five minutes."""
    vocoder = bench.pipeline.vocoder
    units = bench.pipeline.tokenizer.encode(bench.clips)[0]
    seconds = [units[start : start + 25] for start in range(0, units.num_frames - 24, 25)]
    voice, pieces, heard, early = vocoder.stream(""), cycle(seconds), 0.0, 0.0
    while heard < HOUR_S:
        chunk = next(pieces)
        voice.push(chunk)
        heard += chunk.duration_s
        if not early and heard >= 300:
            early = _resident_mb()
    late = _resident_mb()
    return [Row("vocoder/unit-vocos/stream-memory-growth", round(late, 1), "MB after an hour of streaming", "after five minutes", round(early, 1), round(early / late, 3), 1)]


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def vocoding(bench: Bench) -> list[Row]:
    return [*offline(bench), *stream(bench), *memory(bench)]
