"""Tabs Tasks and Compare: any task of a model, and the same request for two models side by side, as `alm compare` measures it on many."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from alm.api.demos import DemoPage, guarded
from alm.api.display import sequence_html
from alm.api.errors import AlmError
from alm.api.player import player, whole
from alm.components.demos.common import examples, languages_of, starts_with


def answers(pipeline: Any) -> bool:
    """Whether it has a task that reads speech or text."""
    return bool(tasks_of(pipeline))


def tasks_of(pipeline: Any) -> list[str]:
    return [*pipeline.tasks_reading("audio"), *pipeline.tasks_reading("text")]


def tasks_tab(page: DemoPage) -> None:
    """Any one task."""
    _requests(page, sides=1)


def compare_tab(page: DemoPage) -> None:
    """The same of two models."""
    _requests(page, sides=2)


def _requests(page: DemoPage, sides: int) -> None:
    import gradio as gr

    names = page.models(answers)
    if not names:
        gr.Markdown("None of the models has a task that reads speech or text.")
        return
    chosen_first = [names[0], starts_with(names, "cascade", 1) or names[0]][:sides]
    tasks, known = _shared(page, chosen_first)
    with gr.Row():
        with gr.Column():
            models = [gr.Dropdown(names, value=name, label=label) for name, label in zip(chosen_first, ("Model",) if sides == 1 else ("One", "The other"), strict=True)]
            task = gr.Dropdown(tasks, value=tasks[0] if tasks else None, label="Task")
            with gr.Row():
                source = gr.Dropdown(known, value=starts_with(known, "en"), label="From", min_width=100)
                target = gr.Dropdown(known, value=starts_with(known, "es", 1), label="To (where it translates)", min_width=100)
        with gr.Column():
            sound = gr.Audio(sources=["microphone", "upload"], type="filepath", label="Speech")
            words = gr.Textbox(
                label="Text (for tasks that read text; a question, for tasks that are asked one)", value="please enter your password followed by the pound key", lines=2
            )
            button = gr.Button("Run" if sides == 1 else "Compare", variant="primary")
    shown: list[Any] = []
    with gr.Row():
        for side in range(sides):
            with gr.Column():
                shown += [
                    gr.Textbox(label="Result" if sides == 1 else f"Result of the {('one', 'other')[side]}", lines=3),
                    player("Spoken" if sides == 1 else f"Spoken by the {('one', 'other')[side]}"),
                    gr.HTML(),
                ]
    examples(page, [sound, source], known)

    def run(path: str | None, text: str, use: str, from_language: str, to_language: str, *chosen: str) -> Iterator[Any]:
        results = [gr.skip()] * (3 * sides)
        if not use:
            raise AlmError("got no task", "one that each of the models has", "choose other models, or another task")
        for side, name in enumerate(chosen):
            pipeline = page.open(name)
            card = pipeline.task_card(use)
            content, asked = page.read(path) if card.reads == "audio" else text, {piece.detail: text for piece in card.inputs[1:] if piece.kind == "label"}
            waited, result = dict[str, float](), None
            for piece in pipeline.stream(use, content, from_language, to_language, labels=asked):
                spent = sum(piece.seconds.values())
                for what, there in (("first text", piece.text), ("first sound", piece.audio is not None), ("all", piece.result is not None)):
                    if there:
                        waited.setdefault(what, spent)
                result = piece.result or result
            assert result is not None
            seconds = ", ".join(f"{what} after {spent:.2f} s" for what, spent in waited.items())
            results[3 * side : 3 * side + 3] = ["\n".join(result.texts), whole(result.audio), f"<p>{seconds}</p>{sequence_html(result.spans)}"]
            yield tuple(results)

    def changed(now: str, from_language: str, *chosen: str) -> tuple[Any, ...]:
        there, languages = _shared(page, chosen)
        return (
            gr.Dropdown(there, value=starts_with(there, now)),
            gr.Dropdown(languages, value=starts_with(languages, from_language)),
            gr.Dropdown(languages, value=starts_with(languages, "es", 1)),
        )

    name = "run" if sides == 1 else "compare"
    button.click(guarded(run), [sound, words, task, source, target, *models], shown, api_name=name, concurrency_id="model")
    for model in models:
        model.change(guarded(changed), [task, source, *models], [task, source, target], api_name=False)


def _shared(page: DemoPage, names: Any) -> tuple[list[str], list[str]]:
    """Tasks and languages that all models have."""
    pipelines = [page.open(name) for name in names]
    tasks = [use for use in tasks_of(pipelines[0]) if all(use in pipeline.tasks for pipeline in pipelines)]
    return tasks, [language for language in languages_of(pipelines[0]) if all(language in pipeline.languages for pipeline in pipelines)]
