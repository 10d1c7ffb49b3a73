"""Guided attention: which spans run in parallel, and that the loss is low where a head looks there."""

from __future__ import annotations

import pytest
import torch

from alm.api.errors import AlmError
from alm.api.types import Sample, Segment, Sequence, Span, Turn, Units
from alm.train.guide import Guide, GuidedAttention, guides_of


def chain() -> tuple[Sample, Sequence]:
    """`[ASR AST S2ST]`: Spanish speech, its text, the English text, English speech."""
    units = Units(torch.zeros(1, 4, dtype=torch.long), 25.0, "x")
    turns = (
        Turn("user", (Segment(units, False, "es", says="source"),)),
        Turn("assistant", (Segment("hola", True, "es", says="source"), Segment("hello", True, "en", says="target"), Segment(units, True, "en", says="target"))),
    )
    spans = (Span(0, 2, "tag"), Span(2, 6, "units"), Span(6, 7, "end"), Span(7, 9, "text"), Span(9, 10, "end"), Span(10, 13, "text"), Span(13, 14, "end"), Span(14, 18, "units"))
    return Sample("s", ("ASR", "AST", "S2ST"), ("es", "en"), turns), Sequence(torch.arange(18), torch.arange(18) > 6, (), spans)


def test_only_text_and_speech_of_one_language_are_parallel():
    assert guides_of(3, *chain()) == [Guide(3, 2, 6, 7, 9), Guide(3, 10, 13, 14, 18)]


def small_llama():
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=20, hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2)

    class Backbone:
        model = LlamaForCausalLM(config).train()

    return Backbone()


def test_loss_is_that_of_the_attention_which_the_network_computes():
    backbone, guide = small_llama(), Guide(0, 0, 6, 7, 10)
    backbone.model.set_attn_implementation("eager")
    guided = GuidedAttention(backbone, head=3)
    attention = backbone.model(torch.arange(12)[None], output_attentions=True).attentions[1][0, 3]
    window = torch.exp(-0.5 * ((torch.arange(6) + 0.5 - torch.tensor([[1.0], [3.0], [5.0]])) / 1.5) ** 2)
    wanted = -(attention[6:9, 0:6] * window).sum(-1).log().mean()
    assert torch.allclose(guided.loss([guide]), wanted, atol=1e-5)


def test_training_on_the_loss_turns_the_head_to_the_window():
    backbone, guide = small_llama(), Guide(0, 0, 8, 9, 17)
    guided = GuidedAttention(backbone)
    optimizer = torch.optim.Adam(backbone.model.parameters(), 0.01)
    losses = []
    for _ in range(60):
        backbone.model(torch.arange(18)[None] % 20)
        loss = guided.loss([guide])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    assert losses[-1] < 0.5 * losses[0]


def test_a_head_that_starts_copying_adds_the_projection_of_what_it_looks_at():
    backbone = small_llama()
    guided = GuidedAttention(backbone, head=2)
    guided.start_copying()
    attention = backbone.model.base_model.layers[1].self_attn
    values, outputs = attention.v_proj.weight[8:16], attention.o_proj.weight[:, 16:24]  # heads 2 and 3 share value head 1
    assert torch.allclose(values @ outputs, torch.eye(8), atol=1e-5)


def test_a_backbone_without_such_layers_is_refused():
    class Backbone:
        class model:
            base_model = torch.nn.Linear(1, 1)

    with pytest.raises(AlmError, match="guide_weight: 0"):
        GuidedAttention(Backbone())
