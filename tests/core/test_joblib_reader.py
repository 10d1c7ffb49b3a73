"""Published k-means files: read without running anything, and whatever else is refused."""

from __future__ import annotations

import pickle

import joblib
import numpy as np
import pytest
from sklearn.cluster import KMeans, MiniBatchKMeans

from alm.api.errors import AlmError
from alm.cli import main
from alm.core.joblib_reader import read_centroids

FRAMES = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)


@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3)])
@pytest.mark.parametrize("kind", [KMeans, MiniBatchKMeans])
def test_joblib_files_are_read(tmp_path, kind, compress):
    model = kind(12, n_init=1, random_state=np.random.RandomState(0)).fit(FRAMES)
    joblib.dump(model, tmp_path / "km.bin", compress=compress)
    np.testing.assert_array_equal(read_centroids(tmp_path / "km.bin"), model.cluster_centers_)


def test_plain_pickles_are_read(tmp_path):
    model = KMeans(5, n_init=1).fit(FRAMES)
    (tmp_path / "km.pkl").write_bytes(pickle.dumps(model))
    np.testing.assert_array_equal(read_centroids(tmp_path / "km.pkl"), model.cluster_centers_)


class Runs:
    def __reduce__(self):
        import os

        return os.system, ("touch ran",)


def test_nothing_that_is_pickled_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    joblib.dump(Runs(), "evil.bin")
    model = KMeans(5, n_init=1).fit(FRAMES)
    model.extra_ = Runs()
    joblib.dump(model, "hidden.bin")
    for name in ("evil.bin", "hidden.bin"):
        with pytest.raises(AlmError, match=r"(posix|nt)\.system"):
            read_centroids(tmp_path / name)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"text", b"\x78\x9c broken", pickle.dumps({"a": 1}), pickle.dumps(np.ones(3))])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "x.bin").write_bytes(content)
    with pytest.raises(AlmError, match="cannot be read"):
        read_centroids(tmp_path / "x.bin")


def test_a_truncated_file_is_refused(tmp_path):
    joblib.dump(KMeans(50, n_init=1).fit(FRAMES), tmp_path / "km.bin")
    whole = (tmp_path / "km.bin").read_bytes()
    for share in (0.1, 0.5, 0.9):
        (tmp_path / "cut.bin").write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(AlmError):
            read_centroids(tmp_path / "cut.bin")


def test_the_command_writes_a_codebook_that_a_tokenizer_loads(tmp_path, capsys):
    import torch

    from alm.components.codebook import Codebook

    model = KMeans(12, n_init=1).fit(FRAMES)
    joblib.dump(model, tmp_path / "km.bin")
    main_arguments = ["convert-codebook", str(tmp_path / "km.bin"), str(tmp_path / "codebook")]
    with pytest.raises(SystemExit) as stop:
        main(main_arguments)
    assert stop.value.code in (0, None) and "12 clusters of 8 features" in capsys.readouterr().out
    codebook = Codebook.load(tmp_path / "codebook")
    np.testing.assert_array_equal(codebook.assign(torch.from_numpy(FRAMES)).numpy(), model.predict(FRAMES))
