"""A model with the parts that its recipe names, each loaded when it is first needed: text translation never loads a tokenizer or a vocoder.

Knows what the model was trained on, and how it hears; answers nothing.
"""

from __future__ import annotations

from collections.abc import Sequence as Many
from functools import cached_property
from pathlib import Path
from typing import Any

from alm.api.cards import TaskCard
from alm.api.errors import AlmError, UnknownNameError, did_you_mean
from alm.api.interfaces import Vocoder
from alm.api.types import Audio
from alm.core.assemble import Model, assemble
from alm.core.audio import prepare
from alm.core.check import check_model
from alm.core.checkpoint import load_state
from alm.core.config import TaskConfig, load_recipe
from alm.core.fusion import Fused
from alm.core.parts import Parts, load_component, load_task
from alm.core.plugins import Registry, registry
from alm.core.wording import Wording


class LoadedModel:
    """See the module. Immutable; safe to share between requests.

    Args:
        source: a checkpoint folder; or a recipe file whose backbone is pretrained, which is a model as it stands.
        overrides: `key=value` entries laid over its recipe: another decoder, another vocoder.

    Raises:
        AlmError: a recipe whose parts do not fit, or that must be trained first.
    """

    def __init__(self, source: Path, found: Registry | None = None, overrides: Many[str] = ()) -> None:
        self.folder = source if source.is_dir() else None  # of the trained weights
        self.recipe = load_recipe(str(source), overrides, found)
        self.parts = Parts(self.recipe, source if source.is_dir() else source.parent, found or registry())
        problems = check_model(self.parts)
        if problems:
            raise AlmError(*problems[0])
        stands = self.parts.card("backbone").pretrained if self.parts.has("backbone") else self.recipe.is_cascade
        if self.folder is None and not stands:
            raise AlmError(f"got recipe {self.recipe.name!r}, which is still to be trained", "a trained model", f"run: alm train {source}; then name its `final` folder")

    @cached_property
    def model(self) -> Model:
        model = assemble(self.parts)
        if self.folder is not None:
            load_state(self.folder, model)
        for module in (model.backbone, model.projector, model.depth):
            if module is not None:
                module.eval().requires_grad_(False)
        return model

    @cached_property
    def prompt(self) -> Any:
        return self.parts.load("prompt")

    @cached_property
    def wording(self) -> Wording:
        return Wording(self.parts)

    @cached_property
    def tokenizer(self) -> Any:
        return self.parts.load("tokenizer")

    @cached_property
    def encoder(self) -> Any:
        return self.parts.load("encoder")

    @cached_property
    def vocoder(self) -> Any:
        vocoder = self.parts.load("vocoder")
        if not isinstance(vocoder, Vocoder):
            raise AlmError(
                f"got vocoder {self.recipe.part('vocoder').use!r} without weights", "a trained one", "train it with a recipe of objective vocoder and set `weights: run:...`"
            )
        return vocoder

    @cached_property
    def decoder(self) -> Any:
        decoder = self.parts.load("decoder") if self.parts.has("decoder") else load_component(self.parts.found, "decoder", "greedy", {}, self.parts.context)
        if not self.recipe.fuses:
            return decoder
        language_model = self.parts.load("language_model") if self.parts.has("language_model") else None
        return Fused(decoder, self.recipe.fusion, language_model, self.model.backbone)

    @cached_property
    def unit_decoder(self) -> Any:
        """What chooses units where the recipe wants another decoder for them than for text."""
        return self.parts.load("unit_decoder") if self.parts.has("unit_decoder") else None

    def check_trained(self, card: TaskCard) -> None:
        """
        Raises:
            AlmError: a task with sound, for a recipe that no training taught what its rows of units or its projector mean.
        """
        if self.folder is not None or all(piece.modality in ("text", "marks") for piece in (*card.inputs, *card.outputs)):
            return
        model = self.model
        grown = len(model.vocabulary) > len(model.backbone.text_tokenizer)
        projects = model.projector is None or self.parts.card("encoder").projects
        if grown or not projects or model.depth is not None:
            raise AlmError(
                f"got task {card.tag} for recipe {self.recipe.name!r}, which knows text alone as it stands",
                "a model that was trained on sound",
                f"run: alm train {self.recipe.name}; then name its `final` folder",
            )

    def warm_up(self) -> None:
        """Loads every part now, so that the first request does not wait for it."""
        for kind in ("model", "prompt", "decoder", "unit_decoder", *(kind for kind in ("tokenizer", "encoder", "vocoder") if self.parts.has(kind))):
            getattr(self, kind)

    @property
    def tasks(self) -> list[str]:
        """Tasks that the model was trained on."""
        return [task.use for task in self.recipe.data.tasks]

    @property
    def converses(self) -> bool:
        """Whether its prompt format carries many turns."""
        return self.parts.has("prompt") and self.parts.card("prompt").converses

    def task_card(self, use: str) -> TaskCard:
        """What a registered task is given and emits."""
        return load_task(self.parts.found, use).card

    def tasks_reading(self, modality: str) -> list[str]:
        """Trained tasks whose input is "text" or "audio"."""
        reads = {use: self.task_card(use).reads for use in self.tasks}
        return [use for use, read in reads.items() if read == modality]

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """Languages that the model was trained on: those of its tasks; where a task names none, those of its corpora; where
        the corpora do not say, all that its prompt format names."""
        tasks = self.recipe.data.tasks
        named = {language for task in tasks for language in (*task.source, *task.target)}
        if not all(task.source for task in tasks):
            spoken = [self.parts.corpus_languages(corpus) for corpus in self.recipe.data.corpora if not corpus.optional]
            if not spoken or not all(spoken):
                return self.parts.card("prompt").languages
            named.update(*spoken)
        return tuple(sorted(named)) or self.parts.card("prompt").languages

    def task_config(self, task: str) -> TaskConfig:
        """How a task was trained.

        Raises:
            UnknownNameError: one that was not.
        """
        for config in self.recipe.data.tasks:
            if config.use == task:
                return config
        raise UnknownNameError(f"got task {task!r}", "a task that the model was trained on", did_you_mean(task, self.tasks))

    def speaker_of(self, language: str) -> str:
        """The vocoder's speaker who stands for a language: the one its corpora name, or the first."""
        for corpus in self.recipe.data.corpora:
            component = [c for c in self.parts.found.components if c.kind == "corpus" and corpus.use in (c.name, f"{c.plugin}/{c.name}")]
            speakers = getattr(component[0].card, "speakers", {}) if component else {}
            if language in speakers:
                return speakers[language]
        return ""

    def hear(self, audio: Audio, form: str) -> list[Any]:
        """A sound as a task hears it: as "features", "units", or "both" in this order."""
        return self.hear_all([audio], form)[0]

    def hear_all(self, recordings: Many[Any], form: str) -> list[list[Any]]:
        """The same of many, in batches by length; or of what else the encoder reads, as "media"."""
        heard: list[list[Any]] = [[] for _ in recordings]
        for kind in {"features": ("encoder",), "media": ("encoder",), "both": ("encoder", "tokenizer")}.get(form, ("tokenizer",)):
            part = getattr(self, kind)
            taken = recordings if form == "media" else [prepare(audio, part.card.sample_rate_hz) for audio in recordings]
            for contents, content in zip(heard, part.encode(taken), strict=True):
                contents.append(content)
        return heard
