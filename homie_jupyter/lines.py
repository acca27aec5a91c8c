"""The line form, `%homie WORD`: about sessions and peers."""

from collections.abc import Sequence

from IPython.core.error import UsageError

from homie_core.model.errors import HomieError
from homie_jupyter.notebook import Notebook
from homie_jupyter.session import Session
from homie_jupyter.show import short, show_peers, show_table
from homie_jupyter.trust import did_trust

USAGE = (
    "`%homie peers`, `sessions`, `use NAME`, `restart`, `end [NAME]` or `attach [NAME]`; "
    "`%%homie` on top of a cell runs it there"
)


def obey(notebook: Notebook, words: Sequence[str]) -> None:
    """Do what the words say. Raises HomieError."""
    if did_trust(" ".join(words)):
        return
    match list(words):
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
        case _:
            raise UsageError(USAGE)


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
