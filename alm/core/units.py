"""Units and features of a corpus's files, through the cache. A full cache encodes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from alm.api.errors import AlmError
from alm.api.types import AudioFile, Features, Units
from alm.core.audio import read_at
from alm.core.cache import Begun, Cache, cached
from alm.core.parts import Parts

Track = Callable[[Iterable[list[int]], int], Iterable[list[int]]]


def cached_units(parts: Parts, files: list[AudioFile], track: Track) -> list[Units]:
    """Units of each file by the recipe's tokenizer, which is loaded only if a file is not in the cache."""
    card = parts.card("tokenizer")
    if not card.fingerprint:
        raise AlmError("got a tokenizer without a codebook", "a trained one", "train it with a recipe of objective kmeans and set `codebook: dir:...`")
    late = _Late(lambda: parts.load("tokenizer"))

    def rows(units: Units) -> Tensor:
        """Codes, and below them the durations of merged repeats."""
        return (units.codes if units.durations is None else torch.cat([units.codes, units.durations[None]])).int()

    stored = cached(files, Cache(card.fingerprint), lambda clips: [rows(u) for u in late.part.encode(clips)], partial(read_at, card.sample_rate_hz), track)
    books = card.codebooks
    return [Units(r[:books].long(), card.frame_rate_hz, card.fingerprint, r[books].long() if card.merges_repeats else None) for r in stored]


def cached_features(parts: Parts, files: list[Any], track: Track) -> list[Features]:
    """Features of each file by the recipe's encoder, likewise; kept as float16. What was cached of the encoder without its adapter is adapted,
    not heard again."""
    card = parts.card("encoder")
    late = _Late(lambda: parts.load("encoder"))

    def read(file: Any) -> Any:
        return read_at(card.sample_rate_hz, file) if card.reads == "audio" else file.path

    begun = Begun(Cache(card.refines), lambda values: late.part.refine(values.float()).cpu()) if card.refines else None
    values: list[Tensor] = cached(files, Cache(card.fingerprint), lambda given: [f.values for f in late.part.encode(given)], read, track, begun)
    return [Features(v.float(), card.frame_rate_hz, card.fingerprint, card.frames_per_slot, card.extra_slots, card.reads) for v in values]


class _Late:
    """A part that is loaded when it is first used."""

    def __init__(self, load: Callable[[], Any]) -> None:
        self._load, self._part = load, None

    @property
    def part(self) -> Any:
        if self._part is None:
            self._part = self._load()
        return self._part
