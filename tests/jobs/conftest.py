"""Two real daemons on loopback, shared by the tests of a module; each test works in a folder of its own."""

from collections.abc import Callable, Iterator

import pytest
from pair import Pair


@pytest.fixture(scope="module")
def pair(base_image: str) -> Iterator[Pair]:
    with Pair() as pair:
        yield pair


@pytest.fixture(scope="session")
def pair_on(base_image: str, request: pytest.FixtureRequest) -> Callable[..., Pair]:
    """`pair_on(kind, **settings)`: a pair whose desk, with these settings, has sandboxes of this kind."""

    def pair_on(kind: str, **settings: str) -> Pair:
        pair = Pair(desk={"sandbox": kind, **settings})
        if kind == "podman":
            request.getfixturevalue("podman_lab").lend(pair.desk.env)
        return pair

    return pair_on


@pytest.fixture
def run(pair, tmp_path, monkeypatch):
    """`run(source, *arguments, options=(...))`: run a script on desk, in the test's own folder."""
    monkeypatch.chdir(tmp_path)

    def run(source, *arguments, options=(), **changes):
        (tmp_path / "script.py").write_text(source)
        return pair.laptop.homie("run", *options, "script.py", *arguments, **{"check": False, **changes})

    return run
