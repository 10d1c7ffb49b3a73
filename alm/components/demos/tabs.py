"""The tabs of the page that ship in the box: speech in, text in, and the units of a clip."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from alm.api.display import sequence_html, units_html
from alm.api.errors import AlmError
from alm.api.types import Audio


def to_audio(value: tuple[int, np.ndarray] | None) -> Audio:
    """What a gr.Audio gives -> Audio.

    Raises:
        AlmError: nothing was recorded.
    """
    import torch

    if value is None or not len(value[1]):
        raise AlmError("got no sound", "a recording or a file", "press the microphone or drop a file first")
    rate, samples = value
    scale = float(np.iinfo(samples.dtype).max) if np.issubdtype(samples.dtype, np.integer) else 1.0
    channels = samples[None] if samples.ndim == 1 else samples.T
    return Audio(torch.from_numpy(np.ascontiguousarray(channels / scale, dtype=np.float32)), rate)


def from_audio(audio: Audio | None) -> tuple[int, np.ndarray] | None:
    if audio is None:
        return None
    return audio.sample_rate_hz, (audio.mono().samples[0].clamp(-1, 1).numpy() * 32767).astype(np.int16)


def guarded(action: Callable[..., Any]) -> Callable[..., Any]:
    """A user's mistake becomes a message on the page."""
    import gradio as gr

    def call(*values: Any) -> Any:
        try:
            return action(*values)
        except AlmError as error:
            raise gr.Error(str(error), print_exception=False) from error

    return call


def speech_tab(pipeline: Any) -> None:
    """Speak or upload; transcribe, translate, hear the translation."""
    import gradio as gr

    tasks = pipeline.tasks_reading("audio")
    with gr.Row():
        with gr.Column():
            sound = gr.Audio(sources=["microphone", "upload"], type="numpy", label="Speech")
            task = gr.Dropdown(tasks, value=tasks[0] if tasks else None, label="Task")
            source = gr.Dropdown(list(pipeline.languages), value="en", label="From")
            target = gr.Dropdown(list(pipeline.languages), value="es", label="To (for translation)")
            button = gr.Button("Run", variant="primary")
        with gr.Column():
            text = gr.Textbox(label="Result", lines=4)
            spoken = gr.Audio(label="Spoken result", type="numpy", interactive=False)
            sequence = gr.HTML(label="Sequence")

    def run(value: Any, use: str, from_language: str, to_language: str) -> tuple[str, Any, str]:
        result = pipeline.run(use, to_audio(value), from_language, to_language)
        return "\n".join(result.texts), from_audio(result.audio), sequence_html(result.spans)

    button.click(guarded(run), [sound, task, source, target], [text, spoken, sequence], api_name="run_speech")


def text_tab(pipeline: Any) -> None:
    """Text in: translate it, or speak it."""
    import gradio as gr

    tasks = pipeline.tasks_reading("text")
    with gr.Row():
        with gr.Column():
            words = gr.Textbox(label="Text", value="please enter your password followed by the pound key")
            task = gr.Dropdown(tasks, value=tasks[-1] if tasks else None, label="Task")
            source = gr.Dropdown(list(pipeline.languages), value="en", label="From")
            target = gr.Dropdown(list(pipeline.languages), value="es", label="To (for translation)")
            button = gr.Button("Run", variant="primary")
        with gr.Column():
            text = gr.Textbox(label="Result", lines=4)
            spoken = gr.Audio(label="Spoken result", type="numpy", interactive=False)

    def run(content: str, use: str, from_language: str, to_language: str) -> tuple[str, Any]:
        result = pipeline.run(use, content, from_language, to_language)
        return "\n".join(result.texts), from_audio(result.audio)

    button.click(guarded(run), [words, task, source, target], [text, spoken], api_name="run_text")


def units_tab(pipeline: Any) -> None:
    """A clip, its units, and what is heard of them."""
    import gradio as gr

    if not (pipeline.parts.has("tokenizer") and pipeline.parts.has("vocoder")):
        gr.Markdown("This model has no tokenizer and vocoder: it hears and writes, and has no units to show.")
        return
    with gr.Row():
        with gr.Column():
            sound = gr.Audio(sources=["microphone", "upload"], type="numpy", label="Speech")
            speakers = list(pipeline.parts.card("vocoder").speakers) or [""]
            speaker = gr.Dropdown(speakers, value=speakers[0], label="Speaker")
            button = gr.Button("Tokenize and speak", variant="primary")
        with gr.Column():
            picture = gr.HTML()
            spoken = gr.Audio(label="From the units", type="numpy", interactive=False)

    def run(value: Any, name: str) -> tuple[str, Any]:
        units = pipeline.tokenize(to_audio(value))
        return units_html(units), from_audio(pipeline.vocoder.synthesize([units], [name])[0])

    button.click(guarded(run), [sound, speaker], [picture, spoken], api_name="units")
