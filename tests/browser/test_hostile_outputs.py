"""What a hostile peer sends as output stays output: in the page, after a reload, in the saved notebook."""

import json
import re

import pytest
from canary import MARK, Canary, peer_shows
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.docker]

LOAD = "%load_ext homie_jupyter"
PEER = "%%homie\n"
"""On top of a cell whose output comes from desk."""
AWAY = f"http://{MARK}.example/"

CALL = f"""
const call = new RTCPeerConnection({{iceServers: [
    {{urls: "turn:{MARK}.example:80?transport=tcp", username: "name", credential: "word"}}]}});
call.createDataChannel("data");
call.createOffer().then(offer => call.setLocalDescription(offer));
"""
"""Goes out past everything that counts requests."""
IN_A_FRAME = json.dumps(f"<script>{CALL}</script>").replace("</", "<\\/")
FROM_A_FRAME = f"""
const frame = document.createElement("iframe");
frame.srcdoc = {IN_A_FRAME};
document.documentElement.append(frame);
"""

HELD = 'Blocked a frame with origin "null"|RTCPeerConnection is not defined|Content Security Policy'
"""What the page says when a frame has tried, and could not."""

HOSTILE = {
    "a script": ("script", {"text/html": "<script>window.canary = 1</script>"}),
    "a handler": ("script", {"text/html": "<img src='data:,' onerror='window.canary = 1'>"}),
    "a picture's own handler": ("script", {"text/html": "<svg><svg onload='window.canary = 1'></svg></svg>"}),
    "a link": (
        "script",
        {
            "text/html": "<a href='javascript:window.canary = 1'>See more</a>"
            "<svg><a href='javascript:window.canary = 1'><text y='20'>See more</text></a></svg>"
        },
    ),
    "a button's address": (
        "script",
        {"text/html": "<form action='javascript:window.canary = 1'><button>See more</button></form>"},
    ),
    "a frame's address": ("script", {"text/html": "<iframe src='javascript:top.canary = 1'></iframe>"}),
    "javascript": ("script", {"application/javascript": "window.canary = 1"}),
    "a frame of the page's own": (
        "script",
        {"text/html": "<iframe srcdoc='<script>top.canary = 1</script>'></iframe>"},
    ),
    "a picture from elsewhere": ("outside", {"text/html": f"<img src='{AWAY}'>"}),
    "a picture from elsewhere in markdown": ("outside", {"text/markdown": f"![]({AWAY})"}),
    "a style from elsewhere": ("outside", {"text/html": f"<style>@import '{AWAY}';</style>"}),
    "a call": ("outside", {"text/html": f"<script>{CALL}</script>"}),
    "a request in the user's name": ("server", {"text/html": f"<img src='/logout?{MARK}'>"}),
    "a style that hides the toolbar": (
        "covered",
        {"text/html": "<style>.jp-NotebookPanel-toolbar {visibility: hidden}</style>"},
    ),
    "a command of JupyterLab": (
        "command",
        {"text/html": "<button data-commandlinker-command='notebook:insert-cell-below'>See more</button>"},
    ),
}


@pytest.fixture
def canary(lab, outside):
    return Canary(lab, outside)


def test_the_canary_notices(lab, canary):
    """Shown by cells that run here, which are trusted, all of it works: the canary can fail."""
    notebook = lab.open(*(peer_shows(bundle) for _, bundle in HOSTILE.values()))
    noticed = {}
    for number, (what, (alarm, _)) in enumerate(HOSTILE.items(), start=1):
        canary.reset()
        cell = notebook.run(number).done()
        expect(cell.output).to_be_attached()
        noticed[what] = canary.notices(alarm)
        notebook.clear()
    assert all(noticed.values()), noticed
    lab.errors.clear()


@pytest.mark.xfail(reason="no policy of a page forbids WebRTC to a frame in a frame", strict=True)
def test_no_call_from_a_frame_in_a_frame(lab, canary):
    notebook = lab.open(LOAD, PEER + peer_shows({"text/html": f"<script>{FROM_A_FRAME}</script>"}))
    notebook.run_all()
    notebook.cell(2).done()
    assert not canary.notices("outside")


def test_nothing_of_it_works_from_a_peer(lab, canary):
    bundles = [bundle for _, bundle in HOSTILE.values()]
    notebook = lab.open(LOAD, *(PEER + peer_shows(bundle) for bundle in bundles), f"{PEER}print('harmless')")
    canary.reset()
    notebook.run_all()
    last = notebook.cell(2 + len(bundles)).done(within=120_000)
    assert last.text.startswith("harmless")
    assert canary.alarms() == set()
    notebook.save()
    assert "harmless" in json.dumps(notebook.saved()), "what is reopened holds the outputs"
    notebook.reload()
    assert canary.alarms() == set(), "after a reload"
    notebook.reopen()
    notebook.cell(2 + len(bundles)).shows("harmless")
    assert canary.alarms() == set(), "when it is opened again"
    assert all(re.search(HELD, error) for error in lab.errors), lab.errors
    lab.errors.clear()
