"""Results of tokenizers and encoders on disk, keyed by the content of the audio and the fingerprint of the component.

Training from a full cache encodes nothing. A key never depends on a file's name, so a corpus may move and a codebook
that was trained anew never meets old units. Files are written whole or not at all.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence as Many
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from alm.api.batching import batches_by_length
from alm.api.types import Audio, AudioFile
from alm.core.audio import prepare, read_audio

BATCH_S = 120.0


def cache_folder() -> Path:
    """$ALM_CACHE, or ~/.cache/alm."""
    return Path(os.environ.get("ALM_CACHE", Path.home() / ".cache" / "alm"))


class Cache:
    """One component's results: a tensor for each clip."""

    def __init__(self, fingerprint: str, folder: Path | None = None) -> None:
        assert fingerprint, "only a component with a fingerprint can be cached"
        self.folder = (folder or cache_folder()) / fingerprint

    def key(self, audio: AudioFile) -> str:
        """Hash of the file's bytes and of the part that is meant."""
        digest = hashlib.sha256(audio.path.read_bytes())
        digest.update(f"{audio.offset_s:.4f} {audio.duration_s}".encode())
        return digest.hexdigest()[:24]

    def get(self, key: str) -> Tensor | None:
        path = self.path(key)
        if not path.exists():
            return None
        with safe_open(path, "pt") as file:
            return file.get_tensor("value")

    def put(self, key: str, value: Tensor) -> None:
        path = self.path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        os.close(handle)
        save_file({"value": value.contiguous()}, temporary)
        os.replace(temporary, path)

    def path(self, key: str) -> Path:
        """Where a key's tensor is kept, as `value` of a safetensors file."""
        return self.folder / key[:2] / f"{key}.safetensors"


def cached(
    files: Many[AudioFile],
    cache: Cache,
    encode: Callable[[list[Audio]], list[Tensor]],
    sample_rate_hz: int,
    track: Callable[[Iterable[list[int]], int], Iterable[list[int]]] = lambda batches, total: batches,
) -> list[Tensor]:
    """A tensor for each file, from the cache or encoded in batches by length and stored.

    Args:
        encode: called with clips at `sample_rate_hz`, mono; not called when everything is cached.
        track: wraps the batches that must be encoded, for a progress bar.
    """
    keys = [cache.key(file) for file in files]
    results = [cache.get(key) for key in keys]
    missing = [i for i, result in enumerate(results) if result is None]
    lengths = [round((files[i].duration_s or files[i].path.stat().st_size / 4000) * 100) for i in missing]
    groups = [[missing[i] for i in group] for group in batches_by_length(lengths, round(BATCH_S * 100))]
    for group in track(groups, len(groups)):
        clips = [prepare(read_audio(files[i]), sample_rate_hz) for i in group]
        for index, value in zip(group, encode(clips), strict=True):
            value = value.half() if value.dtype == torch.float32 else value
            cache.put(keys[index], value)
            results[index] = value
    return [result for result in results if result is not None]
