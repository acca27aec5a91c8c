"""A submitter's hold on a job that has a lease: it is renewed while its host is heard, from its acceptance on."""

import asyncio
import contextlib
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
PATIENCE = 0.25
"""Part of a lease for which one answer is waited for."""


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
        ticket = Ticket()
        while True:
            if self.clock() - self.heard_at >= SILENCE * self.length:
                ticket = Ticket()
            if ticket.ticket:
                self.tenure.sent(self.clock())
            with contextlib.suppress(HomieError, TimeoutError):
                async with asyncio.timeout(PATIENCE * self.length):
                    ticket = await self.links.to(self.peer).renew(self.job, ticket)
                self.heard()
            await asyncio.sleep(self.length / RENEWALS)
