"""The generation loop: plans are obeyed, the cache changes nothing, requests do not disturb each other."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings, strategies as st

from alm.api.cards import TokenizerCard
from alm.api.errors import AlmError
from alm.api.layouts import make_layout
from alm.api.plans import SpanRule, pieces_of
from alm.api.vocabulary import JointVocabulary
from alm.components.decoders.cards import SampleOptions
from alm.components.decoders.stepwise import Greedy, Sample
from alm.core.embed import embed_ids
from alm.core.generate import Progress, generate, generate_steps
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


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 1000))
def test_spans_take_turns(text_turn, frames, seed):
    """What is emitted by turns is what a format would have written of it: no turn is cut short but by an end."""
    plan = [SpanRule("text", STOP, 12, turn=text_turn, partner=1), SpanRule("units", STOP, 20, 2, turn=2 * frames, partner=-1), SpanRule("text", STOP, 3)]
    (emitted,) = generate(BACKBONE, embeddings(5, seed=seed), [plan], VOCABULARY, Sample(SampleOptions(temperature=2.0, top_p=1.0)), seed)
    text, speech, last = pieces_of(emitted, plan)
    left, expected, which = [[*text, STOP], [*speech, STOP]], [], 0
    while left[0] or left[1]:
        size = (text_turn, 2 * frames)[which] if left[1 - which] else 99
        expected += left[which][:size]
        left[which] = left[which][size:]
        which = 1 - which if left[1 - which] else which
    assert emitted == [*expected, *last, STOP]
    assert 1 <= len(text) <= 12 and 2 <= len(speech) <= 20 and len(speech) % 2 == 0
    assert all(index < VOCABULARY.unit_ids.start for index in text) and all(index in VOCABULARY.unit_ids for index in speech)


def test_text_is_chosen_beside_units_as_a_whole_pass_would():
    vocabulary = JointVocabulary(BACKBONE.text_tokenizer, TokenizerCard(16_000, 25, 12, 1, fingerprint="f"), make_layout("flattened", 1, text_beside=True))
    (prompt,), plan = embeddings(7), [SpanRule("units", STOP, 12, 2, text_beside=True), SpanRule("text", STOP, 4)]
    steps: list[list[int]] = []

    class Watched(Progress):
        def advance(self, chosen):
            steps.append(list(chosen))
            return super().advance(chosen)

    (request,) = requests = [Watched(plan)]
    for _ in generate_steps(BACKBONE, [prompt], requests, vocabulary, Greedy()):
        pass
    beside = [step[1] for step in steps if len(step) == 2]
    assert beside and vocabulary.end_id not in beside[:-1] and all(step[0] in vocabulary.unit_ids for step in steps if len(step) == 2)
    assert vocabulary.units(request.pieces[0]).num_frames == sum(step[0] in vocabulary.unit_ids for step in steps)
    with torch.inference_mode():
        for position, step in enumerate(steps):
            if len(step) == 2:
                rows = [step + [-1] * (2 - len(step)) for step in steps[:position]]
                ids = torch.tensor([rows]) if rows else torch.empty(1, 0, 2, dtype=torch.long)
                whole = torch.cat([prompt[None], embed_ids(BACKBONE, ids[..., 0], ids[..., 1:])], 1)
                scores = BACKBONE.scores(BACKBONE.hidden(whole)[:, -1])[0]
                allowed = vocabulary.allowed(SpanRule("text", vocabulary.end_id, 200), position)
                assert int(scores.masked_fill(~allowed, float("-inf")).argmax()) == step[1]


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


@pytest.mark.parametrize("kind", ["parallel", "delayed", "first-ahead"])
@pytest.mark.parametrize("with_depth", [False, True])
def test_codebooks_side_by_side_obey_their_layout_and_equal_a_whole_pass(kind, with_depth):
    """Greedy ids of every codebook are the best ones of a whole pass over prompt and answer, in each layout."""
    from alm.api.layouts import make_layout
    from alm.core.depth import DepthTransformer

    torch.manual_seed(0)
    backbone = fake_backbone()
    vocabulary = JointVocabulary(backbone.text_tokenizer, TokenizerCard(16_000, 25, 6, 3, fingerprint="f"), make_layout(kind, 3))
    backbone.resize(len(vocabulary))
    backbone.eval()
    depth = DepthTransformer(32, 3, layers=1, size=16).eval() if with_depth else None
    stop, tail = vocabulary.separator_id, vocabulary.layout.tail
    with torch.inference_mode():
        prompts = [backbone.embed(torch.tensor([[5, 6, 7, 8]]))[0], backbone.embed(torch.tensor([[9, 10]]))[0]]
    plan = [SpanRule("units", stop, 9, min_ids=2), SpanRule("text", stop, 3)]
    emitted = generate(backbone, prompts, [plan, plan], vocabulary, Greedy(), depth=depth)
    assert emitted[1] == generate(backbone, prompts[1:], [plan], vocabulary, Greedy(), depth=depth)[0]
    for prompt, ids in zip(prompts, emitted, strict=True):
        units = ids[: ids.index(stop)]
        rows = torch.tensor(units).reshape(-1, 3)
        assert 2 + tail <= len(rows) <= 9
        found = vocabulary.units(units)
        assert torch.equal(vocabulary.unit_rows(found), rows), "what was emitted is what the layout writes for these units"
        assert found.num_frames == len(rows) - tail and int(found.codes.max()) < 6
        with torch.inference_mode():
            embedded = backbone.embed(rows).sum(1)
            states = backbone.hidden(torch.cat([prompt, embedded])[None])[0][len(prompt) - 1 : -1]
            for position, (state, row) in enumerate(zip(states, rows, strict=True)):
                ended = int((rows[: position + 1, 0] == vocabulary.empty_ids[0]).sum())
                for book in (1, 2):
                    block = vocabulary.unit_blocks[book]
                    own = state if depth is None else depth(state[None], backbone.embed(row[None, :book]))[0, -1]
                    best = block.start + int(backbone.block_scores(own, block.start, block.start + block.size - 1).argmax())
                    assert int(row[book]) == (best if vocabulary.has_code(book, position, ended) else vocabulary.empty_ids[book])


def test_a_limit_leaves_room_for_the_delayed_codebooks():
    from alm.api.layouts import make_layout

    vocabulary = JointVocabulary(BACKBONE.text_tokenizer, TokenizerCard(16_000, 25, 6, 2, fingerprint="f"), make_layout("delayed", 2, (0, 3)))
    rule = SpanRule("units", STOP, 8, min_ids=2)
    first, empty = vocabulary.unit_blocks[0], vocabulary.empty_ids[0]
    assert vocabulary.allowed(rule, 0).nonzero()[:, 0].tolist() == list(range(first.start, empty))
    assert empty in vocabulary.allowed(rule, 4).nonzero()[:, 0].tolist()
    assert vocabulary.allowed(rule, 5).nonzero()[:, 0].tolist() == [empty], "three positions are left for the second codebook"
    assert vocabulary.allowed(rule, 6, ended=1).nonzero()[:, 0].tolist() == [empty]
    assert vocabulary.allowed(rule, 8, ended=3).nonzero()[:, 0].tolist() == [STOP]
