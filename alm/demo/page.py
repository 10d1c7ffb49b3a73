"""The page: `alm demo`. Opens models, lists plugins, and hands both to the tabs, which are components as any: `register_demos`. No logic of its own."""

from __future__ import annotations

import dataclasses
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import gradio as gr

from alm.api.demos import Example, Registered, SetAside
from alm.api.errors import AlmError, UnknownNameError, did_you_mean
from alm.api.types import Audio
from alm.core.audio import read_audio, write_audio
from alm.core.config import load_recipe, recipes
from alm.core.models import load
from alm.core.parts import component_card
from alm.core.pipeline import Pipeline
from alm.core.plugins import Registry, registry
from alm.core.sandbox import Sandbox
from alm.core.sources import SourceContext
from alm.demo.options import DemoOptions

CSS = """
.gradio-container {max-width: 1100px !important; width: 100% !important; margin: auto; overflow-x: clip}
.gradio-container img, .gradio-container audio {max-width: 100%}
.gradio-container audio {min-width: 0 !important}
.gradio-container time, .gradio-container .playback span, .gradio-container button[role=tab][aria-selected=true], footer button {color: var(--body-text-color) !important}
"""


class Page:
    """An alm.api.demos.DemoPage over the models that are there."""

    def __init__(self, options: DemoOptions, found: Registry | None = None) -> None:
        self.options, self.found = options, found or registry()
        self.pipelines: dict[str, Pipeline] = {}
        self.unusable: dict[str, AlmError] = {}
        for name in options.models or self._all():
            try:
                self.pipelines[name] = load(name)  # its weights come when they are needed
            except AlmError as error:
                if options.models:
                    raise
                self.unusable[name] = error
        self.folder = tempfile.TemporaryDirectory(prefix="alm-demo-")
        self.sandbox = Sandbox()
        self.loading = threading.Lock()

    def _all(self) -> Iterable[str]:
        """Registered models, and recipes that are models as they stand."""
        stand = [name.split("/")[-1] for name, path in recipes(self.found).items() if load_recipe(str(path), (), self.found).is_cascade]
        return dict.fromkeys([*(name for _, name, _ in self.found.models), *stand])

    def models(self, fits: Callable[[Any], bool]) -> list[str]:
        return [name for name, pipeline in self.pipelines.items() if fits(pipeline)]

    def open(self, name: str) -> Pipeline:
        if name not in self.pipelines:
            raise UnknownNameError(f"got model {name!r}", "one of the page's", did_you_mean(name, list(self.pipelines)))
        return self.pipelines[name]

    def read(self, path: str | None) -> Audio:
        if path is None:
            raise AlmError("got no sound", "a recording or a file", "press the microphone, or drop a file first")
        return self.sandbox.read_audio(Path(path), self.options.max_duration_s, Path(path).name)

    def examples(self) -> list[Example]:
        return self._examples

    @cached_property
    def _examples(self) -> list[Example]:
        found: dict[str, Example] = {}
        for pipeline in self.pipelines.values():
            for utterance in pipeline.parts.utterances("test") if pipeline.recipe.data.corpora else ():
                if utterance.audio is None or utterance.language in found:
                    continue
                path = Path(self.folder.name) / f"{utterance.language}.wav"
                write_audio(path, read_audio(utterance.audio))
                found[utterance.language] = Example(path, utterance.language, utterance.text)
        return sorted(found.values(), key=lambda example: (example.language != "en", example.language))

    def registered(self) -> list[Registered]:
        return [Registered(plugin, self.found.versions[plugin], kind, name) for plugin, kind, name in self.found.offered()]

    def set_aside(self) -> list[SetAside]:
        broken = [SetAside(b.name, b.version, b.error, b.traceback) for b in self.found.broken.values()]
        return broken + [SetAside(f"model {name}", "", error.got, str(error)) for name, error in self.unusable.items()]

    def card(self, kind: str, name: str) -> Mapping[str, str]:
        own = {"model": "alm.load(name) opens it", "recipe": "alm train NAME, alm check NAME", "tab": "a tab of this page", "engine": "alm tokenize --engine NAME"}
        if kind in own:
            return {"use": own[kind]}
        card = component_card(self.found, kind, name, {}, SourceContext())
        return {field.name: str(getattr(card, field.name)) for field in dataclasses.fields(card)}


def build(page: Page) -> gr.Blocks:
    """Gradio's page with every registered tab."""
    with gr.Blocks(title="alm", analytics_enabled=False, delete_cache=(3600, 3600)) as blocks:
        gr.Markdown("# alm\nAudio language models: talk with them, translate by them, and look at how they hear.")
        for plugin, title, tab in page.found.demos:
            with gr.Tab(title):
                try:
                    tab(page)
                except AlmError as error:  # one tab that cannot be built leaves the others
                    gr.Markdown(f"Tab {title!r} of plugin {plugin!r} was set aside: {error}")
    return blocks


def legible() -> gr.Theme:
    """Gradio's theme with buttons whose words stand out by 4.5 to 1 at least, as WCAG 2.2 wants it."""
    return gr.themes.Default(primary_hue="blue").set(
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_600",
        button_cancel_background_fill="#b91c1c",
        button_cancel_background_fill_hover="#991b1b",
        button_cancel_background_fill_dark="#b91c1c",
        button_cancel_text_color="white",
    )


def launch(page: Page, *, wait: bool = True) -> tuple[gr.Blocks, str]:
    """Serves the page on this machine alone; returns it and its address, at once if it is not to wait."""
    blocks = build(page)
    options = page.options
    blocks.queue(max_size=options.waiting, default_concurrency_limit=1)
    _, url, _ = blocks.launch(
        server_name=options.host,
        server_port=options.port or None,
        max_file_size=f"{options.max_upload_mb}mb",
        share=False,
        css=CSS,
        theme=legible(),
        quiet=not wait,
        prevent_thread_lock=not wait,
        footer_links=["api"],
    )
    return blocks, url
