"""A submitter's hold on a job that has a lease: it is renewed while its host is heard, from its acceptance on."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from homie_core.daemon.links import Links
from homie_core.engine.lease import Tenure
from homie_core.model.errors import HomieError
from homie_core.model.job import Ticket
from homie_core.model.names import JobId, PeerId
from homie_core.runner.clock import boottime

RENEWALS = 6
"""Renewals in the time of one lease."""
SILENCE = 0.5
"""Part of a lease without an answer, after which none is renewed any more until the host is heard again."""
PATIENCE = 2.0
"""Seconds for which an answer is waited for, at least; with long leases until the next renewal is due."""
AGAIN = 1.0
"""Seconds until a host that did not answer is asked again, at most."""


@dataclass
class Hold:
    """One job on one host. An earlier life of this daemon may have renewed its lease just before this was made."""

    links: Links
    peer: PeerId
    job: JobId
    length: float
    """Of its lease, in seconds."""
    clock: Callable[[], float] = boottime
    tenure: Tenure = field(init=False)
    heard_at: float = field(init=False)

    def __post_init__(self) -> None:
        self.tenure, self.heard_at = Tenure(self.length, 0.0), self.clock()
        self.tenure.sent(self.clock())

    @property
    def over(self) -> bool:
        """Whether the job can run there no more, if it has not ended."""
        return self.clock() >= self.tenure.until

    def heard(self) -> None:
        """Its host has said something."""
        self.heard_at = self.clock()

    async def keep(self) -> None:
        """Renew it until cancelled. A silent host is only asked for a ticket, which renews nothing."""
        ticket, period = Ticket(), self.length / RENEWALS
        while True:
            if self.clock() - self.heard_at >= SILENCE * self.length:
                ticket = Ticket()
            if renews := bool(ticket.ticket):
                self.tenure.sent(self.clock())
            try:
                async with asyncio.timeout(max(PATIENCE, period)):
                    ticket = await self.links.to(self.peer).renew(self.job, ticket)
            except (HomieError, TimeoutError):
                await asyncio.sleep(min(AGAIN, period))
                continue
            self.heard()
            if renews or not ticket.ticket:
                await asyncio.sleep(period)
