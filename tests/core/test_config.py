"""Recipes: extends, overrides, typed validation with suggestions; `alm check` refuses what does not fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from alm.api.errors import AlmError
from alm.core.check import check_recipe
from alm.core.config import PartConfig, load_recipe, recipes, to_yaml
from alm.core.parts import Parts


@pytest.fixture
def recipe(tmp_path):
    def write(text, name="r"):
        path = tmp_path / f"{name}.yaml"
        path.write_text(text)
        return str(path)

    return write


def test_extends_and_overrides(recipe):
    recipe("name: base\ntrain: {steps: 5, learning_rate: 1e-3}\nparts: {tokenizer: {use: mfcc, clusters: 50}}\n", "base")
    path = recipe("extends: base\nname: mine\ntrain: {steps: 7}\n")
    loaded = load_recipe(path, ["train.steps=9", "parts.tokenizer.clusters=64"])
    assert (loaded.name, loaded.train.steps, loaded.train.learning_rate) == ("mine", 9, 1e-3)
    assert loaded.part("tokenizer").options == {"clusters": 64}


@pytest.mark.parametrize("value", ["${oc.env:SECRET}", "a ${ oc.env : SECRET }", "${oc.${x}:SECRET}", "${${x}:SECRET}", "[1, '${oc.env:SECRET}']", "${oc.decode:'1'}"])
def test_a_recipe_calls_no_function(tmp_path, monkeypatch, value):
    """It may come with a stranger's checkpoint, and go on with the next one that is saved."""
    monkeypatch.setenv("SECRET", "hunter2")
    path = tmp_path / "r.yaml"
    path.write_text(f'name: "{value}"\ntrain: {{objective: bpe}}\n')
    with pytest.raises(AlmError, match=r"another\.key") as caught:
        load_recipe(str(path))
    assert "hunter2" not in str(caught.value)
    path.write_text("name: r\ndescription: of ${name}\ntrain: {objective: bpe, steps: 7, minutes: '${train.steps}'}\n")
    assert (load_recipe(str(path)).description, load_recipe(str(path)).train.minutes) == ("of r", 7.0)


def test_a_recipe_is_named_by_its_file_unless_it_says_otherwise(recipe):
    """Else a recipe that extends another would go on with the other's run."""
    recipe("name: base\ntrain: {steps: 5}\n", "base")
    assert load_recipe(recipe("extends: base\n", "mine")).name == "mine"


def test_another_component_inherits_no_options(recipe):
    recipe("name: base\nparts: {tokenizer: {use: mfcc, clusters: 50}, backbone: {use: llama, layers: 3}}\n", "base")
    loaded = load_recipe(recipe("extends: base\nname: mine\nparts: {tokenizer: {use: whisper}, backbone: {use: llama, heads: 2}}\n"))
    assert loaded.part("tokenizer").options == {}
    assert loaded.part("backbone").options == {"layers": 3, "heads": 2}
    for overrides in (
        ["parts.tokenizer={use: whisper, stride: 1}"],
        ["parts.tokenizer.use=whisper", "parts.tokenizer.stride=1"],
        ["parts.tokenizer.stride=1", "parts.tokenizer.use=whisper"],
    ):
        assert load_recipe(recipe("extends: base\n"), overrides).part("tokenizer") == PartConfig("whisper", {"stride": 1})


def test_a_part_may_change_options_alone(recipe):
    recipe("name: base\nparts: {backbone: {use: llama, layers: 3}}\n", "base")
    assert load_recipe(recipe("extends: base\nparts: {backbone: {heads: 2}}\n")).part("backbone") == PartConfig("llama", {"layers": 3, "heads": 2})


def test_tasks_hear_as_the_data_section_says_unless_they_say_otherwise(recipe):
    loaded = load_recipe(recipe("name: mine\ndata: {audio: features, tasks: [{use: ASR}, {use: AST, audio: units}]}\n"))
    assert [task.audio for task in loaded.data.tasks] == ["features", "units"]
    assert load_recipe(recipe(to_yaml(loaded), "again")) == loaded


@pytest.mark.parametrize("name", sorted(recipes()))
def test_shipped_recipes_survive_yaml(name, tmp_path):
    loaded = load_recipe(str(recipes()[name]))
    (tmp_path / "again.yaml").write_text(to_yaml(loaded))
    assert load_recipe(str(tmp_path / "again.yaml")) == loaded


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        ("name: x\ntrian: {}\n", [], "did you mean train"),
        ("name: x\ntrain: {step: 5}\n", [], "did you mean steps"),
        ("name: x\ntrain: {steps: many}\n", [], "type int"),
        ("name: x\ntrain: 5\n", [], "a mapping"),
        ("name: x\ndata: {tasks: ASR}\n", [], "a list"),
        ("name: x\ntrain: {objective: lmm}\n", [], "did you mean lm"),
        ("name: x\nparts: {tokeniser: {use: mfcc}}\n", [], "did you mean tokenizer"),
        ("name: x\n", ["train.steps"], "key=value"),
        ("name: x\n", ["train.stepz=4"], "did you mean steps"),
        ("name: [\n", [], "cannot be read"),
        ("- a\n- b\n", [], "no mapping"),
        ("name: x\n", ["train.options={a"], "a value that fits its key"),
        ("name: x\n", ["data=[1]"], "a mapping"),
        ("extends: prompts\ndata: [x]\n", [], "a value that fits its key"),
        ("extends: prompts\nparts: {vocoder: griffin-lim}\n", [], "wanted a mapping"),
        ("name: x\ntrain: {schedule: cosin}\n", [], "did you mean cosine"),
        ("extends: r\nname: x\n", [], "extends itself|a recipe's name"),
    ],
)
def test_wrong_recipes_are_refused_with_the_fix(recipe, text, overrides, message):
    with pytest.raises(AlmError, match=message):
        load_recipe(recipe(text), overrides)


GOOD = """name: x
parts:
  tokenizer: {use: mfcc, clusters: 32%s}
  backbone: {use: llama, text_tokenizer: "run:none"}
  prompt: {use: audiopalm}
  vocoder: {use: unit-vocos%s}
data:
  corpora: [{use: prompts%s}]
  tasks: [{use: %s}]
train: {steps: 1}
"""


@pytest.mark.parametrize(
    ("tokenizer", "vocoder", "corpus", "task", "wanted"),
    [
        ("", "", "", "ASR", None),
        ("", ", frame_rate_hz: 50", "", "ASR", "50 units/s for vocoder"),
        ("", ", vocabulary_size: 1024", "", "ASR", "1024 units for vocoder"),
        ("", ", weights: 'dir:FOREIGN'", "", "ASR", "units of codebook foreign, for which"),
        ("", ", weights: 'dir:FOREIGN', hop_samples: 80", "", "ASR", "160, with which it was trained"),
        (", hop_samples: 320, codebook: 'dir:FOREIGN'", "", "", "ASR", "features mfcc-13-640, on which it was fitted"),
        (", hop_samples: 0", "", "", "ASR", "1 or more"),
        ("", "", "", "ASR, weight: 0", "a positive weight"),
        ("", "", "", "lower-case", "can write"),
        ("", "", "", "ASX", "a registered task"),
        (", clustres: 5", "", "", "ASR", "a key of MfccOptions"),
        ("", "", ", languages: [xx]", "ASR", "a language that it has"),
        ("", "", "", "ASR, source: [xx]", "a language that the prompt format names"),
        ("", "", "", "ASR, audio: features", "parts.encoder"),
        ("", "", "", "ASR, clause_characters: 80", "from text to speech alone"),
        ("", "", "", "TTS, clause_characters: 80", None),
    ],
)
def test_check_names_what_does_not_fit(recipe, tmp_path, tokenizer, vocoder, corpus, task, wanted):
    import json

    from alm.api.cards import TaskCard
    from alm.core.plugins import build_registry

    foreign = tmp_path / "foreign"
    foreign.mkdir()
    card = {"sample_rate_hz": 16_000, "frame_rate_hz": 25.0, "vocabulary_size": 32, "codebooks": 1, "units_fingerprint": "foreign", "speakers": [], "trainable": []}
    (foreign / "vocoder.json").write_text(json.dumps({"card": card, "options": {"hop_samples": 160}}))
    (foreign / "codebook.json").write_text(json.dumps({"fingerprint": "foreign", "size": 32, "features": "mfcc-13-640"}))

    class Plugin:
        from alm.api.hookspecs import hookimpl

        @hookimpl
        def register_tasks(self, register):
            register("lower-case", card=TaskCard("sing along", ("source.audio",), ("source.text",)))

    found = build_registry()
    found.add("extra", Plugin)
    tokenizer = tokenizer if "hop_samples" in tokenizer else f", hop_samples: 640{tokenizer}"
    loaded = load_recipe(recipe((GOOD % (tokenizer, vocoder, corpus, task)).replace("FOREIGN", str(foreign))), (), found)
    problems = check_recipe(Parts(loaded, tmp_path, found))
    assert (not problems) if wanted is None else any(wanted in p[1] for p in problems), problems
    assert all(fix for _, _, fix in problems)


@pytest.mark.parametrize(("merged", "predicts", "wanted"), [(True, True, None), (False, False, None), (True, False, "a unit for every frame"), (False, True, "repeats merged")])
def test_check_pairs_merged_units_with_a_vocoder_that_gives_them_a_length(recipe, tmp_path, merged, predicts, wanted):
    import json

    sizes = {
        "model_type": "seamless_m4t",
        "unit_hifi_gan_vocab_size": 32,
        "upsample_rates": [8, 8, 10],
        "upsample_kernel_sizes": [16, 16, 20],
        "sampling_rate": 16_000,
        "predicts_durations": predicts,
    }
    (tmp_path / "config.json").write_text(json.dumps(sizes))
    text = (GOOD % (f", hop_samples: 640, merge_repeats: {merged}", f", weights: 'dir:{tmp_path}'", "", "ASR")).replace("unit-vocos", "unit-hifigan")
    problems = check_recipe(Parts(load_recipe(recipe(text)), tmp_path))
    assert (not problems) if wanted is None else any(wanted in p[1] for p in problems), problems


def test_check_wants_a_limit_and_no_start_for_what_is_fitted_anew(recipe):
    endless = Parts(load_recipe(recipe("name: x\ndata: {corpora: [{use: prompts}]}\nparts: {encoder: {use: whisper}}\ntrain: {objective: ctc}\n")), Path())
    assert "train.steps, train.tokens or train.minutes" in [wanted for _, wanted, _ in check_recipe(endless)]
    fitted = Parts(load_recipe(recipe("name: x\ndata: {corpora: [{use: prompts}]}\ntrain: {objective: bpe, init: 'dir:.'}\n")), Path())
    assert [fix for _, _, fix in check_recipe(fitted)] == ["remove it"]


@pytest.mark.parametrize(
    ("decoder", "wanted"),
    [
        ("decoder: {use: ctc-text}", "posteriors over the text tokenizer's pieces"),
        ("unit_decoder: {use: ctc-units, weights: 'dir:LABELS'}", "units of codebook foreign, for which decoder 'ctc-units' was made"),
        ("unit_decoder: {use: ctc-units, weights: 'dir:.'}", "trained unit labels"),
        ("decoder: {use: greedy}", None),
    ],
)
def test_decoders_that_follow_want_what_they_follow(recipe, tmp_path, decoder, wanted):
    import torch

    from alm.components.decoders.unit_labels import UnitLabels

    UnitLabels(torch.zeros(1, 32, 2, 3), ("a", "b"), ("en",), "foreign").save(tmp_path / "labels")
    text = (GOOD % (", hop_samples: 640", "", "", "TTS")).replace("  vocoder:", f"  {decoder}\n  vocoder:").replace("LABELS", str(tmp_path / "labels"))
    problems = check_recipe(Parts(load_recipe(recipe(text)), tmp_path))
    assert (not problems) if wanted is None else any(wanted in p[1] for p in problems), problems


def test_units_may_have_a_decoder_of_their_own(recipe, tmp_path):
    loaded = load_recipe(recipe((GOOD % (", hop_samples: 640", "", "", "TTS")).replace("  vocoder:", "  unit_decoder: {use: sample, top_k: 8}\n  vocoder:")))
    parts = Parts(loaded, tmp_path)
    assert check_recipe(parts) == []
    assert parts.load("unit_decoder").options.top_k == 8


def test_a_model_starts_from_units_that_it_makes():
    wanted = "the tokenizer that made those"
    problems = check_recipe(Parts.of("prompts-tags", ["parts.tokenizer=null"]))
    assert [problem[1] for problem in problems] == [wanted]
    assert check_recipe(Parts.of("prompts-tags")) == []
