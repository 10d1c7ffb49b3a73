"""Training, and what is trained on: train, ablate, instruct, prefer, tune, adapt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alm.api.errors import AlmError
from alm.cli.common import app, load_model

if TYPE_CHECKING:
    from alm.api.types import Utterance
    from alm.core.parts import Parts


@app.command()
def train(
    recipe: str,
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value, e.g. train.steps=200")] = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder; one with a last.ckpt goes on.")] = None,
    quiet: bool = False,
) -> None:
    """Train a recipe; Ctrl-C leaves a checkpoint from which the same command goes on."""
    from alm.train.run import train as run
    from alm.train.together import is_first

    folder = run(recipe, overrides or [], out, quiet=quiet)
    if is_first():
        print(folder)


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


@app.command()
def tune(
    model: Annotated[str, typer.Argument(help="A model or recipe with parts.language_model.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value, e.g. parts.language_model.weights=dir:FOLDER")] = None,
    split: str = "dev",
    manifest: Annotated[Path | None, typer.Option(help="JSON lines: audio, text, language, in place of a split.")] = None,
    language: Annotated[str, typer.Option("--language", help="Of the clips; all if not given.")] = "",
) -> None:
    """Find on held-out clips what a language model and words should weigh, in a search or in what a backbone writes; prints the key=value to use."""
    from alm.core.models import load
    from alm.core.parts import Parts
    from alm.train import tune as core

    parts = Parts.of_model(model, overrides or ())
    clips = _clips(parts, split, manifest, language)

    def tell(trial: core.Trial) -> None:
        print(f"{trial.wer:6.2f} % WER  {' '.join(trial.overrides)}", flush=True)

    trials = core.tune(parts, clips, tell) if parts.recipe.searches else core.tune_fusion(load(model, overrides or ()), clips, tell)
    print(f"best: {trials[-1].wer:.2f} % WER with\n{' '.join(trials[-1].overrides)}")


@app.command()
def probe(
    recipe: Annotated[str, typer.Argument(help="A recipe or model with a frame encoder, e.g. prompts-languages.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value, e.g. parts.encoder.weights=hf:ORG/NAME@REVISION")] = None,
    label: Annotated[list[str] | None, typer.Option("--label", help="What is to be told; language if not given. May be given several times.")] = None,
    split: str = "test",
    max_clips: Annotated[int, typer.Option(help="Of each label in each split; 0 takes all.")] = 60,
    plot: Annotated[Path | None, typer.Option(help="A picture of layer against accuracy, .png or .svg.")] = None,
) -> None:
    """Tell a label from each layer of an encoder by a linear classifier: which layer knows the language, the speaker, the emotion."""
    from alm.api.display import layers_figure
    from alm.core.catalogue import table
    from alm.core.parts import Parts
    from alm.train import probe as core
    from alm.train.run import progress_bar

    parts = Parts.of_model(recipe, overrides or ())
    found = {name: core.probe(parts, name, split=split, max_clips=max_clips, track=progress_bar) for name in label or ("language",)}
    for name, probed in found.items():
        print(f"{name}: {len(probed.labels)} kinds, {probed.clips} held-out clips; the most frequent alone: {probed.chance:.1f} %")
    depth = len(next(iter(found.values())).layers)
    print(table(("layer", *(f"{name}, %" for name in found)), [(str(place + 1), *(f"{probed.layers[place].accuracy:.1f}" for probed in found.values())) for place in range(depth)]))
    if plot is not None:
        layers_figure({name: [layer.accuracy for layer in probed.layers] for name, probed in found.items()}, {name: probed.chance for name, probed in found.items()}).savefig(
            plot, dpi=120, bbox_inches="tight"
        )
        print(plot)


@app.command()
def adapt(
    texts: Annotated[Path, typer.Argument(help="A file with a text of the domain on each line.")],
    folder: Annotated[Path, typer.Argument(help="Where the adapted model is written.")],
    model: Annotated[str, typer.Option("--model", help="A model or recipe that hears by a search.")] = "whisper-ctc",
    language: Annotated[str, typer.Option("--language", help="Of the texts, and of the clips on which the words are counted.")] = "en",
    order: Annotated[int, typer.Option(help="Of the n-gram.")] = 3,
    dev: Annotated[str, typer.Option(help="Split, or manifest of JSON lines, on which the n-gram is weighed.")] = "dev",
    test: Annotated[str, typer.Option(help="Split, or manifest of JSON lines, on which words are counted before and after.")] = "test",
) -> None:
    """Adapt a recognizer to a domain by text alone: an n-gram of its sentences, and the words that were wrong before and after."""
    from alm.core.parts import Parts
    from alm.train import adapt as core
    from alm.train.ngram import read_lines

    parts = Parts.of_model(model)
    clips = {name: _clips(parts, "" if Path(name).is_file() else name, Path(name) if Path(name).is_file() else None, language) for name in (dev, test)}
    found = core.adapt(parts, read_lines(texts), language, folder, order=order, dev=clips[dev], test=clips[test])
    print(f"{found.texts} texts, {found.words} words; {' '.join(f'{name}={value:g}' for name, value in found.weights.items())}")
    if found.before is not None:
        print(f"WER on {len(clips[test])} clips: {found.before:.2f} % before, {found.after:.2f} % after: {found.change}, 95 % of the bootstrap")
    print(folder)


def _clips(parts: Parts, split: str, manifest: Path | None, language: str) -> list[Utterance]:
    """Recordings with transcripts of a split or a manifest."""
    from alm.api.manifests import utterances_from_lines

    found = utterances_from_lines(manifest) if manifest else parts.utterances(split)
    chosen = [u for u in found if u.audio is not None and u.text and language in ("", u.language)]
    if not chosen:
        raise AlmError(f"got {manifest or f'split {split!r}'} without a clip with a text{f' in {language}' if language else ''}", "recordings with transcripts", "name others")
    return chosen
