"""What the runner is to start for a job."""

from homie_core.model.job import JobSpec, Kind, Limits
from homie_core.model.wire import Frozen
from homie_core.sandbox.base import ENVIRONMENTS, RUNNER, WORK

KERNEL = ("python3", "-P", f"{RUNNER}/homie_core/runner/kernel.py")
"""What a session runs."""

HOME = "/tmp"  # noqa: S108 - inside: private to the job
RUNNER_REQUIREMENTS = ("cloudpickle>=3.1", "ipykernel>=7.1", "ipywidgets>=8.1")
"""What a session finds, whatever the image has."""

SILENCE = 60.0
"""Seconds that a runner waits longer for a word from outside than a session may be idle: its host comes first."""


class Program(Frozen, frozen=True):
    """A program and how it is run; as JSON, the payload of the runner's START."""

    argv: tuple[str, ...]
    env: dict[str, str]
    timeout: float
    """Seconds of running time; in a session, seconds without a word from outside."""
    cwd: str = WORK
    session: bool = False
    """Whether it is a kernel that is spoken to."""
    lease: float | None = None
    """Until when it may run unless that is renewed, in seconds of `boottime`; None: as long as it takes."""


def program(spec: JobSpec, limits: Limits, environments: int = 0) -> Program:
    """Return how the job is run, with so many environments mounted, the first found first."""
    if spec.kind is Kind.SESSION:
        return session_program(limits, environments)
    env = {**_environment(limits, environments), "MPLBACKEND": "agg"}
    argv = ("python3", f"{WORK}/{spec.entry}", *spec.args)
    return Program(argv=argv, env=env, timeout=limits.timeout)


def session_program(limits: Limits, environments: int) -> Program:
    """Return how a session's kernel is run; the same whatever the session, so it may be started in advance."""
    env = {**_environment(limits, environments), "TERM": "xterm-color"}
    timeout = limits.timeout + limits.idle + SILENCE
    return Program(argv=KERNEL, env=env, timeout=timeout, session=True)


def _environment(limits: Limits, environments: int) -> dict[str, str]:
    threads = str(max(1, int(limits.cpus)))
    # A container has no other cards than these anyway; without a sandbox nothing else tells a job its own.
    cards = {"CUDA_VISIBLE_DEVICES": ",".join(limits.gpus)} if limits.gpus else {}
    return {
        **cards,
        "HOME": HOME,
        "IPYTHONDIR": f"{HOME}/.ipython",
        "LANG": "C.UTF-8",
        "MPLCONFIGDIR": f"{HOME}/.matplotlib",
        "OMP_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "PYTHONPATH": ":".join(f"{ENVIRONMENTS}/{number}" for number in range(environments)),
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",
        "TERM": "dumb",
        "USER": "job",
    }
