"""The Tab key behind `%%homie` and in the cells below it, in JupyterLab."""

import pytest
from lab_page import KEPT

pytestmark = [pytest.mark.browser, pytest.mark.docker]

WARM = "get_ipython().complete('print(', 'print(')"
"""The first look of IPython's completer takes longer than JupyterLab waits for it."""


def test_options_and_names_are_offered_and_the_cells_body_is_unharmed(lab):
    sleeps = "import time\ntime.sleep(1000)"
    notebook = lab.open(
        "%load_ext homie_jupyter", f"numbers_here, numbers_too = 1, 2\n{WARM}", "%%homie -s second\npass",
        f"%%homie --bg train_one\n{sleeps}", f"%%homie --fresh --bg train_two\n{sleeps}", "",
    )  # fmt: skip
    for number in range(1, 6):
        notebook.run(number).done()
    cell = notebook.cell(6)
    assert cell.write("%%homie --g").completions() == ["--get", "--gpu"]
    assert cell.write("%%homie --cpus 1 -i numbers_").completions() == ["numbers_here", "numbers_too"]
    assert set(cell.write("%homie cancel train_").completions()) == {"train_one", "train_two"}
    lab.screenshot(KEPT / "jobs.png")
    assert "second" in cell.write("%homie use ").completions()
    assert "desk" in cell.write("%%homie -n de").completions()
    offered = cell.write("%%homie\nprint(numbers_").completions()
    assert {"numbers_here", "numbers_too"} <= set(offered)
    assert not [each for each in offered if each.startswith("-")]
    assert "numbers_here" in cell.write("numbers_").completions(), "as in any cell"
