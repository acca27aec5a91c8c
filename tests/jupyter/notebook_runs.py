"""Runs a notebook, and says what it showed in a form in which two runs can be compared.

    here = await run(cells, folder)
    there = await run(cells, folder, magic="%%homie")
    assert not difference(here, there)

nbclient answers no questions, and drops what a cell prints after its end: this client does the one and keeps
the other.
"""

import asyncio
import contextlib
import copy
import difflib
import json
import queue
import re
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionComplete
from nbformat import NotebookNode
from nbformat.v4 import new_output

from homie_jupyter.safe import Filter

WITHIN = 120
"""Seconds that one cell gets."""
FOOTER = "homie"
"""In the metadata of an output that is Homie's own, not the cell's."""
FAILS = "raises-exception"
"""The tag of a cell that shall fail."""


@dataclass(frozen=True)
class Cell:
    """A cell of which there is more to say than its source."""

    source: str
    answers: tuple[str, ...] = ()
    """To what it asks."""
    fails: bool = False


async def run(cells: Iterable[str | Cell], folder: Path, magic: str = "", kernel: str = "python3") -> NotebookNode:
    """Run the cells in a new kernel, each with `magic` on top, and end its session; return the notebook.

    AssertionError or CellExecutionError if a cell fails that should not, or the other way round.
    """
    first = "%load_ext homie_jupyter" if kernel == "python3" else "pass"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(first)])
    for cell in cells:
        if isinstance(cell, str):
            cell = Cell(cell)
        source = cell.source.strip("\n")
        node = nbformat.v4.new_code_cell(f"{magic}\n{source}" if magic else source)
        node.metadata.update(answers=list(cell.answers), tags=[FAILS] * cell.fails)
        notebook.cells.append(node)
    if magic:
        notebook.cells.append(nbformat.v4.new_code_cell("%homie end"))
    where = {"metadata": {"path": str(folder)}}
    with tempfile.TemporaryDirectory(prefix="ipc-") as sockets:
        client = Client(notebook, timeout=WITHIN, kernel_name=kernel, resources=where)
        client.sockets = sockets
        await client.async_execute()
    for node in notebook.cells:
        expected = "error" if FAILS in node.metadata.get("tags", ()) else "ok"
        assert node.metadata.reply == expected, f"{node.metadata.reply}, not {expected}:\n{node.source}"
        assert not node.metadata.get("answers"), f"not asked for {node.metadata.answers}:\n{node.source}"
    if magic:
        del notebook.cells[-1]
    return notebook


class Client(NotebookClient):
    """nbclient as a front end with a person before it.

    What is told by other means than outputs is noted in a cell's metadata: `asked`, `comms` (those that are no
    widgets), `payload` and `reply`.
    """

    def __init__(self, notebook: NotebookNode, **options: Any) -> None:
        super().__init__(notebook, on_cell_executed=self._executed, **options)
        self.sockets = ""
        """A folder for them."""
        self._cells: dict[str, tuple[NotebookNode, int]] = {}
        self._comms: set[str] = set()

    def create_kernel_manager(self) -> Any:
        """Speak over sockets of files: of two kernels that start at once, one may find its TCP port taken."""
        manager = super().create_kernel_manager()
        manager.transport, manager.ip = "ipc", f"{self.sockets}/kernel"
        return manager

    async def async_start_new_kernel_client(self) -> Any:
        """Look for replies every 50 ms.

        When nbclient tells a kernel of an Output widget's outputs, on the socket on which it waits for a reply,
        the reply that comes meanwhile wakes nobody (a ZeroMQ descriptor tells of a message once).
        """
        client = await super().async_start_new_kernel_client()
        wait_for_reply = client.shell_channel.get_msg

        async def get_msg(timeout: float) -> Any:
            until = time.monotonic() + timeout
            while True:
                try:
                    return await wait_for_reply(timeout=0.05)
                except queue.Empty:
                    if time.monotonic() > until:
                        raise

        client.shell_channel.get_msg = get_msg
        return client

    async def async_execute_cell(self, cell: NotebookNode, cell_index: int, **options: Any) -> NotebookNode:
        self.kc.allow_stdin = True
        cell.metadata.update(asked=[], comms=[])
        answering = asyncio.create_task(self._answer(cell))
        try:
            return await super().async_execute_cell(cell, cell_index, **options)
        finally:
            answering.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await answering

    def handle_comm_msg(self, outs: list[NotebookNode], msg: dict[str, Any], cell_index: int) -> None:
        """Note the comms that a front end knows nothing about, leave those of widgets to nbclient."""
        kind, content = msg["msg_type"], msg["content"]
        if kind == "comm_open" and not content["target_name"].startswith("jupyter.widget"):
            self._comms.add(content["comm_id"])
        if content["comm_id"] in self._comms:
            self.nb.cells[cell_index].metadata.comms.append([kind, content["comm_id"], content["data"]])
        else:
            super().handle_comm_msg(outs, msg, cell_index)

    async def _async_poll_output_msg(self, parent_msg_id: str, cell: NotebookNode, cell_index: int) -> None:
        """Take messages until this cell has ended; those of earlier cells go to these."""
        self._cells[parent_msg_id] = cell, cell_index
        while True:
            message = await self.kc.iopub_channel.get_msg(timeout=None)
            parent = message["parent_header"].get("msg_id")
            if parent in self._cells:
                try:
                    self.process_message(message, *self._cells[parent])
                except CellExecutionComplete:
                    if parent == parent_msg_id:
                        return

    async def _answer(self, cell: NotebookNode) -> None:
        while True:
            question = (await self.kc.stdin_channel.get_msg(timeout=None))["content"]
            cell.metadata.asked.append([question["prompt"], question["password"]])
            answers = cell.metadata.get("answers", [])
            self.kc.input(answers.pop(0) if answers else "a question too many")

    def _executed(self, cell: NotebookNode, cell_index: int, execute_reply: dict[str, Any]) -> None:
        content = execute_reply["content"]
        payload = content.get("payload", [])
        cell.metadata.update(
            reply=content["status"],
            payload=[item for item in payload if item["source"] != "page"],
        )
        # A front end shows pages below the cell, or beside it.
        for item in payload:
            if item["source"] == "page":
                cell.outputs.append(new_output("stream", name="stdout", text=item["data"]["text/plain"] + "\n"))


def filtered(notebook: NotebookNode) -> NotebookNode:
    """Return what a run would have shown, had a peer sent its outputs that is not trusted."""
    notebook = copy.deepcopy(notebook)
    models = notebook.metadata.get("widgets", {}).get("application/vnd.jupyter.widget-state+json", {"state": {}})
    held = [output for model in models["state"].values() for output in model["state"].get("outputs", ())]
    for output in (*held, *(output for cell in notebook.cells for output in cell.outputs)):
        if "data" in output:
            safe = Filter().bundle(output["data"], output["metadata"])
            output["data"], output["metadata"] = safe.data, safe.metadata
    return notebook


def difference(one: NotebookNode, other: NotebookNode) -> str:
    """Return how what two runs showed differs, as a diff; empty if it does not.

    Not compared is only what cannot be the same twice; NOT_COMPARED, ID and `_outputs` list it.
    """
    lines = [
        json.dumps(shown(run), indent=1, sort_keys=True, ensure_ascii=False).splitlines() for run in (one, other)
    ]
    return "\n".join(difflib.unified_diff(*lines, lineterm="", n=2)) if lines[0] != lines[1] else ""


NOT_COMPARED = [
    ("0x", re.compile(r"\b0x[0-9a-f]{6,}\b"), "0x(address)"),
    ("/ipykernel_", re.compile(r"\S*/ipykernel_\d+/\d+\.py"), "(cell)"),
    ("/site-packages/", re.compile(r"(?:/[^/\s'\"\x1b]+)+/site-packages/"), "(packages)/"),
    ("/homie/env/", re.compile(r"/homie/env/\d+/"), "(packages)/"),
    (".py, line ", re.compile(r"\b\d+\.py, line "), "(cell), line "),
    # IPython says in which cell, and how often a frame repeats, which is deeper or less deep in another kernel
    ("In[", re.compile(r"In\[\d+\]"), "In[]"),
    (" times)", re.compile(r"\(\d+ times\)"), "(n times)"),
    # what %time and %timeit print
    (" time", re.compile(r"^(CPU times|Wall time):.*$", re.MULTILINE), "(times)"),
    (" per loop", re.compile(r"^.* per loop \(mean.*$", re.MULTILINE), "(times)"),
]
"""What is in the text (searched first: patterns are slow on megabytes), as a pattern, and what stands for it."""
ID = re.compile(r"(?<![0-9a-f])(?:[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?![0-9a-f])")
"""Of widgets, displays, comms: numbered as they appear, so that the same one is still the same."""


def shown(notebook: NotebookNode) -> dict[str, Any]:
    """Return all that a run showed, fit for comparison."""
    names: dict[str, str] = {}

    def compared(value: Any) -> Any:
        match value:
            case str():
                for mark, pattern, name in NOT_COMPARED:
                    if mark in value:
                        value = pattern.sub(name, value)
                return ID.sub(lambda found: names.setdefault(found[0], f"(id {len(names) + 1})"), value)
            case dict():
                return {compared(key): compared(of) for key, of in value.items() if key != "execution_count"}
            case list():
                return [compared(each) for each in value]
        return value

    notes = ("asked", "comms", "payload", "reply")
    cells = [
        {note: cell.metadata[note] for note in notes} | {"outputs": _outputs(cell.outputs)}
        for cell in notebook.cells
    ]
    result: dict[str, Any] = compared({"cells": cells, "widgets": notebook.metadata.get("widgets", {})})
    return result


def _outputs(outputs: list[NotebookNode]) -> list[dict[str, Any]]:
    """Leave out footers, and join neighbouring pieces of streams: where one is cut, and which of stdout and
    stderr comes first between two displays, is chance in any kernel."""
    kept: list[dict[str, Any]] = []
    streams: dict[str, str] | None = None
    for output in outputs:
        if FOOTER in output.get("metadata", {}):
            continue
        if output.output_type != "stream":
            kept.append(dict(output))
            streams = None
            continue
        if streams is None:
            streams = {}
            kept.append({"output_type": "streams", "text": streams})
        streams[output.name] = streams.get(output.name, "") + output.text
    return kept
