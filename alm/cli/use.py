"""A model at work: run, transcribe, chat."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alm.api.errors import AlmError
from alm.cli.common import DEFAULT_MODEL, Json, Model, app, load_model, result_as_json, show

if TYPE_CHECKING:
    from alm.core.results import Result

SOUNDS = (".wav", ".flac", ".ogg", ".opus", ".mp3")  # a message that ends so is a file
MESSAGE = re.compile(r"""'[^']+\.\w+'|"[^"]+\.\w+"|\S+""")
OVERRIDE = re.compile(r"(name|description|parts|layout|data|train)(\.[\w.]+)?=")


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
    result: Result = load_model(model).run(task, content, source, target, speaker=read_audio(voice) if voice else speaker, seed=seed, prosody=Prosody(tempo, pitch))
    if output is not None:
        if result.audio is None:
            raise AlmError(f"task {task} made no sound to write to {output}", "a task that speaks", "leave -o out, or use TTS or S2ST")
        write_audio(output, result.audio)
    if as_json:
        print(json.dumps(result_as_json(result, output), ensure_ascii=False))
    else:
        show(result, output)


@app.command()
def transcribe(
    recording: Annotated[Path, typer.Argument(help="A sound file of any length.")],
    model: Annotated[
        str, typer.Option("--model", help="A registered model, a checkpoint folder, or a recipe that is a model as it stands; one that searches tells when each word is said.")
    ] = DEFAULT_MODEL,
    language: Annotated[str, typer.Option("--language", help="Of the recording.")] = "en",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="NAME.txt, .srt, .vtt or .json; standard output as it is heard, if not given.")] = None,
    detector: Annotated[str, typer.Option(help="A registered speech detector, or a model that tells speech, by which the recording is cut at pauses.")] = "silero",
) -> None:
    """Write down what is said in a recording of any length, and when."""
    from rich.console import Console
    from rich.progress import Progress

    from alm.api.types import AudioFile
    from alm.core import transcripts as core
    from alm.core.audio import duration_of
    from alm.core.files import write_text
    from alm.core.labelling import HeadDetector
    from alm.core.parts import load_component

    if output is not None:
        core.written((), output.suffix.lower())  # refuses before anything is heard
    pipeline = load_model(model)
    registered = detector in pipeline.parts.found.names("speech_detector")
    found = load_component(pipeline.parts.found, "speech_detector", detector, {}, pipeline.parts.context) if registered else HeadDetector(load_model(detector))
    lines = []
    with Progress(*Progress.get_default_columns(), console=Console(stderr=True), transient=True) as progress:
        running = progress.add_task("Transcribing", total=duration_of(AudioFile(recording)))
        for line in core.transcribe(pipeline, recording, language, found, on_done=lambda seconds: progress.advance(running, seconds)):
            lines.append(line)
            if output is None:
                print(f"[{line.start_s:8.2f} {line.stop_s:8.2f}] {line.text}", flush=True)
    if output is not None:
        write_text(output, core.written(tuple(lines), output.suffix.lower()))
        print(f"{len(lines)} lines: {output}")


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
    pipeline = load_model(model, overrides or ())

    talk = pipeline.conversation(language, beyond=beyond) if pipeline.converses and not to else None

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
            print(json.dumps(result_as_json(result, output), ensure_ascii=False), flush=True)
        else:
            show(result, output)

    if message:
        answer(message)
        return
    for said in iter(lambda: typer.prompt("you", default="", show_default=False, err=True), ""):
        try:
            answer(said)
        except AlmError as error:
            print(f"alm: {error}", file=sys.stderr)


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
