"""A real IPython kernel, driven by nbclient, with two real daemons."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from pair import Pair

pytestmark = [
    pytest.mark.docker,
    # jupyter_client on its way to a new event loop policy; nothing of ours
    pytest.mark.filterwarnings("ignore::DeprecationWarning:jupyter_client"),
]

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


@pytest.fixture(scope="module")
def pair(base_image: str) -> Iterator[Pair]:
    with Pair() as pair:
        yield pair


@pytest.fixture
def execute(pair, tmp_path, monkeypatch):
    """`execute(cell, ...)`: run these cells after `%load_ext`; return the code cells."""
    monkeypatch.setenv("HOMIE_HOME", str(pair.laptop.home))

    def execute(*cells, notebook=None):
        notebook = notebook or nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(source) for source in ("%load_ext homie_jupyter", *cells)]
        )
        client = NotebookClient(
            notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
        )
        client.execute()
        return [cell for cell in notebook.cells if cell.cell_type == "code"]

    return execute


def stream(cell, name="stdout"):
    streams = [output for output in cell.outputs if output.output_type == "stream"]
    return "".join(output.text for output in streams if output.name == name)


def plain(text):
    return re.sub("\x1b\\[[0-9;]*m", "", text)


def shown(cell):
    return [output.data["text/plain"] for output in cell.outputs if output.output_type == "display_data"]


def test_the_first_cell_notebook_runs_from_top_to_bottom(execute):
    notebook = nbformat.read(NOTEBOOKS / "first-cell.ipynb", as_version=4)
    cells = execute(notebook=notebook)
    assert "desk" in shown(cells[1])[0]
    assert stream(cells[2]).startswith("step 0\nstep 1\nstep 2\nPython 3.11")
    assert "as user 10001 in /work" in stream(cells[2])
    assert stream(cells[3]) == "332833500\n"
    assert "1 file in homie-results/" in shown(cells[5])[-1]
    assert stream(cells[6]) == "2.0\n\n"
    (error,) = [output for output in cells[7].outputs if output.output_type == "error"]
    assert "ZeroDivisionError: division by zero" in error.evalue
    assert "----> 1 1 / 0" in plain("".join(error.traceback)), "the remote traceback"


def test_the_footer_says_who_and_how_long(execute):
    _, cell = execute("%%homie\npass")
    peer, spent, job = shown(cell)[-1].split(" · ")
    assert peer == "desk"
    assert spent.endswith(" s")
    assert job.startswith("job ")


def test_streams_stay_apart(execute):
    _, cell = execute("%%homie\nimport sys\nprint('out')\nprint('err', file=sys.stderr)")
    assert (stream(cell), stream(cell, "stderr")) == ("out\n", "err\n")


NOTE_ARRIVALS = """
import sys, time

class Note:
    def write(self, text):
        seen.append((time.monotonic(), text))
    def flush(self):
        pass

seen, out = [], sys.stdout
sys.stdout = Note()
get_ipython().run_cell_magic("homie", "", {cell!r})
sys.stdout = out
arrived, printed = seen[0]
print(arrived - float(printed))
"""


def test_output_comes_while_the_cell_runs(execute):
    cell = "import time\nprint(time.monotonic(), flush=True)\ntime.sleep(2)"
    _, done = execute(NOTE_ARRIVALS.format(cell=cell))
    assert float(stream(done)) < 1.0


def test_a_cell_that_fails_stops_the_notebook(execute):
    with pytest.raises(CellExecutionError) as caught:
        execute("%%homie\nx", "print('never')")
    assert "NameError: name 'x' is not defined" in plain(str(caught.value))


def test_a_script_like_exit_is_an_error_too(execute):
    with pytest.raises(CellExecutionError, match="it ended with status 3"):
        execute("%%homie\nimport os; os._exit(3)")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("-n nobody", "no peer is called nobody. Here now: desk"),
        ("--gpu", "desk: has no GPU"),
        ("-f nothing.csv", "nothing.csv: No such file or directory"),
        ("--frobnicate", "unrecognized arguments: --frobnicate"),
        ("peers", "takes options only"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(execute, line, words):
    with pytest.raises(CellExecutionError) as caught:
        execute(f"%%homie {line}\npass")
    assert words in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_the_stop_button_stops_it_there(execute):
    began = time.monotonic()
    source = "print('on', flush=True)\nimport time\ntime.sleep(60)"
    interrupting = (
        "import os, signal, threading\n"
        "threading.Timer(2.0, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        f"get_ipython().run_cell_magic('homie', '', {source!r})"
    )
    with pytest.raises(CellExecutionError, match="KeyboardInterrupt"):
        execute(interrupting)
    assert time.monotonic() - began < 30


def test_help_documents_every_option(execute):
    _, cell = execute("print(get_ipython().find_cell_magic('homie').__doc__)")
    text = stream(cell)
    for option in ("--node", "--gpu", "--file", "--cpus", "--ram", "--timeout"):
        assert option in text


def test_unloading_leaves_nothing(execute):
    with pytest.raises(CellExecutionError, match="not found"):
        execute("%unload_ext homie_jupyter", "%homie peers")
