"""Nodes with graphics cards that are none: the real pynvml, on a driver library made for the occasion."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pair import Pair

GIB = 1 << 30
SOURCE = Path(__file__).parent / "host" / "fake_nvml.c"


def compile_driver(folder: Path, *flags: str) -> Path:
    """Compile a driver library into this folder; it plays the file that FAKE_NVML names."""
    if not shutil.which("gcc"):
        pytest.skip("no gcc to make a driver library with; install gcc and libc6-dev")
    library = folder / "libnvidia-ml.so.1"
    command = ["gcc", "-shared", "-fPIC", f"-Wl,-soname,{library.name}", *flags, "-o", library, SOURCE]
    subprocess.run(command, check=True, timeout=60)
    return folder


def card(uuid: str, name: str, total: int, free: int | None = None) -> str:
    """Return the line of such a file for one card; memory in GiB."""
    return f"card 0 {uuid} {total * GIB} {(total if free is None else free) * GIB} {name}"


@contextmanager
def pair_with_cards(folder: Path, *cards: str, **settings: str) -> Iterator[Pair]:
    """Two nodes, of which desk has these cards; without a sandbox, for no engine here gives cards to one."""
    state = folder / "cards"
    state.write_text("\n".join(cards))
    pair = Pair(**{"sandbox": "none", **settings})
    pair.desk.env |= {"LD_LIBRARY_PATH": str(compile_driver(folder)), "FAKE_NVML": str(state)}
    with pair:
        yield pair
