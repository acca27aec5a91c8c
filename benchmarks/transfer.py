"""A large file to a peer and back, against scp to an sshd of our own on loopback."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import SOCK_STREAM, create_connection

from pair import Pair, free_port

from benchmarks.pairs import Result, Skipped, compare, megabytes_per_second

SIZE = int(os.environ.get("HOMIE_BENCH_MB", "500")) * 1_000_000
UP, DOWN = f"upload of {SIZE // 1_000_000} MB", f"download of {SIZE // 1_000_000} MB"
READ = "import os; print(os.path.getsize('data.bin'))"
WRITE = f"""import os
block = os.urandom(1_000_000)
with open("out.bin", "wb") as file:
    for _ in range({SIZE // 1_000_000}):
        file.write(block)
"""


def measure(repeat: int) -> Iterator[Result]:
    """Compare whole commands: `homie run` has the start of a sandbox in it, scp its handshake."""
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if not sshd or not shutil.which("scp"):
        yield from (Skipped(name, "no sshd and scp here (apt-get install openssh-server)") for name in (UP, DOWN))
        return
    with tempfile.TemporaryDirectory(prefix="homie-bench-") as name, Pair() as pair:
        folder = Path(name)
        data = folder / "data.bin"
        _fill(data)
        (folder / "read.py").write_text(READ)
        (folder / "write.py").write_text(WRITE)
        with loopback_sshd(sshd, folder) as scp:

            def homie_up() -> None:
                # a file that the peer has already might not travel: change it, as scp would not notice
                _touch(data)
                done = pair.laptop.homie("run", "-n", "desk", "-f", data.name, "read.py", cwd=folder, timeout=300)
                assert done.stdout == f"{SIZE}\n"

            def homie_down() -> None:
                results = folder / "results"
                pair.laptop.homie("run", "-n", "desk", "-o", results, "write.py", cwd=folder, timeout=300)
                assert (results / "out.bin").stat().st_size == SIZE
                shutil.rmtree(results)

            def scp_up() -> None:
                subprocess.run([*scp, data, f"127.0.0.1:{folder}/copy"], check=True, stderr=subprocess.DEVNULL)

            def scp_down() -> None:
                subprocess.run([*scp, f"127.0.0.1:{data}", folder / "copy"], check=True, stderr=subprocess.DEVNULL)

            for title, ours, theirs in ((UP, homie_up, scp_up), (DOWN, homie_down, scp_down)):
                sides = (megabytes_per_second(SIZE, ours), megabytes_per_second(SIZE, theirs))
                yield compare(title, *sides, repeat, beside="scp", unit="MB/s")


@contextmanager
def loopback_sshd(sshd: str, folder: Path) -> Iterator[list[str]]:
    """Run an sshd with keys of its own on 127.0.0.1; yield the scp command that reaches it."""
    keys = folder / "keys"
    keys.mkdir(mode=0o700)
    for key in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", keys / key], check=True)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd as root does not start without it
    port = free_port(SOCK_STREAM)
    (keys / "config").write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {keys}/host\nAuthorizedKeysFile {keys}/user.pub\n"
        "PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
        "Subsystem sftp internal-sftp\n"
    )
    options = ["IdentitiesOnly=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "Compression=no"]
    scp = [
        "scp",
        "-q",
        "-F",
        "none",
        "-P",
        str(port),
        "-i",
        str(keys / "user"),
        *(f"-o{each}" for each in options),
    ]
    log = keys / "log"
    with subprocess.Popen([sshd, "-D", "-f", keys / "config", "-E", log]) as server:
        try:
            _wait_for(port, server, log)
            yield scp
        finally:
            server.terminate()


def _wait_for(port: int, server: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + 10
    while True:
        try:
            create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            if server.poll() is not None or time.monotonic() > until:
                sys.exit(f"sshd did not start: {log.read_text()}")
            time.sleep(0.02)


def _fill(path: Path) -> None:
    """Write SIZE bytes that do not compress."""
    with path.open("wb") as file:
        for number in range(SIZE // 1_000_000):
            block = hashlib.shake_128(number.to_bytes(4, "big")).digest(1_000_000)
            file.write(block)


def _touch(path: Path) -> None:
    """Give the file another content, at its beginning."""
    with path.open("r+b") as file:
        file.write(os.urandom(32))
