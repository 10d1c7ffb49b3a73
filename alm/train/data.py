"""Batches for every objective: fixed size in frames, of like length, shuffled anew each epoch. Knows lengths, not content.

What is drawn by chance for a batch depends on the seed, the epoch and the batch's number in it alone.
"""

from __future__ import annotations

import hashlib
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence as Many
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, distributed
from torch.utils.data import DataLoader, Dataset, Sampler

from alm.api.batching import batches_by_length


class Numbered(list[Any]):
    """A batch, and the seed of what is drawn by chance for it."""

    def __init__(self, items: Many[Any], seed: str) -> None:
        super().__init__(items)
        self.seed = seed


class EpochBatches(Sampler[list[Any]], ABC):
    """Batches that a subclass draws anew each epoch, by seed and epoch alone, so that a resumed run goes on with its own epoch.

    Lightning tells the epoch to `batch_sampler.sampler`, which is therefore this object. It also leaves an iterator before
    its end, so the epoch counts on before the first batch is given.

    Args:
        shuffle: False draws the same batches each epoch.

    Attributes:
        skip: batches of this process that the next epoch leaves out: a resumed run has seen them.
    """

    def __init__(self, seed: int, *, shuffle: bool = True) -> None:
        self.seed, self.shuffle, self.epoch, self.skip, self.sampler = seed, shuffle, 0, 0, self
        self._count = len(self.draw(random.Random(f"{seed}-0")))

    @abstractmethod
    def draw(self, chance: random.Random) -> list[list[Any]]:
        """All batches of an epoch."""

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[list[Any]]:
        name = f"{self.seed}-{self.epoch if self.shuffle else 0}"
        self.epoch += 1
        drawn, (rank, processes) = self.draw(random.Random(name)), self._place()
        first, self.skip = rank + self.skip * processes, 0
        for number in range(first, len(drawn) // processes * processes, processes):
            yield Numbered(drawn[number], f"{name}-{number}")

    def __len__(self) -> int:
        return self._count // self._place()[1]

    def _place(self) -> tuple[int, int]:
        """Which process this is, and of how many: of batches for training each takes its own, in turn, and all as many; validation is seen whole by all."""
        if self.shuffle and distributed.is_available() and distributed.is_initialized():
            return distributed.get_rank(), distributed.get_world_size()
        return 0, 1


class LengthBatches(EpochBatches):
    """Groups of like length, in random order.

    Args:
        lengths: of each item, in any unit.
        max_total: of (longest) x (items) in a batch.
        jitter: lengths are disturbed by up to this share before sorting, so that batches differ between epochs.
    """

    def __init__(self, lengths: Many[int], max_total: int, *, shuffle: bool, seed: int = 0, jitter: float = 0.1) -> None:
        self.lengths, self.max_total, self.jitter = lengths, max_total, jitter
        super().__init__(seed, shuffle=shuffle)

    def draw(self, chance: random.Random) -> list[list[int]]:
        if not self.shuffle:
            return batches_by_length(self.lengths, self.max_total)
        disturbed = [round(n * (1 + self.jitter * chance.random())) for n in self.lengths]
        groups = batches_by_length(disturbed, self.max_total)
        chance.shuffle(groups)
        return groups


class Kept:
    """Calls a function once for each argument, as long as the tensors that it gave fit in memory; beyond that, each time.

    Args:
        limit_bytes: of all that is kept. An epoch visits everything once, so what came first stays: to drop the oldest would keep
            nothing of use.
    """

    def __init__(self, make: Callable[[Any], Tensor], limit_bytes: int) -> None:
        self.make, self.left, self.kept = make, limit_bytes, dict[Any, Tensor]()

    def __call__(self, item: Any) -> Tensor:
        found = self.kept.get(item)
        if found is None:
            found = self.make(item)
            size = found.numel() * found.element_size()
            if size <= self.left:
                self.kept[item], self.left = found, self.left - size
        return found


class Made(Dataset[Any]):
    """What a batch holds, made and put together by the batch's own chance.

    Args:
        make: an item, of what the batch lists.
        collate: items to a batch.
    """

    def __init__(self, make: Callable[[Any], Any], collate: Callable[[list[Any]], Any]) -> None:
        self.make, self.collate = make, collate

    def __getitems__(self, batch: Numbered) -> Any:
        with by_chance(batch.seed):
            return self.collate([self.make(item) for item in batch])


@contextmanager
def by_chance(seed: str) -> Iterator[None]:
    """Numbers of torch (on the CPU) and of `random` are drawn by this seed, and go on as before afterwards."""
    number, before = number_of(seed), random.getstate()
    with torch.random.fork_rng(devices=()):
        torch.default_generator.manual_seed(number)
        random.seed(number)
        try:
            yield
        finally:
            random.setstate(before)


def number_of(seed: str) -> int:
    """Of 63 bits, another one for each text."""
    return int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "big") >> 1


def loaded(make: Callable[[Any], Any], collate: Callable[[list[Any]], Any], batches: Any) -> DataLoader[Any]:
    """A DataLoader in this process: the data is in memory already."""
    return DataLoader(Made(make, collate), batch_sampler=batches, collate_fn=_as_it_is)


def loader(
    items: Many[Any], lengths: Many[int], max_total: int, collate: Callable[[list[Any]], Any], *, shuffle: bool, seed: int = 0, make: Callable[[Any], Any] = lambda item: item
) -> DataLoader[Any]:
    """Batches by length of a list, of which `make` turns an item into what is batched, at each visit."""
    return loaded(lambda number: make(items[number]), collate, LengthBatches(lengths, max_total, shuffle=shuffle, seed=seed))


def _as_it_is(batch: Any) -> Any:
    return batch
