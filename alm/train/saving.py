"""A run's state on disk, and what makes a run that was stopped and goes on the same as one that was not. Knows no objective.

What is drawn by chance depends on the recipe's seed and on the number of the batch alone: batches by `alm.train.data`, dropout and augmentation here. A run that
goes on begins with the batch behind the last one, so that on a CPU, with limits of steps or tokens, its weights are those of a run that nobody stopped, to the bit.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from alm.api.errors import AlmError
from alm.train.data import number_of

LAST = "last.ckpt"


def kept_states(folder: Path) -> list[Path]:
    """Newest first: last.ckpt, then last-1.ckpt, ..."""
    older = {int(number): path for path in folder.glob("last-*.ckpt") if (number := path.stem.removeprefix("last-")).isdecimal()}
    return [path for path in (folder / LAST, *(older[number] for number in sorted(older))) if path.is_file()]


def usable_state(folder: Path) -> Path | None:
    """The newest state that is whole; None where nothing was saved yet. One that is broken is passed over with a warning.

    Raises:
        AlmError: all are broken.
    """
    found = kept_states(folder)
    for path in found:
        if _is_whole(path):
            return path
        logging.getLogger("alm").warning("%s is broken and is passed over", path)
    if found:
        raise AlmError(f"got run folder {folder}, whose saved states are all broken", "a whole one", "remove it to start anew")
    return None


def _is_whole(path: Path) -> bool:
    """By the checksums of all that is in it."""
    try:
        with zipfile.ZipFile(path) as file:
            return file.testzip() is None
    except (zipfile.BadZipFile, OSError, EOFError):
        return False


class SaveLast(Callback):
    """Writes last.ckpt every few minutes, when training is stopped and when it ends: whole and on disk, or not at all.

    Args:
        keep: states, this one included; older ones are last-1.ckpt, last-2.ckpt, ...
    """

    def __init__(self, folder: Path, every_minutes: float, keep: int) -> None:
        self.folder, self.every_s, self.keep, self.saved, self.failed = folder, every_minutes * 60, keep, time.monotonic(), False

    def save(self, trainer: pl.Trainer) -> None:
        temporary = self.folder / f".{LAST}.new"
        try:
            trainer.save_checkpoint(temporary)
            if trainer.is_global_zero:
                with temporary.open("rb+") as file:
                    os.fsync(file.fileno())
                self._shift()
                os.replace(temporary, self.folder / LAST)
        except OSError as error:
            self.failed = True
            temporary.unlink(missing_ok=True)
            wanted = f"room for the run's state, {self.keep} times" if self.keep > 1 else "room for the run's state"
            raise AlmError(f"got run folder {self.folder}, which cannot be written ({error.strerror})", wanted, "make room; the same command goes on") from error
        self.saved = time.monotonic()

    def _shift(self) -> None:
        """Each state becomes the one before."""
        states = [self.folder / LAST, *(self.folder / f"last-{number}.ckpt" for number in range(1, self.keep))]
        for newer, older in reversed(list(zip(states, states[1:], strict=False))):
            if newer.exists():
                os.replace(newer, older)

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any, **__: Any) -> None:
        due = time.monotonic() - self.saved > self.every_s
        if trainer.strategy.broadcast(due) if trainer.world_size > 1 else due:
            self.save(trainer)

    def on_exception(self, trainer: pl.Trainer, module: pl.LightningModule, exception: BaseException) -> None:
        if trainer.global_step and trainer.world_size == 1 and not self.failed:  # several cannot agree any more: they go on from what was saved before
            self.save(trainer)

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.save(trainer)


class StepByStep(Callback):
    """Each batch has a chance of its own, and a run that goes on begins behind the last batch. A loss that is no number ends it before a weight is touched."""

    def __init__(self, seed: int) -> None:
        self.seed, self.batches, self.of_epoch = seed, 0, 0

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        trainer.train_dataloader.batch_sampler.skip = self.of_epoch  # type: ignore[union-attr]

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, batch_idx: int) -> None:
        torch.manual_seed(number_of(f"{self.seed}-{self.batches}-{trainer.global_rank}"))

    def on_before_backward(self, trainer: pl.Trainer, module: pl.LightningModule, loss: torch.Tensor) -> None:
        """
        Raises:
            AlmError: a loss of NaN or without bound.
        """
        scaled = getattr(trainer.precision_plugin, "scaler", None) is not None  # 16-mixed passes over steps that its scale was too large for
        if not scaled and not torch.isfinite(loss):
            fix = "lower train.learning_rate or train.gradient_clip, or take train.precision=32-true; the same command goes on from before this batch"
            raise AlmError(f"got a loss of {float(loss)} in batch {self.batches + 1}", "a number", fix)

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.batches += 1
        self.of_epoch = 0 if trainer.is_last_batch else batch_idx + 1

    def state_dict(self) -> dict[str, Any]:
        return {"batches": self.batches, "of_epoch": self.of_epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.batches, self.of_epoch = state["batches"], state["of_epoch"]


class Interrupt(Callback):
    """Ctrl-C stops behind the batch that is being learnt, so that the state that is saved is of a whole number of batches; a second one stops at once.

    The last of the callbacks. Several processes are stopped at once: they could not agree on a batch.
    """

    def __init__(self) -> None:
        self.asked, self.before = False, None

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        own = trainer.world_size == 1 and threading.current_thread() is threading.main_thread()
        if own and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self.before = signal.signal(signal.SIGINT, self._ask)

    def _ask(self, *_: Any) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        logging.getLogger("alm").warning("stopping behind this batch; Ctrl-C again stops at once")

    def on_train_batch_end(self, *_: Any, **__: Any) -> None:
        if self.asked:
            raise KeyboardInterrupt

    def teardown(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        if self.before is not None:
            signal.signal(signal.SIGINT, self.before)
            self.before = None
