"""Which kind of sandbox this machine uses: the first that can be made ready and passes the self-test."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from homie_core.config import Config
from homie_core.model.errors import SandboxError
from homie_core.sandbox.bare import Bare
from homie_core.sandbox.base import Backend, Interpreter
from homie_core.sandbox.selftest import NOT_ISOLATED, Verdict, verdict

log = logging.getLogger(__name__)

NO_ISOLATION = "NO ISOLATION: JOBS CAN DO WHATEVER THIS USER CAN"
WAYS_OUT = (
    "Three ways out: install and start an engine (Debian, Ubuntu: `sudo apt install docker.io`, or podman); or "
    "allow user namespaces (`sudo sysctl -w user.max_user_namespaces=15000`; in a container: run it with the "
    "right to make them); or only submit jobs from here (`homie config set sharing false`)"
)

Makers = Mapping[str, Callable[[], Backend]]


@dataclass(frozen=True)
class Choice:
    """A backend that is ready, and what was seen of it."""

    backend: Backend
    interpreter: Interpreter
    verdict: Verdict


def candidates(config: Config, home: Path) -> Makers:
    """Return what may be tried, the best first. Raises SandboxError if the configuration forbids it."""

    # What is not used is not loaded: a daemon is to be small.
    def docker() -> Backend:
        from homie_core.sandbox.docker import Docker

        return Docker(config.container_base_image, runtime=config.sandbox_runtime)

    def podman() -> Backend:
        from homie_core.sandbox.podman import Podman

        return Podman(config.container_base_image, home, runtime=config.sandbox_runtime)

    def bubblewrap() -> Backend:
        from homie_core.sandbox.bubblewrap import Bubblewrap  # Linux only

        return Bubblewrap(home / "sandboxes")

    isolating: Makers = {"docker": docker, "podman": podman, "bubblewrap": bubblewrap}
    if config.sandbox == "none":
        if not IPv4Address(config.listen).is_loopback:
            raise SandboxError(
                f"sandbox: none gives NO ISOLATION, so it is refused while other machines can connect (listen is "
                f"{config.listen}). Run `homie config set listen 127.0.0.1`, or `homie config set sandbox auto`"
            )
        return {"none": Bare}
    return isolating if config.sandbox == "auto" else {config.sandbox: isolating[config.sandbox]}


def better_than(kind: str, makers: Makers) -> Makers:
    """Return what comes before this kind."""
    names = list(makers)
    return {name: makers[name] for name in names[: names.index(kind)]}


async def choose(
    makers: Makers, home: Path, report: Callable[[str], None], said: dict[str, str] | None = None
) -> Choice:
    """Return the first that is fit. Raises SandboxError with the reason of each and the ways out.

    `said` keeps the reasons from one call to the next: each is logged when it changes.
    """
    said = {} if said is None else said
    reasons = []
    for name, make in makers.items():
        try:
            backend = make()
        except (ImportError, SandboxError) as error:
            reasons.append(f"{name}: {error}")
            continue
        try:
            return await _fit(name, backend, home, report)
        except SandboxError as error:
            await backend.close()
            if said.get(name) != str(error):
                log.info("%s is not used: %s", name, error)
            said[name] = str(error)
            reasons.append(f"{name}: {error}")
        except BaseException:
            await backend.close()
            raise
    raise SandboxError(f"no sandbox works on this machine. {' | '.join(reasons)} | {WAYS_OUT}")


async def _fit(name: str, backend: Backend, home: Path, report: Callable[[str], None]) -> Choice:
    interpreter = await backend.prepare(report)
    if name == "none":
        log.warning(NO_ISOLATION)
        return Choice(backend, interpreter, NOT_ISOLATED)
    report(f"testing {backend.name}")
    seen = await verdict(backend, interpreter, home)
    if not seen.isolated:
        raise SandboxError(f"it does not isolate: {seen.why}")
    return Choice(backend, interpreter, seen)
