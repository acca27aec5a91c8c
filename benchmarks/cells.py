"""Cells of a session on a peer beside the same cells in a local kernel, and beside ipyparallel's `%%px`."""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jupyter_client.manager import start_new_kernel
from pair import Pair

from benchmarks.jobs import wait_for_pool
from benchmarks.pairs import Comparison, Result, Skipped, compare

LINES = "for i in range(10**6): print(i)"
PX = "%%homie pass, to idle (aim: below 2)"
CELLS = 20
"""Cells measured as one value: single ones are too short to compare."""


def measure(repeat: int) -> Iterator[Result]:
    """Compare a warm cell, a session's first cell and a million lines."""
    with tempfile.TemporaryDirectory() as folder, Pair(desk={"container_cpu_limit": "1"}) as pair:
        env = {**os.environ, "HOMIE_HOME": str(pair.laptop.home)}
        with kernel(folder, env) as homie, kernel(folder, env) as local:
            homie.run("%load_ext homie_jupyter")
            wait_for_pool(pair.desk)
            yield first_cell(homie, pair, folder, env, max(3, repeat // 3))
            homie.run("%%homie\npass")

            def warm() -> float:
                return cells(homie, "%%homie\npass")

            name = "%%homie pass, to idle (aim: 3)"
            yield compare(name, warm, lambda: cells(local, "pass"), repeat, beside="local cell")
            yield from beside_px(warm, repeat)
            lines = max(1, repeat // 5)
            yield compare(
                "1e6 lines through %%homie (aim: 1.2)",
                lambda: homie.run(f"%%homie\n{LINES}"),
                lambda: local.run(LINES),
                lines,
                beside="local cell",
                warm_up=0,
            )


def first_cell(homie: "Kernel", pair: Pair, folder: str, env: dict[str, str], repeat: int) -> Comparison:
    """Compare the first cell of a session that a waiting sandbox serves with the start of a local kernel."""
    number = iter(range(1000))

    def ours() -> float:
        wait_for_pool(pair.desk)
        name = f"s{next(number)}"
        spent = homie.run(f"%%homie -s {name}\npass")
        homie.run(f"%homie end {name}")
        return spent

    def theirs() -> float:
        began = time.perf_counter()
        with kernel(folder, env) as started:
            started.run("pass")
            return 1000 * (time.perf_counter() - began)

    return compare("first cell of a session (aim: 0.5)", ours, theirs, repeat, beside="start of a local kernel")


def beside_px(warm: Any, repeat: int) -> Iterator[Result]:
    """Compare a warm cell with ipyparallel's, whose engine is a bare process on this machine."""
    if not shutil.which("ipcluster", path=str(Path(sys.executable).parent)):
        yield Skipped(PX, "ipyparallel is not installed: pip install ipyparallel")
        return
    with tempfile.TemporaryDirectory() as folder, kernel(folder, dict(os.environ)) as px:
        px.run(f"import os; os.environ['IPYTHONDIR'] = {folder!r}")
        px.run("import ipyparallel as ipp\ncluster = ipp.Cluster(n=1)\nclient = cluster.start_and_connect_sync()\n"
               "view = client[:]; view.block = True; view.activate()")  # fmt: skip
        try:
            yield compare(PX, warm, lambda: cells(px, "%%px\npass"), repeat, beside="%%px")
        finally:
            px.run("client.shutdown(hub=True)")


def cells(kernel: "Kernel", code: str) -> float:
    """Return the milliseconds of one cell, measured over several."""
    return sum(kernel.run(code) for _ in range(CELLS)) / CELLS


class Kernel:
    """A notebook's kernel as a front end sees it."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def run(self, code: str) -> float:
        """Run a cell; return the milliseconds until it is idle again."""
        began, id = time.perf_counter(), self._client.execute(code)
        while True:
            message = self._client.get_iopub_msg(timeout=300)
            if message["parent_header"].get("msg_id") != id:
                continue
            assert message["msg_type"] != "error", message["content"]
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                return 1000 * (time.perf_counter() - began)


@contextmanager
def kernel(folder: str, env: dict[str, str]) -> Iterator[Kernel]:
    """Start a kernel; end it afterwards."""
    manager, client = start_new_kernel(cwd=folder, env=env)
    try:
        yield Kernel(client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
