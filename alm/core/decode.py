"""Sound files -> blocks of numbers: any format that soundfile reads (wav, flac, ogg, opus, mp3), and webm, m4a, mp4 and aac with PyAV. Never guesses a rate.

Limits are kept while it decodes, since a small compressed file can decode to gigabytes. Imports no torch, so that a process that decodes what strangers send is
small and starts at once (`alm.core.sandbox`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from alm.api.errors import AlmError
from alm.api.types import AudioFile
from alm.core.containers import ContainerFile, demuxer_of

MAX_DURATION_S = 3600.0
MAX_CHANNELS = 8
MAX_VALUES = 400_000_000  # of all channels: an hour of two at 48 kHz, and a little more
SAMPLE_RATES_HZ = (1_000, 384_000)
BLOCK_VALUES = 1 << 20
READABLE = "a wav, flac, ogg, opus, mp3, webm, m4a or mp4 file"
EXPORT_AGAIN = "export it again as wav or flac"


class Recording:
    """A file, or the part of it that an AudioFile means; as a context manager it is closed. Iterating gives blocks [N, channels] of float32.

    Attributes:
        sample_rate_hz, channels: by its header.

    Raises:
        AlmError: a missing, empty, truncated or unreadable file, one that is longer than `max_duration_s` or `MAX_VALUES`, more than eight channels, a rate
            outside 1 to 384 kHz.
    """

    def __init__(self, source: AudioFile, max_duration_s: float = MAX_DURATION_S) -> None:
        self.source, self.max_duration_s = source, max_duration_s
        path = source.path
        if not path.is_file():
            raise AlmError(f"got {path}, which is not a file", READABLE, "check the path")
        if path.stat().st_size == 0:
            raise AlmError(f"got {path}, which is empty", READABLE, "record or copy it again")
        try:
            self.file = _opened(path)
        except (sf.SoundFileError, OSError) as error:
            raise self._undecodable(error) from error
        self.sample_rate_hz, self.channels = self.file.samplerate, self.file.channels
        low, high = SAMPLE_RATES_HZ
        try:
            if not low <= self.sample_rate_hz <= high:
                raise AlmError(f"got {path} with a sample rate of {self.sample_rate_hz} Hz", f"{low} to {high} Hz", "correct the header or resample the file")
            if not 1 <= self.channels <= MAX_CHANNELS:
                raise AlmError(f"got {path} with {self.channels} channels", f"at most {MAX_CHANNELS}", "mix it down first")
        except AlmError:
            self.file.close()
            raise

    @property
    def samples(self) -> int:
        """Of a channel of the whole file: by its header, or counted."""
        try:
            return self.file.frames
        except (sf.SoundFileError, OSError) as error:
            raise self._undecodable(error) from error

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        try:
            yield from self._blocks()
        except (sf.SoundFileError, OSError) as error:
            raise self._undecodable(error) from error

    def _blocks(self) -> Iterator[NDArray[np.float32]]:
        path, rate, source = self.source.path, self.sample_rate_hz, self.source
        start, wanted = round(source.offset_s * rate), None if source.duration_s is None else round(source.duration_s * rate)
        limit, at_once, total = min(int(self.max_duration_s * rate), MAX_VALUES // self.channels), BLOCK_VALUES // self.channels, 0
        if start:
            self.file.seek(start)
        while wanted is None or total < wanted:
            block = self.file.read(at_once if wanted is None else min(at_once, wanted - total), dtype="float32", always_2d=True)
            if not len(block):
                break
            total += len(block)
            if total > limit:
                raise AlmError(f"got {path}, which is longer than {limit / rate:.0f} s", f"at most {limit / rate:.0f} s", "cut it into shorter files")
            yield block
        if not total:
            raise AlmError(f"got {path}, which has a header and no samples", "at least one sample", "record or copy it again")
        if path.suffix.lower() in (".wav", ".flac"):
            promised = self.file.frames if wanted is None else wanted
            if total < promised:
                raise AlmError(f"got {path}, which ends after {total} of {promised} samples", "a whole file", "copy it again")
        _check_wav_size(path)

    def _undecodable(self, error: Exception) -> AlmError:
        return AlmError(f"got {self.source.path}, which cannot be decoded ({str(error).split(': ')[-1].rstrip('.')})", READABLE, EXPORT_AGAIN)

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.file.close()


def _opened(path: Path) -> sf.SoundFile | ContainerFile:
    demuxer = demuxer_of(path)
    if not demuxer:
        return sf.SoundFile(path)
    try:
        return ContainerFile(path, demuxer)
    except ImportError as error:
        raise AlmError(f"got {path}, a file of kind {demuxer}", "a wav, flac, ogg, opus or mp3 file, or PyAV", "pip install av") from error


def _check_wav_size(path: Path) -> None:
    """libsndfile reads a wav that was cut short as if it were whole: compare the RIFF size with the file's."""
    with path.open("rb") as file:
        head = file.read(8)
    size = int.from_bytes(head[4:8], "little")
    if head[:4] == b"RIFF" and 0 < size < 0xFFFFFFFF - 8 and size + 8 > path.stat().st_size:
        raise AlmError(f"got {path}, which is truncated ({path.stat().st_size} of {size + 8} bytes)", "a whole file", "copy it again")
