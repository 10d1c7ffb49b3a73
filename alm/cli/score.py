"""What a model is worth: eval, compare, perplexity, contrast."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alm.api.errors import AlmError
from alm.cli.common import Json, app, load_model

if TYPE_CHECKING:
    from alm.api.types import Utterance
    from alm.core.pipeline import Pipeline


@app.command("eval")
def evaluate(
    model: str,
    task: Annotated[list[str] | None, typer.Option("--task", help="May be given several times; all tasks if left out.")] = None,
    split: str = "test",
    manifest: Annotated[Path | None, typer.Option(help="JSON lines: audio, text, language, speaker.")] = None,
    benchmark: Annotated[str, typer.Option(help="NAME=FOLDER of a public benchmark, e.g. mmau=data/MMAU; see `alm plugins` for corpora.")] = "",
    max_clips: int = 0,
    outputs: Annotated[Path | None, typer.Option(help="Write every output beside its reference, as JSON lines.")] = None,
    as_json: Json = False,
) -> None:
    """Score a model on a split of its corpora or on a manifest."""
    from rich.console import Console
    from rich.progress import Progress

    from alm.api.manifests import utterances_from_lines
    from alm.core import evaluate as core
    from alm.core.files import write_text

    pipeline = load_model(model)
    if benchmark:
        name, _, place = benchmark.partition("=")
        utterances = _benchmark(pipeline, name, Path(place), split)
    else:
        utterances = list(utterances_from_lines(manifest)) if manifest else [u for u in pipeline.parts.utterances(split)]
    scores, rows = [], []
    conversations = {} if manifest or benchmark else core.conversations_of(pipeline, split)
    uses = list(dict.fromkeys(task or [*pipeline.tasks, *conversations]))
    for use in uses:
        if use not in conversations:
            pipeline.task_config(use)
    if not utterances and not conversations:
        raise AlmError(f"got split {split!r}, in which the model's corpora have no utterance", "a split with utterances", "name another --split or a --manifest")
    if outputs and not outputs.parent.is_dir():
        raise AlmError(f"got --outputs {outputs}, whose folder does not exist", "a folder that is there", "make it first")
    with Progress(*Progress.get_default_columns(), console=Console(stderr=True), transient=True, disable=as_json) as progress:
        for use in uses:
            running = progress.add_task(use, total=None if use in conversations else sum(len(pairs) for pairs in core.pairs_of(pipeline, use, utterances, max_clips).values()))
            scored = partial(core.evaluate_conversations if use in conversations else core.evaluate, pipeline, use, conversations.get(use, utterances))
            new_scores, new_rows = scored(max_clips=max_clips, on_done=lambda count, running=running: progress.advance(running, count))
            scores += new_scores
            rows += new_rows
            for score in new_scores if not as_json else []:
                print(f"{score.name:32} {score.value:8.2f} {score.unit:5} {score.clips} clips", flush=True)
    if as_json:
        print(json.dumps([{"name": s.name, "value": s.value, "unit": s.unit, "clips": s.clips} for s in scores]))
    if outputs:
        write_text(outputs, "".join(json.dumps({k: v for k, v in row.items() if k != "result"}, ensure_ascii=False) + "\n" for row in rows))


@app.command()
def compare(
    models: Annotated[list[str], typer.Argument(help="Registered models, checkpoint folders, or recipes that are models as they stand, such as a cascade.")],
    task: Annotated[list[str] | None, typer.Option("--task", help="What is compared, by its last output, e.g. ASR. May be given several times.")] = None,
    split: str = "test",
    manifest: Annotated[Path | None, typer.Option(help="JSON lines: audio, text, language, speaker.")] = None,
    max_clips: int = 0,
    as_json: Json = False,
) -> None:
    """Put models side by side: quality, time to the first word and the first sound, memory."""
    from alm.core import compare as core

    found = core.compare(models, task or (), split=split, manifest=manifest, max_clips=max_clips)
    print(json.dumps(core.as_json(found), ensure_ascii=False) if as_json else core.as_table(found))


@app.command()
def perplexity(
    model: Annotated[str, typer.Argument(help="A registered model, a checkpoint folder, or a recipe whose backbone is pretrained.")],
    texts: Annotated[Path | None, typer.Argument(help="A file with a text a line; the transcripts of the model's test split if left out.")] = None,
    language: str = "en",
    as_json: Json = False,
) -> None:
    """How well a model predicts text, a line at a time: what it keeps of its language, before and after it learns to hear."""
    from alm.core.likelihood import perplexity as measured

    if texts is not None and not texts.is_file():
        raise AlmError(f"got texts {texts}, which is not a file", "a file with a text a line", "check the path")
    pipeline = load_model(model)
    lines = texts.read_text().splitlines() if texts else list(dict.fromkeys(u.text for u in pipeline.parts.utterances("test") if u.language == language))
    value, count = measured(pipeline, lines, language)
    print(json.dumps({"perplexity": value, "texts": count}) if as_json else f"{value:.2f} on {count} texts")


@app.command()
def verify(
    model: Annotated[str, typer.Argument(help="A model that tells speakers: an encoder with a classifier of clips.")],
    split: str = "test",
    manifest: Annotated[list[Path] | None, typer.Option(help="JSON lines: audio, speaker. May be given several times.")] = None,
    max_clips: Annotated[int, typer.Option(help="Of each speaker; 0 takes all.")] = 0,
    as_json: Json = False,
) -> None:
    """Speaker verification: compare all pairs of recordings by the cosine of their vectors; prints the equal error rate."""
    from collections import defaultdict
    from dataclasses import asdict

    from alm.api.manifests import utterances_from_lines
    from alm.core.audio import read_audio
    from alm.core.labelling import Labelling
    from alm.core.verify import verify as measured

    pipeline = load_model(model)
    if not isinstance(pipeline, Labelling):
        raise AlmError(f"got model {model!r}, which has no classifier", "an encoder with a classifier of clips", "train one: alm train prompts-speakers")
    clips: dict[str, list[Utterance]] = defaultdict(list)
    given = [utterance for path in manifest or () for utterance in utterances_from_lines(path, ("audio", "speaker"))]
    for utterance in given or pipeline.parts.utterances(split):
        if utterance.audio is not None and utterance.speaker:
            clips[utterance.speaker].append(utterance)
    chosen = [utterance for found in clips.values() for utterance in found[: max_clips or None]]
    if len(clips) < 2 or len(chosen) == len(clips):
        raise AlmError(f"got {len(chosen)} recordings of {len(clips)} speakers", "several of two or more", "name another --split or --manifest")
    found = measured(pipeline.embed([read_audio(u.audio) for u in chosen if u.audio is not None]), [u.speaker for u in chosen])
    print(json.dumps(asdict(found)) if as_json else f"EER {found.eer:.2f} % at cosine {found.threshold:.3f}; {found.same} pairs of one speaker, {found.other} of two")


@app.command()
def contrast(
    model: Annotated[str, typer.Argument(help="A registered model or a checkpoint folder, with units.")],
    benchmark: Annotated[str, typer.Argument(help="A corpus of pairs: swuggy, sblimp, story-cloze.")],
    folder: Annotated[Path, typer.Argument(help="Where the benchmark is unpacked.")],
    as_json: Json = False,
) -> None:
    """Zero-resource evaluation: in how many pairs of recordings the right one is likelier; 50 % is chance."""
    from rich.console import Console
    from rich.progress import Progress

    from alm.core import contrast as core

    pipeline = load_model(model)
    utterances = _benchmark(pipeline, benchmark, folder, "test")
    with Progress(*Progress.get_default_columns(), console=Console(stderr=True), transient=True, disable=as_json) as progress:
        running = progress.add_task(benchmark, total=len(utterances))
        found = core.contrast(pipeline, utterances, lambda count: progress.advance(running, count))
    if as_json:
        print(json.dumps({"benchmark": benchmark, "accuracy": found.accuracy, "pairs": found.pairs, "kinds": found.kinds}))
        return
    print(f"{found.accuracy:.2f} % of {found.pairs} pairs")
    for kind, accuracy in found.kinds.items():
        print(f"  {kind:32} {accuracy:.2f} %")


def _benchmark(pipeline: Pipeline, name: str, folder: Path, split: str) -> list[Utterance]:
    """A public benchmark in a folder."""
    from alm.core.parts import load_component

    return list(load_component(pipeline.parts.found, "corpus", name, {"folder": f"dir:{folder.resolve()}"}, pipeline.parts.context).utterances(split))
