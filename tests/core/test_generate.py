"""The generation loop: plans are obeyed, the cache changes nothing, requests do not disturb each other."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings, strategies as st

from alm.api.cards import TokenizerCard
from alm.api.errors import AlmError
from alm.api.vocabulary import JointVocabulary, SpanRule
from alm.components.decoders.cards import SampleOptions
from alm.components.decoders.stepwise import Greedy, Sample
from alm.core.generate import generate
from tests.fakes import fake_backbone

BACKBONE = fake_backbone()
VOCABULARY = JointVocabulary(BACKBONE.text_tokenizer, TokenizerCard(16_000, 25, 6, 2, fingerprint="f"))
BACKBONE.resize(len(VOCABULARY))
BACKBONE.eval()
STOP = VOCABULARY.separator_id


def embeddings(*lengths, seed=0):
    generator = torch.Generator().manual_seed(seed)
    with torch.inference_mode():
        return [BACKBONE.embed(torch.randint(2, 200, (1, n), generator=generator))[0] for n in lengths]


@settings(deadline=None, max_examples=15)
@given(st.lists(st.tuples(st.sampled_from(["text", "units"]), st.integers(1, 9)), min_size=1, max_size=3), st.integers(0, 1000))
def test_plans_are_obeyed(spans, seed):
    plan = [SpanRule(kind, STOP, limit * 2, min_ids=2) for kind, limit in spans]
    (emitted,) = generate(BACKBONE, embeddings(5, seed=seed), [plan], VOCABULARY, Sample(SampleOptions(temperature=2.0, top_p=1.0)), seed)
    pieces, piece = [], []
    for index in emitted:
        if index == STOP:
            pieces.append(piece)
            piece = []
        else:
            piece.append(index)
    assert piece == []
    assert len(pieces) == len(plan)
    first, second = VOCABULARY.unit_blocks
    for rule, ids in zip(plan, pieces, strict=True):
        assert 2 <= len(ids) <= rule.max_ids
        if rule.kind == "units":
            assert len(ids) % 2 == 0
            assert all((first if i % 2 == 0 else second).start <= x < (first if i % 2 == 0 else second).start + 6 for i, x in enumerate(ids))
        else:
            assert all(x < first.start for x in ids)


def test_cached_steps_equal_whole_passes():
    (prompt,) = embeddings(7)
    (emitted,) = generate(BACKBONE, [prompt], [[SpanRule("text", STOP, 12)]], VOCABULARY, Greedy())
    ids: list[int] = []
    with torch.inference_mode():
        for position, chosen in enumerate(emitted):
            sequence = torch.cat([prompt, BACKBONE.embed(torch.tensor([ids], dtype=torch.long))[0]]) if ids else prompt
            scores = BACKBONE.scores(BACKBONE.hidden(sequence[None])[:, -1])
            allowed = VOCABULARY.allowed(SpanRule("text", STOP, 12), position)
            assert int(scores.masked_fill(~allowed, float("-inf")).argmax()) == chosen
            ids.append(chosen)


def test_requests_of_a_batch_do_not_disturb_each_other():
    prompts = embeddings(3, 11, 6)
    plans = [[SpanRule("text", STOP, 9)], [SpanRule("units", STOP, 8, 2), SpanRule("text", STOP, 4)], [SpanRule("units", STOP, 4, 2)]]
    decoder = Sample(SampleOptions())
    together = generate(BACKBONE, prompts, plans, VOCABULARY, decoder, seed=3)
    alone = [generate(BACKBONE, [p], [plan], VOCABULARY, decoder, seed=3)[0] for p, plan in zip(prompts, plans, strict=True)]
    assert together == alone


def test_too_long_is_refused():
    with pytest.raises(AlmError, match="at most 512"):
        generate(BACKBONE, embeddings(500), [[SpanRule("text", STOP, 50)]], VOCABULARY, Greedy())


def test_units_have_their_own_decoder():
    """Text is chosen greedily and units are sampled: two seeds agree on the text before the units alone."""
    plan = [SpanRule("text", STOP, 6, min_ids=6), SpanRule("units", STOP, 12, min_ids=12)]

    def emit(seed, unit_decoder):
        return generate(BACKBONE, embeddings(5), [plan], VOCABULARY, Greedy(), seed, unit_decoder=unit_decoder)[0]

    sampler = Sample(SampleOptions(temperature=3.0, top_p=1.0))
    assert emit(1, sampler)[:7] == emit(2, sampler)[:7] == emit(1, None)[:7]
    assert emit(1, sampler)[7:] != emit(2, sampler)[7:]
    assert emit(1, None) == emit(2, None)
