"""Several hosts on one machine; needs root (in CI a test that cannot run fails)."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import lab
import pytest
from machines import Machine


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("netns") and (missing := lab.missing()):
        pytest.skip(missing)


@pytest.fixture(scope="session")
def _clean() -> None:
    lab.sweep()


@pytest.fixture
def make_lab(_clean: None) -> Iterator[Callable[[int], lab.Lab]]:
    """Make LANs of so many hosts; they are taken down after the test."""
    with ExitStack() as labs:
        yield lambda hosts: labs.enter_context(lab.Lab(hosts))


@pytest.fixture
def machines(make_lab, short_tmp, base_image):
    """Three homes in one LAN, not yet set up."""
    lan = make_lab(3)
    names = ("laptop", "desk", "stranger")
    machines = [Machine(lan.host(i), short_tmp, name, base_image) for i, name in enumerate(names, 1)]
    yield machines
    for machine in machines:
        machine.down()
