"""What a host costs its owner while nobody needs it: a daemon with a peer, and one sandbox that waits."""

import time
from collections.abc import Iterator

import psutil
from pair import Pair

from benchmarks.jobs import wait_for_pool
from benchmarks.pairs import Comparison, Result
from homie_core.client import Client

SECONDS = 30.0
MOST_CPU = 0.5
"""Percent of one core."""
MOST_MEMORY = 60.0
"""MB (1,000,000 bytes) that are resident."""


def measure(repeat: int) -> Iterator[Result]:
    """Compare with what is promised."""
    cpu, memory = [], []
    with Pair() as pair:
        wait_for_pool(pair.desk)
        daemon = psutil.Process(Client(pair.desk.home).status().pid)
        for _ in range(repeat):
            before = sum(daemon.cpu_times()[:2])
            time.sleep(SECONDS)
            cpu.append((sum(daemon.cpu_times()[:2]) - before) / SECONDS * 100)
            memory.append(daemon.memory_info().rss / 1e6)
    yield Comparison("idle daemon: CPU", "promised", "%", tuple(cpu), (MOST_CPU,) * repeat)
    yield Comparison("idle daemon: memory", "promised", "MB", tuple(memory), (MOST_MEMORY,) * repeat)
