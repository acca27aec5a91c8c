"""The Python API: functions, sessions and values on peers, for scripts and for notebooks of any kind.

calls.py     a function there: `run`, `submit`, `remote`    mapping.py   many items: `map`
session.py   a session that stays: `Session`                feeding.py   what keeps its workers busy
call.py      what is sent and answered                      workers.py   the warm sessions that calls run in
console.py   what they print                                errors.py    how they fail
asking.py    on which machine, with how much of it          detached.py  jobs that nobody waits for

Used as `import homie_core as homie`, which loads this package at the first use of one of its names.
"""

from homie_core.api.asking import peers
from homie_core.api.calls import Remote, remote, run, submit
from homie_core.api.detached import cancel, get, jobs, logs
from homie_core.api.errors import RemoteError
from homie_core.api.mapping import Map, map
from homie_core.api.session import Session
from homie_core.client.job import Job
from homie_core.model.control import JobView

__all__ = [
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
