"""A tokenizing job over a local Ray cluster gives what one process gives."""

from __future__ import annotations

import pytest

from alm.core.tokenize import Job, tokenize

ray = pytest.importorskip("ray", reason="alm-ray needs `ray[data]`: pip install -e plugins/alm-ray")


def files_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module", autouse=True)
def cluster():
    ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False, configure_logging=False)
    yield
    ray.shutdown()


def test_the_same_bytes_as_one_process(small_corpus, small_model, tmp_path):
    cuts = small_corpus / "cuts_train.jsonl.gz"
    here = tokenize(Job(cuts, tmp_path / "here", str(small_model), shard_clips=5))
    told = []
    there = tokenize(Job(cuts, tmp_path / "there", str(small_model), shard_clips=5), "ray", lambda clips, seconds: told.append(clips))
    assert (here.clips, here.bad, sum(told)) == (there.clips, there.bad, 24)
    assert here.seconds == pytest.approx(there.seconds)
    assert files_of(tmp_path / "here") == files_of(tmp_path / "there")
    assert tokenize(Job(cuts, tmp_path / "there", str(small_model), shard_clips=5), "ray").seconds == 0, "nothing is done twice"
