"""Charts of an untrusted peer in JupyterLab: drawn, and as lively as one's own."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from canary import peer_shows
from lab_page import KEPT
from playwright.sync_api import FrameLocator, Locator

pytestmark = [pytest.mark.browser, pytest.mark.docker]

SHOWN = json.loads((Path(__file__).parents[1] / "jupyter" / "safe" / "reprs.json").read_text())["outputs"]
"""What the libraries themselves display."""
WITHIN: dict[str, Callable[[Locator], FrameLocator | Locator]] = {
    "plotly": lambda output: output,
    "plotly connected": lambda output: output.frame_locator("iframe").frame_locator("iframe"),
}
"""Where the chart is drawn: by JupyterLab's extension from JSON, or by scripts, which are put into a frame."""
AXIS = "area => JSON.stringify(area.closest('.js-plotly-plot')._fullLayout.xaxis.range)"


@pytest.mark.parametrize("name", WITHIN)
def test_a_plotly_chart_zooms_by_the_mouse(lab, name):
    notebook = lab.open("%load_ext homie_jupyter", "%%homie\n" + peer_shows(SHOWN[name][-1]["data"]))
    notebook.run_all()
    output = notebook.cell(2).done().output.first
    area = WITHIN[name](output).locator(".nsewdrag")
    area.scroll_into_view_if_needed()
    start, end = json.loads(area.evaluate(AXIS))
    box = area.bounding_box()
    mouse = lab.page.mouse
    mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.3)
    mouse.down()
    mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.7, steps=8)
    mouse.up()
    low, high = json.loads(area.evaluate(AXIS))
    assert start < low < high < end
    assert all("Content Security Policy" in error for error in lab.errors), lab.errors
    lab.errors.clear()  # what the page says when the frame asks for libraries elsewhere, which it may not
    lab.screenshot(KEPT / f"{name.replace(' ', '-')}.png")
