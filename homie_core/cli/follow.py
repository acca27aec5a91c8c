"""One run as a person sees it: its news become lines, its end an exit status, Ctrl-C a request to stop."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import assert_never

from homie_core.cli.screen import Screen
from homie_core.client import Client
from homie_core.client.interrupts import Detached, Interrupts
from homie_core.client.words import in_words
from homie_core.model import event
from homie_core.model.control import (
    CaughtUp,
    Delivered,
    JobEvent,
    News,
    Placed,
    Reachable,
    Refused,
    Transfer,
    Unreachable,
    Uploaded,
)
from homie_core.model.errors import DaemonUnreachable
from homie_core.model.job import How, Limits, Outcome
from homie_core.model.names import JobId
from homie_core.model.quantity import show_duration, show_size

INTERRUPTED = 130


def follow(client: Client, job: JobId, news: Iterator[News], screen: Screen, *, detach: bool = False) -> int:
    """Show a run until it ends or, to `detach`, until its host has all of it; return the status to exit with.

    The first Ctrl-C or SIGTERM stops the job and waits for its end, the second leaves it to itself. Raises
    the error that a `Refused` carries.
    """
    story = _Story(job, screen)
    try:
        with Interrupts(lambda: client.stop(job), screen.say, (signal.SIGINT, signal.SIGTERM)) as interrupts:
            for item in news:
                story.tell(item)
                interrupts.repeat()
                if detach and isinstance(item, JobEvent) and not interrupts.wanted:
                    return 0
    except Detached:
        screen.say(f"left the job to itself; it keeps running{story.where}. {_ways(job)}")
        return INTERRUPTED
    except BrokenPipeError:  # `homie run ... | head`: a local program would have been ended by it
        client.stop(job)
        raise
    except DaemonUnreachable as error:
        if not story.where:
            raise
        raise DaemonUnreachable(f"{error}\nThe job keeps running{story.where}. {_ways(job)}") from error
    finally:
        screen.close()
    return story.status


def _ways(job: JobId) -> str:
    return f"See it again: `homie attach {job}`; end it: `homie cancel {job}`"


def look(news: Iterator[News], screen: Screen) -> None:
    """Show what a job puts out, and nothing else of it. Raises the error that a `Refused` carries."""
    try:
        for item in news:
            match item:
                case Refused():
                    raise item.as_error()
                case Placed(peer=peer):
                    screen.belongs_to(peer)
                case Unreachable() | Reachable():
                    screen.hint(contact(item))
                case JobEvent(record=event.Record(event=event.Output(stream=stream, data=data))):
                    screen.output(stream, data)
    finally:
        screen.close()


class _Story:
    """What has been told of one run so far."""

    def __init__(self, job: JobId, screen: Screen) -> None:
        self.status = 1
        self.where = ""
        """` on desk`, once a peer has it."""
        self._job = job
        self._screen = screen
        self._peer = "the peer"
        self._limits: Limits | None = None
        self._began = time.monotonic()
        self._transfer_began: dict[bool, tuple[float, int]] = {}
        self._last_progress = 0.0

    def tell(self, news: News) -> None:
        screen = self._screen
        match news:
            case Placed():
                self._peer, self.where = news.peer, f" on {news.peer}"
                screen.belongs_to(news.peer)
                screen.hint(f"{news.peer} takes it: {news.why} (job {self._job})")
            case Transfer():
                self._moved(news)
            case Unreachable() | Reachable():
                screen.hint(contact(news))
            case Delivered():
                show_delivered(news, screen)
            case Uploaded() | CaughtUp():
                pass
            case Refused():
                raise news.as_error()
            case JobEvent():
                self._happened(news.record.event)
            case _:
                assert_never(news)

    def _happened(self, what: event.Event) -> None:
        screen = self._screen
        match what:
            case event.Accepted():
                self._limits = what.limits
            case event.Queued():
                screen.progress(f"waits on {self._peer}, place {what.position} in the queue: {what.reason}")
            case event.Started():
                cards = f" with {', '.join(what.gpus)}" if what.gpus else ""
                screen.hint(f"running in {what.sandbox}{cards}")
                self._began = time.monotonic()
            case event.Output():
                screen.output(what.stream, what.data)
            case event.Notice():
                screen.say(what.text)
            case event.Ended():
                self._ended(what.outcome)
            case event.Exited() | event.Collected():
                pass
            case event.Messages() | event.Busy() | event.Restarted() | event.Placed():
                pass  # a session speaks to its notebook
            case _:
                assert_never(what)

    def _ended(self, outcome: Outcome) -> None:
        self.status = outcome.status
        if outcome.how is How.EXITED:
            spent = show_duration(time.monotonic() - self._began)
            self._screen.hint(f"{in_words(outcome, self._peer, self._limits)} after {spent}")
            return
        self.status = self.status or 1
        self._screen.say(in_words(outcome, self._peer, self._limits))

    def _moved(self, news: Transfer) -> None:
        now = time.monotonic()
        began, had = self._transfer_began.setdefault(news.up, (now, news.done))
        spent = now - began
        rate = f", {show_size((news.done - had) / spent)}/s" if spent > 0.2 else ""
        where = f"to {self._peer}" if news.up else f"from {self._peer}"
        if news.done >= news.total:
            if spent > 0.5:
                self._screen.hint(f"{show_size(news.total)} {where} in {show_duration(spent)}{rate}")
        elif now - self._last_progress > 0.1:
            self._last_progress = now
            self._screen.progress(f"{show_size(news.done)} of {show_size(news.total)} {where}{rate}")


def contact(news: Unreachable | Reachable) -> str:
    """Return what became of the line to a job's host, in words."""
    if isinstance(news, Unreachable):
        return f"{news.peer} cannot be reached ({news.why}); the job goes on, trying again"
    return f"{news.peer} is back"


def show_delivered(news: Delivered, screen: Screen) -> None:
    """Say which files of a job have come, and which have not."""
    if news.files:
        more = f" and {len(news.files) - 8} more" if len(news.files) > 8 else ""
        screen.say(f"results in {_short(news.folder)}: {', '.join(news.files[:8])}{more}")
    for line in news.notes:
        screen.say(f"not taken: {line}")


def _short(folder: str) -> str:
    path = Path(folder)
    here = Path.cwd()
    return f"{path.relative_to(here)}/" if path.is_relative_to(here) else f"{path}/"
