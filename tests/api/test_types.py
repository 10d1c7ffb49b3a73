"""Values check themselves; text is spelt by one rule; the vocabulary is an exact two-way map."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings, strategies as st

from alm.api.batching import batches_by_length, pad_frames
from alm.api.cards import TokenizerCard
from alm.api.errors import AlmError, VocabularyMismatchError
from alm.api.plans import SpanRule
from alm.api.testing import test_text_tokenizer
from alm.api.text import clauses, normalize_text
from alm.api.types import Audio, Units
from alm.api.vocabulary import JointVocabulary


@pytest.mark.parametrize(
    ("samples", "rate"),
    [(torch.zeros(5), 16_000), (torch.zeros(1, 0), 16_000), (torch.zeros(1, 5, dtype=torch.float64), 16_000), (torch.tensor([[float("nan")]]), 16_000), (torch.zeros(1, 5), 0)],
)
def test_audio_refuses_what_is_no_sound(samples, rate):
    with pytest.raises(AlmError, match="Fix:"):
        Audio(samples, rate)


def test_resampling_keeps_duration_and_pitch():
    t = torch.arange(8_000) / 8_000
    up = Audio(torch.sin(2 * torch.pi * 440 * t)[None], 8_000).resample(16_000)
    assert up.duration_s == pytest.approx(1.0)
    assert int(torch.fft.rfft(up.samples[0]).abs().argmax()) == 440


def test_audio_and_units_show_themselves():
    audio = Audio(torch.zeros(1, 1600), 16_000)
    assert "<audio" in audio._repr_html_() and "base64" in audio._repr_html_()
    assert "codes" in Units(torch.zeros(2, 5, dtype=torch.int64), 25, "f")._repr_html_()


@pytest.mark.parametrize(
    ("text", "language", "accents", "expected"),
    [
        ("Press 2, please!", "en", True, "press two please"),
        ("Marque 12.", "es", True, "marque doce"),
        ("Contraseña número", "es", False, "contrasena numero"),
        ("L’appel d'urgence", "fr", True, "l'appel d'urgence"),
        ("решётку й", "ru", False, "решетку й"),
        ("...", "en", True, ""),
    ],
)
def test_normalize_text(text, language, accents, expected):
    assert normalize_text(text, language, accents=accents) == expected


@given(st.lists(st.integers(1, 300), min_size=1, max_size=50), st.integers(1, 500))
def test_batches_hold_every_index_once_within_the_limit(lengths, limit):
    groups = batches_by_length(lengths, limit)
    assert sorted(i for group in groups for i in group) == list(range(len(lengths)))
    assert all(len(g) == 1 or len(g) * max(lengths[i] for i in g) <= limit for g in groups)


def test_pad_frames_masks_the_padding():
    padded, mask = pad_frames([torch.ones(2, 3), torch.ones(4, 3)])
    assert padded.shape == (2, 4, 3) and mask.sum(1).tolist() == [2, 4] and padded[0, 2:].abs().sum() == 0


def test_units_of_one_tokenizer_join():
    ones, twos = Units(torch.ones(1, 3, dtype=torch.int64), 25, "f"), Units(torch.full((1, 2), 2), 25, "f")
    assert Units.join([ones, twos]).codes.tolist() == [[1, 1, 1, 2, 2]]
    lasting = Units(torch.tensor([[4, 5, 6]]), 25, "f", torch.tensor([1, 2, 3]))
    assert [(part.codes.tolist(), part.durations.tolist()) for part in (lasting[1:], lasting[torch.tensor([0, 0, 2])])] == [([[5, 6]], [2, 3]), ([[4, 4, 6]], [1, 1, 3])]
    assert Units.join([lasting[:1], lasting[1:]]).durations.tolist() == [1, 2, 3]
    with pytest.raises(VocabularyMismatchError, match="2 tokenizers"):
        Units.join([ones, Units(torch.ones(1, 3, dtype=torch.int64), 25, "g")])


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("Short.", 40, ["Short."]),
        ("Thank you. Please hold, while I connect you.", 40, ["Thank you.", "Please hold, while I connect you."]),
        ("Press 1 to mute, 2 to lock, 3 to eject, or 8 to exit.", 30, ["Press 1 to mute, 2 to lock,", "3 to eject, or 8 to exit."]),
        ("one two three four five six", 15, ["one two three", "four five six"]),
    ],
)
def test_clauses_end_where_a_speaker_pauses(text, limit, expected):
    assert clauses(text, limit) == expected


@given(st.text("ab ,.;-", max_size=80), st.integers(1, 30))
def test_clauses_keep_every_word(text, limit):
    assert "".join("".join(clauses(text, limit)).split()) == "".join(text.split())


def test_numbers_that_cannot_be_spelt_stay_digits():
    assert normalize_text("x " + "9" * 40, "ru") == "x " + "9" * 40
    assert normalize_text("9" * 5000, "en") == "9" * 5000


@settings(deadline=None)
@given(st.integers(1, 16), st.integers(0, 20), st.integers(2, 40), st.integers(0, 2**31))
def test_units_survive_the_vocabulary(codebooks, frames, size, seed):
    vocabulary = JointVocabulary(TEXT, TokenizerCard(16_000, 25, size, codebooks, fingerprint="f"))
    codes = torch.randint(size, (codebooks, frames), generator=torch.Generator().manual_seed(seed))
    ids = vocabulary.unit_rows(Units(codes, 25, "f")).flatten().tolist()
    assert torch.equal(vocabulary.units(ids).codes, codes)
    assert len(ids) == codebooks * frames and all(vocabulary.blocks[0].size <= i < len(vocabulary) for i in ids)


@given(st.text(alphabet="abc xyzéñж '", max_size=40))
def test_text_survives_the_vocabulary(text):
    vocabulary = JointVocabulary(TEXT, None)
    assert vocabulary.text(vocabulary.text_ids(" " + text)) == text.strip()


TEXT = test_text_tokenizer()


def test_masks_keep_modalities_apart():
    vocabulary = JointVocabulary(TEXT, TokenizerCard(16_000, 25, 8, 2, fingerprint="f"))
    units = SpanRule("units", vocabulary.separator_id, max_ids=6, min_ids=2)
    first, second = vocabulary.unit_blocks
    for position, block in ((0, first), (1, second), (2, first)):
        allowed = vocabulary.allowed(units, position).nonzero()[:, 0].tolist()
        assert set(allowed) - {vocabulary.separator_id} == set(range(block.start, block.start + block.size))
        assert (vocabulary.separator_id in allowed) == (position == 2)
    assert vocabulary.allowed(units, 6).nonzero()[:, 0].tolist() == [vocabulary.separator_id]
    text = vocabulary.allowed(SpanRule("text", vocabulary.separator_id, 5), 3)
    assert not bool(text[first.start :].any()) and not bool(text[vocabulary.end_id])


def test_foreign_units_and_vocabularies_are_refused(tmp_path):
    mine = JointVocabulary(TEXT, TokenizerCard(16_000, 25, 8, fingerprint="mine"))
    with pytest.raises(VocabularyMismatchError, match="other"):
        mine.unit_rows(Units(torch.zeros(1, 3, dtype=torch.int64), 25, "other"))
    mine.save(tmp_path)
    mine.check_saved(tmp_path)
    with pytest.raises(VocabularyMismatchError, match="units/0"):
        JointVocabulary(TEXT, TokenizerCard(16_000, 25, 8, fingerprint="other")).check_saved(tmp_path)
