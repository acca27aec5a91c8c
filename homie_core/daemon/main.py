"""`homie-daemon`: the node in the foreground, with its log on standard error; SIGTERM ends it cleanly."""

import argparse
import asyncio
import fcntl
import logging
import os
import signal
import sys
from pathlib import Path

from homie_core import __version__
from homie_core.config import Config, config_file, home, load
from homie_core.model.errors import HomieError

log = logging.getLogger(__name__)


DESCRIPTION = """Run this machine's Homie daemon in the foreground, for service managers.

Its log goes to standard error. SIGTERM or Ctrl-C ends it cleanly: running jobs are stopped and their submitters
are told. `homie up` does the same in the background."""


def main() -> None:
    """Be the daemon; the way to read its two options is one that aiohttp has loaded anyway."""
    parser = argparse.ArgumentParser(
        prog="homie-daemon", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="Log every probe and every dropped datagram too."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s, version {__version__}")
    verbose = parser.parse_args().verbose
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(asctime)s %(levelname)-7s %(message)s",
        stream=sys.stderr,
    )
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    try:
        folder = home()
        config = load(config_file(folder))
        lock = _lock(folder)
        asyncio.run(_run(folder, config))
        os.close(lock)
    except HomieError as error:
        log.error("%s", error)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


async def _run(folder: Path, config: Config) -> None:
    from homie_core.daemon.node import Node

    node = Node(folder, config)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, node.shutdown)
    await node.run(lambda: log.info("%s is up, port %d", config.name, config.worker_port))


def _lock(folder: Path) -> int:
    """Hold the home folder for this daemon alone, as long as the process lives."""
    lock = os.open(folder / "daemon.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise HomieError(f"a daemon runs already for {folder}; end it with `homie down`") from error
    return lock
