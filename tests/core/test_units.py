"""Features of a corpus through the cache: what was encoded once is not heard again."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from alm.api.manifests import utterances_from_cuts
from alm.core import units
from alm.core.audio import read_at
from alm.core.cache import Cache, cached
from alm.core.config import load_recipe, recipe_path
from alm.core.parts import Parts


def silent(batches, total):
    return batches


def refuse(*given):
    raise AssertionError("a clip was read or encoded again")


@pytest.fixture
def parts():
    return Parts(load_recipe("prompts-tags"), recipe_path("prompts-tags").parent)


def test_features_under_an_adapter_are_made_of_cached_ones_without(parts, small_corpus, tmp_path, monkeypatch):
    monkeypatch.setenv("ALM_CACHE", str(tmp_path))
    files = [u.audio for u in utterances_from_cuts(small_corpus / "cuts_dev.jsonl.gz")][:3]
    encoder, card = parts.load("encoder"), parts.card("encoder")
    read = partial(read_at, card.sample_rate_hz)
    bare = encoder.without_adapter()
    assert card.refines == bare.card.fingerprint != card.fingerprint
    cached(files, Cache(bare.card.fingerprint), lambda clips: [f.values for f in bare.encode(clips)], read)
    wanted = encoder.encode([read(file) for file in files])

    monkeypatch.setattr(encoder, "encode", refuse)
    monkeypatch.setattr(units, "read_at", refuse)
    made = units.cached_features(parts, files, silent)
    for mine, theirs in zip(made, wanted, strict=True):
        assert mine.values.shape == theirs.values.shape
        torch.testing.assert_close(mine.values, theirs.values, atol=0.05, rtol=0.02)  # the cache keeps float16
    assert all(Cache(card.fingerprint).get(Cache(card.fingerprint).key(file)) is not None for file in files)


def test_features_that_are_not_begun_are_encoded(parts, small_corpus, tmp_path, monkeypatch):
    monkeypatch.setenv("ALM_CACHE", str(tmp_path))
    files = [u.audio for u in utterances_from_cuts(small_corpus / "cuts_dev.jsonl.gz")][:2]
    first = units.cached_features(parts, files, silent)
    monkeypatch.setattr(parts.load("encoder"), "encode", refuse)
    for mine, theirs in zip(units.cached_features(parts, files, silent), first, strict=True):
        assert torch.equal(mine.values.half(), theirs.values.half())
