"""What a daemon costs its owner while nobody needs it: little memory, and nothing loaded that it does not use."""

import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from pair import Node, Pair

from homie_core.client import Client

pytestmark = pytest.mark.docker

MOST_MEMORY = 64e6
"""Bytes that are resident; 60 MB is the aim, docs/status.md says what is measured."""
FALLS_WITHIN = 20.0
"""Seconds after which what a job needed is given back."""
NOT_NEEDED = {"IPython", "click", "docker", "ipykernel", "pynvml", "requests", "rich", "urllib3", "uv"}


@pytest.fixture(scope="module")
def hosts(base_image: str) -> Iterator[Pair]:
    """Two hosts, one on Docker, one on bubblewrap, that write into their logs what they import."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPROFILEIMPORTTIME", "1")
        with Pair(desk={"sandbox": "docker"}, laptop={"sandbox": "bubblewrap", "sharing": "true"}) as pair:
            for node in (pair.desk, pair.laptop):
                node.wait_until_warm()
            yield pair


@pytest.fixture(params=["desk", "laptop"], ids=["docker", "bubblewrap"])
def host(hosts: Pair, request: pytest.FixtureRequest) -> Node:
    return getattr(hosts, request.param)


def memory(node: Node) -> int:
    return psutil.Process(Client(node.home).status().pid).memory_info().rss


def imported(node: Node) -> set[str]:
    """Return the modules that the daemon has loaded in its life."""
    lines = (node.home / "daemon.log").read_text().splitlines()
    return {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}


def test_an_idle_daemon_is_small(host: Node) -> None:
    assert memory(host) < MOST_MEMORY


def test_a_daemon_gives_back_what_a_job_needed(hosts: Pair, host: Node, tmp_path: Path) -> None:
    other = hosts.laptop if host is hosts.desk else hosts.desk
    (tmp_path / "job.py").write_text("open('out', 'wb').write(bytes(64 << 20))\nprint('x' * (1 << 20))\n")
    other.homie("run", "-n", host.name, "job.py", cwd=tmp_path)
    until = time.monotonic() + FALLS_WITHIN
    while memory(host) > MOST_MEMORY and time.monotonic() < until:
        time.sleep(0.1)
    assert memory(host) < MOST_MEMORY


def test_a_daemon_loads_only_what_it_uses(host: Node) -> None:
    loaded = {module.partition(".")[0] for module in imported(host)}
    assert {"aiohttp", "homie_core"} <= loaded
    assert loaded & NOT_NEEDED == set()


def test_a_daemon_loads_only_the_kind_of_sandbox_that_it_uses(hosts: Pair) -> None:
    docker = {f"homie_core.sandbox.{part}" for part in ("docker", "engine", "engine_client")}
    others = {f"homie_core.sandbox.{part}" for part in ("bubblewrap", "podman")}
    assert imported(hosts.desk) & (docker | others) == docker
    assert imported(hosts.laptop) & (docker | others) == {"homie_core.sandbox.bubblewrap"}
