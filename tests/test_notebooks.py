"""Every notebook runs from top to bottom, in the order of its cells."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path, workspace, monkeypatch):
    monkeypatch.setenv("ALM_NOTEBOOK_MINUTES", "0.2")  # of what learns for minutes otherwise
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}).execute()
    shown = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs if output.output_type in ("display_data", "execute_result")]
    assert any("audio" in output.get("data", {}).get("text/html", "") for output in shown)


def test_committed_notebooks_hold_no_output():
    for path in NOTEBOOKS:
        for cell in nbformat.read(path, as_version=4).cells:
            assert cell.cell_type != "code" or (cell.outputs == [] and cell.execution_count is None), path
