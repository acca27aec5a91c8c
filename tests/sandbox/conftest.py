"""One backend of each kind, and one environment for each, for all tests that run real sandboxes."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_ready import give_environments, keep_environments
from podman_lab import IMAGE
from sandbox_lab import NODE, Lab

from homie_core.sandbox.base import Interpreter
from homie_core.sandbox.bubblewrap import Bubblewrap
from homie_core.sandbox.docker import Docker
from homie_core.sandbox.environments import Environments
from homie_core.sandbox.podman import Podman
from homie_core.sandbox.program import RUNNER_REQUIREMENTS

Prepared = tuple[Docker | Bubblewrap, Interpreter]


@pytest.fixture(scope="session", params=["docker", "podman", "bubblewrap"])
def prepared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    """Each backend in turn; for one alone: `@pytest.mark.parametrize("prepared", ["docker"], indirect=True)`."""
    backend: Docker | Bubblewrap
    match request.param:
        case "docker":
            backend = Docker(request.getfixturevalue("base_image"))
        case "podman":
            lab = request.getfixturevalue("podman_lab")
            backend = Podman(IMAGE, lab.folder, url=lab.start())
        case _:
            backend = Bubblewrap(tmp_path_factory.mktemp("sandboxes"))
    interpreter = asyncio.run(backend.prepare(print))
    yield backend, interpreter
    assert asyncio.run(backend.sweep(NODE, frozenset())) == 0, "a test left a sandbox behind"
    asyncio.run(backend.close())


@pytest.fixture
def lab(prepared: Prepared, tmp_path: Path) -> Iterator[Lab]:
    yield Lab(prepared[0], tmp_path)
    assert asyncio.run(prepared[0].sweep(NODE, frozenset())) == 0, "this test left a sandbox behind"


@pytest.fixture(scope="session")
def runner_environment(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Path:
    (backend, interpreter), home = prepared, tmp_path_factory.mktemp("home")
    give_environments(home)
    environments = Environments(home / "environments", compile=backend.compile)
    ready = asyncio.run(environments.ensure(RUNNER_REQUIREMENTS, interpreter))
    keep_environments(home)
    return ready


@pytest.fixture
def notebook(lab: Lab, runner_environment: Path) -> Lab:
    """The laboratory with what cells need."""
    lab.environment = runner_environment
    return lab
