"""How far a job has come, as its events tell it: now, or to a daemon that finds it again."""

from dataclasses import dataclass

from homie_core.model.event import Busy, Collected, Exited, Messages, Output, Record, Restarted
from homie_core.model.job import Outcome


@dataclass
class Progress:
    """What has been written down of a job's run."""

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

    def learn(self, record: Record) -> None:
        """Take in the next event."""
        self.fact = record.fact or self.fact
        match record.event:
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
                self.collected = collected
            case _:
                pass
