"""The real pynvml, in a process of its own, on a driver library made for the occasion."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, cast

import pytest
from cards_lab import compile_driver

from homie_core.host.gpu import Gpus

READER = """
import json, sys
from homie_core.host.gpu import Gpus
gpus = Gpus()
for _ in sys.stdin:
    cards = [[card.name, card.uuid, card.vram_total, card.vram_free] for card in gpus.read()]
    print(json.dumps([cards, gpus.trouble]), flush=True)
"""
RTX = "card 0 GPU-1 {total} {free} NVIDIA GeForce RTX 3080"
GIB = 1 << 30

Look = Callable[[str], tuple[list[list[object]], str]]


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Compile a driver library; returns its folder."""
    return lambda *flags: compile_driver(tmp_path_factory.mktemp("driver"), *flags)


@pytest.fixture
def look(tmp_path: Path, request: pytest.FixtureRequest, driver: Callable[..., Path]) -> Iterator[Look]:
    """Change what the driver says, then read the cards, in one long-lived process."""
    state = tmp_path / "state"
    library = driver(*getattr(request, "param", ()))
    env = os.environ | {"LD_LIBRARY_PATH": str(library), "FAKE_NVML": str(state)}
    command, pipe = [sys.executable, "-c", READER], subprocess.PIPE
    with subprocess.Popen(command, env=env, stdin=pipe, stdout=pipe, text=True) as process:
        asks, answers = cast("tuple[IO[str], IO[str]]", (process.stdin, process.stdout))

        def look(text: str) -> tuple[list[list[object]], str]:
            state.write_text(text, errors="surrogateescape")
            print("look", file=asks, flush=True)
            cards, trouble = json.loads(answers.readline())
            return cards, trouble

        yield look


def test_vram_is_fresh_at_each_read(look: Look) -> None:
    rtx = ["NVIDIA GeForce RTX 3080", "GPU-1", 10 * GIB]
    assert look(RTX.format(total=10 * GIB, free=9 * GIB)) == ([[*rtx, 9 * GIB]], "")
    assert look(RTX.format(total=10 * GIB, free=GIB)) == ([[*rtx, GIB]], "")


def test_a_card_that_falls_off_is_named_and_the_others_stay(look: Look) -> None:
    other = "card 0 GPU-2 200 200 Other"
    assert len(look(RTX.format(total=100, free=60) + "\n" + other)[0]) == 2

    cards, trouble = look(f"card 15 GPU-1 100 60 Thing\n{other}")
    assert cards == [["Other", "GPU-2", 200, 200]]
    assert trouble == "card 0: it fell off the bus; restart this machine"

    cards, trouble = look(RTX.format(total=100, free=60) + "\n" + other)
    assert (len(cards), trouble) == (2, "")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (9, "not loaded"),
        (18, "updated under the running one"),
        (4, "rights of /dev/nvidia"),
        (777, "error 777"),
    ],
)
def test_a_driver_that_does_not_start_says_why_and_may_come_later(look: Look, code: int, words: str) -> None:
    for _ in range(2):
        cards, trouble = look(f"init {code}\n{RTX.format(total=100, free=60)}")
        assert cards == []
        assert words in trouble
    assert look(f"init 0\n{RTX.format(total=100, free=60)}")[1] == ""


def test_a_driver_that_goes_away_is_opened_anew(look: Look) -> None:
    card = RTX.format(total=100, free=60)
    assert look(f"count 0\n{card}")[1] == ""
    assert look(f"count 9\n{card}") == (
        [],
        "the NVIDIA driver is installed but not loaded; `nvidia-smi` says more",
    )
    assert look(f"count 0\n{card}")[1] == ""


@pytest.mark.parametrize("look", [("-DOLD_DRIVER",)], indirect=True)
def test_a_driver_without_a_function_that_is_needed(look: Look) -> None:
    assert look(RTX.format(total=100, free=60)) == ([], "the NVIDIA driver is too old; update it")


def test_answers_without_sense_are_bounded(look: Look) -> None:
    cards, trouble = look(f"card 0 GPU-1 100 400 \x1b[2J{'x' * 90}\ncard 0 ../../etc 1 1 bad")
    assert cards == [["[2J" + "x" * 77, "GPU-1", 100, 100]]
    assert trouble == "card 1: the driver names it '../../etc', which is no id"

    cards, trouble = look("card 0 GPU-1 1 1 \udcff")
    assert cards == []
    assert "can't decode" in trouble

    assert len(look("\n".join(f"card 0 GPU-{number} 1 1 many" for number in range(20)))[0]) == 16


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.setattr("ctypes.CDLL", lambda name: None)
    gpus = Gpus()
    assert gpus.read() == ()
    assert "nvidia-ml-py cannot be loaded" in gpus.trouble


def test_without_a_driver_its_package_is_not_loaded() -> None:
    code = (
        "import ctypes, sys; from homie_core.host.gpu import Gpus; g = Gpus(); "
        "print(len(g.read()), g.trouble, 'pynvml' in sys.modules)"
    )
    no_library = "import ctypes\nclass CDLL:\n  def __init__(*_): raise OSError\nctypes.CDLL = CDLL\n"
    done = subprocess.run([sys.executable, "-c", no_library + code], capture_output=True, text=True, check=True)
    assert done.stdout == "0 no NVIDIA driver is installed False\n"
