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
    # No decimals where a session was slow to begin; that it was said so first leaves no trace.
    assert re.fullmatch(r"first\nlast\ndesk · [\d.]+ s · session main, kept .*", cell.done().text)
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


def test_a_job_in_the_background_goes_on_below_its_cell(lab):
    job = "%%homie --bg job\nimport time\nprint('first', flush=True)\ntime.sleep(5)\nprint('last')"
    notebook = lab.open(LOAD, job, "1 + 1")
    notebook.run(1).done()
    cell = notebook.run(2).done().shows("first")
    assert notebook.run(3).done().text == "2"
    cell.shows(re.compile(r"job · running · desk · \d s"))
    assert "last" not in cell.text
    cell.shows(re.compile("job · done · desk · "))
    assert cell.text.endswith("first\nlast")
    lab.screenshot(KEPT / "background.png")


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


def test_it_asks_here_and_is_answered_there(lab):
    notebook = lab.open(LOAD, "%%homie\nname = input('Who? ')", "%%homie\nprint('hello', name)")
    notebook.run(1).done()
    cell = notebook.run(2)
    assert cell.asks() == "Who? "
    cell.answer("me")
    cell.done()
    assert notebook.run(3).done().text.startswith("hello me\n"), "variables stay"


WIDGETS = """%%homie
import ipywidgets as widgets
slider, button = widgets.IntSlider(value=3), widgets.Button(description="Go")
button.on_click(lambda _: setattr(slider, "value", slider.value * 10))
display(slider, button)
"""


def test_widgets_of_a_peer_are_moved_and_pressed(lab):
    notebook = lab.open(LOAD, WIDGETS, "%%homie\nprint(slider.value)")
    notebook.run_all()
    cell = notebook.cell(2).done()
    notebook.cell(3).done()
    cell.slide(2)
    expect(cell.output.locator(".widget-readout")).to_have_text("5")
    cell.click("Go")
    expect(cell.output.locator(".widget-readout"), "the button's function ran there").to_have_text("50")
    lab.screenshot(KEPT / "widgets.png")
    assert notebook.run(3).done().text.startswith("50\n")


def test_widgets_of_a_peer_go_on_after_a_value_came_back(lab):
    """Trust is looked up for values; the filter still knows which widgets it let through."""
    notebook = lab.open(LOAD, WIDGETS, "%%homie -o moved\nmoved = slider.value", "moved")
    notebook.run_all()
    cell = notebook.cell(2).done()
    notebook.cell(4).done()
    cell.click("Go")
    expect(cell.output.locator(".widget-readout"), "what it says there is shown here").to_have_text("30")
    notebook.run(3).done()
    assert notebook.run(4).done().text == "30"


def test_widgets_of_a_peer_outlive_a_reload_of_the_page(lab):
    notebook = lab.open(LOAD, WIDGETS)
    notebook.run_all()
    notebook.cell(2).done().slide(2)
    notebook.save().reload()
    expect(notebook.cell(2).output.locator(".widget-readout")).to_have_text("5")


def test_pictures_of_a_peer_are_drawn(lab):
    source = (
        'from IPython.display import SVG\nSVG(\'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="7"/>\')'
    )
    notebook = lab.open(LOAD, f"%%homie\n{source}")
    notebook.run_all()
    assert notebook.cell(2).done().images == [(9, 7)]


def test_a_progress_bar_of_a_peer_moves(lab):
    source = "from tqdm.auto import tqdm\nimport time\nfor _ in tqdm(range(20)): time.sleep(0.1)"
    notebook = lab.open(LOAD, f"%%homie\n{source}")
    notebook.run_all()
    cell = notebook.cell(2)
    expect(cell.output.get_by_text(re.compile(r"\b1?[0-9]/20")).first).to_be_visible()
    assert cell.running
    expect(cell.done().output.get_by_text("20/20").first).to_be_visible()
    lab.screenshot(KEPT / "progress.png")


def test_a_plot_of_a_peer_is_drawn(lab):
    notebook = lab.open(LOAD, "%%homie\nimport matplotlib.pyplot as plt\nplt.plot([1, 3, 2]);")
    notebook.run_all()
    ((width, height),) = notebook.cell(2).done().images
    assert width > 300
    assert height > 200
    lab.screenshot(KEPT / "plot.png")


def test_a_kernel_that_is_restarted_in_mid_cell_finds_its_cell_again(lab):
    long = "%%homie\nimport time\nkept = 7\nprint('on', flush=True)\ntime.sleep(8)\nprint('off')"
    notebook = lab.open(LOAD, long, "%homie attach", "%%homie\nkept")
    notebook.run(1).done()
    notebook.run(2).shows("on")
    notebook.restart()
    notebook.run(1).done()
    assert notebook.run(3).done().text.startswith("on\noff\ndesk · ")
    assert notebook.run(4).done().text.startswith("7\n")
    lab.screenshot(KEPT / "attached.png")
