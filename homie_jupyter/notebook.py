"""This notebook's sessions: which are open, and which one the next cell goes to."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homie_core.client import Client, ensure_daemon, new_job_id, request_for_session, wait_for_peers
from homie_core.client.session import Header, Session
from homie_core.home import home
from homie_core.model.control import Follow, JobView, RunRequest
from homie_core.model.errors import HomieError
from homie_core.model.job import Ask
from homie_jupyter.mailbox import Mailbox
from homie_jupyter.options import Options
from homie_jupyter.output import output_on
from homie_jupyter.publish import Publisher, publisher_for
from homie_jupyter.shared import Shared

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from homie_jupyter.jobs import CellJob

MAIN = "main"
"""Name of the session of a notebook that names none."""


class Notebook:
    """The sessions of one notebook (or one IPython); sticky: a cell goes where the one before went."""

    def __init__(self, shell: "InteractiveShell") -> None:
        self.publisher: Publisher = publisher_for(shell)
        self.variables: dict[str, Any] = shell.user_ns
        self.jobs: dict[str, CellJob] = {}
        """Cells in the background, by name, also those that have ended."""
        self.shared = Shared()
        self._open: dict[str, Session] = {}
        self._used: list[str] = []
        """Names of sessions, the one that was used last behind the others."""
        self._new: set[str] = set()
        """Jobs in whose session no cell has run yet."""
        self._path = os.environ.get("JPY_SESSION_NAME", "")[-150:]

    def client(self) -> Client:
        """Return a client of my daemon, started if it does not run."""
        client, started = ensure_daemon(home())
        if started:
            wait_for_peers(client)
        return client

    def jobs_elsewhere(self, *, ended: bool = False) -> list[JobView]:
        """Return my sessions and scripts, from here or elsewhere; `ended`: also those seen to their end.

        Raises DaemonUnreachable.
        """
        return [view for view in self.client().jobs(ended=ended) if view.mine]

    def sessions(self) -> list[Session]:
        """Return those that are open, as far as is known."""
        return [session for session in self._open.values() if session.alive]

    @property
    def current(self) -> Session | None:
        """The session that the next cell goes to, if it names none."""
        return next((session for name in reversed(self._used) if (session := self._named(name))), None)

    def use(self, name: str) -> Session:
        """Let the next cells go to this session of the notebook's."""
        session = self._named(name)
        if session is None:
            names = ", ".join(session.name for session in self.sessions()) or "none"
            raise HomieError(f"no session {name} is open here; open: {names}. `%%homie -s {name}` opens it")
        return self._using(session)

    def session_for(self, options: Options, note: Callable[[str], None]) -> Session:
        """Return the session for a cell with these options, opened if need be."""
        if options.fresh:
            if options.session:
                raise HomieError("--fresh is a sandbox for one cell, -s a session that stays; use one of them")
            return self._opened(f"fresh-{new_job_id()[:4]}", options, note)
        session = self.open_for(options)
        if session is None:
            name = self.name_for(options)
            session = self._found_again(name) or self._opened(name, options, note)
            self._open[name] = session
        else:
            self.check(session, options)
        return self._using(session)

    def attach(self, name: str | None, header: Header, mailbox: Mailbox) -> Session:
        """Return a session, whose running cell now shows under this header. Raises HomieError."""
        session = self._named(name) if name else self.current
        if session is not None:
            session.attach(header, mailbox)
        else:
            session = self._found_again(name or MAIN, (header, mailbox))
            if session is None:
                raise HomieError("nothing of this notebook's runs anywhere; see `%homie sessions`")
            self._open[session.name] = session
        return self._using(session)

    def first_cell(self, session: Session) -> bool:
        """Return whether this is the first time that this is asked of a session that was opened here."""
        if session.job not in self._new:
            return False
        self._new.discard(session.job)
        return True

    def close(self) -> None:
        """Hear no more of any; they go on until they are idle for too long."""
        for session in self._open.values():
            session.detach()
        self._open.clear()

    def _using(self, session: Session) -> Session:
        self._used = [*(name for name in self._used if name != session.name), session.name]
        return session

    def _named(self, name: str) -> Session | None:
        session = self._open.get(name)
        return session if session and session.alive else None

    def open_for(self, options: Options) -> Session | None:
        """Return the session that a cell with these options would find open."""
        if options.fresh:
            return None
        if options.session:
            return self._named(options.session)
        if options.node:
            current = self.current
            here = [session for session in self.sessions() if _is_on(session, options.node)]
            return current if current in here else (here[-1] if here else None)
        return self.current

    def name_for(self, options: Options) -> str:
        """Return the name of the session that is opened for a cell with these options."""
        return options.session or (options.node if options.node and self._named(MAIN) else MAIN)

    def check(self, session: Session, options: Options) -> None:
        """Refuse what an open session cannot become any more."""
        if options.node and not _is_on(session, options.node):
            raise HomieError(
                f"the session {session.name} is on {session.peer}, not on {options.node}; "
                f"end it with `%homie end {session.name}`, or name another one with -s"
            )
        wanted = Ask(cpus=options.cpus, memory=options.memory, gpu=options.gpu)
        has = session.asked
        differs = [
            name
            for name, wish, given in (("--cpus", wanted.cpus, has.cpus), ("--ram", wanted.memory, has.memory))
            if wish is not None and wish != given
        ]
        if wanted.gpu and not (has.gpu and has.gpu.covers(wanted.gpu)):
            differs.append("--gpu")
        if differs:
            raise HomieError(
                f"the session {session.name} on {session.peer} is open already, without {', '.join(differs)}; "
                f"open another one with -s NAME, or end it with `%homie end {session.name}`"
            )

    def request_for(self, name: str, options: Options, note: Callable[[str], None]) -> RunRequest:
        """Return the request to open a session. Raises HomieError."""
        job = new_job_id()
        return request_for_session(
            self._title(name),
            options.files,
            results=Path("homie-results") / job,
            job=job,
            ask=Ask(cpus=options.cpus, memory=options.memory, gpu=options.gpu),
            node=options.node,
            note=note,
        )

    def _opened(self, name: str, options: Options, note: Callable[[str], None]) -> Session:
        request = self.request_for(name, options, note)
        self._new.add(request.id)
        return Session(name, self.client(), request, output_on(self.publisher))

    def _found_again(self, name: str, attaching: tuple[Header, Mailbox] | None = None) -> Session | None:
        """Return a session that an earlier kernel of this notebook left open."""
        view = self.left_open().get(name)
        if view is None:
            return None
        results = str((Path("homie-results") / view.id).absolute())
        follow = Follow(job=view.id, after=-1, results=results)
        return Session(name, self.client(), follow, output_on(self.publisher), attaching)

    def left_open(self) -> dict[str, JobView]:
        """Return what earlier kernels of this notebook left open, by name."""
        if not self._path:
            return {}
        begin = f"{self._path}:"
        mine = [job for job in self.jobs_elsewhere() if job.title.startswith(begin) and job.outcome is None]
        return {job.title.removeprefix(begin): job for job in reversed(mine)}

    def _title(self, name: str) -> str:
        return f"{self._path}:{name}" if self._path else name


def _is_on(session: Session, node: str) -> bool:
    return node.lower() == session.peer.lower()
