"""Batches for every objective: fixed size in frames, of like length, shuffled anew each epoch. Knows lengths, not content."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence as Many
from typing import Any

from torch.utils.data import DataLoader, Dataset, Sampler

from alm.api.batching import batches_by_length


class LengthBatches(Sampler[list[int]]):
    """Groups of like length, in random order. The order depends on seed and epoch alone, so a resumed run repeats it.

    Args:
        lengths: of each item, in any unit.
        max_total: of (longest) x (items) in a batch.
        jitter: lengths are disturbed by up to this share before sorting, so that batches differ between epochs.
    """

    def __init__(self, lengths: Many[int], max_total: int, *, shuffle: bool, seed: int = 0, jitter: float = 0.1) -> None:
        self.lengths, self.max_total, self.shuffle, self.seed, self.jitter = lengths, max_total, shuffle, seed, jitter
        self.epoch = 0
        self._count = len(batches_by_length(lengths, max_total))

    def __iter__(self) -> Iterator[list[int]]:
        if not self.shuffle:
            yield from batches_by_length(self.lengths, self.max_total)
            return
        chance = random.Random(f"{self.seed}-{self.epoch}")
        self.epoch += 1
        disturbed = [round(n * (1 + self.jitter * chance.random())) for n in self.lengths]
        groups = batches_by_length(disturbed, self.max_total)
        chance.shuffle(groups)
        yield from groups

    def __len__(self) -> int:
        return self._count


class Items(Dataset[Any]):
    """A list as a Dataset; `make` turns an item into what is batched, at each visit."""

    def __init__(self, items: Many[Any], make: Callable[[Any], Any] = lambda item: item) -> None:
        self.items, self.make = items, make

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.make(self.items[index])


def loader(
    items: Many[Any], lengths: Many[int], max_total: int, collate: Callable[[list[Any]], Any], *, shuffle: bool, seed: int = 0, make: Callable[[Any], Any] = lambda item: item
) -> DataLoader[Any]:
    """A DataLoader of batches by length, in this process: the data is in memory already."""
    return DataLoader(Items(items, make), batch_sampler=LengthBatches(lengths, max_total, shuffle=shuffle, seed=seed), collate_fn=collate)
