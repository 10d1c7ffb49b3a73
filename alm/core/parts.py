"""Names and options of a recipe -> cards and loaded parts. The one place that calls loaders.

Cards come first and cheaply; a part is loaded when a stage asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence as Many
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from alm.api.errors import AlmError
from alm.api.layouts import CodebookLayout, make_layout
from alm.api.tasks import DeclaredTask
from alm.api.types import Utterance
from alm.core.config import COMPONENT_KINDS, CorpusConfig, RecipeConfig, build_options, load_recipe, recipe_path
from alm.core.plugins import Registry, registry
from alm.core.sources import SourceContext, run_result


@dataclass(frozen=True)
class Parts:
    """The parts of one recipe, found through a registry and a folder that relative sources start from.

    Attributes:
        device: where parts that compute are loaded.
    """

    recipe: RecipeConfig
    base: Path = Path()
    found: Registry = field(default_factory=registry)
    device: str = "cpu"

    @staticmethod
    def of(name: str, overrides: Many[str] = (), device: str = "cpu", ablation: str = "") -> Parts:
        """The parts of a recipe by name or YAML file.

        Args:
            overrides: `key=value` entries, as on the command line.
            ablation: as `load_recipe`.

        Raises:
            AlmError: as `load_recipe`.
        """
        return Parts(load_recipe(name, overrides, None, ablation), recipe_path(name).parent, device=device)

    @staticmethod
    def of_model(name: str, overrides: Many[str] = (), device: str = "cpu") -> Parts:
        """The parts of a registered model, of a checkpoint folder, or of a recipe.

        Raises:
            AlmError: as `load_recipe`.
        """
        found = registry()
        registered = not Path(name).is_dir() and name in [label for _, label, _ in found.models]
        return Parts.of(str(found.model_folder(name)) if registered else name, overrides, device)

    @property
    def context(self) -> SourceContext:
        return SourceContext(self.base, self.device)

    def has(self, kind: str) -> bool:
        return kind in self.recipe.parts

    def card(self, kind: str) -> Any:
        """The card of a part, without loading it."""
        part = self.recipe.part(kind)
        return component_card(self.found, COMPONENT_KINDS.get(kind, kind), part.use, part.options, self.context)

    def planned_card(self, kind: str) -> Any:
        """The card, with sources of runs that are still to be made taken as untrained: what `alm check` goes by."""
        part = self.recipe.part(kind)
        options = {key: value for key, value in part.options.items() if not _is_missing_run(value)}
        return component_card(self.found, COMPONENT_KINDS.get(kind, kind), part.use, options, self.context)

    def awaits_run(self, kind: str) -> bool:
        """Whether a part takes weights from a run that is still to be made."""
        return any(_is_missing_run(value) for value in self.recipe.part(kind).options.values())

    def awaits_network(self, kind: str) -> bool:
        """Whether a known part with options that it knows has the network itself from a run that is still to be made, so that
        its card may not be able to tell its sizes yet."""
        part = self.recipe.part(kind)
        try:
            component = self.found.find(COMPONENT_KINDS.get(kind, kind), part.use)
            build_options(component.options, part.options, f"{kind} {part.use!r}")
        except AlmError:
            return False
        return _is_missing_run(part.options.get("weights"))

    def load(self, kind: str) -> Any:
        """The loaded part."""
        part = self.recipe.part(kind)
        return load_component(self.found, COMPONENT_KINDS.get(kind, kind), part.use, part.options, self.context)

    def load_options(self, kind: str) -> Any:
        """The options of a part, checked and complete."""
        part = self.recipe.part(kind)
        return build_options(self.found.find(COMPONENT_KINDS.get(kind, kind), part.use).options, part.options, f"{kind} {part.use!r}")

    @property
    def layout(self) -> CodebookLayout:
        """How the codes of the recipe's tokenizer stand in a sequence."""
        config = self.recipe.layout
        return make_layout(config.kind, self.card("tokenizer").codebooks if self.has("tokenizer") else 1, config.delays, config.turns, config.text_beside)

    def task(self, use: str) -> Any:
        """One task, or the combination of several joined by spaces."""
        return load_task(self.found, use)

    def corpora(self) -> list[tuple[CorpusConfig, Any]]:
        """The corpora of the recipe; an optional one whose folder is missing is left out."""
        return [(c, load_component(self.found, "corpus", c.use, c.options, self.context)) for c in self.recipe.data.corpora if not self.left_out(c)]

    def corpus_languages(self, config: CorpusConfig) -> tuple[str, ...]:
        """The languages that the recipe asks of a corpus or that its card names; none where neither says, or it is not here."""
        try:
            return config.languages or tuple(component_card(self.found, "corpus", config.use, config.options, self.context).languages)
        except AlmError:
            return ()

    def left_out(self, config: CorpusConfig) -> bool:
        """True for an optional corpus whose `dir:` folder does not exist here."""
        folders = [value[4:] for value in config.options.values() if isinstance(value, str) and value.startswith("dir:")]
        return config.optional and not all(Path(folder).is_dir() or (self.base / folder).is_dir() for folder in folders)

    def utterances(self, split: str) -> Iterator[Utterance]:
        """Utterances of a split over all corpora, in the languages the recipe asks for, within its duration limit."""
        return (utterance for utterance, _ in self.repeated_utterances(split))

    def repeated_utterances(self, split: str) -> Iterator[tuple[Utterance, int]]:
        """The same, each with the `repeat` of its corpus."""
        for config, corpus in self.corpora():
            for utterance in corpus.utterances(split):
                too_long = utterance.audio is not None and (utterance.audio.duration_s or 0) > self.recipe.data.max_duration_s
                if not too_long and (not config.languages or utterance.language in config.languages):
                    yield replace(utterance, corpus=config.use), config.repeat


def load_component(found: Registry, kind: str, use: str, options: dict[str, Any], context: SourceContext) -> Any:
    component = found.find(kind, use)
    assert component.load is not None
    return component.load(build_options(component.options, options, f"{kind} {use!r}"), context)


def component_card(found: Registry, kind: str, use: str, options: dict[str, Any], context: SourceContext) -> Any:
    component = found.find(kind, use)
    built = build_options(component.options, options, f"{kind} {use!r}")
    return component.card(built, context) if callable(component.card) else component.card


def load_task(found: Registry, use: str) -> Any:
    """A registered task by name; several names make the combined task, which emits every intermediate result."""
    components = [found.find("task", name) for name in use.split()]
    if len(components) == 1 and components[0].load is not None:
        return components[0].load(None, SourceContext())
    return DeclaredTask(*(component.card for component in components))


def _is_missing_run(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("run:") and not run_result(value[4:]).is_dir()
