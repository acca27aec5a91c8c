"""A notebook's kernel as a front end sees it: cells in, outputs out, the stop button, answers to questions."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jupyter_client.manager import start_new_kernel

PATIENCE = 90.0
"""Seconds for a cell; a loaded machine may take long."""


class Ran:
    """What became of one cell."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.reply: dict[str, Any] = {}

    @property
    def status(self) -> str:
        return str(self.reply.get("status"))

    def stream(self, name: str = "stdout") -> str:
        return "".join(c["text"] for c in self.contents("stream") if c["name"] == name)

    @property
    def results(self) -> list[str]:
        return [content["data"]["text/plain"] for content in self.contents("execute_result")]

    @property
    def shown(self) -> list[str]:
        """Texts of displays, without those of Homie itself."""
        displays = self.contents("display_data")
        return [
            content["data"].get("text/plain", "") for content in displays if "homie" not in content["metadata"]
        ]

    @property
    def footer(self) -> str:
        (text,) = [
            content["data"]["text/plain"]
            for content in self.contents("display_data")
            if "footer" in content["metadata"].get("homie", ())
        ]
        return str(text)

    @property
    def error(self) -> dict[str, Any]:
        (content,) = self.contents("error")
        return content

    def contents(self, kind: str) -> list[dict[str, Any]]:
        return [message["content"] for message in self.messages if message["msg_type"] == kind]


class LocalKernel:
    """A running kernel; messages of another cell than the one that is waited for are kept in `late`."""

    def __init__(self, manager: Any, client: Any) -> None:
        self.manager, self.client = manager, client
        self.late: list[dict[str, Any]] = []
        self.answers: list[str] = []
        """What to say to the next questions."""
        self.asked: list[dict[str, Any]] = []

    def run(self, source: str, *, fine: bool = True) -> Ran:
        """Run a cell to its end; AssertionError with its error, unless that is meant (`fine=False`)."""
        return self.rest(self.start(source), fine=fine)

    def start(self, source: str) -> str:
        """Begin a cell; return its id."""
        return str(self.client.execute(source, allow_stdin=True, stop_on_error=False))

    def rest(self, id: str, *, fine: bool = True) -> Ran:
        """Read until the cell has ended."""
        ran = Ran()
        for message in self.messages_of(id):
            ran.messages.append(message)
        reply = self.client.get_shell_msg(timeout=PATIENCE)
        while reply["parent_header"].get("msg_id") != id:  # of a cell that a test has read for itself
            reply = self.client.get_shell_msg(timeout=PATIENCE)
        ran.reply = reply["content"]
        if fine:
            assert ran.status == "ok", (ran.reply, ran.stream("stderr"))
        return ran

    def messages_of(self, id: str) -> Iterator[dict[str, Any]]:
        """Yield what belongs to this cell until it has ended."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            if self.answers and self.client.stdin_channel.msg_ready():
                question = self.client.get_stdin_msg()
                self.asked.append(question["content"])
                self.client.input(self.answers.pop(0))
            try:
                message = self.client.get_iopub_msg(timeout=0.05)
            except Exception as error:
                if type(error).__name__ != "Empty":
                    raise
                continue
            if message["parent_header"].get("msg_id") != id:
                self.late.append(message)
                continue
            if message["msg_type"] == "status":
                if message["content"]["execution_state"] == "idle":
                    return
                continue
            yield message
        raise AssertionError(f"the cell did not end within {PATIENCE:.0f} s")

    def restart(self) -> None:
        """Restart the kernel, as a person would who is tired of waiting; load Homie again."""
        self.manager.restart_kernel(now=True)
        self.client.wait_for_ready(timeout=PATIENCE)
        self.run("%load_ext homie_jupyter")

    def interrupt(self) -> None:
        """Press the stop button."""
        self.manager.interrupt_kernel()


@contextmanager
def local_kernel(folder: Path, **env: str) -> Iterator[LocalKernel]:
    """Start a kernel in this folder, with Homie loaded."""
    manager, client = start_new_kernel(cwd=str(folder), env={**os.environ, **env})
    try:
        kernel = LocalKernel(manager, client)
        kernel.run("%load_ext homie_jupyter")
        yield kernel
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
