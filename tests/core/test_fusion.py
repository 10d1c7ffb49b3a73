"""A language model beside a backbone that writes: its probabilities are those of the whole text, and it has its say in each id."""

from __future__ import annotations

import math

import pytest
import torch

import alm
from alm.api.cards import LanguageModelCard, TokenizerCard
from alm.api.errors import AlmError
from alm.api.plans import SpanRule
from alm.api.recognition import END_OF_TEXT, PiecesSoFar
from alm.api.types import GIVEN
from alm.api.vocabulary import JointVocabulary
from alm.components.decoders.stepwise import Greedy
from alm.components.language_models.causal import CausalWords
from alm.components.language_models.ngram import estimate
from alm.core.config import FusionConfig
from alm.core.fusion import Fused, Spelling, WordsAhead
from alm.core.generate import generate
from alm.core.results import Request
from alm.train.run import train
from alm.train.tune import tune_fusion
from tests.conftest import write_recipe
from tests.fakes import fake_backbone

BACKBONE = fake_backbone()
VOCABULARY = JointVocabulary(BACKBONE.text_tokenizer, TokenizerCard(16_000, 25, 8, fingerprint="f"))
BACKBONE.resize(len(VOCABULARY))
BACKBONE.eval()
STOP = VOCABULARY.separator_id
TRANSCRIPT = SpanRule("text", STOP, 40, renders=GIVEN)
TEXTS = ["press one now", "press two", "the été now"]


def ids_of(text):
    return BACKBONE.text_tokenizer.encode(f" {text}", add_special_tokens=False)


class Closed:
    """An n-gram that gives nothing to words that it has not."""

    def __init__(self):
        self.model = estimate(TEXTS, 2)
        self.card, self.words = LanguageModelCard(order=2), self.model.words

    def score(self, histories, words):
        return [-200.0 if word == "<unk>" else value for word, value in zip(words, self.model.score(histories, words), strict=True)]


def allowed_scores():
    """Even scores of all that a transcript may have."""
    return torch.zeros(1, len(VOCABULARY)).masked_fill(~VOCABULARY.allowed(TRANSCRIPT, 1), float("-inf"))


@pytest.mark.parametrize("text", TEXTS)
def test_what_each_piece_costs_adds_up_to_the_text(text):
    model = Closed()
    voice = WordsAhead(Spelling(model, BACKBONE.text_tokenizer), TRANSCRIPT, FusionConfig(weight=1.0))
    total = 0.0
    for index in [*ids_of(text), STOP]:
        total += float(voice.next(allowed_scores()[0])[0, index])
        voice.take(index)
    words = text.split()
    wanted = sum(model.score([tuple(words[:place])], [word])[0] for place, word in enumerate([*words, END_OF_TEXT]))
    assert total == pytest.approx(wanted, abs=1e-3)


def test_of_words_that_are_not_there_no_letter_is_better_than_another():
    voice = WordsAhead(Spelling(Closed(), BACKBONE.text_tokenizer), TRANSCRIPT, FusionConfig(weight=1.0))
    for index in ids_of("pr"):
        voice.take(index)
    values = voice.next(allowed_scores()[0])[0]
    known, other, another = (float(values[ids_of(letter)[-1]]) for letter in "exz")
    assert known == pytest.approx(0.0, abs=1e-3), "only `press` begins so"
    assert other == another < -50


@pytest.mark.parametrize("text", ["press two", "press one now"])
def test_a_heavy_model_of_words_writes_its_own_text(text):
    """A backbone that knows nothing gives way to what the language model has read."""
    model = estimate([text], 4)
    emitted = written(Fused(Greedy(), FusionConfig(weight=50.0), model, BACKBONE))
    assert VOCABULARY.text(emitted) == text


def written(decoder, renders=GIVEN):
    rule = SpanRule("text", STOP, 40, renders=renders)
    with torch.inference_mode():
        prompt = BACKBONE.embed(torch.arange(2, 8)[None])[0]
    return generate(BACKBONE, [prompt], [[rule]], VOCABULARY, decoder, said=[None])[0]


def test_weight_0_changes_nothing_and_no_other_text_is_fused():
    plain = written(Greedy())
    assert written(Fused(Greedy(), FusionConfig(weight=0.0), estimate(TEXTS, 2), BACKBONE)) == plain
    heavy = Fused(Greedy(), FusionConfig(weight=50.0), estimate(TEXTS, 2), BACKBONE)
    assert written(heavy) != plain and written(heavy, None) == plain


def test_pieces_are_scored_as_in_one_go():
    ids = ids_of("press one")
    so_far = PiecesSoFar(BACKBONE, VOCABULARY.end_id, VOCABULARY.end_id, VOCABULARY.blocks[0].size)
    for index in ids:
        so_far.take(index)
    with torch.inference_mode():
        hidden = BACKBONE.hidden(BACKBONE.embed(torch.tensor([[VOCABULARY.end_id, *ids]])))[0, -1:]
        wanted = BACKBONE.block_scores(hidden, 0, VOCABULARY.blocks[0].size)[0].log_softmax(-1)
    log_probs, end = so_far.next()
    torch.testing.assert_close(log_probs, wanted, rtol=1e-4, atol=1e-4)
    assert end == pytest.approx(float(wanted[VOCABULARY.end_id]), abs=1e-4)


def test_a_model_of_pieces_fuses_and_one_of_others_is_refused():
    other = fake_backbone(seed=3)
    other.eval()
    model = CausalWords(other, LanguageModelCard(), 1, 1, 500)
    emitted = written(Fused(Greedy(), FusionConfig(weight=1000.0), model, BACKBONE))
    so_far, wanted = model.begin(), []
    allowed = allowed_scores()[0].isfinite()
    for index in emitted:
        scores, end = so_far.next()
        values = torch.full((len(VOCABULARY),), float("-inf"))
        values[: len(scores)], values[STOP] = scores, end
        allowed[STOP] = bool(wanted)
        wanted.append(STOP if len(wanted) == TRANSCRIPT.max_ids else int(values.masked_fill(~allowed, float("-inf")).argmax()))
        if index != STOP:
            so_far.take(wanted[-1])
    assert emitted == wanted
    stranger = fake_backbone()
    stranger.text_tokenizer.add_tokens(["<other>"])
    with pytest.raises(AlmError, match="the same text tokenizer"):
        Fused(Greedy(), FusionConfig(), CausalWords(stranger, LanguageModelCard(), 1, 1, 500), BACKBONE)


def test_what_a_backbone_expects_of_its_own_is_taken_back():
    assert written(Fused(Greedy(), FusionConfig(own_weight=-1.0), None, BACKBONE)) != written(Greedy())


def test_a_shipped_model_is_fused_and_tuned(workspace, small_corpus, tmp_path):
    ngram = write_recipe(
        tmp_path,
        "words",
        f"name: words\nparts: {{language_model: {{use: ngram, order: 2}}}}\ndata: {{corpora: [{{use: cuts, folder: 'dir:{small_corpus}'}}]}}\ntrain: {{objective: ngram}}\n",
    )
    folder = train(ngram, [], tmp_path / "words", quiet=True)
    fused = alm.load("prompts", [f"parts.language_model={{use: ngram, weights: 'dir:{folder}'}}", "fusion.weight=0.3"])
    utterances = [u for u in alm.core.parts.Parts.of("prompts-reader").utterances("test") if u.language == "en"][:2]
    texts = [result.text for result in fused.run_batch([Request("ASR", u.audio, "en") for u in utterances])]
    assert all(texts) and math.isfinite(sum(map(len, texts)))
    trials = tune_fusion(fused, utterances[:1])
    assert trials[-1].wer == min(trial.wer for trial in trials) and set(trials[-1].weights) == {"fusion.weight", "fusion.word_bonus", "fusion.own_weight"}
    assert trials[-1].overrides[0].startswith("fusion.weight=")
    with pytest.raises(AlmError, match="whose backbone writes alone"):
        tune_fusion(alm.load("prompts"), utterances)
