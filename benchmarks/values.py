"""A large array to a session and back, beside scp of as many bytes to an sshd of our own on loopback."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pair import Pair, packages_of_here

from benchmarks.cells import kernel
from benchmarks.pairs import Result, Skipped, compare, megabytes_per_second
from benchmarks.transfer import loopback_sshd

SIZE = int(os.environ.get("HOMIE_BENCH_MB", "1000")) * 1_000_000
THERE, BACK = (f"numpy array of {SIZE // 1_000_000} MB, {way} (aim: 300 MB/s)" for way in ("there", "and back"))


def measure(repeat: int) -> Iterator[Result]:
    """Compare `%homie push` and `%homie pull` of an array with scp, which knows files only."""
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if not sshd or not shutil.which("scp"):
        yield from (
            Skipped(name, "no sshd and scp here (apt-get install openssh-server)") for name in (THERE, BACK)
        )
        return
    lends = {"packages": packages_of_here(), "container_memory_limit": "6g", "container_disk_limit": "6g"}
    with tempfile.TemporaryDirectory(prefix="homie-bench-") as name, Pair(desk=lends) as pair:
        env, data = {**os.environ, "HOMIE_HOME": str(pair.laptop.home)}, Path(name) / "data.bin"
        with kernel(name, env) as notebook, loopback_sshd(sshd, Path(name)) as scp:
            notebook.run("%load_ext homie_jupyter")
            notebook.run(f"import numpy as np\nx = np.arange({SIZE // 8})\nx.tofile({str(data)!r})")
            notebook.run("%%homie\nimport numpy")

            def copy() -> None:
                subprocess.run([*scp, data, f"127.0.0.1:{name}/copy"], check=True, stderr=subprocess.DEVNULL)

            for title, line in ((THERE, "%homie push x"), (BACK, "%homie pull x")):
                sides = (
                    megabytes_per_second(SIZE, lambda line=line: notebook.run(line)),
                    megabytes_per_second(SIZE, copy),
                )
                yield compare(title, *sides, repeat, beside="scp", unit="MB/s")
