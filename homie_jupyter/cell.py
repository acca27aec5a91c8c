"""One cell, from its text to its end on a friend's machine."""

import time
from dataclasses import dataclass
from pathlib import Path

from homie_core.client import ensure_daemon, new_job_id, request_for_cell, wait_for_peers
from homie_core.client.interrupts import Detached, Interrupts
from homie_core.client.words import in_words
from homie_core.home import home
from homie_core.model import event
from homie_core.model.control import Delivered, JobEvent, News, Placed, Refused, RunRequest, Unreachable
from homie_core.model.job import Ask, How, Limits, Outcome
from homie_jupyter.show import Streams, show_footer


@dataclass(frozen=True)
class Options:
    """What stands behind `%%homie`; None leaves it to the peer's own limits."""

    node: str | None = None
    gpu: bool = False
    files: tuple[str, ...] = ()
    cpus: float | None = None
    memory: int | None = None
    """Bytes."""
    timeout: float | None = None
    """Seconds."""


class RemoteError(Exception):
    """The cell failed over there; its traceback is shown as if it had failed here."""

    def __init__(self, message: str, traceback: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self._traceback = traceback

    def _render_traceback_(self) -> list[str]:
        """What IPython shows instead of the frames of this process, which say nothing."""
        return list(self._traceback) or [f"{type(self).__name__}: {self}"]


def run_cell(code: str, options: Options) -> None:
    """Run the cell on a peer and show it here. Raises RemoteError if it failed there, HomieError if not run."""
    job = new_job_id()
    streams = Streams()
    request = request_for_cell(
        code,
        options.files,
        results=Path("homie-results") / job,
        job=job,
        ask=Ask(cpus=options.cpus, memory=options.memory, timeout=options.timeout, gpus=int(options.gpu)),
        node=options.node,
        note=lambda line: streams.say(f"left out {line}"),
    )
    client, started = ensure_daemon(home())
    if started:
        wait_for_peers(client)
    view = CellView(request, streams)
    try:
        with Interrupts(lambda: client.stop(job), streams.say) as interrupts:
            for news in client.run(request):
                view.tell(news)
                interrupts.repeat()
    except Detached:
        streams.say(
            f"left to itself; it goes on on {view.peer}: `homie attach {job}`, `homie stop {job}` in a shell"
        )
        raise KeyboardInterrupt from None
    view.finish()


class CellView:
    """What has been told of one cell so far."""

    def __init__(self, request: RunRequest, streams: Streams) -> None:
        self.peer = "a peer"
        self._job = request.id
        self._streams = streams
        self._began = time.monotonic()
        self._limits: Limits | None = None
        self._raised: event.Raised | None = None
        self._outcome: Outcome | None = None
        self._gpus: tuple[str, ...] = ()
        self._files = 0
        self._folder = ""

    def tell(self, news: News) -> None:
        """Take the next news; raise the error that ended it before it was a job."""
        match news:
            case Placed():
                self.peer, self._gpus = news.peer, news.gpus
            case Refused():
                raise news.as_error()
            case Unreachable():
                self._streams.say(f"{news.peer} cannot be reached, retrying ({news.why})")
            case Delivered():
                self._files, self._folder = len(news.files), news.folder
                for note in news.notes:
                    self._streams.say(f"not taken: {note}")
            case JobEvent():
                self._happened(news.record.event)

    def finish(self) -> None:
        """Show the footer; raise if the cell did not end well."""
        outcome = self._outcome
        assert outcome is not None, "the news of a run end with its end"
        parts = [self.peer, *self._gpus, f"{time.monotonic() - self._began:.1f} s"]
        if self._files:
            parts.append(f"{self._files} file{'s' * (self._files > 1)} in {_short(self._folder)}")
        show_footer([*parts, f"job {self._job}"])
        if self._raised:
            raised = self._raised
            raise RemoteError(f"{raised.ename}: {raised.evalue} (on {self.peer})", raised.traceback)
        if outcome.how is How.STOPPED:
            raise KeyboardInterrupt
        if outcome.how is not How.EXITED or outcome.status:
            raise RemoteError(in_words(outcome, self.peer, self._limits))

    def _happened(self, what: event.Event) -> None:
        match what:
            case event.Accepted():
                self._limits = what.limits
            case event.Queued():
                self._streams.say(f"waits on {self.peer}, place {what.position}: {what.reason}")
            case event.Output():
                self._streams.write(what.stream, what.data)
            case event.Raised():
                self._raised = what
            case event.Ended():
                self._outcome = what.outcome


def _short(folder: str) -> str:
    path, here = Path(folder), Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
