"""The line form: `%homie WORD`, about sessions, variables and peers, and `%homie EXPRESSION`."""

import difflib
from typing import Any

from IPython.core.error import UsageError

from homie_core.client.session import Session
from homie_core.client.values import NotGiven
from homie_core.model.errors import HomieError
from homie_jupyter.cell import Cell, finish_now
from homie_jupyter.jobs import cancel, fetch, show_jobs, show_log
from homie_jupyter.notebook import Notebook
from homie_jupyter.options import Options
from homie_jupyter.show import short, show_peers, show_table
from homie_jupyter.trust import did_trust
from homie_jupyter.variables import names_in

USAGE = (
    "`%homie peers`, `why [OPTIONS]`, `sessions`, `use NAME`, `restart`, `end [NAME]`, `attach [NAME]`, "
    "`jobs [-a]`, `logs JOB`, `get JOB`, `cancel JOB`, `push NAMES`, `pull NAMES`, or an expression, whose value "
    "over there comes back; "
    "`%%homie` on top of a cell runs it there"
)
VERBS = (
    *("on", "off", "why", "peers", "sessions", "use", "restart", "end", "attach"),
    *("jobs", "logs", "get", "cancel", "push", "pull", "trust", "untrust"),
)


def obey(notebook: Notebook, line: str) -> Any:
    """Do what the line says; return the value of an expression. Raises HomieError."""
    words = line.split()
    if not words or words[0].startswith("-"):
        raise UsageError(USAGE)
    if words[0] not in VERBS:
        return _value(notebook, line.strip())
    if did_trust(line):
        for session in notebook.sessions():
            session.look_at_trust()
        return None
    match words:
        case ["peers"]:
            show_peers(notebook.client())
        case ["sessions"]:
            _show_sessions(notebook)
        case ["use", name]:
            session = notebook.use(name)
            print(f"the next cells go to {session.name} on {session.peer}")  # noqa: T201
        case ["restart"]:
            session = _current(notebook)
            session.restart()
            print(f"{session.name} on {session.peer} begins anew: no variables, files stay")  # noqa: T201
        case ["end"]:
            _end(_current(notebook))
        case ["end", name]:
            _end(notebook.use(name))
        case ["jobs"] | ["jobs", "-a"]:
            show_jobs(notebook, ended="-a" in words)
        case ["logs", name]:
            show_log(notebook, name)
        case ["get", job]:
            print(fetch(notebook, job))  # noqa: T201
        case ["cancel", name]:
            print(cancel(notebook, name))  # noqa: T201
        case ["push", *names] if names:
            options = Options(inputs=names_in(names, "push"))
            finish_now(Cell("", options, notebook, blocking=True).run())
        case ["pull", *names] if names:
            options = Options(outputs=names_in(names, "pull"))
            finish_now(Cell("", options, notebook, blocking=True).run())
        case _:
            raise UsageError(USAGE)
    return None


def _value(notebook: Notebook, expression: str) -> Any:
    options = Options(outputs=(expression,))
    try:
        return finish_now(Cell("", options, notebook, blocking=True).fetch(expression))
    except NotGiven as error:
        close = difflib.get_close_matches(expression, VERBS, 1)
        hint = f"; did you mean `%homie {close[0]}`?" if close else ""
        raise HomieError(f"{error}{hint}") from None


def _current(notebook: Notebook) -> Session:
    if session := notebook.current:
        return session
    raise HomieError("no session is open in this notebook; a cell with `%%homie` opens one")


def _end(session: Session) -> None:
    session.finish()
    session.closed.wait()
    came = session.delivered
    files = f"; its files are in {short(came.folder)}: {', '.join(came.files)}" if came and came.files else ""
    print(f"{session.name} on {session.peer} has ended{files}")  # noqa: T201


def _show_sessions(notebook: Notebook) -> None:
    rows = [
        (session.name, session.peer, "current" if session is notebook.current else "", str(session.job))
        for session in notebook.sessions()
    ]
    rows += [
        (name, view.peer, "left open by an earlier kernel", str(view.id))
        for name, view in notebook.left_open().items()
        if view.id not in [session.job for session in notebook.sessions()]
    ]
    if not rows:
        print("No session is open in this notebook; a cell with `%%homie` opens one.")  # noqa: T201
        return
    show_table(("session", "on", "", "job"), rows)
