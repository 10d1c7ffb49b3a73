"""BEST-RQ, HuBERT and wav2vec 2.0: what they mask and aim at, and runs that resume and end in a tokenizer."""

from __future__ import annotations

import pytest
import torch

from alm.api.errors import AlmError
from alm.train.pretraining import CodeUse, Heard, frames_of, span_mask
from alm.train.run import train
from tests.conftest import write_recipe

SIZES = "hidden_size: 32, layers: 2, heads: 2, ffn_size: 48, tempo: 0.1"
OBJECTIVES = {
    "best-rq": f"{{{SIZES}, codebooks: 2, codes: 64, convolution_kernel: 5}}",
    "hubert": f"{{{SIZES}, convolution_size: 16, projection_size: 16, unmasked_weight: 0.5}}",
    "wav2vec2": f"{{{SIZES}, convolution_size: 16, projection_size: 16, codes: 20, distractors: 10}}",
}
TOKENIZERS = {"best-rq": "usm", "hubert": "hubert", "wav2vec2": "wav2vec2"}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_spans_have_their_density_and_stay_in_the_clip():
    lengths = [4000, 300, 3]
    masked = span_mask(lengths, 0.065, 10, generator())
    assert masked.shape == (3, 4000)
    assert masked[0].float().mean() == pytest.approx(1 - (1 - 0.065) ** 10, abs=0.04)
    for row, length in enumerate(lengths):
        assert 0 < masked[row].sum() <= length and not masked[row, length:].any()
    assert span_mask([50, 50], 0.0, 10, generator()).sum(1).tolist() == [10, 10], "one span at least"
    assert torch.equal(masked, span_mask(lengths, 0.065, 10, generator()))


def test_a_span_is_as_long_as_it_should_be():
    masked = span_mask([5000], 0.002, 7, generator())[0]
    runs = [len(run) for run in "".join("x" if m else " " for m in masked.tolist()).split()]
    assert min(runs[:-1]) == 7, "overlapping spans are longer, none is shorter"


def test_a_batch_is_played_faster_and_slower():
    from alm.train.hubert import at_speed

    seconds = torch.arange(16_000) / 16_000
    tone = torch.sin(2 * torch.pi * 400 * seconds)
    sound = torch.stack([tone, torch.where(seconds < 0.5, tone, 0.0)])
    fast = Heard(sound, torch.ones(2, 16_000).cumsum(1) <= torch.tensor([[16_000], [8_000]]), [16_000, 8_000], []).played_at(1.25)
    assert fast.inputs.shape == (2, 12_800) and fast.lengths == [12_800, 6_400] and fast.mask.sum(1).tolist() == fast.lengths
    assert int(torch.fft.rfft(fast.inputs[0]).abs().argmax()) * 16_000 / 12_800 == pytest.approx(500, abs=2)
    assert not fast.inputs[1, 6_400:].any()
    ramp = torch.arange(80.0).reshape(1, 20, 4)  # one band, four frames a row
    slow = Heard(ramp, torch.ones(1, 20, dtype=torch.bool), [20], []).played_at(0.8, stack=4)
    assert slow.inputs.shape == (1, 25, 4) and slow.inputs[0].flatten().diff()[2:-2].sub(0.8).abs().max() < 1e-4, "frames of a row are neighbours in time"
    assert at_speed(torch.arange(10), 2.0).tolist() == [0, 2, 4, 6, 8]
    assert at_speed(torch.arange(4), 0.5).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_random_quantizer_gives_the_nearest_code_of_each_codebook():
    from torch.nn import functional as F

    from alm.train.best_rq import RandomQuantizer

    quantizer = RandomQuantizer(20, 3, 50, 8, generator())
    frames = torch.randn(40, 20, generator=generator(1))
    codes = quantizer(frames)
    assert codes.shape == (3, 40)
    for book in range(3):
        projected = F.normalize(frames @ quantizer.projection[book], dim=-1)
        assert torch.equal(codes[book], torch.cdist(projected, quantizer.codebooks[book]).argmin(-1))
    assert not list(quantizer.parameters()), "it is frozen"
    assert torch.equal(codes, quantizer(5 * frames)), "the length of a frame does not count"


def test_code_use_tells_a_collapsed_quantizer_from_a_good_one():
    good, collapsed = CodeUse(100), CodeUse(100)
    for seed in range(5):
        spread = good.add(torch.randint(100, (2000,), generator=generator(seed)))
        alone = collapsed.add(torch.zeros(2000, dtype=torch.int64))
    assert spread["codes_used"] == 1.0 and spread["perplexity"] > 95
    assert alone["codes_used"] == pytest.approx(0.01) and alone["perplexity"] == pytest.approx(1.0)


def test_distractors_are_other_masked_frames_of_the_same_clip():
    from alm.train.wav2vec2 import distractors

    masked = span_mask([200, 120, 5], 0.05, 10, generator())
    chosen = distractors(masked, 30, generator())
    for row in range(3):
        places = masked[row].nonzero()[:, 0]
        mine = chosen[row, places] - row * 200
        assert bool(masked[row][mine].all())
        assert not bool((mine == places[:, None]).any()) or len(places) == 1
        assert len(mine.unique()) > 0.8 * len(places), "all of them are drawn"


def test_frames_are_counted_as_transformers_counts_them():
    from transformers import HubertConfig, HubertModel

    config = HubertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=1, intermediate_size=16, conv_dim=[8] * 7, num_conv_pos_embedding_groups=1)
    features = HubertModel(config).feature_extractor
    for samples in (400, 719, 720, 16_000, 23_456):
        assert features(torch.randn(1, samples)).shape[-1] == frames_of(samples, config)


def recipe(workspace, small_corpus, objective: str) -> str:
    parts = "parts:\n  tokenizer: {use: mfcc, clusters: 20, codebook: 'run:pretrain-mfcc'}\n" if objective == "hubert" else ""
    data = f"data: {{corpora: [{{use: cuts, folder: 'dir:{small_corpus}'}}], batch_positions: 600}}\n"
    training = f"train: {{objective: {objective}, steps: 6, validate_every_steps: 2, warmup_steps: 2, options: {OBJECTIVES[objective]}}}\n"
    return write_recipe(workspace, f"pretrain-{objective}", f"name: pretrain-{objective}\n{parts}{data}{training}")


@pytest.mark.parametrize("objective", list(OBJECTIVES))
def test_a_pretrained_encoder_resumes_and_yields_a_tokenizer(workspace, small_corpus, clip, objective):
    from alm.api.testing import check_tokenizer
    from alm.core.tokenize import tokenizer_parts

    data = f"data: {{corpora: [{{use: cuts, folder: 'dir:{small_corpus}'}}]}}\n"
    if objective == "hubert":
        train(
            write_recipe(workspace, "pretrain-mfcc", f"name: pretrain-mfcc\nparts:\n  tokenizer: {{use: mfcc, clusters: 20}}\n{data}train: {{objective: kmeans}}\n"), [], quiet=True
        )
    name = recipe(workspace, small_corpus, objective)
    train(name, ["train.steps=3"], quiet=True)
    folder = train(name, [], quiet=True)
    state = torch.load(folder.parent / "last.ckpt", weights_only=True)
    assert state["callbacks"]["Limits"]["steps"] == 6, "the second command went on from the third step"
    use = TOKENIZERS[objective]
    units = f"name: units-{objective}\nparts:\n  tokenizer: {{use: {use}, weights: 'run:pretrain-{objective}', layers: [1], clusters: 24}}\n{data}train: {{objective: kmeans}}\n"
    fitted = train(write_recipe(workspace, f"units-{objective}", units), [], quiet=True)
    trained = units.replace(f"name: units-{objective}", f"name: trained-{objective}").replace("clusters: 24", f"codebook: 'dir:{fitted}'")
    tokenizer = tokenizer_parts(write_recipe(workspace, f"trained-{objective}", trained), "cpu").load("tokenizer")
    check_tokenizer(tokenizer)
    assert tokenizer.encode([clip])[0].codes.unique().numel() > 3


def test_the_loss_falls_on_a_few_clips(workspace, small_corpus):
    """BEST-RQ on a dozen clips: after a few passes it names codes better than chance."""
    from alm.core.config import load_recipe
    from alm.core.parts import Parts
    from alm.train.best_rq import BestRqOptions, build

    torch.manual_seed(0)
    recipe_config = load_recipe(recipe(workspace, small_corpus, "best-rq"), ["train.dropout=0.0"])
    module, batches, _ = build(Parts(recipe_config), BestRqOptions(hidden_size=48, layers=1, heads=2, ffn_size=64, codes=32, convolution_kernel=5), None)
    optimizer = torch.optim.AdamW(module.parameters(), lr=3e-3)
    losses = []
    for step in range(25):
        for batch in batches:
            loss, logged = module.losses(batch, generator(step))
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        losses.append(float(loss))
    assert sum(losses[-5:]) / 5 < 0.9 * losses[0]
    assert 0.3 < logged["mask_density"] < 0.7 and logged["codes_used"] > 0.5


def test_hubert_wants_a_unit_for_each_of_its_frames(workspace, small_corpus, small_model):
    name = recipe(workspace, small_corpus, "hubert")
    with pytest.raises(AlmError, match=r"25 units/s.*50 frames"):
        train(name, ["parts.tokenizer.hop_samples=640", "parts.tokenizer.codebook=run:units"], quiet=True, out=workspace / "runs/other")


@pytest.mark.parametrize("objective", ["best-rq", "hubert"])
def test_a_pretrained_encoder_trains_further_with_ctc(workspace, small_corpus, clip, objective):
    """The whole encoder learns, and what is left is a checkpoint that loads as any other (a weight norm included)."""
    from alm.components.encoders.cards import KINDS, FrameOptions
    from alm.components.encoders.frames import load_encoder
    from alm.core.sources import SourceContext

    source = workspace / f"runs/pretrain-{objective}/final"
    if not source.exists():
        pytest.skip("its encoder was not pretrained in this run")
    kind = next(kind for kind in KINDS if kind.name == TOKENIZERS[objective])
    data = f"data: {{corpora: [{{use: cuts, folder: 'dir:{small_corpus}'}}], batch_positions: 600}}\n"
    parts = f"parts:\n  encoder: {{use: {kind.name}, weights: 'run:pretrain-{objective}', layers: [2]}}\n"
    training = "train: {objective: encoder-ctc, steps: 3, validate_every_steps: 2, options: {mask_probability: 0.05}}\n"
    folder = train(write_recipe(workspace, f"further-{objective}", f"name: further-{objective}\n{parts}{data}{training}"), [], quiet=True)
    before, after = (load_encoder(kind, FrameOptions(f"dir:{path}", (1,)), SourceContext()) for path in (source, folder))
    a, b = (encoder.encode([clip])[0].values for encoder in (before, after))
    assert a.shape == b.shape and 1e-5 < float((a - b).abs().max()) < 2.0
    assert before.card.fingerprint != after.card.fingerprint
