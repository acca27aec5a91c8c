"""What front ends (CLI, notebook) and their own daemon say to each other over its Unix socket."""

from typing import Annotated, Self

from msgspec import Meta

from homie_core.model import errors
from homie_core.model.errors import HomieError
from homie_core.model.event import Record
from homie_core.model.job import MAX_FILES, Ask, FileRef, Kind, Outcome, State, check_names
from homie_core.model.names import FileName, GroupId, JobId, NodeName, PeerId
from homie_core.model.peer import Bytes, Port
from homie_core.model.session import Offered
from homie_core.model.wire import Frozen

LocalPath = Annotated[str, Meta(min_length=1, max_length=4096)]
"""An absolute path on this machine; the daemon runs as the same user."""

Prose = Annotated[str, Meta(max_length=4000)]


class Source(Frozen, frozen=True):
    """One file to send: read from `path`, or given inline as `content` (a cell)."""

    name: FileName
    path: LocalPath | None = None
    content: Annotated[bytes, Meta(max_length=1 << 20)] | None = None

    def __post_init__(self) -> None:
        if (self.path is None) == (self.content is None):
            raise ValueError("a source has either a path or a content")


class RunRequest(Frozen, frozen=True):
    """Run this on a peer and bring its files back."""

    id: JobId
    kind: Kind
    results: LocalPath
    """Folder for the files that come back; made when there are any."""
    entry: FileName | None = None
    """Which file is run; a session has none."""
    files: Annotated[tuple[Source, ...], Meta(max_length=MAX_FILES)] = ()
    title: Annotated[str, Meta(max_length=200)] = ""
    """What lists call it; empty: its entry."""
    args: tuple[str, ...] = ()
    ask: Ask = Ask()
    node: Annotated[str, Meta(max_length=80)] | None = None
    """Name or id prefix of the peer to use; None for the best available."""
    retry: Annotated[int, Meta(ge=0, le=10)] = 0
    """How often it may be started again on another peer, once it surely runs nowhere any more."""
    lease: Annotated[float, Meta(ge=1, le=86400)] = 60.0
    """Seconds that it runs on where this machine is not heard, if it may be started again."""


class Candidate(Frozen, frozen=True):
    """A peer that could take a job, or could not, and why."""

    peer: NodeName
    id: PeerId
    why: Prose
    trusted: bool = False
    """Whether the user trusts it."""


class Plan(Frozen, frozen=True):
    """What would become of a request. Nothing has left this machine for it."""

    takes: Annotated[tuple[Candidate, ...], Meta(min_length=1)]
    """Who would be asked to take it, the best first."""
    cannot: tuple[Candidate, ...]
    offer: Bytes
    """Length of the message that asks: what is run and asked for, arguments, names and digests of the files."""
    files: Annotated[tuple[FileRef, ...], Meta(max_length=MAX_FILES)]


class Follow(Frozen, frozen=True):
    """See a job again that was sent earlier."""

    job: JobId
    after: int = 0
    """Its events up to this number are known; -1: all before a session's newest cell."""
    results: LocalPath | None = None
    """Folder for the files that come back; None: they stay there."""


class Placed(Frozen, frozen=True, tag="placed"):
    """Which peer takes the job, and why that one."""

    peer: NodeName
    id: PeerId
    why: Prose
    trusted: bool = False
    """Whether the user trusts this peer: its outputs are shown unfiltered."""


class Transfer(Frozen, frozen=True, tag="transfer"):
    """Progress of the files going up (to the peer) or down: bytes of all files together."""

    up: bool
    done: Bytes
    total: Bytes


class Unreachable(Frozen, frozen=True, tag="unreachable"):
    """The link to the peer broke; the job goes on there and the daemon keeps trying."""

    peer: NodeName
    why: Prose


class Reachable(Frozen, frozen=True, tag="reachable"):
    """After `Unreachable`: the peer is heard again, and has the job."""

    peer: NodeName


class CaughtUp(Frozen, frozen=True, tag="caught-up"):
    """All is told that had happened when it was asked for."""


class Uploaded(Frozen, frozen=True, tag="uploaded"):
    """The files for a session are at its host, which now puts so many into its folder."""

    files: int


class Delivered(Frozen, frozen=True, tag="delivered"):
    """Files of the job are here; `notes` says what was not taken and why."""

    folder: LocalPath
    files: tuple[FileName, ...]
    notes: tuple[str, ...] = ()


class Refused(Frozen, frozen=True, tag="refused"):
    """No job came of it, or it was lost sight of for good; `error` names the class in `errors`."""

    error: Annotated[str, Meta(max_length=80)]
    message: Prose

    @classmethod
    def because(cls, error: HomieError) -> Self:
        """Return the error as it travels."""
        return cls(error=type(error).__name__, message=str(error)[:4000])

    def as_error(self) -> HomieError:
        """Return what travelled as an error again; a class that this version does not have is PeerRefused."""
        kind = getattr(errors, self.error, None)
        if not (isinstance(kind, type) and issubclass(kind, HomieError)):
            kind = errors.PeerRefused
        return kind(self.message)


class JobEvent(Frozen, frozen=True, tag="job"):
    """One event of the job, as its host numbered it."""

    record: Record


News = Placed | Transfer | Unreachable | Reachable | CaughtUp | Uploaded | Delivered | Refused | JobEvent
"""What a front end hears about one run: ends with `Refused`, or with `JobEvent` holding `Ended`; about what a job
has put out so far: or with `CaughtUp`; about files that go to a session, or come from a job: with `Refused`,
`Uploaded` or `Delivered`."""


class PutRequest(Frozen, frozen=True):
    """Send these files to a session."""

    files: Annotated[tuple[Source, ...], Meta(min_length=1, max_length=MAX_FILES)]


class FetchRequest(Frozen, frozen=True):
    """Bring these files of a session that runs into this folder; ends with `Delivered`."""

    folder: LocalPath
    """Made if need be; what is there already stays as it is."""
    files: Annotated[tuple[Offered, ...], Meta(min_length=1, max_length=MAX_FILES)]

    def __post_init__(self) -> None:
        check_names([file.name for file in self.files])


class GetRequest(Frozen, frozen=True):
    """Bring the files of a job that has ended into this folder; ends with `Delivered`."""

    folder: LocalPath
    """Made if there are any; what is there already stays as it is."""


class AddPeer(Frozen, frozen=True):
    """A peer that broadcast cannot reach."""

    host: Annotated[str, Meta(min_length=1, max_length=253)]
    port: Port


class JobView(Frozen, frozen=True):
    """A job as lists show it."""

    id: JobId
    mine: bool
    """True: I sent it to `peer`; False: I host it for `peer`."""
    kind: Kind
    peer: str
    title: Annotated[str, Meta(max_length=200)]
    age: float
    """Seconds since it was submitted."""
    state: State | None = None
    """None: that is not known now; `note` says why."""
    outcome: Outcome | None = None
    """How it ended, if it has."""
    note: Prose = ""
    """Why it waits, or why nothing is known of it."""
    results: str = ""
    """The folder here that its files were brought to; empty: to none, or there were none."""


class JobViews(Frozen, frozen=True):
    """Jobs, the newest first: those that I sent, then those that I host."""

    jobs: tuple[JobView, ...]


class Status(Frozen, frozen=True):
    """How a daemon is doing."""

    name: NodeName
    id: PeerId
    group: GroupId
    version: str
    pid: int
    port: Port
    discovery: Prose
    """`on, port 5555`, or why not."""
    sandbox: Prose
    """What jobs run in here, or empty."""
    trouble: Prose
    """Why this node does not take jobs, with the way out; empty if it does."""
    preparing: Prose
    """What is under way before jobs can be taken (`pulling python:3.12-slim 40 %`); empty when ready."""
    addresses: tuple[str, ...] = ()
    free_cpus: float = 0.0
    free_memory: Bytes = 0
    limits: Prose = ""
    """How the limits of jobs hold: `memory exact, processes exact, cpu exact, disk soft`; empty if unknown."""
    warning: Prose = ""
    """What the owner must know of this sandbox; empty if there is nothing."""
    damage: Prose = ""
    """Why this node's journal cannot be used, with the way out; empty if it can."""
