"""Two real daemons on loopback, shared by the tests of a module; each test works in a folder of its own."""

from collections.abc import Iterator

import pytest
from pair import Pair


@pytest.fixture(scope="module")
def pair(base_image: str) -> Iterator[Pair]:
    with Pair() as pair:
        yield pair


@pytest.fixture
def run(pair, tmp_path, monkeypatch):
    """`run(source, *arguments, options=(...))`: run a script on desk, in the test's own folder."""
    monkeypatch.chdir(tmp_path)

    def run(source, *arguments, options=(), **changes):
        (tmp_path / "script.py").write_text(source)
        return pair.laptop.homie("run", *options, "script.py", *arguments, **{"check": False, **changes})

    return run
