"""Results of tokenizers and encoders on disk, keyed by the content of the audio and the fingerprint of the component.

Training from a full cache encodes nothing. A key never depends on a file's name, so a corpus may move and a codebook
that was trained anew never meets old units. Files are written whole or not at all.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence as Many
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from alm.api.batching import batches_by_length
from alm.api.types import AudioFile, MediaFile
from alm.core.sources import cache_folder

BATCH_S = 120.0


class Cache:
    """One component's results: a tensor for each clip."""

    def __init__(self, fingerprint: str, folder: Path | None = None) -> None:
        assert fingerprint, "only a component with a fingerprint can be cached"
        self.folder = (folder or cache_folder()) / fingerprint

    def key(self, file: AudioFile | MediaFile) -> str:
        """Hash of the file's bytes and of the part that is meant."""
        digest = hashlib.sha256(file.path.read_bytes())
        if isinstance(file, AudioFile):
            digest.update(f"{file.offset_s:.4f} {file.duration_s}".encode())
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


@dataclass(frozen=True)
class Begun:
    """Results that another component left half way, and what makes them whole."""

    cache: Cache
    finish: Callable[[Tensor], Tensor]

    def get(self, key: str) -> Tensor | None:
        value = self.cache.get(key)
        return None if value is None else self.finish(value)


def cached(
    files: Many[Any],
    cache: Cache,
    encode: Callable[[list[Any]], list[Tensor]],
    read: Callable[[Any], Any],
    track: Callable[[Iterable[list[int]], int], Iterable[list[int]]] = lambda batches, total: batches,
    begun: Begun | None = None,
) -> list[Tensor]:
    """A tensor for each file, from the cache or encoded in batches by length and stored.

    Args:
        files: AudioFiles or MediaFiles.
        encode: called with what `read` gives of them; not called when everything is cached.
        track: wraps the batches that must be encoded, for a progress bar.
        begun: asked before anything is read and encoded.
    """
    keys = [cache.key(file) for file in files]
    results = [cache.get(key) for key in keys]
    missing = [i for i, result in enumerate(results) if result is None]
    lengths = [round((getattr(files[i], "duration_s", None) or files[i].path.stat().st_size / 4000) * 100) for i in missing]
    groups = [[missing[i] for i in group] for group in batches_by_length(lengths, round(BATCH_S * 100))]
    for group in track(groups, len(groups)):
        made = {i: value for i in group if begun is not None and (value := begun.get(keys[i])) is not None}
        rest = [i for i in group if i not in made]
        if rest:
            made |= zip(rest, encode([read(files[i]) for i in rest]), strict=True)
        for index, value in made.items():
            value = value.half() if value.dtype == torch.float32 else value
            cache.put(keys[index], value)
            results[index] = value
    return [result for result in results if result is not None]
