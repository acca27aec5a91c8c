"""Homie: run a script or a notebook cell on a friend's idle machine, and lend yours without fear."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from homie_core.api import (
        Job,
        JobView,
        Map,
        Remote,
        RemoteError,
        Session,
        cancel,
        get,
        jobs,
        logs,
        map,
        peers,
        remote,
        run,
        submit,
    )
    from homie_core.model.errors import HomieError

__version__ = "0.1.0"
__all__ = [
    "HomieError",
    "Job",
    "JobView",
    "Map",
    "Remote",
    "RemoteError",
    "Session",
    "cancel",
    "get",
    "jobs",
    "logs",
    "map",
    "peers",
    "remote",
    "run",
    "submit",
]


def __getattr__(name: str) -> Any:
    """Load the Python API when it is first used: the daemon and the command line do without it."""
    if name == "HomieError":
        from homie_core.model.errors import HomieError

        return HomieError
    if name in __all__:
        from homie_core import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
