"""What a tab of the demo page is given, and what it needs to become Gradio's. `register_demos`: `build(page)` is called inside a gr.Tab.

gradio is imported when a tab is built, not when this module is.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from alm.api.errors import AlmError
from alm.api.types import Audio


class Example(NamedTuple):
    """A held-out clip."""

    path: Path
    language: str
    text: str


class Registered(NamedTuple):
    """Something that a plugin registered."""

    plugin: str
    version: str
    kind: str
    name: str


class SetAside(NamedTuple):
    """What is there and cannot be used, and why."""

    name: str
    version: str
    error: str
    details: str


class DemoPage(Protocol):
    """The page as its tabs see it. Models are opened when they are first used, and shared by all tabs and visitors."""

    def models(self, fits: Callable[[Any], bool]) -> list[str]:
        """Names of those models that fit: a function of an alm.Pipeline whose weights need not be loaded yet."""

    def open(self, name: str) -> Any:
        """The alm.Pipeline of a name.

        Raises:
            AlmError: one that is not on the page.
        """

    def read(self, path: str | None) -> Audio:
        """A recording that a visitor made or sent.

        Raises:
            AlmError: none, one that cannot be read, or one that is too long.
        """

    def examples(self) -> list[Example]:
        """Held-out clips, one a language, English first."""

    def registered(self) -> list[Registered]:
        """All that the installed plugins offer."""

    def set_aside(self) -> list[SetAside]:
        """Plugins and models that cannot be used."""

    def card(self, kind: str, name: str) -> Mapping[str, str]:
        """What a component promises, with its default options.

        Raises:
            AlmError: one whose card needs options.
        """


def guarded(action: Callable[..., Any]) -> Callable[..., Any]:
    """The action with a visitor's mistakes (AlmError) as messages on the page; an action that yields goes on yielding."""
    import gradio as gr

    def told(error: AlmError) -> gr.Error:
        return gr.Error(str(error), print_exception=False)

    if inspect.isgeneratorfunction(action):

        @functools.wraps(action)
        def steps(*values: Any) -> Iterator[Any]:
            try:
                yield from action(*values)
            except AlmError as error:
                raise told(error) from error

        return steps

    @functools.wraps(action)
    def call(*values: Any) -> Any:
        try:
            return action(*values)
        except AlmError as error:
            raise told(error) from error

    return call
