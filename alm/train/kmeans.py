"""k-means in float32 on the device at hand, streaming over shards of features. Sees frames alone.

Greedy k-means++ start on a sample (Arthur and Vassilvitskii, SODA 2007), then Lloyd iterations of which each pass
reads the shards one after another: memory holds one shard and the centroids. Dead centroids are moved to frames that are
far from theirs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from alm.api.errors import AlmError
from alm.components.codebook import Codebook
from alm.core.cache import Cache, cached
from alm.core.parts import Parts

CHUNK = 1 << 16
SHARD_CLIPS = 256


@dataclass(frozen=True)
class KmeansOptions:
    """`train.options` of objective kmeans.

    Attributes:
        iterations: Lloyd passes over all frames.
        tolerance: stop when the inertia falls by less than this share in a pass.
    """

    iterations: int = 30
    tolerance: float = 1e-4


def fit(shards: Callable[[], Iterable[Tensor]], clusters: int, options: KmeansOptions, seed: int = 0, device: str | None = None) -> tuple[Tensor, float]:
    """Centroids [clusters, D] float32 and the mean squared distance.

    Args:
        shards: called once a pass; yields frames [N, D].

    Raises:
        AlmError: fewer frames than clusters.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    generator = torch.Generator().manual_seed(seed)
    sample = _sample(shards(), 20 * clusters, generator)
    if len(sample) < clusters:
        raise AlmError(f"got {len(sample)} frames for {clusters} clusters", "at least as many frames", "add training clips or lower the tokenizer's clusters")
    centroids = _start(sample, clusters, generator).to(device)
    inertia = float("inf")
    for _ in range(options.iterations):
        sums, counts, total, far = torch.zeros_like(centroids), torch.zeros(clusters, device=device), 0.0, _Farthest(clusters)
        half = centroids.square().sum(1) / 2
        frames_seen = 0
        for shard in shards():
            for frames in shard.split(CHUNK):
                frames = frames.to(device, torch.float32)
                best, nearest = (frames @ centroids.T - half).max(1)
                distances = frames.square().sum(1) - 2 * best
                sums.index_add_(0, nearest, frames)
                counts += torch.bincount(nearest, minlength=clusters)
                total += float(distances.sum(dtype=torch.float64))
                frames_seen += len(frames)
                far.offer(frames, distances)
        new = total / frames_seen
        centroids = torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], centroids)
        dead = (counts == 0).nonzero()[:, 0]
        if len(dead):
            centroids[dead] = far.frames[: len(dead)].to(device)
        elif inertia - new < options.tolerance * inertia:
            inertia = new
            break
        inertia = new
    return centroids.cpu(), inertia


class _Farthest:
    """The frames farthest from their centroid in a pass: where dead centroids go."""

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


def _sample(shards: Iterable[Tensor], count: int, generator: torch.Generator) -> Tensor:
    """A uniform sample of frames by keys: the frames with the `count` largest of random keys. [count, D]"""
    kept, keys = torch.empty(0), torch.empty(0)
    for shard in shards:
        new = torch.rand(len(shard), generator=generator)
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
        if float(nearest.sum()) <= 0:
            chosen.append(int(torch.randint(len(sample), (1,), generator=generator)))
            continue
        candidates = torch.multinomial(nearest, trials, replacement=True, generator=generator)
        reached = torch.minimum(nearest, distances_to(candidates))
        best = int(reached.sum(1).argmin())
        chosen.append(int(candidates[best]))
        nearest = reached[best]
    return sample[chosen].clone()


def fit_codebook(parts: Parts, options: KmeansOptions, target: Path, track: Any) -> None:
    """Fits the codebook of a recipe's tokenizer on its training utterances and saves the tokenizer's trained state."""
    tokenizer = parts.load("tokenizer")
    files = [u.audio for u in parts.utterances("train") if u.audio is not None]
    identity = f"features-{parts.recipe.part('tokenizer').use}-{_identity(parts)}"
    if not files:
        raise AlmError(f"recipe {parts.recipe.name!r} has no clip to train on", "training clips with sound", "check data.corpora")

    def shards() -> Iterator[Tensor]:
        for start in range(0, len(files), SHARD_CLIPS):
            some = files[start : start + SHARD_CLIPS]
            yield torch.cat(cached(some, Cache(identity), lambda clips: [f.values for f in tokenizer.features(clips)], tokenizer.card.sample_rate_hz, track))

    centroids, inertia = fit(shards, tokenizer.card.vocabulary_size, options, parts.recipe.train.seed)
    fitted = tokenizer.with_codebook(centroids)
    fitted.save(target)
    used = torch.cat([Codebook(centroids).assign(shard) for shard in shards()]).unique().numel()
    (target / "fit.txt").write_text(f"inertia {inertia:.4f}, {used} of {len(centroids)} units used on the training frames\n")


def _identity(parts: Parts) -> str:
    """Hash of what the features depend on: the tokenizer's options without the codebook, and the adapter's weights."""
    import hashlib
    import json

    options = {k: v for k, v in parts.recipe.part("tokenizer").options.items() if k not in ("codebook", "clusters")}
    files = [
        path
        for value in options.values()
        if isinstance(value, str) and value.startswith(("dir:", "run:"))
        for path in sorted(parts.context.folders(value)[0].glob("*.safetensors"))
    ]
    digest = hashlib.sha256(json.dumps(options, sort_keys=True, default=str).encode())
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
