"""Finds plugins, isolates the broken ones, and looks components up by name. Loads no component until it is asked to.

Each entry point of group `alm` is loaded on its own: one that fails is set aside with its name, version and traceback,
and the rest stays usable. Two plugins may register the same name; only the bare name is then refused.
"""

import inspect
import os
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import pluggy

from alm.api import hookspecs
from alm.api.errors import AlmError, UnknownNameError, did_you_mean

GROUP = "alm"
KINDS = {  # what a recipe calls a part -> the hook that registers it
    "tokenizer": "register_tokenizers",
    "encoder": "register_encoders",
    "backbone": "register_backbones",
    "prompt": "register_prompt_formats",
    "task": "register_tasks",
    "frontend": "register_frontends",
    "vocoder": "register_vocoders",
    "recognizer": "register_recognizers",
    "synthesizer": "register_synthesizers",
    "converter": "register_converters",
    "decoder": "register_decoders",
    "search": "register_searches",
    "language_model": "register_language_models",
    "classifier": "register_classifiers",
    "rescorer": "register_rescorers",
    "speech_detector": "register_speech_detectors",
    "corpus": "register_corpora",
    "metric": "register_metrics",
}


@dataclass(frozen=True)
class Component:
    """A registered part: how to load it, its card (or a function of its options), its options dataclass."""

    kind: str
    name: str
    plugin: str
    load: Callable[..., Any] | None
    card: Any
    options: type | None


@dataclass(frozen=True)
class BrokenPlugin:
    """A plugin that was set aside, and why."""

    name: str
    version: str
    error: str
    traceback: str


@dataclass
class Registry:
    """All that the loaded plugins registered. Built once by `registry()`; tests build their own."""

    manager: pluggy.PluginManager = field(default_factory=lambda: _new_manager())
    versions: dict[str, str] = field(default_factory=dict)
    broken: dict[str, BrokenPlugin] = field(default_factory=dict)
    components: list[Component] = field(default_factory=list)
    recipe_folders: list[tuple[str, Path]] = field(default_factory=list)
    models: list[tuple[str, str, Path]] = field(default_factory=list)
    engines: list[tuple[str, str, Callable[..., Any]]] = field(default_factory=list)
    demos: list[tuple[str, str, Callable[..., Any]]] = field(default_factory=list)
    deprecated: list[tuple[str, str]] = field(default_factory=list)  # plugins, and which old name each of them uses

    def add(self, name: str, load: Callable[[], Any], version: str = "") -> None:
        """Loads one plugin and collects what it registers; a failure sets the whole plugin aside."""
        label = name
        while label in self.versions or label in self.broken:
            label += " (second)"
        plugin = None
        try:
            if label != name:
                raise AlmError(f"entry point name {name!r} is taken by another distribution", "one plugin a name", "uninstall one of the two")
            plugin = load()
            _check_api(getattr(plugin, "ALM_PLUGIN_API", hookspecs.PLUGIN_API))
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                self.manager.register(plugin, label)
            self._check_hook_names(plugin)
            collected = self._collect(label, plugin)
        except (Exception, SystemExit) as error:  # a plugin may fail in any way; it is reported by `alm plugins`, not swallowed
            if plugin is not None and self.manager.is_registered(plugin):
                self.manager.unregister(plugin)  # pluggy keeps a half-registered plugin
            self.broken[label] = BrokenPlugin(label, version, f"{type(error).__name__}: {error}", traceback.format_exc())
            return
        self.versions[label] = version
        self.deprecated += [(label, str(warning.message)) for warning in caught if issubclass(warning.category, DeprecationWarning)]
        components, folders, models, engines, tabs = collected
        self.components += components
        self.recipe_folders += folders
        self.models += models
        self.engines += engines
        self.demos += tabs

    def find(self, kind: str, name: str) -> Component:
        """The component of a kind by `name` or `plugin/name`.

        Raises:
            UnknownNameError: no such name; the fix names close ones and plugins that were set aside.
            AlmError: a bare name that several plugins registered.
        """
        mine = [c for c in self.components if c.kind == kind]
        hits = [c for c in mine if name in (c.name, f"{c.plugin}/{c.name}")]
        if len(hits) == 1:
            return hits[0]
        if hits:
            raise AlmError(f"{kind} {name!r} is registered by several plugins", "one of them", "write " + " or ".join(f"{c.plugin}/{c.name}" for c in hits))
        raise UnknownNameError(f"got {kind} {name!r}", f"a registered {kind}", did_you_mean(name, [c.name for c in mine]) + self._broken_hint())

    def names(self, kind: str) -> list[str]:
        return sorted(c.name for c in self.components if c.kind == kind)

    def offered(self) -> list[tuple[str, str, str]]:
        """All that is registered: plugin, kind and name."""
        named = [(c.plugin, c.kind, c.name) for c in self.components]
        named += [(plugin, "recipe", path.stem) for plugin, folder in self.recipe_folders for path in sorted(folder.glob("*.yaml"))]
        named += [(plugin, "model", model) for plugin, model, _ in self.models]
        named += [(plugin, "engine", engine) for plugin, engine, _ in self.engines]
        return named + [(plugin, "tab", title) for plugin, title, _ in self.demos]

    def model_folder(self, name: str) -> Path:
        """The folder of a registered model."""
        return self._registered("model", name, self.models, "a registered model or a checkpoint folder")

    def engine(self, name: str) -> Callable[..., Any]:
        """A registered engine of tokenizing jobs."""
        return self._registered("engine", name, self.engines, "a registered engine")

    def _registered(self, what: str, name: str, entries: list[tuple[str, str, Any]], wanted: str) -> Any:
        """The one entry (plugin, label, value) of a name or `plugin/name`."""
        hits = [value for plugin, label, value in entries if name in (label, f"{plugin}/{label}")]
        if len(hits) == 1:
            return hits[0]
        if hits:
            owners = [f"{plugin}/{label}" for plugin, label, _ in entries if label == name]
            raise AlmError(f"{what} {name!r} is registered by several plugins", "one of them", "write " + " or ".join(owners))
        raise UnknownNameError(f"got {what} {name!r}", wanted, did_you_mean(name, [label for _, label, _ in entries]) + self._broken_hint())

    def _broken_hint(self) -> str:
        return f" (set aside: {', '.join(sorted(self.broken))}; see `alm plugins`)" if self.broken else ""

    def _check_hook_names(self, plugin: Any) -> None:
        for caller in self.manager.get_hookcallers(plugin) or ():
            if not caller.has_spec():
                known = [name for name in dir(hookspecs) if name.startswith("register_")]
                raise UnknownNameError(f"got hook {caller.name!r}", "a hook of alm.api.hookspecs", did_you_mean(caller.name, known))

    def _collect(self, label: str, plugin: Any) -> tuple[list, list, list, list, list]:
        components: list[Component] = []
        folders: list[tuple[str, Path]] = []
        models: list[tuple[str, str, Path]] = []
        engines: list[tuple[str, str, Callable[..., Any]]] = []
        tabs: list[tuple[str, str, Callable[..., Any]]] = []
        others = [p for p in self.manager.get_plugins() if p is not plugin]

        def call(hook: str, register: Callable[..., None]) -> None:
            self.manager.subset_hook_caller(hook, others)(register=register)

        for kind, hook in KINDS.items():

            def register(name: str, load: Callable | None = None, card: Any = None, options: type | None = None, *, _kind: str = kind) -> None:
                if card is None or (load is None and _kind != "task"):
                    raise AlmError(f"{_kind} {name!r} registered without a {'card' if card is None else 'load function'}", "both", f"register({name!r}, load, card)")
                components.append(Component(_kind, name, label, load, card, options))

            call(hook, register)
        call("register_recipes", lambda folder: folders.append((label, Path(folder))))
        call("register_models", lambda name, folder: models.append((label, name, Path(folder))))
        call("register_engines", lambda name, run: engines.append((label, name, run)))
        call("register_demos", lambda title, build: tabs.append((label, title, build)))
        call("register_demo_tabs", lambda title, build: tabs.append((label, title, lambda page: build(page.open(page.models(lambda _: True)[0])))))
        return components, folders, models, engines, tabs


def _check_api(wants: Any) -> None:
    """
    Raises:
        AlmError: a version of the plugin API that this one is not, see alm.api.hookspecs.
    """
    asked = (wants, 0) if isinstance(wants, int) else wants
    major, minor = hookspecs.PLUGIN_API
    if not isinstance(asked, tuple) or len(asked) != 2 or asked[0] != major or asked[1] > minor:
        raise AlmError(f"plugin wants plugin API {wants}", f"API {major}.0 to {major}.{minor}", "install versions of alm and the plugin that fit")


def _new_manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    return manager


def build_registry() -> Registry:
    """Loads the built-in components and every installed plugin; ALM_PLUGINS=a,b limits which."""
    found = Registry()
    from alm import components

    found.add("alm", lambda: components, metadata.version("alm-audio"))
    wanted = os.environ.get("ALM_PLUGINS")
    for entry in sorted(metadata.entry_points(group=GROUP), key=lambda e: (e.name, e.value)):
        if wanted is None or entry.name in wanted.split(","):
            found.add(entry.name, entry.load, entry.dist.version if entry.dist else "")
    return found


_registry: list[Registry] = []


def registry() -> Registry:
    """The process's registry, built at first use."""
    if not _registry:
        _registry.append(build_registry())
    return _registry[0]


def hook_documentation() -> str:
    """One line a hook, with its arguments: what `alm plugins --hooks` prints and the docs are tested against."""
    hooks = inspect.getmembers(hookspecs, lambda member: inspect.isfunction(member) and member.__name__.startswith("register_"))
    return "\n".join(f"{name}({', '.join(inspect.signature(hook).parameters)}): {(hook.__doc__ or '').strip()}" for name, hook in hooks)
