"""webm, mkv, m4a, mp4 and aac, as browsers and telephones record: FFmpeg's libraries (PyAV) behind the calls of soundfile.SoundFile.

A file is opened as what its first bytes say, and as nothing else: left to guess, FFmpeg takes playlists too, which name other files and addresses.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

PREROLL_S = 0.5  # decoded before the place that is sought, where a codec needs to settle


def demuxer_of(path: Path) -> str:
    """FFmpeg's name of the container that the first bytes tell; "" for none of these."""
    with path.open("rb") as file:
        head = file.read(12)
    if head[:4] == b"\x1aE\xdf\xa3":
        return "matroska"
    if head[4:8] == b"ftyp":
        return "mp4"
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:  # ADTS; MPEG's layers have other bits
        return "aac"
    return ""


class ContainerFile:
    """The first track of sound of a file.

    Args:
        demuxer: by `demuxer_of`.

    Raises:
        OSError: a file that cannot be decoded, from any call.
        ImportError: PyAV is not installed.
    """

    def __init__(self, path: Path, demuxer: str) -> None:
        import av

        self.path, self.demuxer = path, demuxer
        with _as_os_error():
            self.container: Any = av.open(str(path), format=demuxer, options={"protocol_whitelist": "file"})
            if not self.container.streams.audio:
                self.container.close()
                raise OSError("it holds no sound")
            self.stream = self.container.streams.audio[0]
            if self.stream.codec_context is None:
                self.container.close()
                raise OSError("its codec is not known")
            self.samplerate: int = self.stream.codec_context.sample_rate
            self.channels: int = self.stream.codec_context.channels
        self._blocks = self._decoded(0)
        self._left = np.zeros((0, self.channels), np.float32)

    @cached_property
    def frames(self) -> int:
        """Samples of a channel. Counted by decoding: what browsers record does not tell, and headers count a codec's padding too."""
        with ContainerFile(self.path, self.demuxer) as again:
            return sum(len(block) for block in again._blocks)

    def seek(self, sample: int) -> int:
        """Goes on from a sample, exact to the container's clock: a millisecond in webm."""
        with _as_os_error():
            self.container.seek(max(0, int((sample / self.samplerate - PREROLL_S) * 1e6)))
        self._blocks, self._left = self._decoded(sample), self._left[:0]
        return sample

    def read(self, count: int, dtype: str = "float32", always_2d: bool = True) -> NDArray[np.float32]:
        """Up to `count` samples, [N, channels]; fewer at the end alone."""
        blocks, total = [self._left], len(self._left)
        for block in self._blocks if total < count else ():
            blocks.append(block)
            total += len(block)
            if total >= count:
                break
        whole = np.concatenate(blocks)
        self._left = whole[count:].copy()
        return whole[:count]

    def _decoded(self, start: int) -> Iterator[NDArray[np.float32]]:
        """Blocks from a sample on."""
        import av

        with _as_os_error():
            resampler = av.AudioResampler("flt", self.stream.codec_context.layout, self.samplerate)
            at: int | None = None if start else 0
            for frame in self.container.decode(self.stream):
                if at is None:
                    at = round(float((frame.pts or 0) * frame.time_base) * self.samplerate)
                frame.pts = None
                for piece in resampler.resample(frame):
                    block: NDArray[np.float32] = piece.to_ndarray().reshape(-1, self.channels)  # type: ignore[assignment]  # "flt"
                    at += len(block)
                    if at > start:
                        yield block[-(at - start) :] if at - start < len(block) else block

    def close(self) -> None:
        self.container.close()

    def __enter__(self) -> ContainerFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.container.close()


@contextmanager
def _as_os_error() -> Iterator[None]:
    """FFmpeg's errors and PyAV's, which are of several kinds."""
    import av

    try:
        yield
    except (av.FFmpegError, ValueError, EOFError, IndexError) as error:
        raise OSError(f"{type(error).__name__}: {error}") from error
