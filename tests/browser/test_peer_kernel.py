"""A notebook whose kernel's code runs on a peer, in JupyterLab as a person sees it."""

import json

import pytest
from lab_page import KEPT
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.docker]

KERNEL = "homie-desk"
ENDLESS = "import time\nprint('begun', flush=True)\nwhile True:\n    time.sleep(0.1)"


@pytest.fixture(scope="module", autouse=True)
def _installed(pair, server):
    env = {**pair.laptop.env, "JUPYTER_DATA_DIR": str(server.data)}
    pair.laptop.homie("kernel", "install", env=env)
    pair.laptop.homie("kernel", "install", "--name", "desk", env=env)
    yield
    pair.laptop.homie("kernel", "remove", env=env)
    pair.laptop.homie("kernel", "remove", "--name", "desk", env=env)


def sessions(pair):
    """Those that desk holds for laptop now."""
    return [job for job in json.loads(pair.laptop.homie("jobs", "--json").stdout) if job["state"] != "ended"]


def test_the_launcher_shows_the_kernels_with_their_picture(lab, server):
    lab.page.goto(server.url(f"lab/workspaces/{lab.name}", "reset"))
    cards = lab.page.locator('.jp-LauncherCard[data-category="Notebook"]')
    for shown in ("Python on desk", "Python on best homie"):
        card = cards.filter(has_text=shown)
        expect(card).to_be_visible()
        picture = card.locator("img.jp-Launcher-kernelIcon")
        assert picture.evaluate("image => image.complete && image.naturalWidth") == 64
    lab.screenshot(KEPT / "launcher.png")


def test_a_cell_runs_there_and_shows_nothing_of_ours(lab):
    notebook = lab.open("import os\nos.getcwd()", "1 / 0", kernel=KERNEL)
    assert notebook.run(1).done().text == "'/work'"
    failed = notebook.run(2).done()
    assert "ZeroDivisionError: division by zero" in failed.red
    assert "homie" not in failed.text
    lab.screenshot(KEPT / "peer-kernel.png")


def test_a_plot_and_a_slider_of_a_peer_are_there_and_live(lab):
    source = (
        "import ipywidgets as widgets\nslider = widgets.IntSlider(value=3)\n"
        "slider.observe(lambda change: print('now', change.new), 'value')\nslider"
    )
    notebook = lab.open(
        "import matplotlib.pyplot as plt\nplt.plot([1, 3, 2]);", source, "slider.value", kernel=KERNEL
    )
    ((width, height),) = notebook.run(1).done().images
    assert min(width, height) > 200
    cell = notebook.run(2).done()
    cell.slide(2)
    expect(cell.output.locator(".widget-readout")).to_have_text("5")
    assert notebook.idle().run(3).done().text == "5"
    lab.screenshot(KEPT / "peer-kernel-widget.png")


def test_the_stop_button_ends_a_cell(lab):
    notebook = lab.open("kept = 7", ENDLESS, "kept", kernel=KERNEL)
    notebook.run(1).done()
    cell = notebook.run(2).shows("begun")
    notebook.stop()
    cell.done(within=10_000)
    assert "KeyboardInterrupt" in cell.red
    assert notebook.run(3).done().text == "7"


def test_a_restart_is_a_fresh_session_and_shutting_down_ends_it(lab, pair, server):
    notebook = lab.open("x = 1\nprint('there')", "'x' in globals()", kernel=KERNEL)
    assert notebook.run(1).done().text == "there"
    (before,) = sessions(pair)
    notebook.restart()
    assert sessions(pair) == []
    assert notebook.run(2).done().text == "False"
    (after,) = sessions(pair)
    assert after["id"] != before["id"]
    server.end_kernels()
    assert sessions(pair) == []


def test_it_asks_here_and_a_reloaded_page_finds_its_kernel(lab):
    notebook = lab.open("name = input('Who? ')", "print('hello', name)", "name", kernel=KERNEL)
    cell = notebook.run(1)
    assert cell.asks() == "Who? "
    cell.answer("Ada")
    cell.done()
    assert notebook.run(2).done().text == "hello Ada"
    notebook.save().reload()
    assert notebook.run(3).done().text == "'Ada'"
