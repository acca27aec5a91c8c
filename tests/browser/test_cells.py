"""`%%homie` in JupyterLab, as a person sees it."""

import re

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.docker]

LOAD = "%load_ext homie_jupyter"


def test_output_comes_while_the_cell_runs_then_the_footer(lab):
    notebook = lab.open(LOAD, "%%homie\nimport time\nprint('first', flush=True)\ntime.sleep(3)\nprint('last')")
    notebook.run_all()
    cell = notebook.cell(2).shows("first")
    assert cell.running
    assert "last" not in cell.text
    assert re.fullmatch(r"first\nlast\n+desk · \d+\.\d s · job [0-9a-f]{12}", cell.done().text)
