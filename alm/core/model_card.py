"""README.md of a model as Hugging Face has them: what it is, what it was trained on and how, what it scored, and whose licences its parts have."""

from __future__ import annotations

from collections.abc import Sequence as Many
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alm.api.errors import AlmError
from alm.core.catalogue import modalities
from alm.core.config import CorpusConfig, RecipeConfig, to_yaml
from alm.core.parts import Parts, component_card

LIBRARY = "alm"
UNSAID = "not stated"


@dataclass(frozen=True)
class CardScore:
    """A line of `alm eval --json`: the name is TASK/LANGUAGES/METRIC."""

    name: str
    value: float
    unit: str
    clips: int

    @staticmethod
    def read(entry: Any) -> CardScore:
        """
        Raises:
            AlmError: something else.
        """
        try:
            found = CardScore(str(entry["name"]), float(entry["value"]), str(entry["unit"]), int(entry["clips"]))
        except (KeyError, TypeError, ValueError) as error:
            raise AlmError(f"got score {entry!r}", "name, value, unit and clips, as `alm eval --json` prints them", "make the file by that command") from error
        if found.name.count("/") != 2:
            raise AlmError(f"got score {found.name!r}", "TASK/LANGUAGES/METRIC, as `alm eval --json` prints it", "make the file by that command")
        return found


def write_model_card(folder: Path, recipe: RecipeConfig, parts: Parts, scores: Many[CardScore] = ()) -> None:
    """Writes README.md.

    Args:
        parts: whose cards tell the licences.
    """
    (folder / "README.md").write_text(card_text(recipe, parts, scores))


def card_text(recipe: RecipeConfig, parts: Parts, scores: Many[CardScore] = ()) -> str:
    """The front matter, which the hub reads, and the text."""
    from huggingface_hub import EvalResult, ModelCardData

    inputs, outputs = modalities(recipe, parts.found)
    licences = {
        **{f"{kind} `{part.use}`": _licence(parts, kind) for kind, part in recipe.parts.items()},
        **{f"corpus `{c.use}`": _corpus_licence(parts, c) for c in recipe.data.corpora},
    }
    stated = {licence for licence in licences.values() if licence != UNSAID}
    languages = sorted(
        {language for task in recipe.data.tasks for language in (*task.source, *task.target)} | {la for c in recipe.data.corpora for la in parts.corpus_languages(c)}
    )
    results = [
        EvalResult(_hub_task(inputs, outputs), "held-out", f"held-out clips, {score.name.split('/')[1]}", score.name.split("/")[2], round(score.value, 2), metric_name=score.name)
        for score in scores
    ]
    data = ModelCardData(
        language=languages or None,
        license=next(iter(stated)).split()[0].lower() if len(stated) == 1 and UNSAID not in licences.values() else "other",
        library_name=LIBRARY,
        pipeline_tag=_hub_task(inputs, outputs),
        tags=["audio", "speech", "alm", recipe.train.objective],
        model_name=recipe.name,
        eval_results=results or None,
        ignore_metadata_errors=True,
    )
    sections = {
        "Use": f'```python\nimport alm\n\nmodel = alm.load("FOLDER")  # or alm.Pipeline.from_pretrained("ORG/{recipe.name}")\nmodel.tasks  # {", ".join(dict.fromkeys(task.use for task in recipe.data.tasks)) or "none"}\n```',
        "Parts": _list(f"{kind}: `{part.use}`" for kind, part in recipe.parts.items()),
        "Data": _list(" ".join((f"`{corpus.use}`", *corpus.languages)) for corpus in recipe.data.corpora),
        "Tasks": _list(f"`{task.use}` (weight {task.weight:g}, {task.audio})" for task in recipe.data.tasks),
        **({"Scores": "| | | clips |\n| --- | --- | --- |\n" + "\n".join(f"| {s.name} | {s.value:.2f} {s.unit} | {s.clips} |" for s in scores)} if scores else {}),
        "Licences": _list(f"{what}: {licence}" for what, licence in licences.items()),
        "Recipe": f"```yaml\n{to_yaml(recipe).strip()}\n```",
    }
    title = f"# {recipe.name}\n\n{recipe.description}\n\nObjective: {recipe.train.objective}. In: {', '.join(inputs) or 'none'}. Out: {', '.join(outputs) or 'none'}.\n"
    return f"---\n{data.to_yaml()}\n---\n\n{title}" + "".join(f"\n## {name}\n\n{content}\n" for name, content in sections.items())


def _list(lines: Any) -> str:
    return "\n".join(f"- {line}" for line in lines) or "- none"


def _licence(parts: Parts, kind: str) -> str:
    try:
        return getattr(parts.card(kind), "licence", "") or UNSAID
    except AlmError:  # its weights are not here
        return UNSAID


def _corpus_licence(parts: Parts, corpus: CorpusConfig) -> str:
    try:
        return getattr(component_card(parts.found, "corpus", corpus.use, corpus.options, parts.context), "licence", "") or UNSAID
    except AlmError:
        return UNSAID


def _hub_task(inputs: Many[str], outputs: Many[str]) -> str:
    """The hub's name for what goes in and comes out, of those that it knows."""
    hears, reads = any(what.startswith("audio") for what in inputs), "text" in inputs
    speaks, writes = any(what.startswith("audio") for what in outputs), "text" in outputs
    if hears and writes:
        return "audio-text-to-text" if reads or speaks else "automatic-speech-recognition"
    if hears:
        return "audio-to-audio" if speaks else "audio-classification"
    return "text-to-speech" if speaks else "text-generation"
