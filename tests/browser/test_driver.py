"""The driver on cells that run here: what it can do by hand and eye is what JupyterLab does without Homie."""

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.docker]

PICTURE = """
from IPython.display import Image
import base64
Image(base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAIAAAABCAIAAAB7QOjdAAAAD0lEQVR4nGP4z8AARP8BAA3/Av5YbNRmAAAAAElFTkSuQmCC"))
"""


def test_a_cell_asks_and_is_answered(lab):
    notebook = lab.open("print('hello', input('Who? '))")
    cell = notebook.run(1)
    assert cell.asks() == "Who? "
    cell.answer("me")
    assert cell.done().text.endswith("hello me")


def test_widgets_are_moved_and_pressed(lab):
    notebook = lab.open(
        "import ipywidgets as widgets\n"
        "slider, button = widgets.IntSlider(value=3), widgets.Button(description='Go')\n"
        "button.on_click(lambda _: setattr(slider, 'value', slider.value * 10))\n"
        "display(slider, button)",
        "slider.value",
    )
    cell = notebook.run(1).done()
    cell.slide(2)
    expect(cell.output.locator(".widget-readout")).to_have_text("5")
    cell.click("Go")
    expect(cell.output.locator(".widget-readout")).to_have_text("50")
    assert notebook.run(2).done().text == "50"


def test_pictures_are_drawn_and_errors_read(lab):
    notebook = lab.open(PICTURE, "1 / 0")
    notebook.run_all()
    assert notebook.cell(1).done().images == [(2, 1)]
    assert "ZeroDivisionError" in notebook.cell(2).done().red


def test_restart_forgets_and_reload_does_not(lab):
    notebook = lab.open("x = 1", "x")
    notebook.run_all()
    notebook.cell(2).done()
    notebook.save().reload()
    assert notebook.run(2).done().text == "1"
    notebook.restart()
    assert "NameError" in notebook.run(2).done().red


def test_notebook_7_is_driven_alike(lab):
    notebook = lab.open("import time\ntime.sleep(60)", "print('on')", style="notebook")
    cell = notebook.run(1)
    expect(cell.prompt).to_have_text("[*]:")
    notebook.stop()
    assert "KeyboardInterrupt" in cell.done().red
    assert notebook.run(2).done().text == "on"


def test_an_error_of_the_page_is_noticed(lab):
    notebook = lab.open("from IPython.display import Javascript\nJavascript('throw new Error(\"planted\")')")
    notebook.run(1).done()
    lab.page.evaluate("setTimeout(() => { throw new Error('in the page') })")
    lab.page.wait_for_event("pageerror")
    assert any("in the page" in error for error in lab.errors)
    lab.errors.clear()
