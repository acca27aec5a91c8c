"""The journal: which jobs this node has accepted, and which it has sent; written before anyone is told.

SQLite in WAL mode, committed per entry: it survives `kill -9` of the daemon at any point. One that cannot be
read is left as it is (`open_journal`).
"""

import shlex
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from homie_core.model.control import RunRequest
from homie_core.model.errors import BadMessage, CannotWrite, JournalUnusable
from homie_core.model.event import Accepted
from homie_core.model.job import JobSpec, Kind, Limits, Outcome
from homie_core.model.names import JobId, NodeName, PeerId
from homie_core.model.wire import Frozen, decode, encode

SCHEMA = 3
MAX_REQUEST = 1 << 30
"""Bytes of a request of my own, with what it holds inline."""

_TABLES = """
CREATE TABLE hosted (
    job TEXT PRIMARY KEY,
    submitter TEXT NOT NULL,
    spec BLOB NOT NULL,
    accepted BLOB NOT NULL,
    at REAL NOT NULL,
    outcome BLOB,
    begun BLOB
) STRICT;
CREATE TABLE sent (
    job TEXT PRIMARY KEY,
    peer TEXT NOT NULL,
    peer_name TEXT NOT NULL,
    title TEXT NOT NULL,
    at REAL NOT NULL,
    kind TEXT NOT NULL DEFAULT 'script',
    outcome BLOB,
    folder TEXT
) STRICT;
"""
_LATER = {
    2: "ALTER TABLE hosted ADD COLUMN begun BLOB",
    3: (
        "ALTER TABLE sent ADD COLUMN kind TEXT NOT NULL DEFAULT 'script'; "
        "ALTER TABLE sent ADD COLUMN outcome BLOB; ALTER TABLE sent ADD COLUMN folder TEXT"
    ),
}
"""By format: what makes it of the one before."""
_CARED = (
    "CREATE TABLE IF NOT EXISTS cared (job TEXT PRIMARY KEY, request BLOB NOT NULL, again INTEGER NOT NULL) STRICT"
)
_DROPPED = """
CREATE TABLE IF NOT EXISTS dropped (
    job TEXT PRIMARY KEY,
    submitter TEXT NOT NULL,
    at REAL NOT NULL,
    why TEXT NOT NULL
) STRICT
"""


LEAST = 1 << 20
"""Bytes that are free where a journal can be opened."""
NOTHING_DONE = "No jobs of others are taken, and nothing is rerun or deleted"


class Begun(Frozen, frozen=True):
    """What a job runs in: by this a later life of the daemon finds it again."""

    kind: str
    """Of its sandbox: `docker`, `podman`, `bubblewrap` or `none`."""
    box: JobId
    """What its sandbox is labelled with: the job itself, or one that waited in the pool."""
    folder: str
    limits: Limits
    environments: tuple[str, ...]
    at: float
    """Seconds of the monotonic clock, which goes on while this machine does."""


@dataclass(frozen=True)
class Hosted:
    """A job this node accepted; `at` is wall time in seconds."""

    submitter: PeerId
    spec: JobSpec
    accepted: Accepted
    at: float
    outcome: Outcome | None
    begun: Begun | None
    """None until its program may have been started."""


@dataclass(frozen=True)
class Sent:
    """A job this node sent to a peer; `at` is wall time in seconds."""

    job: JobId
    peer: PeerId
    peer_name: NodeName
    title: str
    at: float
    kind: Kind = Kind.SCRIPT
    outcome: Outcome | None = None
    """How it ended, once that is known here."""
    folder: str | None = None
    """Where its files were put; empty: there were none, or they were not wanted. None: nobody has seen its end."""


class Journal:
    """The one durable list of jobs of a node. What writes raises CannotWrite while its disk is full."""

    def __init__(self, path: Path | None, damage: str = "") -> None:
        """Open it, or one in memory. Raises JournalUnusable, and CannotWrite if there is no room to open it."""
        self._path = path
        self.damage = damage
        """Why it is in memory only; empty if it is not."""
        try:
            self._db = sqlite3.connect(path or ":memory:", isolation_level=None)
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise
        except (sqlite3.DatabaseError, BadMessage) as error:
            assert path
            if shutil.disk_usage(path.parent).free < LEAST:
                raise CannotWrite(
                    f"{path} cannot be opened: its disk is full; make room, then: homie up"
                ) from error
            what = f"the journal {path} is damaged ({error})"
            raise JournalUnusable(f"{what}. {NOTHING_DONE}. To start with an empty one: {_anew(path)}") from error

    def _prepare(self) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA:
            assert self._path
            raise JournalUnusable(
                f"the journal {self._path} was written by a newer Homie (format {version}; this one knows "
                f"{SCHEMA}). {NOTHING_DONE}. Upgrade with `pip install -U homie-compute`, or start with an empty "
                f"one: {_anew(self._path)}"
            )
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        if version == 0:
            self._db.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {SCHEMA}; COMMIT;")
        self._db.execute(_CARED)
        self._db.execute(_DROPPED)
        for later in range(version + 1, SCHEMA + 1) if version else ():
            self._db.executescript(f"BEGIN; {_LATER[later]}; PRAGMA user_version = {later}; COMMIT;")
        if self._path:
            self._path.chmod(0o600)
        for (problem,) in self._db.execute("PRAGMA quick_check(1)"):
            if problem != "ok":
                raise sqlite3.DatabaseError(problem)
        self.hosted()
        self.cared()

    def accept(self, submitter: PeerId, spec: JobSpec, accepted: Accepted, at: float) -> None:
        """Write down a job before its submitter hears that it is accepted."""
        self._write(
            "INSERT OR REPLACE INTO hosted (job, submitter, spec, accepted, at) VALUES (?, ?, ?, ?, ?)",
            (spec.id, submitter, encode(spec), encode(accepted), at),
        )

    def begin(self, job: JobId, begun: Begun) -> None:
        """Write down what a hosted job runs in, before its program is started."""
        self._write("UPDATE hosted SET begun = ? WHERE job = ?", (encode(begun), job))

    def end(self, job: JobId, outcome: Outcome) -> None:
        """Write down how a hosted job ended."""
        self._write("UPDATE hosted SET outcome = ? WHERE job = ?", (encode(outcome), job))

    def forget(self, job: JobId) -> None:
        """Drop a hosted job whose events and files are gone."""
        self._write("DELETE FROM hosted WHERE job = ?", (job,))

    def drop(self, job: JobId, why: str, at: float) -> None:
        """Drop a hosted job, and note why, for its submitter; `at` is wall time."""
        self._write(
            "INSERT OR REPLACE INTO dropped SELECT job, submitter, ?, ? FROM hosted WHERE job = ?", (at, why, job)
        )
        self.forget(job)

    def dropped(self, job: JobId, submitter: PeerId) -> str:
        """Return why this submitter's job was dropped; empty if it was not."""
        rows = self._db.execute("SELECT why FROM dropped WHERE job = ? AND submitter = ?", (job, submitter))
        return next((why for (why,) in rows), "")

    def hosted(self) -> list[Hosted]:
        """Return all hosted jobs, oldest first."""
        rows = self._db.execute("SELECT submitter, spec, accepted, at, outcome, begun FROM hosted ORDER BY at")
        return [
            Hosted(
                submitter=PeerId(submitter),
                spec=decode(spec, JobSpec),
                accepted=decode(accepted, Accepted),
                at=at,
                outcome=decode(outcome, Outcome) if outcome is not None else None,
                begun=decode(begun, Begun) if begun is not None else None,
            )
            for submitter, spec, accepted, at, outcome, begun in rows
        ]

    def send(self, sent: Sent) -> None:
        """Write down which peer gets a job before it is offered there; a second choice replaces the first."""
        self._write(
            "INSERT OR REPLACE INTO sent (job, peer, peer_name, title, at, kind) VALUES (?, ?, ?, ?, ?, ?)",
            (sent.job, sent.peer, sent.peer_name, sent.title, sent.at, sent.kind.value),
        )

    def sent(self, job: JobId) -> Sent | None:
        """Return where a job went, if it was sent from here."""
        return next(iter(self._sent("WHERE job = ?", job)), None)

    def sent_beginning(self, start: str, most: int) -> list[Sent]:
        """Return jobs that were sent from here and whose ids begin so, the newest first, at most so many."""
        return self._sent("WHERE substr(job, 1, ?) = ? ORDER BY at DESC LIMIT ?", len(start), start, most)

    def newest_sent(self, most: int, *, seen: bool) -> list[Sent]:
        """Return jobs that were sent from here, the newest first; `seen`: also those seen to their end.

        A session that ended is not looked for any more, whoever has seen that.
        """
        unseen = "outcome IS NULL OR (folder IS NULL AND kind = 'script')"
        return self._sent(f"WHERE ? OR {unseen} ORDER BY at DESC LIMIT ?", seen, most)

    def settle(self, job: JobId, outcome: Outcome) -> None:
        """Write down how a job ended that was sent from here."""
        self._write("UPDATE sent SET outcome = ? WHERE job = ?", (encode(outcome), job))

    def see(self, job: JobId, folder: str) -> None:
        """Write down that somebody has seen the end of a job, and where its files are; empty: nowhere."""
        self._write("UPDATE sent SET folder = ? WHERE job = ?", (folder, job))

    def unsend(self, job: JobId) -> None:
        """A job that was to be sent is nowhere: nobody took it."""
        self._write("DELETE FROM sent WHERE job = ?", (job,))

    def _sent(self, which: str, *values: object) -> list[Sent]:
        rows = self._db.execute(
            f"SELECT job, peer, peer_name, title, at, kind, outcome, folder FROM sent {which}",  # noqa: S608
            values,
        )
        return [
            Sent(
                job=job,
                peer=peer,
                peer_name=name,
                title=title,
                at=at,
                kind=Kind(kind),
                outcome=decode(outcome, Outcome) if outcome is not None else None,
                folder=folder,
            )
            for job, peer, name, title, at, kind, outcome, folder in rows
        ]

    def care(self, request: RunRequest, again: int) -> None:
        """Write down that a job that was sent may be started again so many times."""
        self._write("INSERT OR REPLACE INTO cared VALUES (?, ?, ?)", (request.id, encode(request), again))

    def cared(self) -> list[tuple[RunRequest, int]]:
        """Return the jobs that may be started again, and how often."""
        rows = self._db.execute("SELECT request, again FROM cared")
        return [(decode(request, RunRequest, MAX_REQUEST), again) for request, again in rows]

    def care_no_more(self, job: JobId) -> None:
        """This job has ended for good."""
        self._write("DELETE FROM cared WHERE job = ?", (job,))

    def purge(self, before: float) -> None:
        """Forget where jobs went that were sent, and why others were dropped, before this wall time."""
        self._write("DELETE FROM sent WHERE at < ?", (before,))
        self._write("DELETE FROM dropped WHERE at < ?", (before,))

    @property
    def changes(self) -> int:
        """How many entries were written, changed or dropped in this life of the daemon."""
        return self._db.total_changes

    def close(self) -> None:
        self._db.close()

    def _write(self, statement: str, values: tuple[object, ...]) -> None:
        try:
            self._db.execute(statement, values)
        except sqlite3.OperationalError as error:
            raise CannotWrite(f"the journal {self._path} cannot be written ({error}); make room there") from error


def open_journal(path: Path) -> Journal:
    """Return the journal of this file or, if it cannot be used, an empty one in memory whose `damage` says why.

    The file is left as it is then. Raises CannotWrite if the disk is full.
    """
    try:
        return Journal(path)
    except JournalUnusable as error:
        return Journal(None, str(error))


def _anew(path: Path) -> str:
    """Return the commands that put a journal aside, and what that costs."""
    aside, files = shlex.quote(str(path.parent / "damaged")), f"{shlex.quote(str(path))}*"
    return (
        f"`homie down && mkdir -p {aside} && mv {files} {aside} && homie up`. Then jobs of others that still run "
        "here are ended, results that they have not fetched are removed, and where your own jobs went is forgotten"
    )
