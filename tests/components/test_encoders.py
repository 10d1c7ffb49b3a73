"""HuBERT, wav2vec 2.0, WavLM and w2v-BERT against transformers itself, with small random weights in folders that
save_pretrained wrote: features, batches, windows, cards, tokenizers."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
import transformers as hf

from alm.api.errors import AlmError
from alm.api.testing import check_encoder, check_tokenizer
from alm.api.types import Audio
from alm.components.encoders.cards import KINDS, FrameOptions
from alm.components.encoders.frames import load_encoder
from alm.components.tokenizers.cards import TOKENIZER_OPTIONS, FrameTokenizerOptions, frame_card
from alm.components.tokenizers.frames import load_tokenizer
from alm.core.sources import SourceContext

KIND = {kind.name: kind for kind in KINDS}
SMALL = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 48}
WAVE = SMALL | {"conv_dim": [16] * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4}
LARGE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}  # what the large models of each family have
CASES = {
    "hubert": (hf.HubertModel, hf.HubertConfig(**WAVE)),
    "hubert-large": (hf.HubertModel, hf.HubertConfig(**WAVE, **LARGE)),
    "wav2vec2": (hf.Wav2Vec2Model, hf.Wav2Vec2Config(**WAVE)),
    "wav2vec2-large": (hf.Wav2Vec2Model, hf.Wav2Vec2Config(**WAVE, **LARGE)),
    "wavlm": (hf.WavLMModel, hf.WavLMConfig(**WAVE)),
    "wavlm-large": (hf.WavLMModel, hf.WavLMConfig(**WAVE, **LARGE)),
    "w2v-bert": (hf.Wav2Vec2BertModel, hf.Wav2Vec2BertConfig(**SMALL, feature_projection_input_dim=160, conv_depthwise_kernel_size=5, add_adapter=True)),
}


def kind_of(case: str):
    return KIND[case.removesuffix("-large")]


def extractor_of(case: str):
    return hf.SeamlessM4TFeatureExtractor() if case == "w2v-bert" else hf.Wav2Vec2FeatureExtractor(return_attention_mask=case.endswith("-large"))


@pytest.fixture(scope="module", params=list(CASES))
def checkpoint(request, tmp_path_factory):
    """(case, folder, the transformers model by itself)"""
    torch.manual_seed(0)
    model_class, config = CASES[request.param]
    model = model_class(config).eval()
    folder = tmp_path_factory.mktemp(request.param)
    model.save_pretrained(folder)
    extractor_of(request.param).save_pretrained(folder)
    return request.param, folder, model


def noise(duration_s: float, seed: int = 0) -> Audio:
    return Audio(0.1 * torch.randn(1, int(duration_s * 16_000), generator=torch.Generator().manual_seed(seed)), 16_000)


@torch.inference_mode()
def by_itself(case: str, model, clip: Audio, layer: int):
    """What transformers gives for one clip, [F, D]."""
    inputs = extractor_of(case)(clip.samples[0].numpy(), sampling_rate=16_000, return_tensors="pt")
    states = model(inputs["input_values"] if "input_values" in inputs else inputs["input_features"], output_hidden_states=True).hidden_states[layer][0]
    heard = inputs.get("attention_mask")
    return states[: int(heard.sum())] if case == "w2v-bert" else states


@pytest.mark.parametrize("layer", [1, 3])
def test_features_are_those_of_transformers(checkpoint, clip, layer):
    case, folder, model = checkpoint
    encoder = load_encoder(kind_of(case), FrameOptions(f"dir:{folder}", (layer,)), SourceContext())
    for audio in (clip, noise(0.7)):
        wanted = by_itself(case, model, audio, layer)
        torch.testing.assert_close(encoder.encode([audio])[0].values, wanted, atol=2e-3 if case == "w2v-bert" else 2e-4, rtol=0)


def test_only_the_layers_up_to_the_wanted_one_are_loaded(checkpoint):
    case, folder, _ = checkpoint
    encoder = load_encoder(kind_of(case), FrameOptions(f"dir:{folder}", (2,)), SourceContext())
    assert len(encoder.network.model.encoder.layers) == 2


def test_several_layers_are_joined(checkpoint, clip):
    case, folder, model = checkpoint
    encoder = load_encoder(kind_of(case), FrameOptions(f"dir:{folder}", (1, 3)), SourceContext())
    wanted = torch.cat([by_itself(case, model, clip, layer) for layer in (1, 3)], -1)
    torch.testing.assert_close(encoder.encode([clip])[0].values, wanted, atol=2e-3 if case == "w2v-bert" else 2e-4, rtol=0)


def test_conformance_and_the_rule_of_the_card(checkpoint):
    case, folder, _ = checkpoint
    encoder = load_encoder(kind_of(case), FrameOptions(f"dir:{folder}", (2,)), SourceContext())
    check_encoder(encoder)
    assert encoder.card.needs_padding_mask == (case.endswith("-large") or case == "w2v-bert")
    pooled = load_encoder(kind_of(case), FrameOptions(f"dir:{folder}", (2,), stride=2, projector="pool-linear", stack=2), SourceContext())
    check_encoder(pooled)


def test_tokenizer_conformance_with_and_without_merged_repeats(checkpoint, tmp_path):
    case, folder, _ = checkpoint
    kind = kind_of(case)
    options = TOKENIZER_OPTIONS.get(kind.name, FrameTokenizerOptions)(f"dir:{folder}", (2,), clusters=20)
    bare = load_tokenizer(kind, options, SourceContext())
    assert not bare.card.fingerprint
    frames = bare.features([noise(2.0)])[0].values
    bare.with_codebook(frames[:20]).save(tmp_path)
    plain, merging = (dataclasses.replace(options, codebook=f"dir:{tmp_path}", merge_repeats=merge) for merge in (False, True))
    tokenizer, merged = (load_tokenizer(kind, o, SourceContext()) for o in (plain, merging))
    assert tokenizer.card == frame_card(kind, plain, SourceContext())
    check_tokenizer(tokenizer)
    check_tokenizer(merged)
    assert merged.card.fingerprint != tokenizer.card.fingerprint, "merged units are other units"
    units, short = tokenizer.encode([noise(3.0)])[0], merged.encode([noise(3.0)])[0]
    assert torch.equal(short.codes.repeat_interleave(short.durations, 1), units.codes)
    with pytest.raises(AlmError, match="on which it was fitted"):
        load_tokenizer(kind, dataclasses.replace(plain, layers=(1,)), SourceContext())


def test_long_clips_lose_no_frame_between_windows(checkpoint):
    case, folder, _ = checkpoint
    encoder = load_encoder(kind_of(case), FrameOptions(f"dir:{folder}", (1,)), SourceContext())
    assert encoder.encode([noise(65.0)])[0].num_frames == (65 * 50 - 1)  # the last frame reaches beyond the end
    for samples in (480_000, 480_079, 480_080, 480_400, 480_719):
        frames = encoder.encode([Audio(noise(40.0).samples[:, :samples], 16_000)])[0].num_frames
        assert frames == (1 + (samples - 400) // 160) // 2 if case == "w2v-bert" else 1 + (samples - 400) // 320


def test_a_clip_shorter_than_one_frame_is_refused(checkpoint):
    case, folder, _ = checkpoint
    encoder = load_encoder(kind_of(case), FrameOptions(f"dir:{folder}", (1,)), SourceContext())
    least = 400 + 160 if case == "w2v-bert" else 400
    assert encoder.encode([Audio(torch.ones(1, least) * 0.1, 16_000)])[0].num_frames == 1
    with pytest.raises(AlmError, match=f"at least {least}"):
        encoder.encode([Audio(torch.ones(1, least - 1) * 0.1, 16_000)])


def test_a_checkpoint_with_a_head_loads(tmp_path, clip):
    model = hf.HubertForCTC(hf.HubertConfig(**WAVE)).eval()
    model.save_pretrained(tmp_path)
    encoder = load_encoder(KIND["hubert"], FrameOptions(f"dir:{tmp_path}", (3,)), SourceContext())
    torch.testing.assert_close(encoder.encode([clip])[0].values, by_itself("hubert", model.hubert, clip, 3), atol=2e-4, rtol=0)


def test_wrong_checkpoints_are_refused_with_the_fix(tmp_path):
    hf.WavLMModel(hf.WavLMConfig(**WAVE)).save_pretrained(tmp_path / "wavlm")
    with pytest.raises(AlmError, match="use: wavlm"):
        load_encoder(KIND["hubert"], FrameOptions(f"dir:{tmp_path}/wavlm", (1,)), SourceContext())
    with pytest.raises(AlmError, match="layers between 1 and 3"):
        load_encoder(KIND["wavlm"], FrameOptions(f"dir:{tmp_path}/wavlm", (4,)), SourceContext())
    with pytest.raises(AlmError, match="each layer once"):
        load_encoder(KIND["wavlm"], FrameOptions(f"dir:{tmp_path}/wavlm", (1, 1)), SourceContext())
    with pytest.raises(AlmError, match="weight source"):
        load_encoder(KIND["wavlm"], FrameOptions(), SourceContext())
    (tmp_path / "empty").mkdir()
    with pytest.raises(AlmError, match="config.json"):
        load_encoder(KIND["hubert"], FrameOptions(f"dir:{tmp_path}/empty", (1,)), SourceContext())
    broken = tmp_path / "wavlm/model.safetensors"
    broken.write_bytes(broken.read_bytes()[:1000])
    with pytest.raises(AlmError, match="do not load"):
        load_encoder(KIND["wavlm"], FrameOptions(f"dir:{tmp_path}/wavlm", (1,)), SourceContext())
    (tmp_path / "wavlm/config.json").write_text("{")
    with pytest.raises(AlmError, match="no JSON"):
        load_encoder(KIND["wavlm"], FrameOptions(f"dir:{tmp_path}/wavlm", (1,)), SourceContext())


def test_weights_without_a_part_of_the_network_are_refused(tmp_path):
    model = hf.HubertModel(hf.HubertConfig(**WAVE | {"num_hidden_layers": 1}))
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(AlmError, match="all weights of a"):
        load_encoder(KIND["hubert"], FrameOptions(f"dir:{tmp_path}", (2,)), SourceContext())


def test_pool_projector_puts_begin_and_end_around_each_clip():
    from alm.components.encoders.projectors import build_projector

    projector = build_projector("pool-linear", 6, 8, 2)
    values = torch.randn(2, 7, 6)
    mask = torch.arange(7) < torch.tensor([7, 4])[:, None]
    slots = projector(values, mask)
    assert slots.shape == (2, 6, 8)
    alone = projector(values[1:, :4], mask[1:, :4])
    torch.testing.assert_close(slots[1, :4], alone[0])
    for row, frames in enumerate((7, 4)):
        assert torch.equal(slots[row, 0], projector.begin) and torch.equal(slots[row, 1 + -(-frames // 2)], projector.end)
    torch.testing.assert_close(slots[0, 4], projector.net(projector.norm(values[0, 6])), msg="an odd last frame is its own mean")
