"""Runs a recipe: builds its objective, trains with Lightning within the recipe's limits, saves the result. Knows no model.

A run's folder holds last.ckpt and the one before (Lightning's state, to resume from), TensorBoard logs, and at the end the trained part:
safetensors, recipe.yaml, README.md. Ctrl-C leaves last.ckpt; the same command goes on from there.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import logging
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, RichProgressBar
from pytorch_lightning.loggers import TensorBoardLogger

from alm.api.errors import AlmError
from alm.core.config import RecipeConfig, load_recipe, recipe_path, to_yaml
from alm.core.devices import has_bfloat16, pick_device
from alm.core.files import atomic_folder, write_text
from alm.core.model_card import write_model_card
from alm.core.parts import Parts
from alm.core.sources import runs_folder
from alm.core.units import Track
from alm.train.options import check_options, training_options
from alm.train.saving import Interrupt, SaveLast, StepByStep, kept_states, usable_state
from alm.train.together import gather, one_at_a_time, strategy_of

VALIDATION = "validation.json"


class Limits(Callback):
    """Stops at the recipe's steps, tokens or minutes, whichever comes first; its count survives a resume."""

    def __init__(self, recipe: RecipeConfig) -> None:
        self.limits = recipe.train
        self.steps, self.tokens, self.seconds_before, self.started = 0, 0, 0.0, time.monotonic()
        self.agreed: float | None = None  # minutes by the first process's clock, where several train together

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.started = time.monotonic()

    @property
    def minutes(self) -> float:
        return (self.seconds_before + time.monotonic() - self.started) / 60 if self.agreed is None else self.agreed

    def share_done(self, trainer: pl.Trainer) -> float:
        used = ((self.steps, self.limits.steps), (self.tokens, self.limits.tokens), (self.minutes, self.limits.minutes))
        return max(count / limit for count, limit in used if limit)

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.steps += (batch_idx + 1) % self.limits.accumulate == 0 or trainer.is_last_batch  # Lightning's global_step counts the steps of every optimizer
        tokens: int = module.batch_tokens(batch)  # type: ignore[operator]
        if trainer.world_size > 1:  # all are to stop, and to have the same learning rate, at the same step
            self.agreed = None
            self.agreed = trainer.strategy.broadcast(self.minutes)
            tokens = int(trainer.strategy.reduce(torch.tensor(tokens, device=trainer.strategy.root_device), reduce_op="sum"))
        self.tokens += tokens
        if self.share_done(trainer) >= 1:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps, "tokens": self.tokens, "seconds": self.minutes * 60}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps, self.tokens, self.seconds_before = state["steps"], state["tokens"], state["seconds"]


def train(name: str, overrides: list[str], out: Path | None = None, *, quiet: bool = False, ablation: str = "", validate: bool = False) -> Path:
    """Trains a recipe and returns the folder of the result.

    Args:
        name: recipe name or YAML file.
        overrides: `key=value` entries.
        out: the run's folder; out/runs/NAME if not given. One that holds last.ckpt is resumed.
        ablation: one of the recipe's own.
        validate: once more when it is trained; the losses are left in the run's folder as validation.json.

    Raises:
        AlmError: a recipe that does not fit together, or that has no limit.
    """
    from alm.core.check import check_recipe

    recipe = _with_usable_precision(load_recipe(name, overrides, None, ablation))
    parts = Parts(recipe, recipe_path(name).parent, device=pick_device())
    if recipe.is_cascade:
        raise AlmError(f"got recipe {recipe.name!r}, a cascade, to train", "a model whose parts learn together", "train its parts by recipes of their own")
    problems = [*check_recipe(parts), *check_options(recipe)]
    if problems:
        raise AlmError(*problems[0])
    folder = out or runs_folder() / recipe.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AlmError(f"got run folder {folder}, which cannot be made ({error.strerror})", "a place for a folder", "choose another with --out") from error
    limits = recipe.train
    pl.seed_everything(limits.seed, verbose=False)
    for corpus in recipe.data.corpora:
        if parts.left_out(corpus):
            logging.getLogger("alm").warning("optional corpus %s is missing and left out: %s", corpus.use, corpus.options)
    track = _silent if quiet else progress_bar
    if limits.objective in FITTERS:
        return _finish(folder, recipe, lambda target: FITTERS[limits.objective](parts, target, track))
    with one_at_a_time(folder):
        module, train_loader, validation_loader = _build(parts, track)
    if limits.init and not kept_states(folder):
        try:
            module.load_part(parts.context.folders(limits.init)[0])
        except (RuntimeError, OSError, KeyError) as error:
            reason = " ".join(str(error).split())[:160]
            raise AlmError(f"got train.init {limits.init}, which does not fit ({reason})", "a run of the same objective and sizes", "correct train.init or the sizes") from error
    trainer = fit(module, train_loader, validation_loader, recipe, folder, quiet=quiet)
    gather(module)
    if validate:
        trainer.limit_val_batches = 1.0
        losses = trainer.validate(module, validation_loader, verbose=False)
        write_text(folder / VALIDATION, json.dumps({label: round(value, 4) for found in losses for label, value in found.items()}, indent=1))
    if trainer.is_global_zero:
        _finish(folder, recipe, module.save_part)
    trainer.strategy.barrier()
    return folder / "final"


def _with_usable_precision(recipe: RecipeConfig) -> RecipeConfig:
    """The recipe in float32 where this machine would emulate its bfloat16, which takes a hundred times as long."""
    if recipe.train.precision != "bf16-mixed" or has_bfloat16(pick_device()):
        return recipe
    logging.getLogger("alm").warning("train.precision bf16-mixed needs a GPU or a CPU with bfloat16 arithmetic; training in float32")
    return dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, precision="32-true"))


def fit(module: Any, train_loader: Any, validation_loader: Any, recipe: RecipeConfig, folder: Path, *, quiet: bool = False) -> pl.Trainer:
    """Lightning's loop with alm's limits; resumes from the newest state that is whole."""
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    every = recipe.train.validate_every_steps * recipe.train.accumulate  # Lightning counts batches
    trainer = pl.Trainer(
        accelerator="auto",
        devices=recipe.train.devices,
        num_nodes=recipe.train.nodes,
        strategy=strategy_of(recipe.train),
        accumulate_grad_batches=recipe.train.accumulate,
        precision=recipe.train.precision,  # type: ignore[arg-type]
        max_epochs=-1,
        gradient_clip_val=recipe.train.gradient_clip if module.automatic_optimization else None,
        val_check_interval=every if every else None,
        check_val_every_n_epoch=None if every else 1_000_000,
        limit_val_batches=1.0 if every else 0,
        num_sanity_val_steps=0,
        log_every_n_steps=10,
        callbacks=[
            StepByStep(recipe.train.seed),
            Limits(recipe),
            SaveLast(folder, recipe.train.save_every_minutes, recipe.train.keep_states),
            *([] if quiet else [RichProgressBar()]),
            Interrupt(),
        ],
        logger=TensorBoardLogger(folder, name="", version="tensorboard"),
        enable_checkpointing=False,
        enable_progress_bar=not quiet,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    last = usable_state(folder)
    try:
        trainer.fit(module, train_loader, validation_loader, ckpt_path=None if last is None else str(last), weights_only=True)
    except RuntimeError as error:
        if "state_dict" not in str(error):
            raise
        raise AlmError(f"got {last}, which a recipe with another network left", "a run of this recipe", "remove that folder or choose another with --out") from error
    return trainer


def _build(parts: Parts, track: Track) -> tuple[Any, Any, Any]:
    """The module of the recipe's objective and its loaders. Each objective is a file of its own name, with `build`."""
    objective = parts.recipe.train.objective
    return importlib.import_module(f"alm.train.{objective.replace('-', '_')}").build(parts, training_options(parts.recipe), track)


def _kmeans(parts: Parts, target: Path, track: Track) -> None:
    from alm.train.kmeans import fit_codebook

    fit_codebook(parts, training_options(parts.recipe), target, track)


def _bpe(parts: Parts, target: Path, track: Track) -> None:
    from alm.train.text_tokenizer import fit_text_tokenizer

    fit_text_tokenizer(parts, training_options(parts.recipe), target)


def _ngram(parts: Parts, target: Path, track: Track) -> None:
    from alm.train.ngram import fit_ngram

    fit_ngram(parts, training_options(parts.recipe), target)


FITTERS = {"kmeans": _kmeans, "bpe": _bpe, "ngram": _ngram}  # objectives that fit in one go, without a training loop


def _finish(folder: Path, recipe: RecipeConfig, save: Callable[[Path], Any]) -> Path:
    """Writes the trained part beside its recipe, atomically, as FOLDER/final."""
    target = folder / "final"
    with atomic_folder(target) as temporary:
        save(temporary)
        if not (temporary / "recipe.yaml").exists():
            (temporary / "recipe.yaml").write_text(to_yaml(recipe))
        made = load_recipe(str(temporary))  # of which other parts may be left than were trained
        write_model_card(temporary, made, Parts(made, temporary))
    return target


def _silent(batches: Iterable[list[int]], total: int) -> Iterable[list[int]]:
    return batches


def progress_bar(batches: Iterable[list[int]], total: int) -> Iterable[list[int]]:
    """A rich progress bar over batches to encode; nothing when there are none."""
    from rich.progress import track

    return track(batches, description="Encoding audio", total=total, transient=True) if total else batches
