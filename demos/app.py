"""The page: `make app`. Speak or upload, transcribe, translate, hear. A shell over the pipeline; no logic of its own.

Tabs come from the same hook as anyone's: `register_demos`.
"""

from __future__ import annotations

import argparse

import gradio as gr

import alm
from alm.cli import exit_cleanly
from alm.core.pipeline import Pipeline
from alm.core.plugins import registry


def build(pipeline: Pipeline) -> gr.Blocks:
    """The page with every registered tab."""
    with gr.Blocks(title="alm") as page:
        gr.Markdown(f"# alm\nModel **{pipeline.recipe.name}**: {pipeline.recipe.description}")
        for _, title, tab in registry().demos:
            with gr.Tab(title):
                tab(pipeline)
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="prompts")
    parser.add_argument("--port", type=int, default=7860)
    arguments = parser.parse_args()
    pipeline = alm.load(arguments.model)
    pipeline.warm_up()
    page = build(pipeline)
    page.queue(max_size=16).launch(server_name="127.0.0.1", server_port=arguments.port, max_file_size="20mb")


if __name__ == "__main__":
    exit_cleanly(main)
