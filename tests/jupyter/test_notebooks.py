"""The same notebooks here and with `%%homie` on top of each cell: what they show is the same.

Those of one kind run as one long notebook, here and there: kernels and a session for each would cost minutes.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from notebook_runs import difference, filtered, run
from notebook_set import LIBRARIES, NOTEBOOKS, RICH, TEXT, TRUSTED
from pair import Pair, packages_of_here

MAGIC = "%%homie"
MATPLOTLIB = Path(__file__).parents[2] / ".cache" / "test" / "matplotlib"
"""Its list of fonts, which takes seconds to make."""
FILTERED = ("html", "svg", "json and others", "objects that know how they look", "pandas")
"""Notebooks that the filter changes."""

pytestmark = [
    pytest.mark.docker,
    # jupyter_client on its way to a new event loop policy; nothing of ours
    pytest.mark.filterwarnings("ignore::DeprecationWarning:jupyter_client"),
]


@pytest.fixture(scope="module")
def pair(base_image: str) -> Iterator[Pair]:
    desk = {
        "packages": packages_of_here(),
        # The session of a notebook that failed must not keep the next one waiting for long.
        "session_idle_timeout": "30",
    }
    with Pair(desk) as pair:
        yield pair


@pytest.fixture
def twice(pair, tmp_path, monkeypatch):
    """`await twice(*notebooks)`: run all their cells here, and with the magic on top; return both notebooks."""
    monkeypatch.setenv("HOMIE_HOME", str(pair.laptop.home))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("MPLCONFIGDIR", str(MATPLOTLIB))

    async def twice(*notebooks):
        cells = [cell for notebook in notebooks for cell in notebook]
        runs = []
        for magic in ("", MAGIC):
            (folder := tmp_path / f"with{magic}").mkdir()
            runs.append(run(cells, folder, magic))
        return await asyncio.gather(*runs)

    return twice


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


@pytest.mark.parametrize("name", TRUSTED)
async def test_what_needs_trust_is_not_shown_without(name, twice):
    here, there = await twice(TRUSTED[name])
    (said,) = [output.text for output in there.cells[1].outputs if output.output_type == "stream"]
    assert said.startswith("homie: ")
    assert "desk" in said
    assert difference(filtered(here), there)
