"""Whole notebooks on a kernel whose code runs on a peer show the same as on a kernel here.

Those of one kind run as one long notebook, here and there: a new session for each would cost minutes.
"""

import asyncio
import os

import pytest
from notebook_runs import difference, filtered, run
from notebook_set import LIBRARIES, NOTEBOOKS, RICH, TEXT, TRUSTED
from pair import Pair, packages_of_here
from test_notebooks import FILTERED, MATPLOTLIB

pytestmark = [
    pytest.mark.docker,
    # jupyter_client on its way to a new event loop policy; nothing of ours
    pytest.mark.filterwarnings("ignore::DeprecationWarning:jupyter_client"),
]
KERNEL = "homie-desk"


@pytest.fixture(scope="module")
def pair(base_image):
    with Pair(desk={"packages": packages_of_here(), "session_idle_timeout": "30"}) as pair:
        yield pair


@pytest.fixture
def twice(pair, tmp_path, monkeypatch):
    """`await twice(*notebooks)`: run all their cells here, and on desk; return both notebooks."""
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    monkeypatch.setenv("HOMIE_HOME", str(pair.laptop.home))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("MPLCONFIGDIR", str(MATPLOTLIB))
    pair.laptop.homie("kernel", "install", "--name", "desk", env=dict(os.environ))

    async def twice(*notebooks):
        cells = [cell for notebook in notebooks for cell in notebook]
        runs = []
        for kernel in ("python3", KERNEL):
            (folder := tmp_path / kernel).mkdir()
            runs.append(run(cells, folder, kernel=kernel))
        before = _sessions(pair)
        here, there = await asyncio.gather(*runs)
        assert _sessions(pair) == before + 1, "one ran on desk"
        return here, there

    return twice


def _sessions(pair):
    return (pair.desk.home / "daemon.log").read_text().count(" accepted: session")


@pytest.mark.parametrize("kind", [TEXT, RICH, LIBRARIES], ids=["text", "rich", "libraries"])
async def test_they_show_the_same(kind, twice):
    """But for what the filter takes away, which has tests of its own."""
    here, there = await twice(*kind.values())
    assert (found := difference(filtered(here), there)) == "", f"\n{found[:5000]}"


async def test_of_a_trusted_peer_all_is_the_same(pair, twice):
    pair.laptop.homie("trust", "desk")
    try:
        here, there = await twice(*((NOTEBOOKS | TRUSTED)[name] for name in (*FILTERED, *TRUSTED)))
    finally:
        pair.laptop.homie("untrust", "desk")
    assert (found := difference(here, there)) == "", f"\n{found[:5000]}"
