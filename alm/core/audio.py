"""Sound files <-> Audio. Any format that soundfile reads (wav, flac, ogg, opus, mp3), and webm, m4a, mp4 and aac with PyAV. Never guesses a rate.

Reads in blocks and stops at a limit while decoding, since a small compressed file can decode to gigabytes. Writes to a
temporary file beside the target and renames it, so that nothing half-written stays behind.
"""

import os
import tempfile
from pathlib import Path

import numpy as np
import soundfile as sf
import torch

from alm.api.errors import AlmError
from alm.api.types import Audio, AudioFile
from alm.core.containers import ContainerFile, demuxer_of

MAX_DURATION_S = 3600.0
MAX_CHANNELS = 8
SAMPLE_RATES_HZ = (1_000, 384_000)
BLOCK_SAMPLES = 1 << 20
READABLE = "a wav, flac, ogg, opus, mp3, webm, m4a or mp4 file"


def read_audio(source: AudioFile | Path | str, max_duration_s: float = MAX_DURATION_S) -> Audio:
    """Decodes a file, or the part of it that an AudioFile means.

    Raises:
        AlmError: a missing, empty, truncated or unreadable file, one that is longer than `max_duration_s`, more than
            eight channels, a rate outside 1 to 384 kHz, NaN samples.
    """
    part = source if isinstance(source, AudioFile) else AudioFile(Path(source))
    path = part.path
    _check_file(path)
    try:
        with _opened(path) as file:
            _check_header(file, path)
            rate = file.samplerate
            start = round(part.offset_s * rate)
            wanted = round(part.duration_s * rate) if part.duration_s is not None else None
            limit = int(max_duration_s * rate)
            if start:
                file.seek(start)
            blocks, total = [], 0
            while wanted is None or total < wanted:
                count = BLOCK_SAMPLES if wanted is None else min(BLOCK_SAMPLES, wanted - total)
                block = file.read(count, dtype="float32", always_2d=True)
                if not len(block):
                    break
                blocks.append(block)
                total += len(block)
                if total > limit:
                    raise AlmError(f"got {path}, which is longer than {max_duration_s:.0f} s", f"at most {max_duration_s:.0f} s", "cut it into shorter files")
            promised = file.frames if wanted is None else wanted
    except (sf.SoundFileError, OSError) as error:
        raise _undecodable(path, error) from error
    if not total:
        raise AlmError(f"got {path}, which has a header and no samples", "at least one sample", "record or copy it again")
    if path.suffix.lower() in (".wav", ".flac") and total < promised:
        raise AlmError(f"got {path}, which ends after {total} of {promised} samples", "a whole file", "copy it again")
    _check_wav_size(path)
    samples = np.concatenate(blocks) if len(blocks) > 1 else blocks[0]
    try:
        return Audio(torch.from_numpy(np.ascontiguousarray(samples.T)), rate)
    except AlmError as error:
        raise AlmError(f"{path}: {error.got}", error.wanted, error.fix) from error


def read_at(sample_rate_hz: int, source: AudioFile) -> Audio:
    """A file as a part with this rate wants it."""
    return prepare(read_audio(source), sample_rate_hz)


def duration_of(audio: AudioFile) -> float:
    """Seconds of the part that is meant, or of the whole file by its header.

    Raises:
        AlmError: as `header_of`.
    """
    if audio.duration_s is not None:
        return audio.duration_s
    rate, _, samples = header_of(audio.path)
    return samples / rate


def header_of(path: Path) -> tuple[int, int, int]:
    """Sample rate in Hz, channels and samples a channel by a file's header.

    Raises:
        AlmError: a file that is missing, empty or unreadable, or whose header `read_audio` would refuse.
    """
    _check_file(path)
    try:
        with _opened(path) as file:
            _check_header(file, path)
            return file.samplerate, file.channels, file.frames
    except (sf.SoundFileError, OSError) as error:
        raise _undecodable(path, error) from error


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise AlmError(f"got {path}, which is not a file", READABLE, "check the path")
    if path.stat().st_size == 0:
        raise AlmError(f"got {path}, which is empty", READABLE, "record or copy it again")


def _opened(path: Path) -> sf.SoundFile | ContainerFile:
    demuxer = demuxer_of(path)
    if not demuxer:
        return sf.SoundFile(path)
    try:
        return ContainerFile(path, demuxer)
    except ImportError as error:
        raise AlmError(f"got {path}, a file of kind {demuxer}", "a wav, flac, ogg, opus or mp3 file, or PyAV", "pip install av") from error


def _undecodable(path: Path, error: Exception) -> AlmError:
    return AlmError(f"got {path}, which cannot be decoded ({str(error).split(': ')[-1].rstrip('.')})", READABLE, "export it again as wav or flac")


def _check_header(file: sf.SoundFile | ContainerFile, path: Path) -> None:
    low, high = SAMPLE_RATES_HZ
    if not low <= file.samplerate <= high:
        raise AlmError(f"got {path} with a sample rate of {file.samplerate} Hz", f"{low} to {high} Hz", "correct the header or resample the file")
    if file.channels > MAX_CHANNELS:
        raise AlmError(f"got {path} with {file.channels} channels", f"at most {MAX_CHANNELS}", "mix it down first")


def _check_wav_size(path: Path) -> None:
    """libsndfile reads a wav that was cut short as if it were whole: compare the RIFF size with the file's."""
    with path.open("rb") as file:
        head = file.read(8)
    size = int.from_bytes(head[4:8], "little")
    if head[:4] == b"RIFF" and 0 < size < 0xFFFFFFFF - 8 and size + 8 > path.stat().st_size:
        raise AlmError(f"got {path}, which is truncated ({path.stat().st_size} of {size + 8} bytes)", "a whole file", "copy it again")


def write_audio(path: Path | str, audio: Audio) -> None:
    """Writes wav, flac, ogg or opus by the file's ending. Atomic: the file appears whole or not at all.

    Raises:
        AlmError: another ending, or a folder that cannot be written to.
    """
    path = Path(path)
    formats = {".wav": ("WAV", "PCM_16"), ".flac": ("FLAC", "PCM_16"), ".ogg": ("OGG", "OPUS"), ".opus": ("OGG", "OPUS")}
    if path.suffix.lower() not in formats:
        raise AlmError(f"got output file {path.name!r}", "a name ending in .wav, .flac, .ogg or .opus", "rename it")
    form, subtype = formats[path.suffix.lower()]
    if subtype == "OPUS" and audio.sample_rate_hz not in (8_000, 12_000, 16_000, 24_000, 48_000):
        audio = audio.resample(48_000)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    except OSError as error:
        raise AlmError(f"got output file {path}, which cannot be written ({error.strerror})", "a writable place", "choose another folder") from error
    os.close(handle)
    try:
        samples = audio.samples.clamp(-1, 1).T.numpy()
        with sf.SoundFile(temporary, "w", audio.sample_rate_hz, audio.num_channels, subtype, format=form) as file:
            for start in range(0, len(samples), BLOCK_SAMPLES):  # one long array crashes libsndfile's Ogg writer
                file.write(samples[start : start + BLOCK_SAMPLES])
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def prepare(audio: Audio, sample_rate_hz: int) -> Audio:
    """Mono at the rate that a component's card wants."""
    return audio.mono().resample(sample_rate_hz)
