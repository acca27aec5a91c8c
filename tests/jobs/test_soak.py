"""Many short jobs, several at a time: none is lost, none runs twice, and the daemons do not grow."""

import pytest

from benchmarks.soak import soak

pytestmark = pytest.mark.docker

JOBS = 120
"""The figures of docs/status.md are of more: `python -m benchmarks soak`."""


def test_many_short_jobs_are_run_once_and_leave_nothing_behind(base_image: str) -> None:
    soak(JOBS, "bubblewrap").check()
