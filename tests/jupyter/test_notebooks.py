"""The same notebooks here and with `%%homie` on top of each cell: what they show is the same."""

import asyncio
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from notebook_runs import difference, run
from notebook_set import JAVASCRIPT, NOTEBOOKS, PACKAGES
from pair import Pair

MAGIC = "%%homie"
"""On top of each cell of the second run. Empty, two runs here are compared: what differs then is no fault of Homie's."""
MATPLOTLIB = Path(__file__).parents[2] / ".cache" / "test" / "matplotlib"
"""Its list of fonts, which takes seconds to make."""

pytestmark = [
    pytest.mark.docker,
    # jupyter_client on its way to a new event loop policy; nothing of ours
    pytest.mark.filterwarnings("ignore::DeprecationWarning:jupyter_client"),
]


@pytest.fixture(scope="module")
def pair(base_image: str) -> Iterator[Pair]:
    with Pair(desk={"packages": ", ".join(f"{name}=={version(name)}" for name in PACKAGES)}) as pair:
        yield pair


@pytest.fixture
def twice(pair, tmp_path, monkeypatch):
    """`await twice(cells)`: run them here, and as they shall be the same; return both notebooks."""
    monkeypatch.setenv("HOMIE_HOME", str(pair.laptop.home))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("MPLCONFIGDIR", str(MATPLOTLIB))

    async def twice(cells):
        runs = []
        for number, magic in enumerate(("", MAGIC)):
            (folder := tmp_path / str(number)).mkdir()
            runs.append(run(cells, folder, magic))
        return await asyncio.gather(*runs)

    return twice


@pytest.mark.parametrize("name", NOTEBOOKS)
async def test_it_shows_the_same(name, twice):
    here, there = await twice(NOTEBOOKS[name])
    assert (found := difference(here, there)) == "", f"\n{found[:5000]}"


@pytest.mark.parametrize("name", JAVASCRIPT)
async def test_scripts_of_a_peer_do_not_come_through(name, twice):
    here, there = await twice(JAVASCRIPT[name])
    assert bool(difference(here, there)) == bool(MAGIC)
