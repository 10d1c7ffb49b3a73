"""Codebook layouts: interleaving and its inverse for up to sixteen codebooks, through the vocabulary as well."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings, strategies as st

from alm.api.cards import TokenizerCard
from alm.api.errors import AlmError
from alm.api.layouts import LAYOUTS, CodebookLayout, make_layout
from alm.api.testing import test_text_tokenizer
from alm.api.types import Units
from alm.api.vocabulary import JointVocabulary

TEXT = test_text_tokenizer()
KINDS = st.sampled_from(LAYOUTS)


def codes_of(codebooks, frames, size, seed):
    return torch.randint(size, (codebooks, frames), generator=torch.Generator().manual_seed(seed))


@settings(deadline=None)
@given(KINDS, st.integers(1, 16), st.integers(0, 20), st.integers(0, 2**31))
def test_deinterleave_is_the_inverse(kind, codebooks, frames, seed):
    layout, codes = make_layout(kind, codebooks), codes_of(codebooks, frames, 9, seed)
    rows = layout.interleave(codes, 9)
    assert rows.shape == (layout.positions(frames, codebooks) if frames or not layout.delays else 0, layout.streams)
    assert torch.equal(layout.deinterleave(rows, codebooks), codes)
    assert int((rows == 9).sum()) == sum(layout.tail for _ in layout.delays) * bool(frames), "each codebook has a code at all positions but `tail`"


@settings(deadline=None)
@given(st.lists(st.integers(0, 7), min_size=1, max_size=15), st.integers(1, 12), st.integers(0, 2**31))
def test_any_delays(later, frames, seed):
    delays = (0, *later)
    layout, codes = make_layout("delayed", len(delays), delays), codes_of(len(delays), frames, 5, seed)
    assert torch.equal(layout.deinterleave(layout.interleave(codes, 5), len(delays)), codes)


@settings(deadline=None)
@given(KINDS, st.integers(1, 16), st.integers(0, 20), st.integers(2, 40), st.integers(0, 2**31))
def test_units_survive_the_vocabulary_in_any_layout(kind, codebooks, frames, size, seed):
    vocabulary = JointVocabulary(TEXT, TokenizerCard(16_000, 25, size, codebooks, fingerprint="f"), make_layout(kind, codebooks))
    codes = codes_of(codebooks, frames, size, seed)
    rows = vocabulary.unit_rows(Units(codes, 25, "f"))
    assert torch.equal(vocabulary.units(rows.flatten().tolist()).codes, codes)
    for book, column in enumerate(rows.T):
        block = vocabulary.unit_blocks[book] if vocabulary.layout.delays else None
        assert block is None or bool(((column >= block.start) & (column < block.start + block.size)).all())


def test_the_published_patterns():
    codes = torch.tensor([[1, 2], [3, 4], [5, 6]])
    assert make_layout("delayed", 3).interleave(codes, 0).tolist() == [[1, 0, 0], [2, 3, 0], [0, 4, 5], [0, 0, 6]]  # MusicGen
    assert make_layout("first-ahead", 3).interleave(codes, 0).tolist() == [[1, 0, 0], [2, 3, 5], [0, 4, 6]]  # Moshi
    assert make_layout("parallel", 3).interleave(codes, 0).tolist() == [[1, 3, 5], [2, 4, 6]]
    assert make_layout("flattened", 3).interleave(codes, 0)[:, 0].tolist() == [1, 3, 5, 2, 4, 6]


@pytest.mark.parametrize(("kind", "delays"), [("paralel", ()), ("delayed", (0, 1)), ("delayed", (1, 0, 2)), ("delayed", (0, -1, 2)), ("parallel", (0, 1, 2))])
def test_wrong_layouts_are_refused(kind, delays):
    with pytest.raises(AlmError, match="Fix"):
        make_layout(kind, 3, delays)


def test_vocabularies_of_different_delays_differ():
    card = TokenizerCard(16_000, 25, 8, 3, fingerprint="f")
    prints = {JointVocabulary(TEXT, card, make_layout(kind, 3)).fingerprint for kind in LAYOUTS}
    assert len(prints) == 4
    assert JointVocabulary(TEXT, card).fingerprint == JointVocabulary(TEXT, card, CodebookLayout()).fingerprint
