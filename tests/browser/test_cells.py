"""`%%homie` in JupyterLab, as a person sees it."""

import re

import pytest
from lab_page import KEPT
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.docker]

LOAD = "%load_ext homie_jupyter"
ENDLESS = """%%homie
import time
print("begun", flush=True)
while True:
    time.sleep(0.1)
"""


def test_output_comes_while_the_cell_runs_then_the_footer(lab):
    notebook = lab.open(LOAD, "%%homie\nimport time\nprint('first', flush=True)\ntime.sleep(3)\nprint('last')")
    notebook.run_all()
    cell = notebook.cell(2).shows("first")
    assert cell.running
    assert "last" not in cell.text
    assert re.fullmatch(r"first\nlast\ndesk · \d+\.\d s · session main, kept .*", cell.done().text)
    lab.screenshot(KEPT / "output.png")


def test_an_error_is_the_cells_and_run_all_stops_there(lab):
    notebook = lab.open(LOAD, "%%homie\nprint('before')\n1 / 0", "print('never')")
    notebook.run_all()
    cell = notebook.cell(2).done()
    assert cell.text.startswith("before\n")
    assert "ZeroDivisionError: division by zero" in cell.red
    assert "1 / 0" in cell.red, "the line over there"
    assert "homie_jupyter" not in cell.red, "nothing of the frames here"
    expect(notebook.cell(3).prompt, "it is not run").to_have_text("[ ]:")
    assert notebook.cell(3).text == ""
    lab.screenshot(KEPT / "error.png")


def test_the_stop_button_ends_a_cell(lab):
    notebook = lab.open(LOAD, ENDLESS, "%%homie\nprint('goes on')")
    notebook.run(1).done()
    cell = notebook.run(2).shows("begun")
    notebook.stop()
    cell.done(within=10_000)
    assert "KeyboardInterrupt" in cell.red
    assert notebook.run(3).done().text.startswith("goes on\n"), "the kernel and the session are as before"
    lab.screenshot(KEPT / "stopped.png")


def test_peers_are_a_table(lab):
    notebook = lab.open(LOAD, "%homie peers")
    notebook.run_all()
    table = notebook.cell(2).done().output.locator("table")
    assert table.locator("th").all_inner_texts()[:3] == ["name", "state", "address"]
    assert table.locator("tbody tr").count() == 1
    assert table.locator("td").all_inner_texts()[:2] == ["desk", "online"]
    lab.screenshot(KEPT / "peers.png")


def test_standard_error_is_shown_as_such(lab):
    notebook = lab.open(LOAD, "%%homie\nimport sys\nprint('out')\nprint('err', file=sys.stderr)")
    notebook.run_all()
    assert notebook.cell(2).done().red == "err"


def test_what_was_shown_is_shown_again_when_the_notebook_is_reopened(lab):
    notebook = lab.open(LOAD, "%%homie\nprint('kept')")
    notebook.run_all()
    shown = notebook.cell(2).done().text
    assert notebook.save().reopen().cell(2).text == shown
