"""What all tests share: short temporary homes, the Docker engine's presence, and no silent skips in CI."""

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from podman_lab import PodmanLab, missing_podman, scratch

from homie_core.client import start

ROOT = Path(__file__).parents[1]
BASE_IMAGE = os.environ.get("HOMIE_TEST_IMAGE", "homie-base:bookworm")
os.environ.setdefault("CONTAINER_HOST", "unix:///nonexistent/podman.sock")
"""No test uses this machine's own Podman; those that want one make it: `podman_lab`."""
IN_CI = os.environ.get("CI") == "true"


@pytest.fixture(autouse=True)
def _no_real_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that forgets to say which home it means finds none, never the developer's own."""
    monkeypatch.setenv("HOMIE_HOME", "/nonexistent/homie")


@pytest.fixture(autouse=True)
def _reaped() -> Iterator[None]:
    """Daemons that a test started and ended leave no zombies behind."""
    yield
    start._started[:] = [daemon for daemon in start._started if daemon.poll() is None]


@pytest.fixture
def short_tmp() -> Iterator[Path]:
    """A private folder with a short path: a Unix socket has room for 108 bytes, tmp_path may be longer."""
    folder = Path(tempfile.mkdtemp(prefix="hm-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def homie_home(short_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A HOMIE_HOME of this test alone, not made yet, short enough for the control socket."""
    home = short_tmp / "home"
    monkeypatch.setenv("HOMIE_HOME", str(home))
    return home


@pytest.fixture(scope="session")
def base_image() -> str:
    """The image that jobs run in; the test is skipped (in CI: fails) without an engine that has it."""
    if missing := missing_engine():
        pytest.skip(missing)
    return BASE_IMAGE


@pytest.fixture(scope="session")
def podman_lab() -> Iterator[PodmanLab]:
    """A Podman of this test run alone, with the base image; its engine does not run yet."""
    if missing := missing_podman():
        pytest.skip(missing)
    with scratch("hp-") as folder, PodmanLab(folder) as lab:
        yield lab


@functools.cache
def missing_engine() -> str:
    """Return why Docker tests cannot run here; empty if they can."""
    check = [sys.executable, "-W", "ignore", ROOT / "scripts" / "base_image.py", "--check"]
    done = subprocess.run(check, capture_output=True, text=True, timeout=60, check=False)
    return (done.stdout + done.stderr).strip() if done.returncode else ""


def pytest_runtest_setup(item: pytest.Item) -> None:
    """The marker alone is enough: no test needs to ask for the engine itself."""
    if item.get_closest_marker("docker") and (missing := missing_engine()):
        pytest.skip(missing)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI nothing may be skipped: what was not run was not tested."""
    report = yield
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not allow: {call.excinfo and call.excinfo.value}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for whole modules."""
    report = yield
    if IN_CI and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"{collector.nodeid}: skipped, which CI does not allow: {report.longrepr}"
    return report
