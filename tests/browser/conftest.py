"""A real JupyterLab, and a real Chromium that looks at it; two real daemons behind `%%homie`."""

import json
import re
import shutil
from collections.abc import Generator, Iterator

import pytest
from canary import Outside
from lab_page import KEPT, Lab
from lab_server import LabServer
from pair import Pair, packages_of_here
from playwright.sync_api import BrowserContext, sync_playwright

CHROMIUM = shutil.which("chromium") or ""
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--metrics-recording-only",
)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("browser") and not CHROMIUM:
        pytest.skip("not installed: chromium (as root: apt-get install chromium)")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let `lab` know at its end whether the test failed."""
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report


FAILED = pytest.StashKey[bool]()


@pytest.fixture(scope="session")
def pair(base_image: str) -> Iterator[Pair]:
    """`desk` lends so little to each session that several fit onto a small machine."""
    desk = {"container_cpu_limit": "0.5", "container_memory_limit": "512m", "packages": packages_of_here()}
    with Pair(desk=desk) as pair:
        yield pair


@pytest.fixture(scope="session")
def server(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabServer]:
    """JupyterLab on laptop."""
    with LabServer(tmp_path_factory.mktemp("jupyter"), pair.laptop.env) as server:
        yield server


@pytest.fixture(scope="module")
def outside() -> Iterator[Outside]:
    """What the browser takes for the rest of the world."""
    with Outside() as outside:
        yield outside


@pytest.fixture(scope="module")
def context(outside: Outside) -> Iterator[BrowserContext]:
    """A browser; for one module, because while it runs no other test may run an event loop here."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=QUIET, proxy={"server": outside.proxy, "bypass": "127.0.0.1"}
        )
        with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
            yield context
        browser.close()


@pytest.fixture
def lab(request: pytest.FixtureRequest, context: BrowserContext, server: LabServer, pair: Pair) -> Iterator[Lab]:
    """A tab; whatever the page takes for an error fails the test."""
    name = re.sub(r"\W+", "-", request.node.name).strip("-")
    page = context.new_page()
    lab = Lab(page, server, name)
    logged = server.log.stat().st_size
    try:
        yield lab
        if request.node.stash.get(FAILED, False) or lab.errors:
            lab.screenshot(KEPT / f"failed-{name}.png")
            (KEPT / f"failed-{name}.console.log").write_text("\n".join(lab.console))
            (KEPT / f"failed-{name}.server.log").write_bytes(server.log.read_bytes()[logged:])
    finally:
        page.close()
        server.end_kernels()
        for job in json.loads(pair.laptop.homie("jobs", "--json").stdout):
            if job["state"] != "ended":
                pair.laptop.homie("cancel", job["id"])
    assert not lab.errors, f"the page failed; its logs are in {KEPT}"
