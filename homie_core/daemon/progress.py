"""How far a job has come, as its events tell it: now, or to a daemon that finds it again."""

from dataclasses import dataclass

from homie_core.model.event import Busy, Collected, Exited, Messages, Output, Queued, Record, Restarted, Started
from homie_core.model.job import Outcome


@dataclass
class Progress:
    """What has been written down of a job's run."""

    newest: int = 0
    """Number of its newest event."""
    newest_cell: int = 0
    """Number of the event before the one with which a session's newest cell began."""
    fact: int = 0
    """Number of the newest record of its runner's."""
    runs: str = ""
    """The cell of a session that its kernel says it runs."""
    begun: str = ""
    """The newest of its cells that has begun."""
    written: int = 0
    """Bytes that its program has written; a session's, since its newest cell began."""
    exited: Outcome | None = None
    """How its program ended."""
    collected: Collected | None = None
    collected_at: int = 0
    """Number of that event."""
    waits: Queued | None = None
    """Where it waits, and for what, if it does."""

    def learn(self, record: Record) -> None:
        """Take in the next event."""
        self.newest, self.fact = record.seq, record.fact or self.fact
        match record.event:
            case Queued() as waits:
                self.waits = waits
            case Started():
                self.waits = None
            case Output(data=data) | Messages(data=data):
                self.written += len(data)
            case Busy(cell=cell):
                self.runs = cell
                if cell:
                    self.begun, self.newest_cell, self.written = cell, record.seq - 1, 0
            case Restarted():
                self.runs = ""
            case Exited(outcome=outcome):
                self.exited = outcome
            case Collected() as collected:
                self.collected, self.collected_at = collected, record.seq
            case _:
                pass
