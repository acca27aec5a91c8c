"""Cells in the background: `%%homie --bg NAME` gives a job at once, and shows in its cell how it stands."""

import difflib
import re
import sys
import threading
import time
from concurrent.futures import CancelledError
from contextlib import suppress
from itertools import count
from typing import Any

from IPython.display import display

from homie_core.api import Job
from homie_core.client.jobs import fetched, printed
from homie_core.client.safe_text import SafeText
from homie_core.client.words import standing
from homie_core.model.control import JobView
from homie_core.model.errors import HomieError
from homie_core.model.job import Kind
from homie_core.model.quantity import show_duration
from homie_jupyter.cell import Cell, finish_now
from homie_jupyter.failing import Failed, RemoteError
from homie_jupyter.notebook import Notebook
from homie_jupyter.options import Options
from homie_jupyter.show import short, show_table, under_way
from homie_jupyter.variables import names_in

MERCY = 2.0
"""Seconds that a cell in a sandbox of its own has to end by itself when it is cancelled."""


class CellJob(Job[Any]):
    """A cell in the background; its result is the value of what `-o` names, of several a tuple."""

    def __init__(self, name: str, code: str, options: Options, notebook: Notebook) -> None:
        """Send it. Raises HomieError if it cannot be sent."""
        super().__init__()
        self._name, self._options, self._publisher = name, options, notebook.publisher
        self._cell = Cell(code, options, notebook, blocking=True, background=self)
        self._card = f"homie-job-{self._cell.header['msg_id']}"
        self._shown, self._parts = "", [""]
        self._began: float | None = None
        self._cell.begin()
        self._publisher.listen(self._cell.header, self._transcript.add)
        threading.Thread(target=self._work, name=f"homie {name}", daemon=True).start()

    @property
    def id(self) -> str:
        return self._name

    @property
    def peer(self) -> str:
        return self._cell.session.peer

    @property
    def age(self) -> float:
        """Seconds since it began to run; 0 if it has not."""
        return 0.0 if self._began is None else time.monotonic() - self._began

    def note(self, text: str) -> None:
        """Show how it stands; `text` is why it does not run yet."""
        self._why = text
        if self._began is None and self._runs():
            self._began = time.monotonic()
        self._show()

    def footer(self, parts: list[str]) -> None:
        """Show at its end where it ran, and what came of it."""
        self._parts = parts

    def _runs(self) -> bool:
        return self._cell.session.runs == str(self._cell.header["msg_id"])

    def _end(self) -> None:
        threading.Thread(target=self._interrupt, name=f"homie {self._name}", daemon=True).start()

    def _interrupt(self) -> None:
        session = self._cell.session
        with suppress(HomieError):
            session.interrupt(str(self._cell.header["msg_id"]))
            if not self._options.fresh:
                return
            with suppress(Exception, CancelledError):
                self.future.exception(MERCY)
            if not self.future.done():
                session.end()

    def _work(self) -> None:
        try:
            came = finish_now(self._cell.go_on())
        except BaseException as error:  # whatever it is, who waits must hear it
            if not self._cancelled:
                self._show_error(error)
            self._fail(error)
        else:
            values = tuple(came.values.values())
            self._succeed(None if not values else values[0] if len(values) == 1 else values)
        finally:
            self._publisher.listen(self._cell.header, None)
            self._show()

    def _show_error(self, error: BaseException) -> None:
        header, kind = self._cell.header, type(error).__name__
        if isinstance(error, RemoteError):
            content = {"ename": kind, "evalue": str(error), "traceback": error._render_traceback_()}
            self._publisher.publish("error", content, {}, header, [])
        elif not isinstance(error, Failed):
            self._publisher.publish("stream", {"name": "stderr", "text": f"homie: {error}\n"}, {}, header, [])

    def _ipython_display_(self) -> None:
        self._shown = self._state()
        display(under_way(self._shown)["data"], raw=True, display_id=self._card)

    def _show(self) -> None:
        """Bring what is shown of it up to date, wherever that is."""
        if (state := self._state()) != self._shown:
            self._shown = state
            content = {**under_way(state), "transient": {"display_id": self._card}}
            self._publisher.show("update_display_data", content, {}, self._cell.header, [])

    def _state(self) -> str:
        status = self.status
        parts = [self._name, status]
        if status == "waiting":
            parts += [self._why or self.peer]
        elif status == "running":
            minutes = int(self.age // 60)
            parts += [self.peer, show_duration(60 * minutes) if minutes else f"{self.age:.0f} s"]
        elif error := self.exception():
            parts += [self.peer] if status == "cancelled" else [type(error).__name__, self.peer]
        else:
            parts += self._parts
        return " · ".join(part for part in parts if part)


def started(notebook: Notebook, name: str, code: str, options: Options) -> CellJob:
    """Return a cell that has been started in the background, under this name or a fresh one. Raises HomieError."""
    jobs = notebook.jobs
    if name:
        names_in([name], "--bg")
        if name in jobs and not jobs[name].future.done():
            raise HomieError(
                f"a job {name} is not over yet; cancel it with `%homie cancel {name}`, or name this one"
            )
    else:
        name = next(fresh for number in count(1) if (fresh := f"job{number}") not in jobs)
    job = CellJob(name, code, options, notebook)
    jobs.pop(name, None)
    jobs[name] = notebook.variables[name] = job
    return job


def show_jobs(notebook: Notebook, *, ended: bool) -> None:
    """Show this notebook's jobs and what else is mine; `ended`: also what was seen to its end."""
    rows = [
        (job.id, "a cell of this notebook", f"on {job.peer}", str(job.status), show_duration(job.age))
        for job in notebook.jobs.values()
    ]
    rows += [
        (view.id, view.title, f"on {view.peer}", standing(view), show_duration(view.age))
        for view in notebook.jobs_elsewhere(ended=ended)
    ]
    if rows:
        show_table(("job", "what", "where", "state", "since"), rows)
    else:
        print("No jobs. `%%homie --bg NAME` on top of a cell makes one.")  # noqa: T201


def show_log(notebook: Notebook, name: str) -> None:
    """Show what a job has put out so far: one of this notebook, or a script. Raises HomieError."""
    if job := notebook.jobs.get(name):
        print(notebook.publisher.harmless(job.stream().text), end="")  # noqa: T201
        return
    view = _elsewhere(notebook, name)
    if view.kind is Kind.SESSION:
        mine = {session.job: session.name for session in notebook.sessions()}
        how = f"`%homie attach {mine[view.id]}`" if view.id in mine else "the notebook that opened it"
        raise HomieError(f"{view.title} on {view.peer} is no cell in the background: {how} shows what it puts out")
    text = {1: SafeText(colours=True), 2: SafeText(colours=True)}
    for stream, data in printed(notebook.client(), view.id):
        print(text[stream].feed(data), end="", file=sys.stdout if stream == 1 else sys.stderr)


def fetch(notebook: Notebook, start: str) -> str:
    """Bring the files of a script that has ended; return what came. Raises HomieError."""
    view = _elsewhere(notebook, start)
    came = fetched(notebook.client(), view, None, lambda news: None)
    if not came.files:
        return f"{view.title} on {view.peer} has left no files"
    return f"files of {view.title} in {short(came.folder)}: {', '.join(came.files)}"


def cancel(notebook: Notebook, name: str) -> str:
    """Ask for the end of a job, by its name or its id; return what becomes of it. Raises HomieError."""
    if job := notebook.jobs.get(name):
        return f"{name} is being cancelled" if job.cancel() else f"{name} is over already: {job.status}"
    view = _elsewhere(notebook, name)
    notebook.client().stop(view.id)
    return f"{view.title} on {view.peer} is being stopped"


def _elsewhere(notebook: Notebook, start: str) -> JobView:
    """Return the job of mine that is no cell in the background, by the beginning of its id. Raises HomieError."""
    if re.fullmatch("[0-9a-f]{1,12}", start):
        return notebook.client().job(start)
    known = [*notebook.jobs, *(view.id for view in notebook.jobs_elsewhere(ended=True))]
    close = difflib.get_close_matches(start, known, 1)
    meant = f"did you mean {close[0]}?" if close else "see `%homie jobs`"
    raise HomieError(f"there is no job {start} here; {meant}")
