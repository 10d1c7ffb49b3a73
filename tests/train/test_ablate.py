"""Ablations: pieces of a recipe laid over it, trained alike, in one table; finished ones are not trained again."""

from __future__ import annotations

import json

import pytest

from alm.api.errors import AlmError
from alm.cli import main
from alm.core.config import ablations_of, load_recipe
from tests.conftest import write_recipe


@pytest.fixture(scope="module")
def recipe(workspace, small_model) -> str:
    return write_recipe(
        workspace,
        "ablated",
        f"""extends: {workspace}/model.yaml
name: ablated
parts: {{encoder: null}}
data: {{tasks: [{{use: ASR}}, {{use: AST}}, {{use: ASR AST}}, {{use: TTS}}]}}
train: {{steps: 2, validate_every_steps: 0}}
ablations:
  direct:
    data: {{tasks: [{{use: ASR}}, {{use: AST}}]}}
  small:
    parts: {{backbone: {{hidden_size: 32}}, vocoder: null}}
""",
    )


def test_an_ablation_is_laid_over_its_recipe(recipe):
    assert list(ablations_of(recipe)) == ["direct", "small"]
    base, small = load_recipe(recipe), load_recipe(recipe, ["train.steps=5"], None, "small")
    assert (base.part("backbone").options["hidden_size"], small.part("backbone").options["hidden_size"]) == (64, 32)
    assert small.train.steps == 5 and "vocoder" not in small.parts and small.data == base.data
    with pytest.raises(AlmError, match="did you mean small"):
        load_recipe(recipe, (), None, "smal")
    with pytest.raises(AlmError, match="it has none"):
        load_recipe("prompts", (), None, "small")


def test_what_all_have_in_common_is_laid_under_them(recipe, workspace):
    common = write_recipe(workspace, "in-common", f"extends: {recipe}\nname: in-common\nablations: {{base: {{train: {{steps: 7}}, data: {{tasks: [{{use: ASR}}]}}}}}}\n")
    assert load_recipe(common).train.steps == 2, "not of the recipe itself"
    base, direct, small = (load_recipe(common, (), None, ablation) for ablation in ("base", "direct", "small"))
    assert [variant.train.steps for variant in (base, direct, small)] == [7, 7, 7]
    assert [len(variant.data.tasks) for variant in (base, direct, small)] == [1, 2, 1] and "vocoder" not in small.parts


def test_one_command_makes_one_table(recipe, tmp_path, capsys, monkeypatch):
    import alm.train.ablate as module

    monkeypatch.setattr(module, "SCORED", "train")  # the small corpus has no test split
    command = ["ablate", recipe, "direct", "small", "train.steps=3", "--out", str(tmp_path), "--task", "AST", "--max-clips", "2", "--quiet"]
    with pytest.raises(SystemExit, match="0"):
        main(command)
    lines = capsys.readouterr().out.splitlines()[-5:]
    assert [line.split("|")[1].strip() for line in lines] == ["variant", "---", "as it is", "direct", "small"]
    found = json.loads((tmp_path / "ablations.json").read_text())
    assert (tmp_path / "ablations.md").read_text().splitlines() == lines
    assert "ast/en-es/bleu" in found["as it is"]["scores"] and "val/AST units" in found["direct"]["losses"]
    times = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/final/model.safetensors")}
    assert len(times) == 3
    with pytest.raises(SystemExit, match="0"):
        main(command)
    assert all(path.stat().st_mtime_ns == time for path, time in times.items()), "not trained again"
    for wrong, message in (
        (["smal"], "did you mean small"),
        (["--task", "ASTT"], "got task 'ASTT' to be scored"),
        (["parts.vocoder.weights=run:nothing"], "run that is still to be made"),
    ):
        with pytest.raises(SystemExit, match="2"):
            main([*command, *wrong])
        assert message in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main([*command, "train.seed=1"])
    assert "another variant" in capsys.readouterr().err
