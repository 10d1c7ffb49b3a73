"""Sound as browsers and telephones record it."""

from __future__ import annotations

import av
import numpy as np
import torch

RECORDED = {"webm": ("webm", "libopus", 48_000), "mkv": ("matroska", "pcm_s16le", 16_000), "m4a": ("mp4", "aac", 16_000), "aac": ("adts", "aac", 16_000)}
FRAME = 960


def recorded(path, audio):
    """As a browser or a telephone writes it."""
    kind = path.suffix[1:]
    audio = audio.resample(RECORDED[kind][2])
    with path.open("wb") as file:
        write_container(file, kind, (audio.samples.clamp(-1, 1) * 32_767).round().to(torch.int16).T.numpy())
    return path


def write_container(file, kind, samples):
    """Samples [T, C] of int16, at the rate that the codec of a kind wants."""
    container, codec, rate_hz = RECORDED[kind]
    same = {"fflags": "bitexact"} if container in ("webm", "matroska") else {}  # which else names each file by chance
    with av.open(file, "w", format=container, options=same) as out:
        stream = out.add_stream(codec, rate=rate_hz, layout="stereo" if samples.shape[1] > 1 else "mono")
        for start in range(0, len(samples), FRAME):
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[start : start + FRAME]).reshape(1, -1), format="s16", layout=stream.layout.name)
            frame.sample_rate, frame.pts = rate_hz, start
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
