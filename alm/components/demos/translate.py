"""Tab Translate: speech or text in, the translation shown and spoken, with what was heard on the way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from alm.api.demos import DemoPage, guarded
from alm.api.player import Playing, player
from alm.components.demos.common import examples, languages_of, starts_with

SPOKEN, WRITTEN = "S2ST", "AST"


def translates(pipeline: Any) -> bool:
    return any(pipeline.task_card(use).translates for use in pipeline.tasks)


def translate_tab(page: DemoPage) -> None:
    import gradio as gr

    names = page.models(translates)
    if not names:
        gr.Markdown("None of the models translates. `alm demo prompts` opens one that does.")
        return
    known = languages_of(page.open(names[0]))
    with gr.Row():
        with gr.Column():
            sound = gr.Audio(sources=["microphone", "upload"], type="filepath", label="Speech")
            words = gr.Textbox(label="or text", placeholder="instead of speech", lines=2)
            with gr.Row():
                source = gr.Dropdown(known, value=starts_with(known, "en"), label="From", min_width=100)
                target = gr.Dropdown(known, value=starts_with(known, "es", 1), label="To", min_width=100)
            with gr.Row():
                button = gr.Button("Translate", variant="primary", min_width=120)
                stop = gr.Button("Stop", variant="stop", min_width=120)
            model = gr.Dropdown(names, value=names[0], label="Model")
        with gr.Column():
            heard = gr.Textbox(label="What was said", lines=2)
            translation = gr.Textbox(label="Translation", lines=2)
            spoken = player("Spoken translation")
            took = gr.Markdown()
    examples(page, [sound, source], known)

    def run(path: str | None, text: str, name: str, from_language: str, to_language: str) -> Iterator[Any]:
        pipeline, text, playing = page.open(name), (text or "").strip(), Playing()
        if path is None and text:
            written = pipeline.run("MT", text, from_language, to_language).text
            yield text, written, None, ""
            if "TTS" in pipeline.tasks:
                for piece in pipeline.stream("TTS", written, to_language):
                    yield text, written, playing.add(piece.audio), _seconds(piece)
            yield text, written, playing.end(), gr.skip()
            return
        content = page.read(path)
        ends = {use.split()[-1] for use in pipeline.tasks}
        task = pipeline.combined(SPOKEN if SPOKEN in ends else WRITTEN, from_language, to_language)
        sides = [piece.side if piece.modality == "text" else "" for piece in pipeline.task_card(task).outputs]
        texts = {"source": "", "target": ""}
        for piece in pipeline.stream(task, content, from_language, to_language):
            if piece.text and sides[piece.span] in texts:
                texts[sides[piece.span]] += piece.text
            yield texts["source"], texts["target"], playing.add(piece.audio), _seconds(piece)
        yield texts["source"], texts["target"], playing.end(), gr.skip()

    def chosen(name: str) -> tuple[Any, ...]:
        there = languages_of(page.open(name))
        return gr.Dropdown(there, value=starts_with(there, "en")), gr.Dropdown(there, value=starts_with(there, "es", 1))

    running = button.click(guarded(run), [sound, words, model, source, target], [heard, translation, spoken, took], api_name="translate", concurrency_id="model")
    stop.click(lambda: None, None, spoken, cancels=[running], api_name=False)
    model.change(guarded(chosen), model, [source, target], api_name=False)


def _seconds(piece: Any) -> str:
    return ", ".join(f"{stage} {seconds:.2f} s" for stage, seconds in piece.seconds.items() if seconds)
