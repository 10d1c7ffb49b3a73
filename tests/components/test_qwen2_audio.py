"""A Qwen2-Audio checkpoint directory opens as it is and gives the scores that transformers gives."""

from __future__ import annotations

import pytest
import torch

import alm
from alm.api.errors import AlmError
from alm.api.testing import check_encoder, test_text_tokenizer
from alm.api.types import Audio
from alm.core.assemble import prompt_embeddings
from alm.core.parts import Parts
from tests.conftest import write_recipe

TAGS = ("<|im_start|>", "<|im_end|>", "<|audio_bos|>", "<|AUDIO|>", "<|audio_eos|>")


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A small random one, saved as it is published: model, tokenizer and feature extractor."""
    from transformers import Qwen2AudioConfig, Qwen2AudioForConditionalGeneration, Qwen2AudioProcessor, WhisperFeatureExtractor

    torch.manual_seed(0)
    folder, tokenizer = tmp_path_factory.mktemp("qwen2-audio"), test_text_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": list(TAGS)})
    audio = {"model_type": "qwen2_audio_encoder", "d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 64, "num_mel_bins": 128}
    text = {
        "model_type": "qwen2",
        "vocab_size": len(tokenizer) + 3,  # rows that no token has, as in the published ones
        "hidden_size": 48,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "tie_word_embeddings": False,
    }
    config = Qwen2AudioConfig(audio_config=audio, text_config=text, audio_token_id=tokenizer.convert_tokens_to_ids("<|AUDIO|>"))
    model = Qwen2AudioForConditionalGeneration(config).eval()
    model.save_pretrained(folder)
    Qwen2AudioProcessor(WhisperFeatureExtractor(feature_size=128), tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def recipe(directory, tmp_path_factory) -> str:
    content = f"""name: qwen2-audio
parts:
  encoder: {{use: qwen2-audio, weights: 'dir:{directory}'}}
  backbone: {{use: hf, weights: 'dir:{directory}'}}
  prompt: {{use: chatml, audio: ['<|audio_bos|>', '<|audio_eos|>']}}
data: {{audio: features, normalize_text: false, tasks: [{{use: ASR}}]}}
"""
    return write_recipe(tmp_path_factory.mktemp("recipe"), "qwen2-audio", content)


def test_scores_are_those_of_transformers(directory, recipe, clip):
    from transformers import AutoProcessor, Qwen2AudioForConditionalGeneration

    sound = clip.mono().resample(16_000)
    other = Audio(sound.samples[:, : sound.num_samples // 3].flip(1), 16_000)
    model = alm.load(recipe)
    talk = model.conversation("en")
    talk.say(sound, "What's that sound?")
    answer = talk.turns[-1].segments[0].content
    result = talk.say(other, "How about this one?")

    whole = Qwen2AudioForConditionalGeneration.from_pretrained(directory).eval()
    processor = AutoProcessor.from_pretrained(directory)
    said = (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        f"<|im_start|>user\nAudio 1: <|audio_bos|><|AUDIO|><|audio_eos|>\nWhat's that sound?<|im_end|>\n<|im_start|>assistant\n{answer}<|im_end|>\n"
        "<|im_start|>user\nAudio 2: <|audio_bos|><|AUDIO|><|audio_eos|>\nHow about this one?<|im_end|>\n<|im_start|>assistant\n"
    )
    inputs = processor(text=said, audio=[sound.samples[0].numpy(), other.samples[0].numpy()], sampling_rate=16_000, return_tensors="pt")
    with torch.inference_mode():
        wanted = whole(**inputs).logits[0]
        backbone = model.model.backbone
        scores = backbone.scores(backbone.hidden(prompt_embeddings(model.model, result.prompt)[None]))[0]
    heard = inputs["input_ids"][0] == whole.config.audio_token_id
    assert torch.equal(result.prompt.ids[~heard], inputs["input_ids"][0][~heard]) and bool((result.prompt.ids[heard] == -1).all())
    assert torch.allclose(scores, wanted[:, : scores.shape[1]], atol=1e-4), float((scores - wanted[:, : scores.shape[1]]).abs().max())


def test_the_encoder_conforms_and_hears_long_recordings_whole(recipe, clip):
    parts = Parts.of(recipe)
    encoder = parts.load("encoder")
    check_encoder(encoder)
    sound = clip.mono().resample(16_000)
    long = Audio(sound.samples.repeat(1, int(47 / sound.duration_s)), 16_000)
    (features,) = encoder.encode([long])
    assert features.num_frames / 25 == pytest.approx(long.duration_s, abs=0.1)


def test_what_is_no_such_directory_is_refused(recipe, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "whisper"}')
    with pytest.raises(AlmError, match="model type 'whisper' for 'qwen2-audio'"):
        Parts.of(recipe, [f"parts.encoder.weights=dir:{tmp_path}"]).card("encoder")
    with pytest.raises(AlmError, match="without weights"):
        Parts.of(recipe, ["parts.encoder.weights=''"]).card("encoder")
