"""k-means: as good as scikit-learn's, streaming, no dead centroid, assignment by one product equals the distances."""

from __future__ import annotations

import pytest
import torch

from alm.api.errors import AlmError
from alm.components.codebook import Codebook
from alm.train.kmeans import KmeansOptions, fit


def blobs(count=4000, clusters=12, size=6):
    generator = torch.Generator().manual_seed(0)
    centres = 5 * torch.randn(clusters, size, generator=generator)
    return centres[torch.randint(clusters, (count,), generator=generator)] + torch.randn(count, size, generator=generator)


def test_inertia_is_that_of_scikit_learn():
    from sklearn.cluster import KMeans

    frames = blobs()
    centroids, inertia = fit(lambda: frames.split(700), 12, KmeansOptions(), seed=1)
    peer = KMeans(12, n_init=3, random_state=0).fit(frames.numpy())
    assert inertia <= 1.05 * peer.inertia_ / len(frames)
    assert Codebook(centroids).assign(frames).unique().numel() == 12


def test_minibatches_reach_what_lloyd_reaches():
    frames = blobs(60_000)
    shuffled = frames[torch.randperm(len(frames), generator=torch.Generator().manual_seed(0))]
    _, whole = fit(lambda: frames.split(7000), 12, KmeansOptions(), seed=1)
    centroids, seen = fit(lambda: shuffled.split(7000), 12, KmeansOptions("minibatch", batch_frames=500), seed=1)
    inertia = float(torch.cdist(frames, centroids).square().min(1).values.mean())
    assert inertia <= 1.05 * whole and seen == pytest.approx(inertia, rel=0.05)


def test_minibatches_stop_before_all_frames_are_read():
    read = []

    def shards():
        for number in range(100):
            read.append(number)
            yield blobs(20_000, clusters=8)

    fit(shards, 8, KmeansOptions("minibatch", tolerance=1e-2, batch_frames=1000))
    assert len(read) < 20


def test_an_unknown_algorithm_is_refused():
    with pytest.raises(AlmError, match="did you mean lloyd"):
        fit(lambda: [blobs()], 8, KmeansOptions("loyd"))


def test_fewer_frames_than_clusters_are_refused():
    with pytest.raises(AlmError, match="got 5 frames for 8 clusters"):
        fit(lambda: [blobs(5)], 8, KmeansOptions())


def test_shards_do_not_matter():
    frames = blobs()
    one, _ = fit(lambda: [frames], 8, KmeansOptions(iterations=5))
    many, _ = fit(lambda: frames.split(333), 8, KmeansOptions(iterations=5))
    assert one.shape == many.shape == (8, 6)
    assert fit(lambda: [frames], 8, KmeansOptions())[1] == pytest.approx(fit(lambda: frames.split(333), 8, KmeansOptions())[1], rel=0.35)


def test_dead_centroids_are_reseeded():
    frames = torch.cat([torch.zeros(500, 2), 100 + torch.randn(20, 2, generator=torch.Generator().manual_seed(0))])
    centroids, _ = fit(lambda: [frames], 10, KmeansOptions())
    assert Codebook(centroids).assign(frames).unique().numel() >= 9


def test_assignment_is_the_nearest_centroid():
    frames = blobs(500)
    codebook = Codebook(blobs(40))
    assert torch.equal(codebook.assign(frames), torch.cdist(frames, codebook.centroids).argmin(-1))
    assert torch.equal(codebook.assign(frames.half()), codebook.assign(frames.half().float()))


def test_saved_codebook_is_the_same(tmp_path):
    codebook = Codebook(blobs(40))
    codebook.save(tmp_path)
    again = Codebook.load(tmp_path)
    assert again.fingerprint == codebook.fingerprint
    assert Codebook(codebook.centroids + 1).fingerprint != codebook.fingerprint
