"""Tab Tokens: the units of a clip, seen, heard, edited and spoken again."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from alm.api.demos import DemoPage, guarded
from alm.api.display import units_html
from alm.api.errors import AlmError
from alm.api.player import player, whole
from alm.api.types import Units
from alm.components.demos.common import examples, languages_of

CODE = re.compile(r"(\d+)(?:x(\d+))?")


def has_units(pipeline: Any) -> bool:
    return pipeline.parts.has("tokenizer") and pipeline.parts.has("vocoder")


def written(units: Units) -> str:
    """Codes as they are edited: a line a codebook, a unit that lasts several frames as 12x3."""
    lengths = [1] * units.num_frames if units.durations is None else units.durations.tolist()
    return "\n".join(" ".join(f"{code}x{length}" if length > 1 else str(code) for code, length in zip(row, lengths, strict=True)) for row in units.codes.tolist())


def read(text: str, like: Units, sizes: tuple[int, ...]) -> Units:
    """What `written` wrote, edited.

    Args:
        like: units of the same tokenizer.
        sizes: how many units each codebook has.

    Raises:
        AlmError: something that is no unit of it.
    """
    import torch

    rows = [line.split() for line in text.splitlines() if line.strip()]
    if len(rows) != len(sizes) or len({len(row) for row in rows}) != 1:
        raise AlmError(f"got {len(rows)} lines of {', '.join(str(len(row)) for row in rows) or 'no'} units", f"{len(sizes)} of as many units each", "one line a codebook")
    codes, lengths = [], []
    for row, size in zip(rows, sizes, strict=True):
        found = [(word, CODE.fullmatch(word)) for word in row]
        for word, match in found:
            if match is None or int(match[1]) >= size or (match[2] and (like.durations is None or not 0 < int(match[2]) <= 500)):
                wanted = f"units of 0 to {size - 1}" + (", with how many frames each lasts, as 12x3" if like.durations is not None else "")
                raise AlmError(f"got {word!r}", wanted, "edit it")
        codes.append([int(match[1]) for _, match in found if match])
        lengths = [int(match[2] or 1) for _, match in found if match]
    return dataclasses.replace(like, codes=torch.tensor(codes), durations=None if like.durations is None else torch.tensor(lengths))


def tokens_tab(page: DemoPage) -> None:
    import gradio as gr

    names = page.models(has_units)
    if not names:
        gr.Markdown("None of the models has a tokenizer and a vocoder. `alm demo prompts` opens one that does.")
        return
    kept = gr.State(None)
    voices = list(page.open(names[0]).parts.card("vocoder").speakers) or [""]
    with gr.Row():
        with gr.Column():
            sound = gr.Audio(sources=["microphone", "upload"], type="filepath", label="Speech")
            button = gr.Button("Tokenize", variant="primary")
            speaker = gr.Dropdown(voices, value=voices[0], label="Voice")
            model = gr.Dropdown(names, value=names[0], label="Model")
        with gr.Column():
            picture = gr.HTML(label="Units over time")
            codes = gr.Textbox(label="Units (edit them)", lines=4, max_lines=12)
            again = gr.Button("Speak the units")
            spoken = player("From the units")
    examples(page, [sound], languages_of(page.open(names[0])), spoken_in=False)

    def tokenize(path: str | None, name: str, voice: str) -> tuple[Any, ...]:
        pipeline = page.open(name)
        units = pipeline.tokenize(page.read(path))
        return units_html(units), written(units), whole(pipeline.vocoder.synthesize([units], [voice])[0]), units

    def speak(text: str, units: Units | None, name: str, voice: str) -> tuple[Any, ...]:
        if units is None:
            raise AlmError("got no units", "those of a clip", "tokenize one first")
        pipeline = page.open(name)
        card = pipeline.parts.card("tokenizer")
        edited = read(text, units, (card.vocabulary_size,) * card.codebooks)
        return units_html(edited), whole(pipeline.vocoder.synthesize([edited], [voice])[0])

    def chosen(name: str) -> tuple[Any, ...]:
        there = list(page.open(name).parts.card("vocoder").speakers) or [""]
        return gr.Dropdown(there, value=there[0]), "", None

    button.click(guarded(tokenize), [sound, model, speaker], [picture, codes, spoken, kept], api_name="tokenize", concurrency_id="model")
    again.click(guarded(speak), [codes, kept, model, speaker], [picture, spoken], api_name="speak_units", concurrency_id="model")
    model.change(guarded(chosen), model, [speaker, codes, kept], api_name=False)
