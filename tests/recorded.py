"""Sound as browsers and telephones record it."""

from __future__ import annotations

import av
import numpy as np
import torch

RECORDED = {"webm": ("webm", "libopus", 48_000), "mkv": ("matroska", "pcm_s16le", 16_000), "m4a": ("mp4", "aac", 16_000), "aac": ("adts", "aac", 16_000)}


def recorded(path, audio):
    """As a browser or a telephone writes it."""
    container, codec, rate_hz = RECORDED[path.suffix[1:]]
    audio = audio.resample(rate_hz)
    with av.open(str(path), "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate_hz, layout="stereo" if len(audio.samples) > 1 else "mono")
        for start in range(0, audio.num_samples, 960):
            values = (audio.samples[:, start : start + 960].clamp(-1, 1) * 32_767).round().to(torch.int16).T.reshape(1, -1).numpy()
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(values), format="s16", layout=stream.layout.name)
            frame.sample_rate, frame.pts = rate_hz, start
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path
