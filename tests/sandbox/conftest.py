"""One engine, and one environment, for all tests that run real containers."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from sandbox_lab import NODE, Lab

from homie_core.sandbox.base import Interpreter
from homie_core.sandbox.docker import Docker
from homie_core.sandbox.environments import Environments
from homie_core.sandbox.program import RUNNER_REQUIREMENTS

Prepared = tuple[Docker, Interpreter]


@pytest.fixture(scope="session")
def prepared(base_image: str) -> Iterator[Prepared]:
    backend = Docker(base_image)
    interpreter = asyncio.run(backend.prepare(print))
    yield backend, interpreter
    assert asyncio.run(backend.sweep(NODE, frozenset())) == 0, "a test left a container behind"
    asyncio.run(backend.close())


@pytest.fixture
def lab(prepared: Prepared, tmp_path: Path) -> Lab:
    return Lab(prepared[0], tmp_path)


@pytest.fixture(scope="session")
def runner_environment(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Path:
    backend, interpreter = prepared
    environments = Environments(tmp_path_factory.mktemp("environments"), compile=backend.compile)
    return asyncio.run(environments.ensure(RUNNER_REQUIREMENTS, interpreter))


@pytest.fixture
def notebook(lab: Lab, runner_environment: Path) -> Lab:
    """The laboratory with what cells need."""
    lab.environment = runner_environment
    return lab
