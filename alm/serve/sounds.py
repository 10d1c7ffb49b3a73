"""Recordings that clients send -> Audio, and Audio -> the bytes of a sound file, piece by piece. Encodes with FFmpeg's libraries (PyAV)."""

from __future__ import annotations

import base64
import binascii
import io
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import av
import numpy as np

from alm.api.errors import AlmError
from alm.api.types import Audio

PCM_RATE_HZ = 24_000  # of "pcm", which has no header: what OpenAI's clients take it for
OPUS_RATE_HZ = 48_000
FULL_SCALE = 32_767
PAGE_US = "100000"  # of Ogg, by which it is sent; a second otherwise


class Format(NamedTuple):
    """Attributes:
    container, codec: as FFmpeg names them.
    rate_hz: which the codec wants; 0 takes the sound's own.
    whole: its header says how long it is, so that nothing can be sent before the end.
    """

    media_type: str
    container: str
    codec: str
    rate_hz: int = 0
    whole: bool = False


FORMATS = {
    "wav": Format("audio/wav", "wav", "pcm_s16le"),
    "mp3": Format("audio/mpeg", "mp3", "libmp3lame"),
    "opus": Format("audio/ogg", "ogg", "libopus", OPUS_RATE_HZ),
    "aac": Format("audio/aac", "adts", "aac"),
    "flac": Format("audio/flac", "flac", "flac", whole=True),
    "pcm": Format("audio/pcm", "s16le", "pcm_s16le", PCM_RATE_HZ),
}


class Sink:
    """What has been encoded and not been taken. A file that cannot be sought in, so that nothing that was sent changes."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self.pieces.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        taken, self.pieces = b"".join(self.pieces), []
        return taken


class WholeSink(io.BytesIO):
    """The same for a format whose header is written at the end: gives nothing before."""

    def take(self) -> bytes:
        return b""


class SoundEncoder:
    """Sound in pieces -> bytes of a file in pieces. Joined they are the file.

    Args:
        kind: one of FORMATS.
    """

    def __init__(self, kind: str, sample_rate_hz: int) -> None:
        self.form, self.rate_hz = FORMATS[kind], sample_rate_hz
        self.sink: Any = WholeSink() if self.form.whole else Sink()
        pages = {"page_duration": PAGE_US} if self.form.container == "ogg" else {}
        self.container = av.open(self.sink, "w", format=self.form.container, container_options=pages)
        self.stream: Any = self.container.add_stream(self.form.codec, rate=self.form.rate_hz or sample_rate_hz, layout="mono")

    def add(self, audio: Audio) -> bytes:
        samples = (audio.mono().samples.clamp(-1, 1) * FULL_SCALE).round().numpy().astype(np.int16)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="s16", layout="mono")
        frame.sample_rate, frame.pts = self.rate_hz, None
        self.container.mux(self.stream.encode(frame))
        return self.sink.take()

    def finish(self) -> bytes:
        self.container.mux(self.stream.encode(None))
        self.container.close()
        return self.sink.getvalue() if self.form.whole else self.sink.take()


def encoded(audio: Audio, kind: str) -> bytes:
    """A whole sound as a file."""
    encoder = SoundEncoder(kind, audio.sample_rate_hz)
    return encoder.add(audio) + encoder.finish()


@contextmanager
def as_file(data: IO[bytes], name: str) -> Iterator[Path]:
    """A recording that was sent as a file with the same ending, as long as it is needed."""
    with tempfile.NamedTemporaryFile(suffix=Path(name).suffix[:8]) as file:
        shutil.copyfileobj(data, file)
        file.flush()
        yield Path(file.name)


def from_base64(data: str) -> IO[bytes]:
    """A recording that stands in JSON.

    Raises:
        AlmError: no base64.
    """
    try:
        return io.BytesIO(base64.b64decode(data, validate=True))
    except (binascii.Error, ValueError) as error:
        raise AlmError(f"got audio that is no base64 ({error})", "the bytes of a sound file in base64", "encode it again") from error
