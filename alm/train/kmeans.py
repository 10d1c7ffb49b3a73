"""k-means in float32 on the device at hand, streaming over shards of features. Sees frames alone.

A greedy k-means++ start on a sample (Arthur and Vassilvitskii, SODA 2007), then either Lloyd iterations, of which each pass reads
the shards one after another, or mini-batches (Sculley, WWW 2010), which end as soon as more frames no longer help. Memory holds
one shard and the centroids, however many frames there are. Dead centroids are moved to frames that are far from theirs.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from alm.api.batching import batches_by_length
from alm.api.errors import AlmError, UnknownNameError, did_you_mean
from alm.api.types import AudioFile
from alm.components.codebook import Codebook
from alm.core.audio import prepare, read_audio
from alm.core.cache import BATCH_S, Cache
from alm.core.devices import pick_device
from alm.core.parts import Parts
from alm.train.options import KmeansOptions

CHUNK = 1 << 16
SHARD_CLIPS = 256
SAMPLE_PER_CLUSTER = 20
WINDOW_PER_CLUSTER = 1000  # frames a cluster between two looks at what mini-batches still gain

Shards = Callable[[], Iterable[Tensor]]


def fit(shards: Shards, clusters: int, options: KmeansOptions, seed: int = 0, device: str | None = None) -> tuple[Tensor, float]:
    """Centroids [clusters, D] float32 and the mean squared distance: over all frames, for mini-batches over the last of them.

    Args:
        shards: called once a pass; yields frames [N, D]. For mini-batches each shard must be a fair sample of all frames.

    Raises:
        AlmError: fewer frames than clusters.
        UnknownNameError: another algorithm.
    """
    device = device or pick_device()
    algorithms = {"lloyd": _lloyd, "minibatch": _minibatch}
    if options.algorithm not in algorithms:
        raise UnknownNameError(f"got algorithm {options.algorithm!r}", "an algorithm of k-means", did_you_mean(options.algorithm, algorithms))
    generator = torch.Generator().manual_seed(seed)
    count = SAMPLE_PER_CLUSTER * clusters
    sample = _sample(shards() if options.algorithm == "lloyd" else _until(shards(), 4 * count), count, generator)
    if len(sample) < clusters:
        raise AlmError(f"got {len(sample)} frames for {clusters} clusters", "at least as many frames", "add training clips or lower the tokenizer's clusters")
    centroids = _start(sample.to(device), clusters, generator)
    centroids, inertia = algorithms[options.algorithm](shards, centroids, options, sample, generator)
    return centroids.cpu(), inertia


@dataclass(frozen=True, eq=False)
class _Assigned:
    """What a batch of frames says about the centroids."""

    sums: Tensor  # [V, D]
    counts: Tensor  # [V]
    distances: Tensor  # [N], squared

    @staticmethod
    def of(frames: Tensor, centroids: Tensor) -> _Assigned:
        """Nearest centroids by one product: argmin |x - c|^2 = argmax (x.c - |c|^2 / 2)."""
        best, nearest = (frames @ centroids.T - centroids.square().sum(1) / 2).max(1)
        counts = torch.bincount(nearest, minlength=len(centroids)).to(frames.dtype)
        return _Assigned(torch.zeros_like(centroids).index_add_(0, nearest, frames), counts, frames.square().sum(1) - 2 * best)


def _lloyd(shards: Shards, centroids: Tensor, options: KmeansOptions, sample: Tensor, generator: torch.Generator) -> tuple[Tensor, float]:
    clusters, inertia = len(centroids), float("inf")
    for _ in range(options.iterations):
        sums, counts, total, seen, far = torch.zeros_like(centroids), centroids.new_zeros(clusters), 0.0, 0, _Farthest(clusters)
        for frames in _batches(shards(), CHUNK, centroids.device):
            assigned = _Assigned.of(frames, centroids)
            sums += assigned.sums
            counts += assigned.counts
            total += float(assigned.distances.sum(dtype=torch.float64))
            seen += len(frames)
            far.offer(frames, assigned.distances)
        new = total / seen
        centroids = torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], centroids)
        dead = (counts == 0).nonzero()[:, 0]
        if len(dead):
            centroids[dead] = far.frames[: len(dead)].to(centroids.device)
        elif inertia - new < options.tolerance * inertia:
            return centroids, new
        inertia = new
    return centroids, inertia


def _minibatch(shards: Shards, centroids: Tensor, options: KmeansOptions, sample: Tensor, generator: torch.Generator) -> tuple[Tensor, float]:
    """Each centroid becomes the mean of all frames that were ever assigned to it. The sample of the start counts as the first."""
    centroids, _ = _lloyd(lambda: [sample], centroids, KmeansOptions(iterations=10), sample, generator)
    weights = _Assigned.of(sample.to(centroids.device), centroids).counts
    window, inertia = _Window(len(centroids)), float("inf")
    for _ in range(options.iterations):
        shuffled = (shard[torch.randperm(len(shard), generator=generator)] for shard in shards())
        for frames in _batches(shuffled, options.batch_frames, centroids.device):
            assigned = _Assigned.of(frames, centroids)
            weights = weights + assigned.counts
            step = (assigned.sums - assigned.counts[:, None] * centroids) / weights.clamp(min=1)[:, None]
            centroids = centroids + step
            window.add(frames, assigned)
            if window.seen < WINDOW_PER_CLUSTER * len(centroids):
                continue
            new, dead = window.total / window.seen, (window.counts == 0).nonzero()[:, 0]
            if len(dead):
                centroids[dead] = window.far.frames[: len(dead)].to(centroids.device)
                weights[dead] = 1.0
            elif inertia - new < options.tolerance * inertia:
                return centroids, new
            window, inertia = _Window(len(centroids)), new
    return centroids, window.total / window.seen if window.seen else inertia


class _Window:
    """What the mini-batches since the last look have seen."""

    def __init__(self, clusters: int) -> None:
        self.counts, self.total, self.seen, self.far = torch.zeros(clusters), 0.0, 0, _Farthest(clusters)

    def add(self, frames: Tensor, assigned: _Assigned) -> None:
        self.counts += assigned.counts.cpu()
        self.total += float(assigned.distances.sum(dtype=torch.float64))
        self.seen += len(frames)
        self.far.offer(frames, assigned.distances)


class _Farthest:
    """The frames farthest from their centroid: where dead centroids go."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.frames = torch.empty(0)
        self.distances = torch.empty(0)

    def offer(self, frames: Tensor, distances: Tensor) -> None:
        keep = distances.topk(min(self.count, len(distances))).indices
        pool = frames[keep].cpu(), distances[keep].cpu()
        if len(self.distances):
            pool = torch.cat([self.frames, pool[0]]), torch.cat([self.distances, pool[1]])
        best = pool[1].topk(min(self.count, len(pool[1]))).indices
        self.frames, self.distances = pool[0][best], pool[1][best]


def _batches(shards: Iterable[Tensor], size: int, device: torch.device) -> Iterator[Tensor]:
    """Frames of the shards, `size` at a time, in float32 on the device."""
    for shard in shards:
        for frames in shard.split(size):
            yield frames.to(device, torch.float32)


def _until(shards: Iterable[Tensor], count: int) -> Iterator[Tensor]:
    """As many shards as hold `count` frames."""
    seen = 0
    for shard in shards:
        yield shard
        seen += len(shard)
        if seen >= count:
            return


def _sample(shards: Iterable[Tensor], count: int, generator: torch.Generator) -> Tensor:
    """A uniform sample of frames by keys: the frames with the `count` largest of random keys. [count, D]"""
    kept, keys = torch.empty(0), torch.empty(0)
    for shard in shards:
        new = torch.rand(len(shard), generator=generator)
        if len(new) > count:  # of a shard too, none but these can stay
            best = new.topk(count).indices
            shard, new = shard[best], new[best]
        kept = torch.cat([kept, shard.float()]) if len(keys) else shard.float()
        keys = torch.cat([keys, new])
        if len(keys) > count:
            best = keys.topk(count).indices
            kept, keys = kept[best], keys[best]
    return kept


def _start(sample: Tensor, clusters: int, generator: torch.Generator) -> Tensor:
    """Greedy k-means++: of a few frames drawn in proportion to their squared distance, the one that helps most."""
    if len(sample) <= clusters:
        return sample[torch.randint(len(sample), (clusters,), generator=generator)]
    trials = 2 + int(math.log(clusters))
    squares = sample.square().sum(1)

    def distances_to(chosen: Tensor) -> Tensor:
        """[T] -> squared distances [T, N]."""
        return (squares[chosen][:, None] + squares - 2 * sample[chosen] @ sample.T).clamp(min=0)

    first = torch.randint(len(sample), (1,), generator=generator)
    chosen, nearest = [int(first)], distances_to(first)[0]
    for _ in range(clusters - 1):
        weights = nearest.cpu()
        if float(weights.sum()) <= 0:
            chosen.append(int(torch.randint(len(sample), (1,), generator=generator)))
            continue
        candidates = torch.multinomial(weights, trials, replacement=True, generator=generator)
        reached = torch.minimum(nearest, distances_to(candidates))
        best = int(reached.sum(1).argmin())
        chosen.append(int(candidates[best]))
        nearest = reached[best]
    return sample[chosen].clone()


class FeatureShards:
    """Features of many clips on disk: shards of SHARD_CLIPS clips, [N, D] float16, in a random order of the clips, so that each
    is a fair sample. Made once for the same clips and features; a shard appears whole or not at all."""

    def __init__(self, tokenizer: Any, files: list[AudioFile], seed: int = 0) -> None:
        self.tokenizer = tokenizer
        order = random.Random(seed).sample(files, len(files))
        self.cache = Cache(f"features-{tokenizer.features_fingerprint}")
        self.chunks = [order[start : start + SHARD_CLIPS] for start in range(0, len(order), SHARD_CLIPS)]

    def make(self, track: Callable[[Iterable[Any], int], Iterable[Any]]) -> list[Path]:
        """The shards' files; those that are not there yet are made."""
        keyed = [(hashlib.sha256("".join(self.cache.key(file) for file in chunk).encode()).hexdigest()[:24], chunk) for chunk in self.chunks]
        missing = [(key, chunk) for key, chunk in keyed if not self.cache.path(key).exists()]
        for key, chunk in track(missing, len(missing)):
            self.cache.put(key, self._extract(chunk))
        return [self.cache.path(key) for key, _ in keyed]

    def _extract(self, chunk: list[AudioFile]) -> Tensor:
        rate = self.tokenizer.card.sample_rate_hz
        clips = [prepare(read_audio(file), rate) for file in chunk]
        groups = batches_by_length([clip.num_samples for clip in clips], round(BATCH_S * rate))
        return torch.cat([features.values.half() for group in groups for features in self.tokenizer.features([clips[i] for i in group])])


def fit_codebook(parts: Parts, options: KmeansOptions, target: Path, track: Any) -> None:
    """Fits the codebook of a recipe's tokenizer on its training utterances and saves the tokenizer's trained state."""
    tokenizer = parts.load("tokenizer")
    files = [u.audio for u in parts.utterances("train") if u.audio is not None]
    if not files:
        raise AlmError(f"recipe {parts.recipe.name!r} has no clip to train on", "training clips with sound", "check data.corpora")
    paths = FeatureShards(tokenizer, files, parts.recipe.train.seed).make(track)

    def shards() -> Iterator[Tensor]:
        return (load_file(path)["value"] for path in paths)

    centroids, inertia = fit(shards, tokenizer.card.vocabulary_size, options, parts.recipe.train.seed)
    fitted = tokenizer.with_codebook(centroids)
    fitted.save(target)
    used = torch.cat([Codebook(centroids).assign(shard) for shard in shards()]).unique().numel()
    (target / "fit.txt").write_text(f"inertia {inertia:.4f}, {used} of {len(centroids)} units used on the training frames\n")
