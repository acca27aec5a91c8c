"""What is asked, what is allowed, and how it ended."""

from collections.abc import Sequence
from enum import Enum
from typing import Annotated

from msgspec import Meta

from homie_core.model.errors import UnsafeName
from homie_core.model.gpu import GpuAsk
from homie_core.model.names import Digest, FileName, JobId, safe_file_name
from homie_core.model.peer import Bytes
from homie_core.model.wire import Frozen

MAX_FILES = 10_000
MAX_TIMEOUT = 30 * 86400.0


class FileRef(Frozen, frozen=True):
    """One file of a job: where it lies below the job's folder, and what is in it."""

    name: FileName
    digest: Digest
    size: Bytes
    executable: bool = False

    def __post_init__(self) -> None:
        check_name(self.name)


def check_name(name: str) -> None:
    """Raise ValueError for the name of a file that could mean one elsewhere."""
    try:
        safe_file_name(name)
    except UnsafeName as error:  # msgspec turns ValueError into its own, with the place in the message
        raise ValueError(str(error)) from error


def check_names(names: Sequence[FileName]) -> None:
    """Raise ValueError if files of these names cannot lie in one folder."""
    if len(set(names)) != len(names):
        raise ValueError("two files of one job have the same name")
    folders = {name[:at] for name in names for at in range(len(name)) if name[at] == "/"}
    if not folders.isdisjoint(names):
        raise ValueError("a name is both a file and a folder")


def check_files(files: tuple[FileRef, ...]) -> None:
    """Raise ValueError if these files cannot lie in one folder."""
    check_names([file.name for file in files])
    sizes: dict[Digest, int] = {}
    for file in files:
        if sizes.setdefault(file.digest, file.size) != file.size:
            raise ValueError("one digest is announced with two sizes")


class Ask(Frozen, frozen=True):
    """What the submitter wishes; None leaves it to the host's own limits."""

    cpus: Annotated[float, Meta(gt=0, le=4096)] | None = None
    memory: Annotated[int, Meta(ge=16 << 20, lt=2**60)] | None = None
    """Bytes."""
    timeout: Annotated[float, Meta(gt=0, le=MAX_TIMEOUT)] | None = None
    """Seconds of running time."""
    gpu: GpuAsk | None = None
    """None: no graphics card."""


class Limits(Frozen, frozen=True):
    """What one job may use; decided by its host, enforced by its sandbox."""

    cpus: float
    memory: int
    """Bytes, with everything that the job keeps in memory-backed file systems."""
    timeout: float
    """Seconds of running time; in a session, of one cell."""
    pids: int = 256
    open_files: int = 1024
    tmp: int = 256 << 20
    """Bytes of /tmp (memory-backed)."""
    disk: int = 10 << 30
    """Bytes of its work folder."""
    inodes: int = 200_000
    """Files and folders in its work folder."""
    output: int = 1 << 30
    """Bytes that it may write to standard output and error together; in a session, one cell."""
    idle: float = 1200.0
    """Seconds after which a session ends that nobody speaks to."""
    gpus: tuple[str, ...] = ()
    """Ids (NVML uuid) of the cards that this job gets; known when it starts."""


class Kind(Enum):
    """What a job's entry file is."""

    SCRIPT = "script"
    """A Python program with arguments."""
    SESSION = "session"
    """A live IPython kernel that runs cells; it has no entry."""


class JobSpec(Frozen, frozen=True):
    """One unit of work, as its submitter describes it to a host."""

    id: JobId
    kind: Kind
    entry: FileName | None = None
    """Which of `files` is run."""
    files: Annotated[tuple[FileRef, ...], Meta(max_length=MAX_FILES)] = ()
    args: Annotated[tuple[Annotated[str, Meta(max_length=131072)], ...], Meta(max_length=4096)] = ()
    ask: Ask = Ask()
    lease: Annotated[float, Meta(ge=1, le=86400)] | None = None
    """Seconds that it may run without a word from its submitter, who may start it elsewhere after that; see
    `homie_core.engine.lease`. None: it runs whoever is there."""

    @property
    def title(self) -> str:
        """What lists call it."""
        return self.entry or "session"

    def __post_init__(self) -> None:
        check_files(self.files)
        names = [file.name for file in self.files]
        if (self.entry is None) != (self.kind is Kind.SESSION):
            raise ValueError("a script has an entry, a session has none")
        if self.entry is not None and self.entry not in names:
            raise ValueError("the entry is not among the job's files")


class Ticket(Frozen, frozen=True):
    """Goes from a host to a submitter and back, and so renews a lease; empty: the first one is asked for."""

    ticket: Annotated[str, Meta(pattern=r"^([0-9a-f]{16})?\Z")] = ""


class State(Enum):
    """Where a job is in its life; see `homie_core.engine.lifecycle` for the moves."""

    RECEIVING = "receiving"
    """Accepted; some of its files have not arrived yet."""
    QUEUED = "queued"
    """Everything is here; it waits for room."""
    RUNNING = "running"
    """It has a sandbox."""
    COLLECTING = "collecting"
    """Its program has ended; its files are being taken in."""
    ENDED = "ended"


class How(Enum):
    """The ways a job can end."""

    EXITED = "exited"
    """Its program ended by itself; the status says how."""
    DEADLINE = "deadline"
    """Its running time was used up."""
    MEMORY = "memory"
    """It used more memory than it was lent."""
    OUTPUT = "output"
    """It wrote more to standard output and error than it may."""
    DISK = "disk"
    """It wrote more to disk than it was lent, where only a watcher holds that limit."""
    STOPPED = "stopped"
    """Its submitter stopped it."""
    EVICTED = "evicted"
    """The host's owner took the machine back (`homie down`, shutdown)."""
    KILLED = "killed"
    """Someone or something on the host killed its sandbox, from outside."""
    LOST = "lost"
    """Its sandbox vanished, and nobody knows how: the engine died, or lost it."""
    FAILED = "failed"
    """It could not be started."""
    IDLE = "idle"
    """A session that nobody spoke to for long; its variables are gone."""
    LAPSED = "lapsed"
    """Its submitter was not heard for as long as its lease: perhaps it runs elsewhere now."""
    EXPIRED = "expired"
    """Its files never arrived in full."""


class Outcome(Frozen, frozen=True):
    """How a job ended. `status` is what a shell would report; `detail` is for people."""

    how: How
    status: Annotated[int, Meta(ge=0, le=255)]
    detail: Annotated[str, Meta(max_length=2000)] = ""
