"""A dialogue with a model: the task that fits the message is found; a SpeechGPT-type checkpoint directory answers as it is."""

from __future__ import annotations

import json

import pytest
import torch

import alm
from alm.api.errors import AlmError
from alm.api.testing import test_text_tokenizer
from alm.cli import main
from alm.components.prompts.cards import SPEECHGPT_CARD
from alm.train.run import train
from tests.conftest import write_recipe


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A small random Llama with untied rows, a tokenizer extended by units and tags, and a LoRA folder, as SpeechGPT is published."""
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    folder, tokenizer = tmp_path_factory.mktemp("speechgpt"), test_text_tokenizer()
    tokenizer.add_tokens([*(f"<{unit}>" for unit in range(32)), *SPEECHGPT_CARD.added_tags])
    config = LlamaConfig(vocab_size=len(tokenizer), hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=4, tie_word_embeddings=False)
    base = LlamaForCausalLM(config)
    base.save_pretrained(folder / "base")
    tokenizer.save_pretrained(folder / "base")
    get_peft_model(base, LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"], init_lora_weights=False)).save_pretrained(folder / "lora")
    return folder


def small_llama(folder):
    """Writes a small random Llama with tied rows that knows no units; returns its text tokenizer."""
    from transformers import LlamaConfig, LlamaForCausalLM

    text = test_text_tokenizer()
    config = LlamaConfig(vocab_size=len(text), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, tie_word_embeddings=True)
    LlamaForCausalLM(config).save_pretrained(folder)
    text.save_pretrained(folder)
    return text


@pytest.fixture(scope="module")
def recipe(workspace, small_model) -> str:
    return write_recipe(
        workspace,
        "released",
        """name: released
parts:
  tokenizer: {use: mfcc, clusters: 32, hop_samples: 640, codebook: 'run:units'}
  backbone: {use: hf, weights: ''}
  prompt: {use: speechgpt, ask_as_released: true}
  vocoder: {use: unit-vocos, weights: 'run:vocoder'}
data:
  corpora: [{use: prompts}]
  tasks: [{use: CHAT}, {use: CHAT-T}, {use: CHAT-COM}, {use: CHAT-COM-A}]
train: {objective: lm, steps: 1}
""",
    )


def say(capsys, *arguments) -> dict:
    with pytest.raises(SystemExit, match="0"):
        main(["chat", *arguments, "--json"])
    return json.loads(capsys.readouterr().out)


def test_a_speechgpt_directory_answers(checkpoint, recipe, small_corpus, clip, capsys, tmp_path):
    parts = [f"parts.backbone.weights=dir:{checkpoint / 'base'}", f"parts.backbone.lora=dir:{checkpoint / 'lora'}"]
    alm.write_audio(tmp_path / "question.wav", clip)
    spoken = say(capsys, str(tmp_path / "question.wav"), *parts, "--model", recipe, "-o", str(tmp_path / "answer.wav"))
    assert spoken["task"] == "CHAT-COM" and len(spoken["texts"]) == 2
    assert alm.read_audio(tmp_path / "answer.wav").duration_s == pytest.approx(len(spoken["units"][0]) / 25, abs=1e-2)
    assert say(capsys, str(tmp_path / "question.wav"), *parts, "--model", recipe, "--to", "text")["task"] == "CHAT-T"
    written = say(capsys, "hello", *parts, "--model", recipe, "--to", "text")
    assert written["task"] == "CHAT" and len(written["texts"]) == 1
    without = say(capsys, "hello", parts[0], "--model", recipe, "--to", "text")
    assert without["texts"] != written["texts"], "LoRA changes the answer"
    vocabulary = alm.load(recipe, parts).model.vocabulary
    assert vocabulary.blocks[0].size == len(test_text_tokenizer()), "the units of the tokenizer are those of the vocabulary"


def test_what_cannot_be_answered_is_refused(recipe, small_model, checkpoint, tmp_path):
    with pytest.raises(AlmError, match="one of the model's dialogue tasks: none"):
        alm.load(str(small_model)).chat("hello")
    small_llama(tmp_path / "base")  # knows no units
    bare = [f"parts.backbone.weights=dir:{tmp_path / 'base'}", "parts.prompt={use: audiopalm}"]
    with pytest.raises(AlmError, match="knows text alone as it stands"):
        alm.load(recipe, bare).chat("hello", to="audio")
    with pytest.raises(AlmError, match="still to be trained"):
        alm.load(recipe, [*bare, "parts.backbone.scratch=true"])
    model = alm.load(recipe, [f"parts.backbone.weights=dir:{checkpoint / 'base'}"])
    for to in ("song", "speech"):
        with pytest.raises(AlmError, match="to='text' or to='audio'"):
            model.chat("hello", to=to)
    with pytest.raises(AlmError, match=r"alm train .*model\.yaml"):
        alm.load(str(small_model.parents[2] / "model.yaml"))


def test_a_later_stage_starts_from_an_earlier_one(workspace, small_corpus, small_model, tmp_path):
    """SpeechGPT's stages: units as they are; instructions, from there; LoRA on what that made, which its checkpoint carries along."""
    base, text_folder = tmp_path / "base", small_model / "text_tokenizer"
    text = small_llama(base)
    first = write_recipe(
        workspace,
        "stage-1",
        f"""name: stage-1
parts:
  tokenizer: {{use: mfcc, clusters: 32, hop_samples: 640, codebook: 'run:units'}}
  backbone: {{use: hf, weights: 'dir:{base}'}}
  prompt: {{use: speechgpt}}
  vocoder: {{use: unit-vocos, weights: 'run:vocoder'}}
data: {{corpora: [{{use: cuts, folder: 'dir:{small_corpus}'}}], batch_positions: 1500, tasks: [{{use: SPEECH}}, {{use: TEXT}}]}}
train: {{objective: lm, steps: 3, learning_rate: 1e-2, warmup_steps: 1, validate_every_steps: 0, options: {{half_precision_checkpoint: false}}}}
""",
    )
    second = write_recipe(workspace, "stage-2", f"extends: {first}\nname: stage-2\ndata: {{tasks: [{{use: ASR}}]}}\ntrain: {{init: 'run:stage-1'}}\n")
    lora = f"parts: {{backbone: {{use: hf, weights: 'dir:{base}', checkpoint: 'run:stage-2', lora_rank: 2, lora_targets: [q_proj, v_proj]}}}}"
    third = write_recipe(workspace, "stage-3", f"extends: {second}\nname: stage-3\n{lora}\ntrain: {{init: ''}}\n")
    folders = [train(recipe, [], quiet=True) for recipe in (first, second, third)]
    spoken = alm.load(str(folders[0])).run("SPEECH", "", "en")
    assert spoken.units is not None and spoken.audio.duration_s > 0 and spoken.spans[0].kind == "end"
    with pytest.raises(AlmError, match="which is given none"):
        alm.load(str(folders[0])).run("SPEECH", "hello", "en")
    second_model, third_model = (alm.load(str(folder)).model.backbone for folder in folders[1:])
    wanted, layer = second_model.model.model.layers[0].self_attn.q_proj.weight, third_model.model.model.layers[0].self_attn.q_proj
    assert torch.equal(layer.base_layer.weight, wanted) and bool(layer.lora_B["default"].weight.any())
    text_rows = slice(0, len(text))
    assert torch.equal(third_model.model.get_input_embeddings().weight[text_rows], second_model.model.get_input_embeddings().weight[text_rows])
    assert sorted(path.name for path in (folders[2] / "backbone-checkpoint").iterdir()) == ["model.safetensors", "vocabulary.json"]
    for change, message in (("train.options.unit_rows=codebook", "unit rows are trained"), ("train.options.guide_copies=true", "guide_copies with LoRA")):
        with pytest.raises(AlmError, match=message):
            train(third, [change], tmp_path / "refused", quiet=True)
    with pytest.raises(AlmError, match="block text is another"):
        train(
            third,
            ["parts.backbone={use: llama, text_tokenizer: 'run:text', hidden_size: 32, layers: 2, heads: 2, ffn_size: 64, checkpoint: 'run:stage-2'}"],
            tmp_path / "refused",
            quiet=True,
        )
    with pytest.raises(AlmError, match="has no model.safetensors"):
        train(third, [f"parts.backbone.checkpoint=dir:{text_folder}"], tmp_path / "refused", quiet=True)
    with pytest.raises(AlmError, match="trained as a whole"):
        alm.load(str(folders[2]), [f"parts.backbone.checkpoint=dir:{base}"]).warm_up()
