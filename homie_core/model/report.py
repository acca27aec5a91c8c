"""How the jobs stand that a host has of one submitter, who asks about many at a time and follows none."""

from typing import Annotated

from msgspec import Meta

from homie_core.model.event import Queued
from homie_core.model.job import Outcome, State
from homie_core.model.names import JobId
from homie_core.model.wire import Frozen

MAX_REPORTS = 1000
"""Jobs that one request may ask about."""

Number = Annotated[int, Meta(ge=0, lt=2**62)]
"""Of an event; 0: none yet."""


class ReportRequest(Frozen, frozen=True):
    """How do these jobs of mine stand?"""

    jobs: Annotated[tuple[JobId, ...], Meta(min_length=1, max_length=MAX_REPORTS)]


class Report(Frozen, frozen=True, tag="report"):
    """How a job stands at its host."""

    job: JobId
    state: State
    newest: Number
    """Its newest event."""
    collected: Number = 0
    """The event that names its files."""
    waits: Queued | None = None
    """Where and for what, while it waits."""
    outcome: Outcome | None = None
    """How it ended, if it has."""


class Gone(Frozen, frozen=True, tag="gone"):
    """Its host knows no such job of the caller's, or not any more."""

    job: JobId
    why: Annotated[str, Meta(max_length=1000)]


class Reports(Frozen, frozen=True):
    """One answer for each job that was asked about, in any order."""

    jobs: Annotated[tuple[Report | Gone, ...], Meta(max_length=MAX_REPORTS)]
