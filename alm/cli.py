"""The `alm` command. Arguments in, one clear line or JSON out; every command's work is done elsewhere.

A user's mistake ends with one line on standard error and exit code 2. Heavy imports happen inside the commands.
"""

from __future__ import annotations

import dataclasses
import json
import re
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alm.api.errors import AlmError

if TYPE_CHECKING:
    from alm.api.types import Utterance
    from alm.core.pipeline import Pipeline
    from alm.core.results import Result

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None, help="Audio language models: tokenize, train, listen and speak."
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]
Model = Annotated[str, typer.Option("--model", help="A registered model's name or a checkpoint folder.")]
DEFAULT_MODEL = "prompts"
SOUNDS = (".wav", ".flac", ".ogg", ".opus", ".mp3")  # a message that ends so is a file
MESSAGE = re.compile(r"""'[^']+\.\w+'|"[^"]+\.\w+"|\S+""")
OVERRIDE = re.compile(r"(name|description|parts|layout|data|train)(\.[\w.]+)?=")


@app.command()
def plugins(
    hooks: Annotated[bool, typer.Option(help="Show every extension point instead.")] = False,
    recipes: Annotated[bool, typer.Option(help="Show the recipes instead, with what goes in and comes out.")] = False,
    tasks: Annotated[bool, typer.Option(help="Show the tasks instead, and which recipes train them.")] = False,
    as_json: Json = False,
) -> None:
    """List plugins, what they register, and those that were set aside."""
    from alm.core import catalogue, plugins as core

    found = core.registry()
    if hooks:
        print(core.hook_documentation())
        return
    if recipes or tasks:
        rows: list[Any] = catalogue.recipe_rows(found) if recipes else catalogue.task_rows(found)
        if as_json:
            print(json.dumps([dataclasses.asdict(row) for row in rows], ensure_ascii=False))
            return
        cells = [tuple(", ".join(value) if isinstance(value, tuple) else value for value in dataclasses.astuple(row)) for row in rows]
        print(catalogue.table(tuple(field.name for field in dataclasses.fields(rows[0])), cells))
        return
    registered = [(c.plugin, f"{c.kind} {c.name}") for c in found.components]
    registered += [(plugin, f"recipe {path.stem}") for plugin, folder in found.recipe_folders for path in sorted(folder.glob("*.yaml"))]
    registered += [(plugin, f"model {model}") for plugin, model, _ in found.models]
    registered += [(plugin, f"engine {engine}") for plugin, engine, _ in found.engines]
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
    from alm.core.config import ablations_of
    from alm.core.parts import Parts
    from alm.train.options import check_options

    problems: list[Any] = []
    for ablation in ("", *ablations_of(recipe)):
        try:
            parts = Parts.of(recipe, overrides or (), ablation=ablation)
            found = [*check_recipe(parts), *check_options(parts.recipe)]
        except AlmError as error:
            if not ablation:
                raise
            found = [(error.got, error.wanted, error.fix)]
        problems += [(f"ablation {ablation}: {got}" if ablation else got, *rest) for got, *rest in found]
    if as_json:
        print(json.dumps({"recipe": recipe, "fits": not problems, "problems": [dict(zip(("got", "wanted", "fix"), p, strict=True)) for p in problems]}))
    elif not problems:
        print(f"{recipe}: fits")
    for problem in problems if not as_json else []:
        print(f"alm: {AlmError(*problem)}", file=sys.stderr)
    if problems:
        raise typer.Exit(2)


@app.command()
def tokenize(
    inputs: Annotated[list[Path], typer.Argument(help="Sound files; or a manifest (lhotse cuts or JSON lines) and a folder to write to.")],
    model: Annotated[str, typer.Option("--model", help="A registered model, a checkpoint folder, or a recipe with a trained tokenizer.")] = DEFAULT_MODEL,
    device: Annotated[str, typer.Option(help="cpu or cuda; the GPU where there is one.")] = "",
    precision: Annotated[str, typer.Option(help="32 or bf16; bf16 where the hardware has it.")] = "",
    batch_s: Annotated[float, typer.Option(help="Manifest: seconds of sound in a batch.")] = 120.0,
    shard_clips: Annotated[int, typer.Option(help="Manifest: clips in a shard.")] = 1000,
    max_bad: Annotated[int, typer.Option(help="Manifest: clips that may be set aside before the job fails.")] = 0,
    engine: Annotated[str, typer.Option(help="Manifest: a registered engine, e.g. ray; this process if not given.")] = "",
    retry: Annotated[bool, typer.Option("--retry", help="Manifest: try the clips that were set aside again.")] = False,
    as_json: Json = False,
) -> None:
    """Turn sound files into units; or a whole manifest into lhotse shards and JSON lines, resumable at any moment."""
    if inputs[0].name.endswith((".jsonl", ".jsonl.gz")):
        _tokenize_manifest(inputs, model, device, precision, batch_s, shard_clips, max_bad, engine, retry, as_json)
        return
    from alm.core.audio import prepare, read_audio
    from alm.core.devices import pick_device
    from alm.core.tokenize import tokenizer_parts

    tokenizer = tokenizer_parts(model, pick_device(device)).load("tokenizer")
    for path in inputs:
        units = tokenizer.encode([prepare(read_audio(path), tokenizer.card.sample_rate_hz)])[0]
        if as_json:
            print(json.dumps({"file": str(path), "codes": units.codes.tolist(), "frame_rate_hz": units.frame_rate_hz, "tokenizer": units.fingerprint}))
        else:
            print(f"{path}: {units.num_frames} units at {units.frame_rate_hz:g} Hz\n" + "\n".join(" ".join(map(str, row)) for row in units.codes.tolist()))


def _tokenize_manifest(
    inputs: list[Path], model: str, device: str, precision: str, batch_s: float, shard_clips: int, max_bad: int, engine: str, retry: bool, as_json: bool
) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from alm.core.devices import has_bfloat16, pick_device
    from alm.core.tokenize import Job, read_clips, tokenize

    if len(inputs) != 2:
        raise AlmError(f"got {len(inputs)} paths of which the first is a manifest", "a manifest and a folder to write to", "write: alm tokenize MANIFEST OUT")
    if precision not in ("", "32", "bf16"):
        raise AlmError(f"got precision {precision!r}", "32 or bf16", "leave it out to take what the hardware has")
    if batch_s <= 0 or shard_clips < 1 or max_bad < 0:
        raise AlmError(f"got --batch-s {batch_s:g}, --shard-clips {shard_clips} and --max-bad {max_bad}", "above 0, 1 or more, 0 or more", "correct the option")
    device = pick_device(device)
    job = Job(inputs[0], inputs[1], model, device, precision == "bf16" or not precision and has_bfloat16(device), batch_s, shard_clips, max_bad)
    started, heard_s = time.monotonic(), 0.0
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[speed]}"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=as_json) as progress:
        bar = progress.add_task("", total=sum(1 for _ in read_clips(job.manifest)), speed="")

        def on_clips(clips: int, seconds: float) -> None:
            nonlocal heard_s
            heard_s += seconds
            progress.update(bar, advance=clips, speed=f"{heard_s / (time.monotonic() - started):.1f} x real time")

        report = tokenize(job, engine, on_clips, retry=retry)
    elapsed_s = time.monotonic() - started
    if as_json:
        print(json.dumps({"clips": report.clips, "bad": report.bad, "seconds_of_sound": report.seconds, "elapsed_s": elapsed_s, "out": str(job.out)}))
    else:
        speed = f", {report.seconds:.0f} s of sound at {report.seconds / elapsed_s:.1f} x real time" if report.seconds else ", all of them before"
        print(f"{report.clips - report.bad} clips tokenized, {report.bad} set aside{speed}: {job.out}")


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
def run(
    task: str,
    input: Annotated[str, typer.Argument(help="A sound file (or a picture, or what else the task reads), or text; nothing for tasks that are given nothing.")] = "",
    source: Annotated[str, typer.Option("--from", help="Language of the input.")] = "en",
    target: Annotated[str, typer.Option("--to", help="Language to translate into.")] = "",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Where to write the sound.")] = None,
    model: Model = DEFAULT_MODEL,
    speaker: str = "",
    voice: Annotated[Path | None, typer.Option(help="A recording of about 3 s of whose voice is to speak, for a vocoder that takes one.")] = None,
    tempo: Annotated[float, typer.Option(help="2 speaks twice as fast.")] = 1.0,
    pitch: Annotated[float, typer.Option(help="Semitones above (or, below 0, under) the voice's own.")] = 0.0,
    seed: int = 0,
    as_json: Json = False,
) -> None:
    """Run one task: ASR, AST, MT, TTS, S2ST, or a combined one such as "ASR AST S2ST"."""
    from alm.api.types import Prosody
    from alm.core.audio import read_audio, write_audio
    from alm.core.parts import load_task
    from alm.core.plugins import registry

    reads = load_task(registry(), task).card.reads
    content: Any = read_audio(Path(input)) if reads == "audio" else input if reads in ("text", None) else Path(input)
    result: Result = _load(model).run(task, content, source, target, speaker=read_audio(voice) if voice else speaker, seed=seed, prosody=Prosody(tempo, pitch))
    if output is not None:
        if result.audio is None:
            raise AlmError(f"task {task} made no sound to write to {output}", "a task that speaks", "leave -o out, or use TTS or S2ST")
        write_audio(output, result.audio)
    if as_json:
        print(json.dumps(_as_json(result, output), ensure_ascii=False))
    else:
        _show(result, output)


@app.command()
def chat(
    message: Annotated[str, typer.Argument(help="A sound file, or what is said in writing, or (in format chatml) both; left out, one message after another is asked for.")] = "",
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value, laid over the model's recipe: parts.backbone.weights=dir:FOLDER")] = None,
    model: Annotated[str, typer.Option("--model", help="A registered model, a checkpoint folder, or a recipe whose backbone is pretrained.")] = DEFAULT_MODEL,
    language: Annotated[str, typer.Option("--language", help="Of the message and the answer.")] = "en",
    to: Annotated[str, typer.Option("--to", help="text or audio: how it is to answer; as the model can, if not given.")] = "",
    beyond: Annotated[str, typer.Option(help="Of a conversation that is too long for the model: refuse, or summarize its beginning.")] = "refuse",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Where to write the spoken answer.")] = None,
    speaker: str = "",
    seed: int = 0,
    as_json: Json = False,
) -> None:
    """Say something to a model, in sound or in writing, and get its answer, with what it wrote on the way there."""
    from alm.core.audio import write_audio

    if OVERRIDE.match(message):
        message, overrides = "", [message, *(overrides or [])]
    pipeline = _load(model, overrides or ())

    talk = pipeline.conversation(language, beyond=beyond) if pipeline.parts.card("prompt").converses and not to else None

    def answer(said: str) -> None:
        if talk is not None:
            result = talk.say(*_message(said), seed=seed)
        else:
            result = pipeline.chat(Path(said) if said.lower().endswith(SOUNDS) else said, language, to=to, speaker=speaker, seed=seed)
        if output is not None:
            if result.audio is None:
                raise AlmError(f"the model made no sound to write to {output}", "a spoken answer", "leave -o out, or ask with --to audio")
            write_audio(output, result.audio)
        if as_json:
            print(json.dumps(_as_json(result, output), ensure_ascii=False), flush=True)
        else:
            _show(result, output)

    if message:
        answer(message)
        return
    for said in iter(lambda: typer.prompt("you", default="", show_default=False, err=True), ""):
        try:
            answer(said)
        except AlmError as error:
            print(f"alm: {error}", file=sys.stderr)


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

    pipeline = _load(model)
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
    pipeline = _load(model)
    lines = texts.read_text().splitlines() if texts else list(dict.fromkeys(u.text for u in pipeline.parts.utterances("test") if u.language == language))
    value, count = measured(pipeline, lines, language)
    print(json.dumps({"perplexity": value, "texts": count}) if as_json else f"{value:.2f} on {count} texts")


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

    pipeline = _load(model)
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
    from alm.core.files import write_text
    from alm.core.parts import load_component

    pipeline = _load(model)
    pipeline.task_config(task)
    decoder = load_component(pipeline.parts.found, "decoder", "sample", {"temperature": temperature}, pipeline.parts.context)
    folder.mkdir(parents=True, exist_ok=True)
    with Progress(*Progress.get_default_columns(), console=Console(stderr=True), transient=True) as progress:
        for name in split or ("train", "dev"):
            utterances = list(pipeline.parts.utterances(name))
            running = progress.add_task(name, total=sum(map(len, pairs_of(pipeline, task, utterances, max_clips).values())))
            found = core.prefer(pipeline, task, utterances, decoder, answers=answers, max_clips=max_clips, on_done=lambda count, running=running: progress.advance(running, count))
            lines = [preference.line() for preference in found]
            if lines:
                write_text(folder / f"preferences_{name}.jsonl", "\n".join(lines) + "\n")
            print(f"{name}: {len(lines)} pairs")


@app.command()
def manifest(
    source: Annotated[Path, typer.Argument(help="lhotse cuts, JSON lines, a Kaldi folder, a Hugging Face dataset (audio folder, Arrow, parquet), or WebDataset shards.")],
    target: Annotated[Path, typer.Argument(help="What to write: NAME.jsonl.gz (lhotse cuts), NAME.jsonl, or a folder.")],
    to: Annotated[str, typer.Option(help="cuts, lines, kaldi, audio-folder or webdataset; by the name if not given.")] = "",
) -> None:
    """Turn a manifest of one kind into another."""
    from alm.core.manifests import read_cuts, write_cuts

    print(f"{write_cuts(read_cuts(source, target.parent / 'audio'), target, to)} clips: {target}")


@app.command()
def align(
    source: Annotated[Path, typer.Argument(help="As that of `alm manifest`: recordings with transcripts.")],
    target: Annotated[Path, typer.Argument(help="What to write: NAME.jsonl.gz (lhotse cuts), in which each word has its time.")],
    model: Annotated[str, typer.Option("--model", help="A model or recipe that hears by an adapter with a CTC head.")] = DEFAULT_MODEL,
    device: Annotated[str, typer.Option(help="cpu or cuda; the GPU where there is one.")] = "",
) -> None:
    """Find out when each word of a transcript is said; task SRWT learns from that."""
    from rich.console import Console
    from rich.progress import Progress

    from alm.core.align import aligned_cuts
    from alm.core.devices import pick_device
    from alm.core.manifests import read_cuts, write_cuts

    if not target.name.endswith(".jsonl.gz"):
        raise AlmError(f"got target {target}", "a name that ends in .jsonl.gz: word times are kept in lhotse cuts", "correct it")
    placed = 0
    with Progress(console=Console(stderr=True), transient=True) as progress:
        running = progress.add_task("Aligning", total=None)

        def on_done(clips: int, with_marks: int) -> None:
            nonlocal placed
            placed += with_marks
            progress.advance(running, clips)

        count = write_cuts(aligned_cuts(read_cuts(source, target.parent / "audio"), model, pick_device(device), on_done), target)
    print(f"{count} clips, {placed} of them with the times of their words: {target}")


@app.command()
def convert_codebook(
    source: Annotated[Path, typer.Argument(help="A k-means of scikit-learn that joblib wrote, as fairseq publishes them.")],
    folder: Annotated[Path, typer.Argument(help="Where the codebook is written; a recipe names it as `codebook: dir:FOLDER`.")],
) -> None:
    """Turn a published k-means file into a codebook, without running what is pickled in it."""
    import torch

    from alm.components.codebook import Codebook
    from alm.core.files import atomic_folder
    from alm.core.joblib_reader import read_centroids

    codebook = Codebook(torch.from_numpy(read_centroids(source).copy()))
    with atomic_folder(folder) as temporary:
        codebook.save(temporary)
    print(f"{codebook.size} clusters of {codebook.centroids.shape[1]} features, fingerprint {codebook.fingerprint}: {folder}")


@app.command()
def convert_vocoder(
    checkpoint: Annotated[Path, typer.Argument(help="A CodeHiFiGAN as fairseq publishes them: a .pt file.")],
    config: Annotated[Path, typer.Argument(help="The JSON configuration beside it.")],
    folder: Annotated[Path, typer.Argument(help="Where it is written; a recipe names it as `weights: dir:FOLDER` of vocoder unit-hifigan.")],
) -> None:
    """Turn a published unit vocoder into safetensors, without running what is pickled in it."""
    from alm.components.vocoders.unit_hifigan import read_fairseq
    from alm.core.files import atomic_folder

    model = read_fairseq(checkpoint, config)
    with atomic_folder(folder) as temporary:
        model.save_pretrained(temporary)
    print(f"{model.config.unit_hifi_gan_vocab_size} units, {model.config.vocoder_num_spkrs} speakers, {model.config.sampling_rate} Hz: {folder}")


@app.command()
def new_plugin(name: str, folder: Annotated[Path, typer.Option(help="Where the package is made.")] = Path()) -> None:
    """Make a plugin package: a tokenizer, a task, tests and a recipe to start from."""
    from alm.core.scaffold import new_plugin as make

    print(make(name, folder))


def _benchmark(pipeline: Pipeline, name: str, folder: Path, split: str) -> list[Utterance]:
    """A public benchmark in a folder."""
    from alm.core.parts import load_component

    return list(load_component(pipeline.parts.found, "corpus", name, {"folder": f"dir:{folder.resolve()}"}, pipeline.parts.context).utterances(split))


def _message(said: str) -> list[str | Path]:
    """Sound files, with quotation marks where a name has spaces, and the words between them."""
    pieces: list[str | Path] = []
    for part in MESSAGE.findall(said):
        name = part.strip("'\"")
        if name.lower().endswith(SOUNDS):
            pieces.append(Path(name))
        elif pieces and isinstance(pieces[-1], str):
            pieces[-1] += f" {part}"
        else:
            pieces.append(part)
    return pieces


def _load(model: str, overrides: Sequence[str] = ()) -> Pipeline:
    from alm.core.models import load

    return load(model, overrides)


def _as_json(result: Result, output: Path | None) -> dict[str, Any]:
    units = result.units.codes.tolist() if result.units else None
    return {"task": result.request.task, "texts": result.texts, "units": units, "audio": str(output) if output else None, "seconds": result.seconds}


def _show(result: Result, output: Path | None) -> None:
    """What came out, a line each."""
    for text in result.texts:
        print(text)
    if result.audio is not None:
        print(f"{result.audio.duration_s:.2f} s of speech" + (f" -> {output}" if output else "; write it with -o FILE.wav"))


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
