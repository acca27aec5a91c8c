"""The lease of a job that may be started again elsewhere: it runs only while its submitter is heard.

What comes over a network may be late by minutes, and no clock here knows the time there. So a renewal brings back
a ticket, and counts from the moment at which its host had handed that out: that is before it was sent. Its
submitter counts from the moment at which it sent the last renewal. So when it has sent none for as long as the
lease is, and `MARGIN`, the job runs nowhere any more, whatever was lost, late or doubled, as long as the two
clocks drift apart by less than `MARGIN` meanwhile: a few percent in minutes, 100 ppm in a day, the longest lease.
(Gray and Cheriton, Leases, SOSP 1989.)
"""

from dataclasses import dataclass, field

MARGIN = 10.0
"""Seconds for clocks that do not run equally fast, and for a job to be ended."""
TICKETS = 8
"""Tickets of one job that can come back."""


@dataclass
class Lease:
    """A host's side of one job's lease; `until` is when the job is ended. All in seconds of one clock."""

    length: float
    until: float
    _tickets: dict[str, float] = field(default_factory=dict)

    def hand_out(self, ticket: str, now: float) -> None:
        """This ticket goes to the submitter."""
        self._tickets[ticket] = now
        while len(self._tickets) > TICKETS:
            del self._tickets[next(iter(self._tickets))]

    def renew(self, ticket: str) -> None:
        """It came back; one that is not known any more renews nothing."""
        if ticket in self._tickets:
            self.until = max(self.until, self._tickets[ticket] + self.length)


@dataclass
class Tenure:
    """A submitter's side: `until` is when the job can surely run no more, if no renewal is sent any more."""

    length: float
    until: float

    def sent(self, now: float) -> None:
        """A renewal is about to be sent."""
        self.until = now + self.length + MARGIN
