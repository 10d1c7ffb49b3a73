"""What becomes of a run that is stopped at any moment: it goes on as if nothing had happened, or says what is broken."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from alm.api.errors import AlmError
from alm.train.data import by_chance
from alm.train.run import train
from alm.train.saving import LAST, SaveLast, usable_state
from tests.conftest import write_recipe

STEPS = 14
EVERY_BATCH = "train.save_every_minutes=0"


class PowerCut(Exception):
    """Nothing can be saved any more."""


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return {f"{path.parent.name}/{name}": value for path in sorted(folder.rglob("final/**/*.safetensors")) for name, value in load_file(path).items()}


def cut(monkeypatch, after: int) -> None:
    """The next run ends within the batch after so many, as by a power cut: what is on the disk stays as it is."""
    batch_end = SaveLast.on_train_batch_end
    seen = []

    def one_more(self, trainer, *arguments, **named):
        batch_end(self, trainer, *arguments, **named)
        seen.append(trainer)
        if len(seen) == after:
            monkeypatch.setattr(trainer.lightning_module, "training_step", no_power)

    def no_power(*_: object) -> None:
        raise PowerCut

    monkeypatch.setattr(SaveLast, "on_train_batch_end", one_more)
    monkeypatch.setattr(SaveLast, "on_exception", lambda *_: None)


@pytest.fixture(scope="module")
def recipes(workspace, small_model, small_corpus):
    """One with all that is drawn by chance in a language model's training; one with two optimizers; one that masks spans."""
    data = f"data:\n  corpora: [{{use: cuts, folder: 'dir:{small_corpus}'}}]\n"
    tiny = "layers: 1, hidden_size: 32, ffn_size: 64"
    return {
        "lm": [str(workspace / "model.yaml"), "train.options.tempo=0.3", "data.batch_positions=900", "train.validate_every_steps=5"],
        "vocoder": [str(workspace / "vocoder.yaml"), "train.options.batch_segments=8"],
        "best-rq": [
            write_recipe(workspace, "rq", f"name: rq\n{data}  batch_positions: 500\ntrain: {{objective: best-rq, options: {{{tiny}, tempo: 0.1}}}}\n"),
            "train.validate_every_steps=0",
        ],
    }


@pytest.mark.parametrize("name", ["lm", "vocoder", "best-rq"])
def test_a_run_that_is_cut_off_twice_ends_with_the_weights_of_one_that_is_not(recipes, tmp_path, monkeypatch, name):
    """In the middle of an epoch, and at another place; order of the data, dropout, augmentation and optimizer included."""
    recipe, *overrides = recipes[name]
    overrides = [*overrides, f"train.steps={STEPS}", EVERY_BATCH]
    train(recipe, overrides, tmp_path / "whole", quiet=True)
    for after in (3, 5):
        with monkeypatch.context() as patched:
            cut(patched, after)
            with pytest.raises(PowerCut):
                train(recipe, overrides, tmp_path / "cut", quiet=True)
    assert torch.load(tmp_path / "cut" / LAST, weights_only=True)["callbacks"]["Limits"]["steps"] == 8
    train(recipe, overrides, tmp_path / "cut", quiet=True)
    whole, pieced = weights_of(tmp_path / "whole"), weights_of(tmp_path / "cut")
    assert whole.keys() == pieced.keys() and whole
    for key, value in whole.items():
        assert torch.equal(value, pieced[key]), key


def test_kill_9_at_any_moment_costs_nothing_that_was_saved(recipes, tmp_path):
    recipe, *overrides = recipes["lm"]
    overrides = [*overrides, f"train.steps={4 * STEPS}", EVERY_BATCH]
    train(recipe, overrides, tmp_path / "whole", quiet=True)
    command = [sys.executable, "-m", "alm", "train", recipe, *overrides, "--out", str(tmp_path / "killed"), "--quiet"]
    running = subprocess.Popen(command, env=os.environ.copy(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (tmp_path / "killed" / LAST).exists() and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.15)
    running.send_signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL, "it was killed while it trained"
    train(recipe, overrides, tmp_path / "killed", quiet=True)
    whole, pieced = weights_of(tmp_path / "whole"), weights_of(tmp_path / "killed")
    assert whole and all(torch.equal(value, pieced[key]) for key, value in whole.items())


def test_a_broken_state_is_passed_over_for_the_one_before(recipes, tmp_path, caplog):
    recipe, *overrides = recipes["vocoder"]
    train(recipe, [*overrides, "train.steps=3", EVERY_BATCH, "train.keep_states=3"], tmp_path, quiet=True)
    assert sorted(path.name for path in tmp_path.glob("*.ckpt")) == ["last-1.ckpt", "last-2.ckpt", LAST]
    data = bytearray((tmp_path / LAST).read_bytes())
    data[len(data) // 2] ^= 1  # one bit, which no reader of pickles or tensors would see
    (tmp_path / LAST).write_bytes(data)
    assert usable_state(tmp_path) == tmp_path / "last-1.ckpt" and "last.ckpt is broken" in caplog.text
    (tmp_path / "last-1.ckpt").write_bytes(data[:1000])
    train(recipe, [*overrides, "train.steps=4"], tmp_path, quiet=True)
    assert usable_state(tmp_path) == tmp_path / LAST
    assert torch.load(tmp_path / LAST, weights_only=True)["callbacks"]["Limits"]["steps"] == 4
    for path in tmp_path.glob("*.ckpt"):
        path.write_bytes(b"")
    with pytest.raises(AlmError, match="all broken"):
        train(recipe, overrides, tmp_path, quiet=True)


def test_a_full_disk_is_told_and_leaves_what_was_saved(recipes, tmp_path, monkeypatch):
    recipe, *overrides = recipes["vocoder"]
    train(recipe, [*overrides, "train.steps=2"], tmp_path, quiet=True)
    kept = (tmp_path / LAST).read_bytes()

    def full(self, checkpoint, path, storage_options=None):
        Path(path).write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("pytorch_lightning.plugins.io.TorchCheckpointIO.save_checkpoint", full)
        with pytest.raises(AlmError, match="No space left on device"):
            train(recipe, [*overrides, "train.steps=3"], tmp_path, quiet=True)
    assert (tmp_path / LAST).read_bytes() == kept and not list(tmp_path.glob(".*"))
    train(recipe, [*overrides, "train.steps=3"], tmp_path, quiet=True)


def test_a_loss_that_is_no_number_ends_a_run_before_a_weight_is_touched(recipes, tmp_path, monkeypatch):
    from alm.train.lm import LanguageModelTraining

    recipe, *overrides = recipes["lm"]
    overrides = [*overrides, f"train.steps={STEPS}", EVERY_BATCH]
    train(recipe, overrides, tmp_path / "whole", quiet=True)
    step = LanguageModelTraining.training_step

    def broken(self, batch, index):
        return step(self, batch, index) * (float("nan") if self.global_step == 6 else 1.0)

    with monkeypatch.context() as patched:
        patched.setattr(LanguageModelTraining, "training_step", broken)
        with pytest.raises(AlmError, match=r"loss of nan in batch 7.*learning_rate"):
            train(recipe, overrides, tmp_path / "nan", quiet=True)
    train(recipe, overrides, tmp_path / "nan", quiet=True)
    whole, pieced = weights_of(tmp_path / "whole"), weights_of(tmp_path / "nan")
    assert all(torch.equal(value, pieced[key]) for key, value in whole.items())


def test_chance_of_a_batch_is_its_own():
    import random

    torch.manual_seed(0)
    before = torch.rand(2), random.random()
    torch.manual_seed(0)
    drawn = []
    for _ in range(2):
        with by_chance("0-3-7"):
            drawn.append((torch.rand(2).tolist(), random.random()))
    assert drawn[0] == drawn[1] != (before[0].tolist(), before[1])
    assert torch.equal(torch.rand(2), before[0]), "what is drawn elsewhere goes on"
    with by_chance("0-3-8"):
        assert torch.rand(2).tolist() != drawn[0][0]
