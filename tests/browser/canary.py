"""Notices what the output of a hostile peer must never achieve in the page of the one who looks at it.

    canary = Canary(lab)
    notebook = lab.open(LOAD, peer_shows({"text/html": "<script>window.canary = 1</script>"}))
    ...
    assert canary.alarms() == set()

It is blunt: it looks at what happened, not at what was filtered.
"""

import socketserver
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from lab_page import Lab

MARK = "c4n4ry"
"""In what a hostile output asks for, as a host or behind the path: nothing else in a page names it."""
ON_TOP = ("#jp-top-panel", ".jp-NotebookPanel-toolbar", "#jp-left-stack", "#jp-bottom-panel")
"""Parts of JupyterLab of which no output may hide the middle."""


def peer_shows(bundle: Mapping[str, Any], metadata: Mapping[str, Any] | None = None) -> str:
    """Return a cell, without its first line, that shows this bundle as it is."""
    return f"from IPython.display import display\ndisplay({bundle!r}, raw=True, metadata={metadata or {}!r})"


class Outside(socketserver.ThreadingTCPServer):
    """Stands for the rest of the world: the browser's proxy. Whoever comes here was on his way out.

    It sees what a page's requests do not show, such as a call by WebRTC.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Note)
        self.wanted: list[str] = []
        """What came with MARK in its first line; Chromium's own errands are not the page's."""

    @property
    def proxy(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()
        self.server_close()


class _Note(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        line = self.rfile.readline().decode(errors="replace").strip()
        if MARK in line:
            self.server.wanted.append(line)
        self.wfile.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


class Canary:
    """Watches one tab from its first request on."""

    def __init__(self, lab: Lab, outside: Outside) -> None:
        self._page = lab.page
        self._server = lab.server
        self._home = urlsplit(lab.server.url("")).netloc
        self._outside = outside
        self._gone_out = 0
        self._requests: list[str] = []
        self._things = 0
        self._page.on("request", lambda request: self._note(request.url))
        # A link that is pressed may open a page, in front of which this one would be slow.
        self._page.on("popup", lambda page: page.close())
        self._page.on("websocket", lambda socket: self._note(socket.url))

    def reset(self) -> None:
        """Take what there is now for what there should be."""
        self._gone_out = len(self._outside.wanted)
        self._requests.clear()
        self._things = self._count()
        self._page.evaluate("delete window.canary")

    def alarms(self) -> set[str]:
        """Return what has happened, pressing all that can be pressed in the outputs first.

        `script` ran in the page; `outside` was asked for something; `server`: the Jupyter server was, in the
        user's name; `covered`: JupyterLab's own controls were; `command` of JupyterLab ran.
        """
        self._look_at_everything()
        self._press_everything()
        self._settle()
        found = set()
        if self._page.evaluate("'canary' in window"):
            found.add("script")
        if self._requests and any(urlsplit(url).netloc != self._home for url in self._requests):
            found.add("outside")
        if len(self._outside.wanted) > self._gone_out:
            found.add("outside")
        if any(urlsplit(url).netloc == self._home for url in self._requests):
            found.add("server")
        if self._page.evaluate(COVERED, list(ON_TOP)):
            found.add("covered")
        if self._count() != self._things:
            found.add("command")
        return found

    def notices(self, alarm: str) -> bool:
        """Wait a little for this alarm; return whether it came."""
        until = time.monotonic() + 5
        while alarm not in self.alarms():
            if time.monotonic() > until:
                return False
        return True

    def _note(self, url: str) -> None:
        parts = urlsplit(url)
        if MARK in url or (parts.scheme in ("http", "https", "ws", "wss") and parts.netloc != self._home):
            self._requests.append(url)

    def _look_at_everything(self) -> None:
        """Frames load when they are seen."""
        for output in self._page.locator(".jp-OutputArea-output").all():
            output.scroll_into_view_if_needed()
            self._settle()

    def _press_everything(self) -> None:
        for node in self._page.locator(f".jp-OutputArea-output :is({PRESSED})").all():
            node.dispatch_event("click")

    def _settle(self) -> None:
        """Wait until what the page began has had its turn: an image fails after all that failed before."""
        self._page.evaluate(FAIL_AN_IMAGE)

    def _count(self) -> int:
        return self._page.locator(".lm-TabBar-tab, .jp-Dialog, .jp-Cell").count() + len(
            self._server.ask("terminals")
        )


PRESSED = "a, button, input, summary, [onclick], [data-commandlinker-command]"
FAIL_AN_IMAGE = """() => new Promise(done => {
    const image = new Image();
    image.onerror = () => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done)));
    image.src = "data:image/png;base64,AAAA";
})"""
COVERED = """selectors => selectors.some(selector => {
    const part = document.querySelector(selector);
    const box = part.getBoundingClientRect();
    const top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
    return !part.contains(top);
})"""
