"""Where a session's output goes: into the cell it belongs to, or onto the terminal of a plain IPython."""

import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from homie_core.client.safe_text import SafeText
from homie_core.client.session import Header, new_header
from homie_jupyter.capture import Capture
from homie_jupyter.pace import Pace
from homie_jupyter.show import under_way

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

MAX_CAPTURES = 100
"""Cells whose late output is still captured."""


class Publisher(ABC):
    """Publishes what a session sends, from any thread."""

    @abstractmethod
    def new_header(self) -> Header:
        """Return the header of the request that is to be sent for the present cell."""

    def __init__(self) -> None:
        self._captures: dict[str, Capture] = {}
        self._listeners: dict[str, Callable[[str], None]] = {}

    def capture(self, header: Header) -> Capture:
        """Return what takes the output of this cell from now on, instead of its being shown."""
        while len(self._captures) >= MAX_CAPTURES:
            del self._captures[next(iter(self._captures))]
        self._captures[header["msg_id"]] = capture = Capture()
        return capture

    def listen(self, header: Header, listener: Callable[[str], None] | None) -> None:
        """Let this one hear, as text, what is published in this cell from now on; None: nobody any more."""
        if listener:
            self._listeners[header["msg_id"]] = listener
        else:
            self._listeners.pop(header["msg_id"], None)

    def publish(
        self, kind: str, content: dict[str, Any], metadata: dict[str, Any], header: Header, buffers: list[bytes]
    ) -> None:
        """Publish a message of this type in the cell whose header this is, unless it is captured."""
        if (listener := self._listeners.get(header["msg_id"])) and (text := text_of(kind, content)):
            listener(text)
        capture = self._captures.get(header["msg_id"])
        if capture is None or not capture.takes(kind, content):
            self.show(kind, content, metadata, header, buffers)

    @abstractmethod
    def show(
        self, kind: str, content: dict[str, Any], metadata: dict[str, Any], header: Header, buffers: list[bytes]
    ) -> None:
        """Publish it, captured or not."""

    def say(self, line: str, header: Header) -> None:
        """Show a sentence of Homie's own in this cell."""
        text = f"homie: {''.join(c if c.isprintable() else '?' for c in line)}\n"
        self.show("stream", {"name": "stderr", "text": text}, {}, header, [])

    @abstractmethod
    def note(self, text: str, header: Header) -> None:
        """Say what is under way, in one line in place of the one before; empty: nothing any more."""

    comms: Any = None
    """The kernel's manager of comms, if there is one."""

    @property
    @abstractmethod
    def takes_input(self) -> bool:
        """Whether somebody can be asked something."""

    def harmless(self, text: str) -> str:
        """Return a peer's text as it may be shown here; a notebook's page obeys no escape sequences."""
        return text

    @abstractmethod
    def ask(self, prompt: str, password: bool) -> str:
        """Ask the person; main thread only."""


class NotebookPublisher(Publisher):
    """Publishes on the notebook's own kernel. `paced`: a Jupyter Server with its limits stands behind it."""

    def __init__(self, kernel: Any, paced: bool) -> None:
        super().__init__()
        self._kernel = kernel
        self.comms = getattr(kernel, "comm_manager", None)
        self._count = 0
        """The number of the cell that runs here, which its result carries, whatever its number is there."""
        self._pace = Pace() if paced else None
        self._noted = ""
        """The note that is shown in the newest cell."""
        self._cell, self._bare = "", True
        """The newest cell, and whether it shows nothing (but a note)."""
        self._lock = threading.RLock()

    def new_header(self) -> Header:
        self._count = self._kernel.shell.displayhook.prompt_count
        header = dict(self._kernel.get_parent("shell")["header"])
        header.pop("subshell_id", None)  # it means nothing to another kernel
        with self._lock:
            self._noted, self._cell, self._bare = "", header["msg_id"], True
        return {**header, "msg_type": "execute_request"}

    def show(
        self, kind: str, content: dict[str, Any], metadata: dict[str, Any], header: Header, buffers: list[bytes]
    ) -> None:
        if kind == "execute_result":
            content["execution_count"] = self._count
        if self._pace:
            self._pace.wait(len(content.get("text", "")) if kind == "stream" else _size(content, buffers))
        with self._lock:
            if header["msg_id"] == self._cell and not kind.startswith("comm_"):
                if self._bare:
                    self.note("", header)  # while it can go without a trace
                self._bare = False
            self._send(kind, content, metadata, header, buffers)

    def note(self, text: str, header: Header) -> None:
        with self._lock:
            if text == self._noted:
                return
            if not text and self._bare:  # an empty output would stay in its place
                self._send("clear_output", {"wait": True}, {}, header, [])
            else:
                kind = "update_display_data" if self._noted else "display_data"
                transient = {"display_id": f"homie-note-{header['msg_id']}"}
                self._send(kind, {**under_way(text), "transient": transient}, {}, header, [])
            self._noted = text

    def _send(
        self, kind: str, content: dict[str, Any], metadata: dict[str, Any], header: Header, buffers: list[bytes]
    ) -> None:
        self._kernel.session.send(
            self._kernel.iopub_socket,
            kind,
            content,
            metadata=metadata,
            parent={"header": header},
            ident=self._kernel._topic(kind),
            buffers=buffers,
        )

    @property
    def takes_input(self) -> bool:
        return bool(self._kernel._allow_stdin)

    def ask(self, prompt: str, password: bool) -> str:
        answer: str = self._kernel.getpass(prompt) if password else self._kernel.raw_input(prompt)
        return answer


class TerminalPublisher(Publisher):
    """Prints text; whatever else a message holds, a terminal cannot show."""

    def __init__(self) -> None:
        super().__init__()
        self._safe = {name: SafeText() for name in ("stdout", "stderr")}
        self._number = 0

    def new_header(self) -> Header:
        return new_header()

    def show(
        self, kind: str, content: dict[str, Any], metadata: dict[str, Any], header: Header, buffers: list[bytes]
    ) -> None:
        is_error = kind == "error" or (kind == "stream" and content["name"] == "stderr")
        self._print("stderr" if is_error else "stdout", text_of(kind, content))

    def note(self, text: str, header: Header) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[2K{self.harmless(text)}")
            sys.stderr.flush()
        elif text:
            self._print("stderr", f"{text}\n")

    @property
    def takes_input(self) -> bool:
        return sys.stdin is not None and sys.stdin.isatty()

    def harmless(self, text: str) -> str:
        return SafeText().feed(text.encode(errors="replace"))

    def ask(self, prompt: str, password: bool) -> str:
        import getpass

        prompt = self.harmless(prompt)
        return getpass.getpass(prompt) if password else input(prompt)

    def _print(self, stream: str, text: str) -> None:
        target = sys.stderr if stream == "stderr" else sys.stdout
        target.write(self._safe[stream].feed(text.encode(errors="replace")))
        target.flush()


def text_of(kind: str, content: dict[str, Any]) -> str:
    """Return what a message shows where there is nothing but text."""
    if kind == "stream":
        return str(content["text"])
    if kind in ("display_data", "execute_result"):
        text = content["data"].get("text/plain")
        return f"{text}\n" if isinstance(text, str) else ""
    return "\n".join(content["traceback"]) + "\n" if kind == "error" else ""


def _size(content: dict[str, Any], buffers: list[bytes]) -> int:
    """Return roughly how long the message will be."""
    data = content.get("data")
    texts = data.values() if isinstance(data, dict) else ()
    return 500 + sum(len(text) for text in texts if isinstance(text, str)) + sum(map(len, buffers))


def publisher_for(shell: "InteractiveShell") -> Publisher:
    """Return what fits this shell."""
    import os

    kernel = getattr(shell, "kernel", None)
    if kernel is None:
        return TerminalPublisher()
    return NotebookPublisher(kernel, paced="JPY_SESSION_NAME" in os.environ)
