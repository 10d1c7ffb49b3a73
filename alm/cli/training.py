"""Training, and what is trained on: train, ablate, instruct, prefer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from alm.cli.common import app, load_model


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
def ablate(
    recipe: str,
    ablations: Annotated[list[str], typer.Argument(help="Names of the recipe's ablations; with = in it, key=value for all variants, e.g. train.minutes=5.")],
    out: Annotated[Path | None, typer.Option(help="Where the variants are trained; out/ablations/RECIPE if not given. Finished ones are not trained again.")] = None,
    task: Annotated[list[str] | None, typer.Option("--task", help="What is scored, by its last output, e.g. AST. May be given several times.")] = None,
    max_clips: Annotated[int, typer.Option(help="Of the test split, of each pair of languages; 0 takes all.")] = 0,
    quiet: bool = False,
) -> None:
    """Train a recipe and its ablations alike, score them, and print one table."""
    from alm.core.config import recipe_path
    from alm.train import ablate as core

    names, overrides = [entry for entry in ablations if "=" not in entry], [entry for entry in ablations if "=" in entry]
    folder = out or Path("out/ablations") / recipe_path(recipe).stem
    variants = core.ablate(
        recipe, names, overrides, folder, ends=task or (), max_clips=max_clips, quiet=quiet, tell=lambda variant: print(variant.name, variant.means(), flush=True)
    )
    print(core.as_table(variants))


@app.command()
def instruct(
    recipe: str,
    folder: Annotated[Path, typer.Argument(help="Where instruct_SPLIT.jsonl is written; corpus speech-instruct reads it as `folder: dir:FOLDER`.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value, e.g. data.audio=units")] = None,
    split: Annotated[list[str] | None, typer.Option("--split", help="May be given several times; train and dev if left out.")] = None,
    system: Annotated[str, typer.Option(help="What stands before each conversation.")] = "",
) -> None:
    """Write what a recipe's tasks make of its corpora as instructions, in SpeechInstruct's format."""
    from alm.core.parts import Parts
    from alm.train.instruct import write_instructions
    from alm.train.run import progress_bar

    counts = write_instructions(Parts.of(recipe, overrides or ()), folder, tuple(split or ("train", "dev")), system, progress_bar)
    for name, tasks in counts.items():
        print(f"{folder / f'instruct_{name}.jsonl'}: {sum(tasks.values())} lines; {', '.join(f'{task} {count}' for task, count in tasks.items())}")


@app.command()
def prefer(
    model: str,
    task: str,
    folder: Annotated[Path, typer.Argument(help="Where preferences_SPLIT.jsonl is written; corpus preferences reads it as `folder: dir:FOLDER`.")],
    split: Annotated[list[str] | None, typer.Option("--split", help="May be given several times; train and dev if left out.")] = None,
    answers: Annotated[int, typer.Option(help="How often each request is answered.")] = 4,
    temperature: float = 1.0,
    max_clips: Annotated[int, typer.Option(help="Requests of each split and pair of languages; 0 takes all.")] = 0,
) -> None:
    """Answer requests several times and keep the best and the worst answer by the task's first metric: what objective dpo trains on."""
    from rich.console import Console
    from rich.progress import Progress

    from alm.core import preferences as core
    from alm.core.evaluate import pairs_of
    from alm.core.files import write_lines
    from alm.core.parts import load_component

    pipeline = load_model(model)
    pipeline.task_config(task)
    decoder = load_component(pipeline.parts.found, "decoder", "sample", {"temperature": temperature}, pipeline.parts.context)
    folder.mkdir(parents=True, exist_ok=True)
    with Progress(*Progress.get_default_columns(), console=Console(stderr=True), transient=True) as progress:
        for name in split or ("train", "dev"):
            utterances = list(pipeline.parts.utterances(name))
            running = progress.add_task(name, total=sum(map(len, pairs_of(pipeline, task, utterances, max_clips).values())))
            found = core.prefer(pipeline, task, utterances, decoder, answers=answers, max_clips=max_clips, on_done=lambda count, running=running: progress.advance(running, count))
            count = write_lines(folder / f"preferences_{name}.jsonl", (preference.line() for preference in found))
            print(f"{name}: {count} pairs")
