"""The example notebook, from top to bottom, by nbclient and by papermill, against a second daemon."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = [
    pytest.mark.docker,
    # jupyter_client on its way to a new event loop policy; nothing of ours
    pytest.mark.filterwarnings("ignore::DeprecationWarning:jupyter_client"),
]

NOTEBOOK = Path(__file__).parents[2] / "notebooks/first-cell.ipynb"


def stream(cell):
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


def texts(cell):
    return [output.data["text/plain"] for output in cell.outputs if "data" in output]


def test_the_first_cell_notebook_runs_from_top_to_bottom(pair, tmp_path, monkeypatch):
    monkeypatch.setenv("HOMIE_HOME", str(pair.laptop.home))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    kept = [cell for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "code"]
    shown = [cell for cell in kept[1:] if "squares =" not in cell.source]
    assert all(cell.outputs for cell in shown), "kept, so that the notebook reads well on the web"
    client = NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert "desk" in texts(cells[1])[0]
    assert stream(cells[2]).startswith("step 0\nstep 1\nstep 2\nPython 3.11")
    assert "as user 10001 in /work" in stream(cells[2])
    assert texts(cells[4])[0] == "332833500"
    assert "■" in cells[5].outputs[0].data["text/html"]
    assert "1 file in homie-results/" in texts(cells[7])[-1]
    assert stream(cells[8]) == "2.0\n\n"
    (error,) = [output for output in cells[9].outputs if output.output_type == "error"]
    assert error.ename == "ZeroDivisionError"
    assert "len(squares) / 0" in re.sub("\x1b\\[[0-9;]*m", "", "".join(error.traceback)), "the remote traceback"
    assert "main on desk has ended" in stream(cells[10])


def test_papermill_runs_it_too(pair, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "papermill", NOTEBOOK, "done.ipynb", "--kernel", "python3", "--no-progress-bar"],
        cwd=tmp_path,
        env={**os.environ, "HOMIE_HOME": str(pair.laptop.home)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr, "the cell that fails there fails here, whatever its tag"
    cells = [
        cell for cell in nbformat.read(tmp_path / "done.ipynb", as_version=4).cells if cell.cell_type == "code"
    ]
    failed = next(at for at, cell in enumerate(cells) if any(out.output_type == "error" for out in cell.outputs))
    assert "Python 3.11" in "".join(map(stream, cells[:failed]))
    assert cells[failed].source.endswith("len(squares) / 0")
