"""Whether what is installed keeps its promises: the checks of alm.api.testing on every registered part, as far as it stands by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

from alm.api import testing
from alm.api.errors import AlmError
from alm.core.parts import component_card, load_component, load_task
from alm.core.plugins import Component, Registry
from alm.core.sources import SourceContext

CHECKS: dict[str, Callable[[Any], None]] = {
    "tokenizer": testing.check_tokenizer,
    "encoder": testing.check_encoder,
    "prompt": testing.check_prompt_format,
    "backbone": testing.check_backbone,
    "frontend": testing.check_frontend,
    "vocoder": testing.check_vocoder,
    "decoder": testing.check_decoder,
    "search": testing.check_search,
    "language_model": testing.check_language_model,
    "rescorer": testing.check_rescorer,
    "recognizer": testing.check_recognizer,
    "synthesizer": testing.check_synthesizer,
    "converter": testing.check_converter,
    "speech_detector": testing.check_speech_detector,
    "corpus": testing.check_corpus,
    "metric": testing.check_metric,
}
BESIDE = {"classifier": "features"}  # what a check needs besides the part: its own tests have it
Outcome = Literal["passed", "unchecked", "failed"]


class Verdict(NamedTuple):
    """Attributes:
    outcome: "unchecked" of a part that cannot be checked without weights, or something beside it.
    why: what it wants then, or what it did not keep.
    """

    plugin: str
    kind: str
    name: str
    outcome: Outcome
    why: str = ""


def verdicts(found: Registry, plugin: str = "") -> Iterator[Verdict]:
    """One for each registered part, with its default options; those of one plugin, if it is named. A plugin that was set aside fails."""
    for broken in found.broken.values():
        if plugin in ("", broken.name):
            yield Verdict(broken.name, "plugin", broken.name, "failed", broken.error)
    for component in found.components:
        if plugin in ("", component.plugin):
            outcome, why = _checked(found, component)
            yield Verdict(component.plugin, component.kind, component.name, outcome, why)


def _checked(found: Registry, component: Component) -> tuple[Outcome, str]:
    use = f"{component.plugin}/{component.name}"
    try:
        if component.kind == "task":
            testing.check_task(load_task(found, use))
            return "passed", ""
        card = component_card(found, component.kind, use, {}, SourceContext())
        if component.kind in BESIDE:
            return "unchecked", f"{BESIDE[component.kind]} to be checked with"
        if getattr(card, "reads", "audio") != "audio":
            return "unchecked", f"examples of {card.reads}"
        if component.kind == "tokenizer" and not card.fingerprint or component.kind == "vocoder" and not card.vocabulary_size:
            return "unchecked", "to be trained"
        part = load_component(found, component.kind, use, {}, SourceContext())
    except AlmError as error:
        return "unchecked", f"{error.wanted or error.got}"
    except Exception as error:  # a stranger's code may fail in any way
        return "failed", f"{type(error).__name__}: {error}"
    if component.kind not in CHECKS:
        return "failed", f"kind {component.kind!r} has no check"
    try:
        CHECKS[component.kind](part)
    except AlmError as error:
        return "unchecked", f"{error.wanted or error.got}"
    except Exception as error:
        return "failed", f"{type(error).__name__}: {error}"
    return "passed", ""
