"""Several processes on CPU, that talk by gloo, train as one does: the same losses, the same weights."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from alm.api.errors import AlmError
from alm.core.config import load_recipe
from alm.train.data import LengthBatches
from alm.train.options import check_options
from alm.train.run import train
from tests.conftest import write_recipe

STEPS, LEARNING_RATE = 4, 3e-3  # within an epoch: at its end, one process makes a step of what is left over


@pytest.fixture(scope="module")
def recipe(workspace, small_model, small_corpus):
    """Without dropout, the losses are those of the batches alone."""
    return write_recipe(
        workspace,
        "together",
        f"""name: together
parts:
  tokenizer: {{use: mfcc, clusters: 32, hop_samples: 640, codebook: 'run:units'}}
  backbone: {{use: llama, text_tokenizer: 'run:text', hidden_size: 32, layers: 2, heads: 2, ffn_size: 64}}
  prompt: {{use: audiopalm}}
data:
  corpora: [{{use: cuts, folder: 'dir:{small_corpus}'}}]
  audio: units
  batch_positions: 400
  tasks: [{{use: ASR}}, {{use: TTS}}]
train: {{objective: lm, steps: {STEPS}, learning_rate: {LEARNING_RATE}, warmup_steps: 1, dropout: 0.0, validate_every_steps: 1, options: {{replace_frames: 0.0, replace_text: 0.0, replace_units: 0.0}}}}
""",
    )


def curves(folder: Path) -> dict[str, list[float]]:
    """The losses on the validation split after each step."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return {name: [event.value for event in events.Scalars(name)] for name in events.Tags()["scalars"] if name.startswith("val/")}


def run(recipe: str, out: Path, *overrides: str, launcher: tuple[str, ...] = ()) -> None:
    command = [*(launcher or (sys.executable, "-m", "alm")), "train", recipe, *overrides, "--out", str(out), "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=400, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == [str(out / "final")], "one process speaks for all"


@pytest.fixture(scope="module")
def alone(recipe, tmp_path_factory):
    """One process that adds up the gradients of two batches for a step."""
    out = tmp_path_factory.mktemp("alone")
    train(recipe, ["train.accumulate=2"], out, quiet=True)
    return out


@pytest.mark.parametrize(
    ("strategy", "launcher"),
    [
        ("ddp", (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "-m", "alm")),
        ("fsdp2", ()),
    ],
    ids=["ddp by torchrun", "fsdp2 by Lightning"],
)
def test_two_processes_learn_what_one_does(recipe, alone, tmp_path, strategy, launcher):
    run(recipe, tmp_path, f"train.strategy={strategy}", "train.devices=2", launcher=launcher)
    mine, theirs = curves(tmp_path), curves(alone)
    assert mine.keys() == theirs.keys() == {"val/ASR units", "val/TTS"}
    for name, losses in theirs.items():
        assert len(losses) == STEPS and losses[-1] < losses[0] - 0.1, "it learns"
        assert mine[name] == pytest.approx(losses, rel=1e-3)
    saved = [load_file(folder / "final/model.safetensors") for folder in (tmp_path, alone)]
    for name, weights in saved[1].items():  # what differs is that numbers are added in another order, which Adam makes the most of where a gradient is next to nothing
        assert float((saved[0][name].float() - weights.float()).abs().mean()) < 0.1 * LEARNING_RATE
    if not launcher:  # a run of two goes on where it was left
        run(recipe, tmp_path, f"train.strategy={strategy}", "train.devices=2", f"train.steps={STEPS + 1}")
        assert torch.load(tmp_path / "last.ckpt", weights_only=True)["callbacks"]["Limits"]["steps"] == STEPS + 1
        assert len(curves(tmp_path)["val/TTS"]) == STEPS + 1


def test_each_process_takes_its_own_batches(monkeypatch):
    from torch import distributed

    lengths = list(range(1, 40))
    whole = list(LengthBatches(lengths, 40, shuffle=True, seed=1))
    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "get_world_size", lambda: 3)
    taken = []
    for rank in range(3):
        monkeypatch.setattr(distributed, "get_rank", lambda rank=rank: rank)
        batches = LengthBatches(lengths, 40, shuffle=True, seed=1)
        taken.append(list(batches))
        assert len(batches) == len(taken[-1]) == len(whole) // 3
        assert list(LengthBatches(lengths, 40, shuffle=False)), "validation is seen whole"
    assert [batch for turn in zip(*taken, strict=True) for batch in turn] == whole[: len(whole) // 3 * 3]


def test_what_cannot_be_done_together_is_told(recipe):
    with pytest.raises(AlmError, match=r"train.strategy 'dpp'.*ddp"):
        train(recipe, ["train.strategy=dpp"], quiet=True)
    for entries, message in (
        ({"strategy": "fsdp2", "objective": "kmeans", "options": {}}, "fsdp2 for objective kmeans"),
        ({"devices": 0}, "devices=0"),
        ({"accumulate": 2, "objective": "vocoder", "options": {}}, "two optimizers"),
    ):
        found = load_recipe(recipe)
        ((got, _, _),) = check_options(replace(found, train=replace(found.train, **entries)))
        assert message in got
