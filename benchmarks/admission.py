"""A host that is asked for too much: 1000 submits of two submitters at once, and 100 places to wait."""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pair import Pair
from rush import Member, Rush, rush, submit

from benchmarks.pairs import Comparison, Result

SUBMITS = 1000
PROMISED = 200.0
"""ms that 95 of 100 answers do not exceed."""
LONG = "import time\ntime.sleep(600)\n"


def measure(repeat: int) -> Iterator[Result]:
    """Compare with what is promised."""
    found = [asyncio.run(_rush()) for _ in range(repeat)]
    for each in found:
        assert (sorted(each.accepted.values()), each.refused.total()) == ([50, 50], SUBMITS - 100), each
    answers = tuple(each.p95 * 1000 for each in found)
    yield Comparison(f"{SUBMITS} submits, p95 of an answer", "promised", "ms", answers, (PROMISED,) * repeat)


async def _rush() -> Rush:
    with tempfile.TemporaryDirectory() as folder, Pair(sandbox="none", desk={"max_jobs": "1"}) as pair:
        members = [Member(Path(folder) / name, pair.desk) for name in ("ana", "ben")]
        async with members[0].link() as link:
            await submit(link, LONG)
        return await rush(members, SUBMITS // 2, "pass")
