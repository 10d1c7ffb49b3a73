"""Finds on held-out clips what language model, words and rescorer weigh beside what is heard. Sees posteriors and texts; hears each clip once.

One weight after another, each over its grid with the others as they are, until none moves: a search is run a few dozen times.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence as Many
from dataclasses import dataclass
from typing import Any

import jiwer

from alm.api.errors import AlmError
from alm.api.recognition import Hypothesis
from alm.api.types import Utterance
from alm.core.audio import read_audio
from alm.core.config import FusionConfig
from alm.core.fusion import Fused
from alm.core.parts import Parts
from alm.core.pipeline import Pipeline
from alm.core.recognition import SearchRecognizer, rescored
from alm.core.results import Request

ROUNDS = 3
OWN = {"fusion.own_weight": (-0.3, -0.2, -0.1, 0.0, 0.1, 0.2)}
FUSION = {"fusion.weight": (0.05, 0.1, 0.2, 0.3, 0.4, 0.5), "fusion.word_bonus": (0.0, 0.5, 1.0), **OWN}
WEIGHED = ("search", "rescorer")  # parts whose cards say what of them can be tuned


@dataclass(frozen=True)
class Trial:
    """Weights by part and option ("search.weight"), and how many words were wrong with them, in per cent."""

    weights: dict[str, float]
    wer: float
    under: str = "parts."  # in a recipe

    @property
    def overrides(self) -> list[str]:
        return [f"{self.under}{name}={value:g}" for name, value in self.weights.items()]


class Remembered:
    """A language model or a rescorer that is asked for each text once."""

    def __init__(self, part: Any) -> None:
        self.part, self.card, self.known = part, part.card, dict[Any, float]()

    def score(self, *columns: Many[Any]) -> list[float]:
        asked = list(zip(*columns, strict=True))
        new = [entry for entry in dict.fromkeys(asked) if entry not in self.known]
        if new:
            self.known.update(zip(new, self.part.score(*(list(column) for column in zip(*new, strict=True))), strict=True))
        return [self.known[entry] for entry in asked]


def tune(parts: Parts, utterances: Many[Utterance], tell: Callable[[Trial], None] = lambda trial: None) -> list[Trial]:
    """Every trial, the best one last.

    Raises:
        AlmError: a recipe without search and language model or rescorer, a search that has no weights, or no clip with a text.
    """
    recognizer = SearchRecognizer(parts, rescores=False)
    rescorer = Remembered(parts.load("rescorer")) if parts.has("rescorer") else None
    language_model = Remembered(recognizer.language_model) if recognizer.language_model is not None else None
    if not parts.recipe.searches or language_model is None and rescorer is None:
        raise AlmError(
            f"got recipe {parts.recipe.name!r}", "one with parts.search, and parts.language_model or parts.rescorer", "add `language_model: {use: ngram, weights: ...}` under parts"
        )
    grids = {f"{kind}.{name}": grid for kind in WEIGHED if parts.has(kind) for name, grid in parts.card(kind).tunes.items()}
    if language_model is None:
        grids = {name: grid for name, grid in grids.items() if not name.startswith("search.")}
    if not grids:
        raise AlmError(f"got search {parts.recipe.part('search').use!r}, which has no weights to tune", "search: {use: ctc-beam}", "choose it")
    chosen = _with_texts(utterances)
    heard = recognizer.hear([read_audio(u.audio) for u in chosen if u.audio is not None])
    wanted = [recognizer.wording.written(u.text, u.language) for u in chosen]
    searched: dict[Any, list[list[Hypothesis]]] = {}
    found: dict[Any, Trial] = {}

    def tried(weights: dict[str, float]) -> Trial:
        key = tuple(weights.values())
        if key not in found:
            search = {name.split(".")[1]: value for name, value in weights.items() if name.startswith("search.")}
            if tuple(search.values()) not in searched:
                part = with_options(parts, "search", {**parts.recipe.part("search").options, **search}).load("search")
                asked = getattr(language_model, "part", None) if parts.card("search").compiles else language_model
                searched[tuple(search.values())] = part.search(heard, recognizer.labels, asked)
            readings = searched[tuple(search.values())]
            if rescorer is not None:
                readings = rescored(readings, rescorer, weights["rescorer.weight"])
            found[key] = Trial(dict(weights), 100 * jiwer.wer(wanted, [best[0].text for best in readings]))
            tell(found[key])
        return found[key]

    loaded = {"search": recognizer.search.options, **({"rescorer": rescorer.part.options} if rescorer is not None else {})}
    best = _descend(grids, {name: float(getattr(loaded[name.split(".")[0]], name.split(".")[1])) for name in grids}, tried)
    return [*(trial for trial in found.values() if trial is not best), best]


def tune_fusion(pipeline: Pipeline, utterances: Many[Utterance], tell: Callable[[Trial], None] = lambda trial: None) -> list[Trial]:
    """The same for what a language model weighs in the transcripts that a backbone writes; each clip is heard once.

    Raises:
        AlmError: a model without a language model, or no clip with a text.
    """
    recipe = pipeline.recipe
    if not recipe.fuses:
        raise AlmError(f"got model {recipe.name!r}, whose backbone writes alone", "one with parts.language_model", "add parts.language_model={use: ngram, weights: ...}")
    chosen = _with_texts(utterances)
    requests = [Request("ASR", u.audio, u.language) for u in chosen]
    samples = [pipeline.sample(request) for request in requests]
    wanted = [pipeline.wording.written(u.text, u.language) for u in chosen]
    fused, found = pipeline.decoder, dict[Any, Trial]()

    def tried(weights: dict[str, float]) -> Trial:
        key = tuple(weights.values())
        if key not in found:
            config = FusionConfig(**{name.split(".")[1]: value for name, value in weights.items()})
            results = pipeline.answers(requests, samples, decoder=Fused(fused.decoder, config, fused.language_model, fused.backbone))
            found[key] = Trial(dict(weights), 100 * jiwer.wer(wanted, [result.text for result in results]), "")
            tell(found[key])
        return found[key]

    grids = FUSION if "language_model" in recipe.parts else OWN
    best = _descend(grids, {name: float(getattr(recipe.fusion, name.split(".")[1])) for name in grids}, tried)
    return [*(trial for trial in found.values() if trial is not best), best]


def _descend(grids: dict[str, tuple[float, ...]], start: dict[str, float], tried: Callable[[dict[str, float]], Trial]) -> Trial:
    """The best trial, one weight moved after another."""
    best = tried(start)
    for _ in range(ROUNDS):
        before = best
        for name, grid in grids.items():
            best = min([best, *(tried({**best.weights, name: value}) for value in grid)], key=lambda trial: trial.wer)
        if best is before:
            break
    return best


def _with_texts(utterances: Many[Utterance]) -> list[Utterance]:
    chosen = [u for u in utterances if u.audio is not None and u.text]
    if not chosen:
        raise AlmError("got no clip with a text", "recordings with transcripts", "name another --split or --manifest")
    return chosen


def with_weights(parts: Parts, trial: Trial) -> Parts:
    """The same parts, weighed as in a trial."""
    for name, value in trial.weights.items():
        kind, option = name.split(".")
        parts = with_options(parts, kind, {**parts.recipe.part(kind).options, option: value})
    return parts


def with_options(parts: Parts, kind: str, options: dict[str, Any]) -> Parts:
    """The same parts, one of them with other options."""
    part = dataclasses.replace(parts.recipe.part(kind), options=options)
    return dataclasses.replace(parts, recipe=dataclasses.replace(parts.recipe, parts={**parts.recipe.parts, kind: part}))
