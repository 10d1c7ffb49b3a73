"""The `alm` command. Arguments in, one clear line or JSON out; every command's work is done elsewhere.

A user's mistake ends with one line on standard error and exit code 2. Heavy imports happen inside the commands.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alm.api.errors import AlmError

if TYPE_CHECKING:
    from alm.api.types import Audio
    from alm.core.pipeline import Pipeline, Result

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None, help="Audio language models: tokenize, train, listen and speak."
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]
Model = Annotated[str, typer.Option("--model", help="A registered model's name or a checkpoint folder.")]
DEFAULT_MODEL = "prompts"


@app.command()
def plugins(
    hooks: Annotated[bool, typer.Option(help="Show every extension point instead.")] = False,
    recipes: Annotated[bool, typer.Option(help="Show the recipes instead.")] = False,
    as_json: Json = False,
) -> None:
    """List plugins, what they register, and those that were set aside."""
    from alm.core import plugins as core
    from alm.core.config import recipes as known_recipes

    found = core.registry()
    if hooks:
        print(core.hook_documentation())
        return
    if recipes:
        names = known_recipes()
        print(json.dumps({name: str(path) for name, path in names.items()}) if as_json else "\n".join(names))
        return
    registered = [(c.plugin, f"{c.kind} {c.name}") for c in found.components]
    registered += [(plugin, f"recipe {path.stem}") for plugin, folder in found.recipe_folders for path in sorted(folder.glob("*.yaml"))]
    registered += [(plugin, f"model {model}") for plugin, model, _ in found.models]
    registered += [(plugin, f"demo tab {title}") for plugin, title, _ in found.demo_tabs]
    listing = {name: {"version": version, "components": [what for plugin, what in registered if plugin == name]} for name, version in found.versions.items()}
    if as_json:
        broken = {b.name: {"version": b.version, "error": b.error, "traceback": b.traceback} for b in found.broken.values()}
        print(json.dumps({"plugins": listing, "broken": broken}))
        return
    for name, entry in listing.items():
        print(f"{name} {entry['version']}\n  " + "\n  ".join(entry["components"]))
    for failed in found.broken.values():
        print(f"{failed.name} {failed.version} SET ASIDE: {failed.error}\n{failed.traceback}")


@app.command()
def check(recipe: str, overrides: Annotated[list[str] | None, typer.Argument()] = None, as_json: Json = False) -> None:
    """Prove from cards alone that the parts of a recipe fit; loads no weight."""
    from alm.core.check import check_recipe
    from alm.core.config import load_recipe, recipe_path
    from alm.core.parts import Parts

    problems = check_recipe(Parts(load_recipe(recipe, overrides or []), recipe_path(recipe).parent))
    if as_json:
        print(json.dumps({"recipe": recipe, "fits": not problems, "problems": [dict(zip(("got", "wanted", "fix"), p, strict=True)) for p in problems]}))
    elif not problems:
        print(f"{recipe}: fits")
    for problem in problems if not as_json else []:
        print(f"alm: {AlmError(*problem)}", file=sys.stderr)
    if problems:
        raise typer.Exit(2)


@app.command()
def tokenize(inputs: list[Path], model: Model = DEFAULT_MODEL, as_json: Json = False) -> None:
    """Turn sound files into units."""
    from alm.core.audio import read_audio

    pipeline = _load(model)
    for path in inputs:
        units = pipeline.tokenize(read_audio(path))
        if as_json:
            print(json.dumps({"file": str(path), "codes": units.codes.tolist(), "frame_rate_hz": units.frame_rate_hz, "tokenizer": units.fingerprint}))
        else:
            print(f"{path}: {units.num_frames} units at {units.frame_rate_hz:g} Hz\n" + "\n".join(" ".join(map(str, row)) for row in units.codes.tolist()))


@app.command()
def train(
    recipe: str,
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value, e.g. train.steps=200")] = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder; one with a last.ckpt goes on.")] = None,
    quiet: bool = False,
) -> None:
    """Train a recipe; Ctrl-C leaves a checkpoint from which the same command goes on."""
    from alm.train.run import train as run

    print(run(recipe, overrides or [], out, quiet=quiet))


@app.command()
def run(
    task: str,
    input: Annotated[str, typer.Argument(help="A sound file, or text for tasks that read text.")],
    source: Annotated[str, typer.Option("--from", help="Language of the input.")] = "en",
    target: Annotated[str, typer.Option("--to", help="Language to translate into.")] = "",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Where to write the sound.")] = None,
    model: Model = DEFAULT_MODEL,
    speaker: str = "",
    seed: int = 0,
    as_json: Json = False,
) -> None:
    """Run one task: ASR, AST, MT, TTS, S2ST, or a combined one such as "ASR AST S2ST"."""
    from alm.core.audio import read_audio, write_audio
    from alm.core.parts import load_task
    from alm.core.plugins import registry

    reads_text = load_task(registry(), task).card.input.endswith("text")
    content: str | Audio = input if reads_text else read_audio(Path(input))
    result: Result = _load(model).run(task, content, source, target, speaker=speaker, seed=seed)
    if output is not None:
        if result.audio is None:
            raise AlmError(f"task {task} made no sound to write to {output}", "a task that speaks", "leave -o out, or use TTS or S2ST")
        write_audio(output, result.audio)
    if as_json:
        print(
            json.dumps(
                {
                    "task": task,
                    "texts": result.texts,
                    "units": result.units.codes.tolist() if result.units else None,
                    "audio": str(output) if output else None,
                    "seconds": result.seconds,
                },
                ensure_ascii=False,
            )
        )
        return
    for text in result.texts:
        print(text)
    if result.audio is not None:
        print(f"{result.audio.duration_s:.2f} s of speech" + (f" -> {output}" if output else "; write it with -o FILE.wav"))


@app.command("eval")
def evaluate(
    model: str,
    task: Annotated[list[str] | None, typer.Option("--task", help="May be given several times; all tasks if left out.")] = None,
    split: str = "test",
    manifest: Annotated[Path | None, typer.Option(help="JSON lines: audio, text, language, speaker.")] = None,
    max_clips: int = 0,
    outputs: Annotated[Path | None, typer.Option(help="Write every output beside its reference, as JSON lines.")] = None,
    as_json: Json = False,
) -> None:
    """Score a model on a split of its corpora or on a manifest."""
    from rich.console import Console
    from rich.progress import Progress

    from alm.core import evaluate as core
    from alm.core.files import write_text

    pipeline = _load(model)
    utterances = core.read_manifest(manifest) if manifest else [u for u in pipeline.parts.utterances(split)]
    scores, rows = [], []
    uses = list(dict.fromkeys(task or pipeline.tasks))
    for use in uses:
        pipeline.task_config(use)
    if not utterances:
        raise AlmError(f"got split {split!r}, in which the model's corpora have no utterance", "a split with utterances", "name another --split or a --manifest")
    if outputs and not outputs.parent.is_dir():
        raise AlmError(f"got --outputs {outputs}, whose folder does not exist", "a folder that is there", "make it first")
    with Progress(*Progress.get_default_columns(), console=Console(stderr=True), transient=True, disable=as_json) as progress:
        for use in uses:
            running = progress.add_task(use, total=sum(len(pairs) for pairs in core.pairs_of(pipeline, use, utterances, max_clips).values()))
            new_scores, new_rows = core.evaluate(pipeline, use, utterances, max_clips=max_clips, on_done=lambda count, running=running: progress.advance(running, count))
            scores += new_scores
            rows += new_rows
            for score in new_scores if not as_json else []:
                print(f"{score.name:32} {score.value:8.2f} {score.unit:5} {score.clips} clips", flush=True)
    if as_json:
        print(json.dumps([{"name": s.name, "value": s.value, "unit": s.unit, "clips": s.clips} for s in scores]))
    if outputs:
        write_text(outputs, "".join(json.dumps({k: v for k, v in row.items() if k != "result"}, ensure_ascii=False) + "\n" for row in rows))


@app.command()
def new_plugin(name: str, folder: Annotated[Path, typer.Option(help="Where the package is made.")] = Path()) -> None:
    """Make a plugin package: a tokenizer, a task, tests and a recipe to start from."""
    from alm.core.scaffold import new_plugin as make

    print(make(name, folder))


def _load(model: str) -> Pipeline:
    from alm.core.pipeline import load

    return load(model)


def exit_cleanly(command: Callable[[], Any]) -> None:
    """Runs a command: exit code 2 and one line for a user's mistake."""
    try:
        command()
    except AlmError as error:
        print(f"alm: {error}", file=sys.stderr)
        sys.exit(2)


def main(arguments: list[str] | None = None) -> None:
    """Entry point."""
    exit_cleanly(lambda: app(arguments))
