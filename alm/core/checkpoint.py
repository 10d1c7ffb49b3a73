"""Checkpoint folders: safetensors, recipe.yaml, vocabulary.json, README.md. Written whole or not at all. Never pickles."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import nn

from alm.api.errors import AlmError
from alm.api.vocabulary import JointVocabulary
from alm.core.assemble import Model
from alm.core.config import PartConfig, RecipeConfig, TaskConfig, TrainConfig, to_yaml
from alm.core.parts import Parts

MODEL_FILE, VOCABULARY_FILE = "model.safetensors", "vocabulary.json"
TRAINING_ONLY = ("mel.safetensors", "discriminators.safetensors", "fit.txt", "README.md", "recipe.yaml")


def save_checkpoint(folder: Path, model: Model, parts: Parts, *, half: bool) -> None:
    """A folder that is whole by itself: weights, vocabulary, recipe, and copies of every `dir:` source of its parts.

    Weights that training did not touch and a weight source still holds (a frozen LLM under LoRA) are not written.
    """
    state = {f"backbone.{name}": value for name, value in trained_state(model.backbone, model.vocabulary).items()}
    for label, module in _beside_the_backbone(model).items():
        state |= {f"{label}.{name}": value for name, value in module.state_dict().items()}
    state = {name: (value.half() if half and value.is_floating_point() else value).detach().cpu().contiguous().clone() for name, value in state.items()}
    save_file(state, folder / MODEL_FILE)
    model.vocabulary.save(folder)
    kept, starts = parts.recipe.parts, model.backbone.card.starts
    if not holds_lora(model.backbone):  # all weights are in the file: where they started is no longer needed
        options = {key: value for key, value in kept["backbone"].options.items() if key not in starts}
        kept = {**kept, "backbone": PartConfig(kept["backbone"].use, options)}
    copied = {kind: _with_copied_sources(kind, part, parts, folder, starts) for kind, part in kept.items()}
    train = dataclasses.replace(parts.recipe.train, init="")  # where training started is not there on another machine
    (folder / "recipe.yaml").write_text(to_yaml(dataclasses.replace(parts.recipe, parts=copied, train=train)))


def save_steps(folder: Path, parts: Parts, made: Mapping[str, Mapping[str, str]]) -> None:
    """The recipe of a model that takes one step after another (a search or a classifier on what an encoder hears), with copies of every `dir:` and `run:` source of its parts.

    Args:
        made: options of parts that name what is in the folder already.
    """
    copied = {}
    for kind, part in parts.recipe.parts.items():
        others = PartConfig(part.use, {key: value for key, value in part.options.items() if key not in made.get(kind, {})})
        copied[kind] = PartConfig(part.use, {**_with_copied_sources(kind, others, parts, folder, ()).options, **made.get(kind, {})})
    _save_recipe(folder, parts.recipe, copied, transcribes=parts.recipe.searches)


def save_recognizer(folder: Path, parts: Parts, use: str, options: Mapping[str, Any]) -> None:
    """The recipe of a model that is a recognizer by itself, whose weights are in the folder already."""
    _save_recipe(folder, parts.recipe, {"recognizer": PartConfig(use, {"weights": "dir:.", **options})}, transcribes=True)


def _save_recipe(folder: Path, recipe: RecipeConfig, made: dict[str, PartConfig], *, transcribes: bool) -> None:
    """A trained recipe as the one of a model as it stands, of other parts; one that transcribes has that task, if it names none."""
    tasks = recipe.data.tasks or ((TaskConfig("ASR"),) if transcribes else ())
    data = dataclasses.replace(recipe.data, tasks=tasks)
    (folder / "recipe.yaml").write_text(to_yaml(dataclasses.replace(recipe, parts=made, data=data, train=TrainConfig())))


def _beside_the_backbone(model: Model) -> dict[str, nn.Module]:
    """What is trained and saved with it."""
    return {label: module for label, module in (("projector", model.projector), ("depth", model.depth)) if module is not None}


def load_state(folder: Path, model: Model) -> None:
    """Reads model.safetensors into a model of the same vocabulary.

    Raises:
        AlmError: a folder without weights, or weights of another network.
        VocabularyMismatchError: a checkpoint of another vocabulary.
    """
    if not (folder / MODEL_FILE).exists():
        raise AlmError(f"got {folder}, which has no {MODEL_FILE}", "a checkpoint folder of alm", "train one with `alm train`")
    model.vocabulary.check_saved(folder)
    state = load_file(folder / MODEL_FILE)
    targets = {f"backbone.{n}": p for n, p in model.backbone.state_dict(keep_vars=True).items()}
    for label, module in _beside_the_backbone(model).items():
        targets |= {f"{label}.{n}": p for n, p in module.state_dict(keep_vars=True).items()}
    for name, value in state.items():
        if name == NEW_ROWS_KEY:
            table = model.backbone.model.get_input_embeddings().weight
            table.data[-len(value) :] = value.to(table.dtype)
        elif name not in targets or targets[name].shape != value.shape:
            wanted = tuple(targets[name].shape) if name in targets else "no such weight"
            raise AlmError(f"got weight {name} {tuple(value.shape)} in {folder}", str(wanted), "load the checkpoint with its own recipe.yaml")
        else:
            targets[name].data.copy_(value)


NEW_ROWS_KEY = "backbone.new_rows"


def trained_state(backbone: Any, vocabulary: JointVocabulary) -> dict[str, Any]:
    """What must be kept of a backbone: all of it, or under LoRA the adapters and the new rows."""
    state = backbone.state_dict(keep_vars=True)
    if not holds_lora(backbone):
        seen: dict[int, str] = {}
        return {n: v for n, v in state.items() if seen.setdefault(v.data_ptr(), n) == n}  # tied rows once
    table = backbone.model.get_input_embeddings().weight
    kept = {n: v for n, v in state.items() if "lora_" in n}
    return {**kept, "new_rows": table[vocabulary.blocks[0].size :]}


def holds_lora(backbone: Any) -> bool:
    """Whether only adapters and new rows are trained."""
    return bool(getattr(backbone, "freeze_text_rows", False))


def _with_copied_sources(kind: str, part: PartConfig, parts: Parts, folder: Path, starts: tuple[str, ...]) -> PartConfig:
    """The part with each `dir:` option copied into the checkpoint and pointing there. The text tokenizer is there already."""
    options = dict(part.options)
    copied: dict[Path, str] = {}
    for key, value in options.items():
        if isinstance(value, str) and value.startswith(("dir:", "run:")):
            if key == "text_tokenizer":
                options[key] = "dir:text_tokenizer"
                continue
            source = parts.context.folders(value)[0]
            if source in copied:  # adapter and codebook of one run
                options[key] = copied[source]
                continue
            target = f"{kind}-{key}"
            if kind == "backbone" and key in starts:  # an earlier checkpoint, of which the weights alone are needed
                (folder / target).mkdir()
                for name in (MODEL_FILE, VOCABULARY_FILE):
                    shutil.copy(source / name, folder / target / name)
                options[key] = f"dir:{target}"
                continue
            shutil.copytree(source, folder / target, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*TRAINING_ONLY))
            options[key] = copied[source] = f"dir:{target}"
    return PartConfig(part.use, options)
