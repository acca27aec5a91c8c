"""Several hosts on one machine; needs root (in CI a test that cannot run fails)."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import lab
import pytest


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
