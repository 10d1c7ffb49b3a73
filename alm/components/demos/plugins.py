"""Tab Plugins: what is installed, what each part promises, and what was set aside and why."""

from __future__ import annotations

import html
from typing import Any

from alm.api.demos import DemoPage, guarded

HEADER = ["plugin", "version", "kind", "name"]


def plugins_tab(page: DemoPage) -> None:
    import gradio as gr

    rows = page.registered()
    kinds = sorted({row.kind for row in rows})
    aside = page.set_aside()
    gr.Markdown(f"{len({row.plugin for row in rows})} plugins, {len(rows)} parts. Choose a row to see what the part promises.")
    kind = gr.Dropdown(["all", *kinds], value="all", label="Kind")
    table = gr.Dataframe([list(row) for row in rows], headers=HEADER, interactive=False, wrap=True, max_height=360, label="Parts")
    card = gr.HTML(label="Card")
    told = "".join(
        f"<details><summary><b>{html.escape(one.name)}</b> {html.escape(one.version)}: {html.escape(one.error)}</summary><pre>{html.escape(one.details)}</pre></details>"
        for one in aside
    )
    gr.HTML(f"<h2>Set aside</h2>{told or '<p>Nothing: all that is installed can be used.</p>'}")

    def of_kind(wanted: str) -> list[list[str]]:
        return [list(row) for row in rows if wanted in ("all", row.kind)]

    def promised(event: gr.SelectData) -> str:
        plugin, _, what, name = event.row_value
        lines = page.card(what, f"{plugin}/{name}").items()
        return f"<h3>{html.escape(f'{what} {name}')}</h3><dl>" + "".join(f"<dt><b>{html.escape(key)}</b></dt><dd>{html.escape(value)}</dd>" for key, value in lines) + "</dl>"

    kind.change(of_kind, kind, table, api_name="parts")
    selected: Any = guarded(promised)
    selected.__annotations__ = {"event": gr.SelectData}  # by which Gradio knows that it wants the event
    table.select(selected, None, card, api_name=False)
