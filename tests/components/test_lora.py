"""A LoRA folder as peft writes it: merged into the weights, and refused where it does not fit."""

from __future__ import annotations

import pytest
import torch

from alm.api.errors import AlmError
from alm.api.testing import test_text_tokenizer
from alm.core.parts import load_component
from alm.core.plugins import registry
from alm.core.sources import SourceContext


@pytest.fixture
def folders(tmp_path):
    """A small random Llama, untied as SpeechGPT's, and a LoRA on q_proj and v_proj of it."""
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    tokenizer = test_text_tokenizer()
    config = LlamaConfig(vocab_size=len(tokenizer), hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=4, tie_word_embeddings=False)
    base = LlamaForCausalLM(config)
    base.save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    adapted = get_peft_model(base, LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"], init_lora_weights=False)).eval()
    adapted.save_pretrained(tmp_path / "lora")
    ids = torch.arange(6)[None]
    with torch.no_grad():
        return tmp_path, ids, adapted(ids).logits


def load(**options):
    return load_component(registry(), "backbone", "hf", options, SourceContext())


def test_a_lora_folder_is_merged(folders):
    path, ids, expected = folders
    backbone = load(weights=f"dir:{path / 'base'}", lora=f"dir:{path / 'lora'}").eval()
    with torch.no_grad():
        made = backbone.scores(backbone.hidden(backbone.embed(ids)))
        plain = load(weights=f"dir:{path / 'base'}").eval()
        assert not torch.allclose(plain.scores(plain.hidden(plain.embed(ids))), expected, atol=1e-3), "it changes something"
    torch.testing.assert_close(made, expected, atol=1e-5, rtol=1e-5)
    assert not any("lora" in name for name, _ in backbone.named_parameters())


def test_another_folder_is_refused(folders):
    path, _, _ = folders
    with pytest.raises(AlmError, match=r"adapter_model\.safetensors"):
        load(weights=f"dir:{path / 'base'}", lora=f"dir:{path / 'base'}")
