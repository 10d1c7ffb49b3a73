"""Sound, manifests and published files made ready: tokenize, manifest, align, convert-codebook, convert-vocoder."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from alm.api.errors import AlmError
from alm.cli.common import DEFAULT_MODEL, Json, app


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
