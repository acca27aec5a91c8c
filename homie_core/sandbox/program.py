"""What the runner is to start for a job."""

from homie_core.model.job import JobSpec, Kind, Limits
from homie_core.model.wire import Frozen
from homie_core.sandbox.base import ENVIRONMENTS, RUNNER, WORK

CELL = f"{RUNNER}/homie_core/runner/cell.py"


HOME = "/tmp"  # noqa: S108 - inside: private to the job
RUNNER_REQUIREMENTS = ("ipykernel>=6.29", "ipython>=8.20")
"""What a cell needs around it, whatever the image has."""


class Program(Frozen, frozen=True):
    """A program and how it is run; as JSON, the payload of the runner's START."""

    argv: tuple[str, ...]
    env: dict[str, str]
    timeout: float
    """Seconds of running time."""
    cwd: str = WORK
    report: bool = False
    """Whether it reports its exception apart (a cell)."""


def program(spec: JobSpec, limits: Limits, environments: int = 0) -> Program:
    """Return how the job's entry is run, with so many environments mounted, the first found first."""
    env = _environment(limits, environments)
    entry = f"{WORK}/{spec.entry}"
    if spec.kind is Kind.CELL:
        return Program(argv=(*_CELL, entry), env=env, timeout=limits.timeout, report=True)
    return Program(argv=("python3", entry, *spec.args), env=env, timeout=limits.timeout)


def preparation(limits: Limits, environments: int) -> Program:
    """Return what may be started before the job is known: a cell that waits to hear which."""
    env = _environment(limits, environments)
    return Program(argv=(*_CELL, ""), env=env, timeout=limits.timeout, report=True)


_CELL = ("python3", "-P", CELL)


def _environment(limits: Limits, environments: int) -> dict[str, str]:
    threads = str(max(1, int(limits.cpus)))
    return {
        "HOME": HOME,
        "IPYTHONDIR": f"{HOME}/.ipython",
        "LANG": "C.UTF-8",
        "MPLCONFIGDIR": f"{HOME}/.matplotlib",
        "MPLBACKEND": "agg",
        "OMP_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "PYTHONPATH": ":".join(f"{ENVIRONMENTS}/{number}" for number in range(environments)),
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",
        "TERM": "dumb",
        "USER": "job",
    }
