"""Tab Chat: say something, in sound or in writing, over several recordings; the answer is shown and heard while it is made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from alm.api.demos import DemoPage, guarded
from alm.api.errors import AlmError
from alm.api.player import Playing, player
from alm.components.demos.common import languages_of, speaks, starts_with, voices_of

History = list[dict[str, Any]]


def converses(pipeline: Any) -> bool:
    """Whether it holds conversations, or answers a message."""
    return pipeline.converses or any(pipeline.task_card(use).pairing == "reply" for use in pipeline.tasks)


def chat_tab(page: DemoPage) -> None:
    import gradio as gr

    names = page.models(converses)
    if not names:
        gr.Markdown("None of the models holds a conversation. `alm demo cascade` opens one that does.")
        return
    first = page.open(names[0])
    talk = gr.State(None)
    history = gr.Chatbot(label="Conversation", height=380, buttons=["copy"], feedback_options=None)
    sound = player("Spoken answer")
    message = gr.MultimodalTextbox(
        sources=["microphone", "upload"], file_types=["audio"], file_count="multiple", label="Message", placeholder="Write, record, or add recordings", elem_id="message"
    )
    with gr.Row():
        stop = gr.Button("Stop", variant="stop", min_width=120)
        new = gr.Button("New conversation", min_width=120)
    with gr.Row():
        model = gr.Dropdown(names, value=names[0], label="Model")
        language = gr.Dropdown(languages_of(first), value=starts_with(languages_of(first), "en"), label="Language")
        voice = gr.Dropdown(voices_of(first), value="", label="Voice")
        aloud = gr.Checkbox(speaks(first), label="Answer aloud")
    clips = [example for example in page.examples() if example.language == "en"]
    asked = {"What is a good name for a cat?": [], **{f"🔊 {clip.text}": [str(clip.path)] for clip in clips}}
    gr.Examples([[{"text": "" if files else text, "files": files}] for text, files in asked.items()], [message], label="Examples", example_labels=list(asked))

    def answer(said: dict[str, Any], shown: History, earlier: Any, name: str, speaks_in: str, speaker: str, spoken: bool) -> Iterator[Any]:
        pipeline = page.open(name)
        files, text = [str(path) for path in said.get("files") or []], (said.get("text") or "").strip()
        pieces = [page.read(path) for path in files] + [text] * bool(text)
        if not pieces:
            raise AlmError("got nothing said", "a text or a recording", "write, record, or add a file")
        if pipeline.converses and (earlier is None or earlier.pipeline is not pipeline or earlier.language != speaks_in):
            earlier = pipeline.conversation(speaks_in)
        if not pipeline.converses and len(pieces) > 1:
            raise AlmError(f"got {len(pieces)} texts and recordings for model {name!r}", "one: it answers one at a time", "send them by themselves, or choose another model")
        shown = [*(shown or []), *({"role": "user", "content": {"path": path}} for path in files), *([{"role": "user", "content": text}] if text else [])]
        yield shown, None, earlier, gr.MultimodalTextbox(value=None)
        if pipeline.converses:
            parts = earlier.stream(*pieces, aloud=spoken, speaker=speaker)
        else:
            parts = pipeline.chat_in_pieces(pieces[0], speaks_in, to="audio" if spoken else "text", speaker=speaker)
        written, playing = "", Playing()
        for part in parts:
            written += part.text
            yield [*shown, {"role": "assistant", "content": written or "…"}], playing.add(part.audio), earlier, gr.skip()
        yield gr.skip(), playing.end(), earlier, gr.skip()
        if not written.strip():
            raise AlmError("the model wrote nothing", "an answer", "say it in another way")

    def cleared() -> tuple[Any, ...]:
        return [], None, None

    def chosen(name: str) -> tuple[Any, ...]:
        pipeline = page.open(name)
        spoken, known = voices_of(pipeline), languages_of(pipeline)
        return gr.Dropdown(known, value=starts_with(known, "en")), gr.Dropdown(spoken, value=""), speaks(pipeline), None

    running = message.submit(guarded(answer), [message, history, talk, model, language, voice, aloud], [history, sound, talk, message], api_name="chat", concurrency_id="model")
    stop.click(lambda: None, None, sound, cancels=[running], api_name=False)
    new.click(cleared, None, [history, sound, talk], cancels=[running], api_name=False)
    model.change(guarded(chosen), model, [language, voice, aloud, talk], api_name=False)
