"""How a node comes to its sandbox: it looks until there is one, and then for a better one. Here with fakes."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from homie_core.config import Config
from homie_core.daemon import offer as offering
from homie_core.daemon.offer import Offer
from homie_core.daemon.pool import Workshop
from homie_core.model.errors import SandboxError
from homie_core.model.peer import Gpu, Holds
from homie_core.sandbox import choose as choosing
from homie_core.sandbox.base import Interpreter
from homie_core.sandbox.selftest import Verdict
from homie_core.store.journal import Begun


class Engine:
    """A kind of sandbox that works, or says why not."""

    def __init__(self, name: str, trouble: str = "") -> None:
        self.kind = name
        self.name, self.trouble, self.tries, self.open = name, trouble, 0, 0
        self.cards = name == "docker"

    async def prepare(self, report: Callable[[str], None]) -> Interpreter:
        self.tries += 1
        self.open += 1
        report(f"trying {self.name}")
        if self.trouble:
            raise SandboxError(self.trouble)
        return Interpreter("3.12", "x86_64", "2.36")

    async def sweep(self, node: str, keep: frozenset[str]) -> int:
        return 0

    async def compile(self, folder: Path) -> None: ...

    async def close(self) -> None:
        self.open -= 1


class Hosting:
    """As much of it as an offer needs."""

    warm = 1

    def __init__(self) -> None:
        self.workshop: Any = None
        self.busy: list[str] = []
        self.cleared = 0

    def jobs(self) -> list[str]:
        return self.busy

    def begun(self) -> list[Begun]:
        return []

    async def open(self, workshop: Workshop) -> None:
        self.workshop = workshop

    async def clear_pool(self) -> None:
        self.cleared += 1


@pytest.fixture
def kinds(monkeypatch: pytest.MonkeyPatch) -> list[Engine]:
    kinds = [Engine("docker", "no engine"), Engine("bubblewrap")]

    async def verdict(*_: object) -> Verdict:
        return Verdict(True, "", {"memory": Holds.EXACT})

    async def ensure(*_: object) -> Path:
        return Path("/nonexistent")

    makers = {kind.name: lambda kind=kind: kind for kind in kinds}
    monkeypatch.setattr(choosing, "verdict", verdict)
    monkeypatch.setattr(offering, "candidates", lambda *_: makers)
    monkeypatch.setattr(offering, "Environments", lambda *_, **__: SimpleNamespace(ensure=ensure))
    monkeypatch.setattr(offering, "AGAIN", 0.0)
    monkeypatch.setattr(offering, "BETTER", 0.0)
    monkeypatch.setattr(offering, "SELDOM", 0.0)
    return kinds


async def until(happens: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not happens():
            await asyncio.sleep(0)


async def test_a_better_sandbox_that_comes_later_is_taken_when_no_job_is_here(
    kinds: list[Engine], tmp_path: Path
) -> None:
    docker, bubblewrap = kinds
    offer, hosting, announced = Offer(tmp_path, Config(name="desk", group_secret="x")), Hosting(), []
    task = asyncio.create_task(offer.prepare("n" * 64, hosting, lambda: announced.append(offer.sandbox)))  # type: ignore[arg-type]
    await until(lambda: docker.tries > 3)
    assert (offer.sandbox, hosting.workshop.backend, offer.admission.closed) == ("bubblewrap", bubblewrap, "")
    assert offer.capacity().sessions
    assert offer.capacity().warm == hosting.warm == 1
    hosting.busy.append("job")
    docker.trouble, tries = "", docker.tries
    await until(lambda: docker.tries > tries + 3)
    assert offer.sandbox == "bubblewrap"
    assert docker.open <= 1, "what cannot be used yet is let go"
    hosting.busy.clear()
    await until(lambda: offer.sandbox == "docker")
    assert hosting.workshop.backend is docker
    assert (hosting.cleared, bubblewrap.open, docker.open, offer.admission.closed) == (1, 0, 1, "")
    assert announced == ["bubblewrap", "docker"]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await offer.close()
    assert docker.open == 0


async def test_cards_are_offered_where_the_sandbox_can_be_given_them(
    kinds: list[Engine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cards = (Gpu(name="RTX 3080", uuid="GPU-1", vram_total=10, vram_free=9),)
    monkeypatch.setattr(offering, "Gpus", lambda: SimpleNamespace(read=lambda: cards))
    docker, _ = kinds
    offer = Offer(tmp_path, Config(name="desk", group_secret="x"))
    task = asyncio.create_task(offer.prepare("n" * 64, Hosting(), lambda: None))  # type: ignore[arg-type]
    await until(lambda: offer.sandbox == "bubblewrap")
    assert offer.capacity().gpus == ()
    assert "graphics cards are not lent: bubblewrap gives none to jobs; install Docker" in caplog.text
    await offer.watch()
    assert offer.capacity().gpus == ()
    docker.trouble = ""
    await until(lambda: offer.sandbox == "docker")
    await offer.watch()
    assert offer.capacity().gpus == cards
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await offer.close()


async def test_a_reason_is_logged_when_it_changes(
    kinds: list[Engine], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    docker, bubblewrap = kinds
    bubblewrap.trouble = "no namespaces"
    offer = Offer(tmp_path, Config(name="desk", group_secret="x"))
    task = asyncio.create_task(offer.prepare("n" * 64, Hosting(), lambda: None))  # type: ignore[arg-type]
    await until(lambda: docker.tries > 3)
    docker.trouble, tries = "no permission", docker.tries
    await until(lambda: docker.tries > tries + 3)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("homie_core")]
    assert [line for line in lines if not line.startswith("no jobs")] == [
        "trying docker",
        "docker is not used: no engine",
        "trying bubblewrap",
        "bubblewrap is not used: no namespaces",
        "docker is not used: no permission",
    ]
    assert [line[:60] for line in lines if line.startswith("no jobs")] == [
        "no jobs are taken: no sandbox works on this machine. docker:"
    ] * 2
    assert "no permission" in offer.trouble
