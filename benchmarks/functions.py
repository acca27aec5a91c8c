"""Functions on peers, by the Python API, beside ipyparallel, whose engines are bare processes on this machine."""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import neg
from pathlib import Path
from typing import Any

from pair import Pair

import homie_core as homie
from benchmarks.jobs import wait_for_pool
from benchmarks.pairs import Result, Skipped, compare, milliseconds

CALL = "a warm @homie.remote call (aim: below 20 ms)"
MAP = "1000 trivial items over two warm peers, {} (aim: 1 at most)"
CALLS = 20
"""Calls measured as one value: single ones are too short to compare."""
ITEMS = 1000


def measure(repeat: int) -> Iterator[Result]:
    """Compare a call that waits for its value, and a map over two workers on two peers."""
    one_core = {"container_cpu_limit": "1", "container_memory_limit": "1g"}
    with Pair(desk=one_core) as pair:
        wait_for_pool(pair.join("shelf", **one_core))
        wait_for_pool(pair.desk)
        os.environ["HOMIE_HOME"] = str(pair.laptop.home)
        there = homie.remote(neg)
        one_each = {"cpus": 1, "ram": "1g"}  # of two cores in all: one worker on each peer

        def map_there() -> None:
            assert list(homie.map(neg, range(ITEMS), **one_each)) == [-item for item in range(ITEMS)]

        list(homie.map(time.sleep, [1] * 2, **one_each))  # opens both
        with two_engines() as view:
            if view is None:
                yield Skipped(CALL, "ipyparallel is not installed: pip install ipyparallel")
                return
            yield compare(CALL, each(lambda: there(1)), each(lambda: view.apply_sync(neg, 1)), repeat,
                          beside="ipyparallel apply_sync")  # fmt: skip
            for name, options in (("as they are", {}), ("theirs by 50", {"chunksize": 50})):

                def map_beside(options: dict[str, Any] = options) -> None:
                    assert len(view.map_sync(neg, range(ITEMS), **options)) == ITEMS

                yield compare(MAP.format(name), milliseconds(map_there), milliseconds(map_beside), repeat,
                              beside="ipyparallel map_sync")  # fmt: skip


def each(call: Callable[[], object]) -> Callable[[], float]:
    """Return a measure of the milliseconds of one call."""
    several = milliseconds(lambda: [call() for _ in range(CALLS)])
    return lambda: several() / CALLS


@contextmanager
def two_engines() -> Iterator[Any]:
    """Start two of ipyparallel's engines; yield the view that balances their load, None if it is not installed."""
    if not shutil.which("ipcluster", path=str(Path(sys.executable).parent)):
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        os.environ["IPYTHONDIR"] = folder
        import ipyparallel

        with ipyparallel.Cluster(n=2, log_level=40) as client:
            client.wait_for_engines(2, timeout=60)
            yield client.load_balanced_view()
