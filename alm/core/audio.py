"""Sound files <-> Audio. Never guesses a rate.

Writes to a temporary file beside the target and renames it, so that nothing half-written stays behind.
"""

import os
import tempfile
from pathlib import Path

import numpy as np
import soundfile as sf
import torch

from alm.api.errors import AlmError
from alm.api.types import Audio, AudioFile
from alm.core.decode import BLOCK_VALUES, MAX_DURATION_S, Recording


def read_audio(source: AudioFile | Path | str, max_duration_s: float = MAX_DURATION_S) -> Audio:
    """Decodes a file, or the part of it that an AudioFile means.

    Raises:
        AlmError: what `Recording` refuses, and NaN samples.
    """
    part = source if isinstance(source, AudioFile) else AudioFile(Path(source))
    with Recording(part, max_duration_s) as recording:
        blocks = list(recording)
    samples = np.concatenate(blocks) if len(blocks) > 1 else blocks[0]
    return as_audio(torch.from_numpy(np.ascontiguousarray(samples.T)), recording.sample_rate_hz, part.path)


def as_audio(samples: torch.Tensor, sample_rate_hz: int, path: Path) -> Audio:
    """Samples [C, T] of a file.

    Raises:
        AlmError: NaN samples.
    """
    try:
        return Audio(samples, sample_rate_hz)
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
    with Recording(AudioFile(path)) as recording:
        return recording.sample_rate_hz, recording.channels, recording.samples


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
            for start in range(0, len(samples), BLOCK_VALUES):  # one long array crashes libsndfile's Ogg writer
                file.write(samples[start : start + BLOCK_VALUES])
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def prepare(audio: Audio, sample_rate_hz: int) -> Audio:
    """Mono at the rate that a component's card wants."""
    return audio.mono().resample(sample_rate_hz)
