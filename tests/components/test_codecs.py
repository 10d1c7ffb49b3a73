"""Mimi, EnCodec and DAC of random weights: their codes are transformers' codes, and a language model trains on them and speaks."""

from __future__ import annotations

import pytest
import torch
import transformers as hf

from alm.api.errors import AlmError
from alm.api.testing import check_tokenizer, check_vocoder
from alm.components.codecs.cards import CodecOptions
from alm.components.codecs.network import load_tokenizer, load_vocoder
from alm.core.sources import SourceContext
from tests.conftest import write_recipe

MIMI = {
    "hidden_size": 32, "num_filters": 4, "codebook_size": 16, "codebook_dim": 8, "vector_quantization_hidden_dimension": 8, "num_quantizers": 4, "num_hidden_layers": 1,
    "intermediate_size": 32, "num_attention_heads": 2, "num_key_value_heads": 2, "upsample_groups": 32,
}  # fmt: skip
MODELS = {
    "mimi": lambda: hf.MimiModel(hf.MimiConfig(**MIMI)),
    "encodec": lambda: hf.EncodecModel(hf.EncodecConfig(num_filters=4, hidden_size=16, codebook_size=16, codebook_dim=16, target_bandwidths=[0.6, 1.2], num_lstm_layers=1)),
    "dac": lambda: hf.DacModel(hf.DacConfig(encoder_hidden_size=8, decoder_hidden_size=64, n_codebooks=3, codebook_size=16, codebook_dim=4)),
}
BOOKS = {"mimi": 4, "encodec": 4, "dac": 3}
RATES = {"mimi": 12.5, "encodec": 75.0, "dac": 16_000 / 512}


@pytest.fixture(scope="module", params=list(MODELS))
def codec(request, tmp_path_factory):
    """(model type, folder, the transformers model by itself)"""
    torch.manual_seed(0)
    model = MODELS[request.param]().eval()
    for name, value in model.state_dict().items():
        if "codebook" in name and (name.endswith((".embed", "embed_sum"))):
            value.copy_(torch.randn(value.shape))  # random codebooks, where the class starts them at zero
        if name.endswith(("cluster_usage", "cluster_size")):
            value.fill_(1.0)
    folder = tmp_path_factory.mktemp(request.param)
    model.save_pretrained(folder)
    return request.param, folder, model


def test_cards_and_conformance(codec):
    name, folder, _ = codec
    tokenizer = load_tokenizer(name, CodecOptions(f"dir:{folder}"), SourceContext())
    assert tokenizer.card.codebooks == BOOKS[name] and tokenizer.card.frame_rate_hz == RATES[name]
    check_tokenizer(tokenizer)
    vocoder = load_vocoder(CodecOptions(f"dir:{folder}"), SourceContext())
    assert vocoder.card.units_fingerprint == tokenizer.card.fingerprint and vocoder.card.streams
    check_vocoder(vocoder)
    check_vocoder(load_vocoder(CodecOptions(f"dir:{folder}", codebooks=1), SourceContext()))


def test_codes_and_sound_are_those_of_transformers(codec, clip):
    name, folder, model = codec
    tokenizer, vocoder = load_tokenizer(name, CodecOptions(f"dir:{folder}"), SourceContext()), load_vocoder(CodecOptions(f"dir:{folder}"), SourceContext())
    hop = tokenizer.hop_samples
    audio = clip.resample(tokenizer.card.sample_rate_hz)
    audio = type(audio)(audio.samples[:, : audio.num_samples // hop * hop].contiguous(), audio.sample_rate_hz)
    with torch.inference_mode():
        encoded = model.encode(audio.samples[None], **({"bandwidth": 1.2} if name == "encodec" else {}))
        codes = encoded.audio_codes.reshape(BOOKS[name], -1)
        sound = model.decode(encoded.audio_codes, [None]).audio_values if name == "encodec" else model.decode(audio_codes=encoded.audio_codes).audio_values
    units = tokenizer.encode([audio])[0]
    assert torch.equal(units.codes, codes) and units.codes.unique().numel() > 3
    mine = vocoder.synthesize([units], [""])[0]
    torch.testing.assert_close(mine.samples[0], sound.flatten()[: mine.num_samples].clamp(-1, 1), atol=1e-5, rtol=0)


def test_fewer_codebooks_are_the_first_ones(codec, clip):
    name, folder, _ = codec
    audio = clip.resample(24_000 if name != "dac" else 16_000)
    whole, two = (load_tokenizer(name, CodecOptions(f"dir:{folder}", books), SourceContext()) for books in (0, 2))
    assert torch.equal(two.encode([audio])[0].codes, whole.encode([audio])[0].codes[:2])
    assert two.card.fingerprint != whole.card.fingerprint
    assert load_vocoder(CodecOptions(f"dir:{folder}", 2), SourceContext()).synthesize(two.encode([audio]), [""])[0].duration_s == pytest.approx(audio.duration_s, abs=0.1)


def test_wrong_codecs_are_refused(codec):
    name, folder, _ = codec
    with pytest.raises(AlmError, match=f"1 to {BOOKS[name]}"):
        load_tokenizer(name, CodecOptions(f"dir:{folder}", 40), SourceContext())
    with pytest.raises(AlmError, match=f"use: {name}"):
        load_tokenizer("mimi" if name != "mimi" else "dac", CodecOptions(f"dir:{folder}"), SourceContext())


@pytest.mark.parametrize(
    "layout", ["{kind: flattened}", "{kind: delayed}", "{kind: parallel, depth_layers: 1, depth_size: 16}", "{kind: first-ahead, depth_layers: 1, depth_size: 16}"]
)
def test_a_language_model_trains_on_several_codebooks_and_speaks(workspace, small_corpus, codec, layout):
    """A few steps on real clips through each layout; the checkpoint opens, and what it says is sound of the codec."""
    import alm
    from alm.train.run import train

    name, folder, _ = codec
    if name != "mimi" and "depth" not in layout:
        pytest.skip("one codec goes through every layout, the others through two")
    data = f"data: {{corpora: [{{use: cuts, folder: 'dir:{small_corpus}'}}]}}\n"
    label = f"codec-{name}-{layout.split(':')[1].split(',')[0].strip(' }')}-{'depth' in layout}"
    text = train(write_recipe(workspace, f"{label}-text", f"name: {label}-text\n{data}train: {{objective: bpe, options: {{vocabulary_size: 300}}}}\n"), [], quiet=True)
    recipe = write_recipe(
        workspace,
        label,
        f"""name: {label}
parts:
  tokenizer: {{use: {name}, weights: 'dir:{folder}'}}
  backbone: {{use: llama, text_tokenizer: 'dir:{text}', hidden_size: 32, ffn_size: 48, layers: 1, heads: 2}}
  prompt: {{use: audiopalm}}
  vocoder: {{use: codec, weights: 'dir:{folder}'}}
layout: {layout}
data:
  corpora: [{{use: cuts, folder: 'dir:{small_corpus}'}}]
  tasks: [{{use: TTS}}, {{use: ASR}}]
  batch_positions: 2000
train: {{objective: lm, steps: 3, validate_every_steps: 2, options: {{replace_units: 0.1, replace_frames: 0.1}}}}
""",
    )
    pipeline = alm.load(str(train(recipe, [], quiet=True)))
    result = pipeline.run("TTS", "hello", "en")
    assert result.units is not None and result.units.codes.shape[0] == BOOKS[name]
    assert result.audio is not None and result.audio.duration_s == pytest.approx(result.units.duration_s, abs=0.1)
    assert pipeline.run("ASR", result.audio, "en").texts


def test_the_loss_covers_every_codebook_and_falls(codec, clip):
    """One clip by heart in a delayed layout with a depth transformer: all codebooks are named, not the first alone."""
    from alm.api.layouts import make_layout
    from alm.api.types import Emit, Sample, Segment, Turn
    from alm.api.vocabulary import JointVocabulary
    from alm.components.prompts.audiopalm import AudioPalmFormat
    from alm.core.assemble import Model
    from alm.core.config import RecipeConfig
    from alm.core.depth import DepthTransformer
    from alm.core.parts import Parts
    from alm.train.lm import LanguageModelTraining, LmOptions, collate
    from tests.fakes import fake_backbone

    name, folder, _ = codec
    tokenizer = load_tokenizer(name, CodecOptions(f"dir:{folder}"), SourceContext())
    units = tokenizer.encode([type(clip)(clip.samples[:, :16_000], 16_000).resample(tokenizer.card.sample_rate_hz)])[0]
    torch.manual_seed(0)
    backbone = fake_backbone()
    vocabulary = JointVocabulary(backbone.text_tokenizer, tokenizer.card, make_layout("first-ahead", units.codes.shape[0]))
    backbone.resize(len(vocabulary))
    depth = DepthTransformer(32, units.codes.shape[0], 1, 16)
    module = LanguageModelTraining(Model(backbone, None, vocabulary, depth), Parts(RecipeConfig()), LmOptions())
    sample = Sample("s", ("TTS",), ("en",), (Turn("user", (Segment("a", False, "en"),)), Turn("assistant", (Segment(units, True, "en"),))), (Emit("audio", "en"),))
    batch = collate([(0, AudioPalmFormat().encode(sample, vocabulary))])
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-2)
    means = []
    for _ in range(60):
        losses, targets, rows, _ = module.losses(batch, augment=False)
        assert len(losses) == len(targets) == len(rows)
        losses.mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        of_book = [losses[(targets >= b.start) & (targets < b.start + b.size)].mean() for b in vocabulary.unit_blocks]
        means.append(torch.stack(of_book).detach())
    assert bool((means[-1] < 0.6 * means[0]).all()), f"{means[0]} -> {means[-1]}"
