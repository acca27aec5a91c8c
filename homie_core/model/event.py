"""What happened to a job: numbered facts, kept in its spool and read as `events after N`."""

from typing import Annotated

from msgspec import Meta

from homie_core.model.job import MAX_FILES, FileRef, Limits, Outcome
from homie_core.model.names import Digest
from homie_core.model.wire import Frozen

MAX_OUTPUT = 256 << 10
"""Upper bound of one Output's data in bytes."""


class Accepted(Frozen, frozen=True, tag="accepted"):
    """The host has written the job into its journal and lacks these files."""

    limits: Limits
    missing: Annotated[tuple[Digest, ...], Meta(max_length=MAX_FILES)]


class Queued(Frozen, frozen=True, tag="queued"):
    """It waits: how many are before it, and for what."""

    position: Annotated[int, Meta(ge=1, le=1_000_000)]
    reason: Annotated[str, Meta(max_length=500)]


class Started(Frozen, frozen=True, tag="started"):
    """Its program runs, in this kind of sandbox."""

    sandbox: Annotated[str, Meta(max_length=80)]
    gpus: Annotated[tuple[Annotated[str, Meta(max_length=80)], ...], Meta(max_length=16)] = ()
    """Names of the graphics cards that it has."""


class Output(Frozen, frozen=True, tag="output"):
    """Bytes its program wrote: to standard output (1) or standard error (2)."""

    stream: Annotated[int, Meta(ge=1, le=2)]
    data: Annotated[bytes, Meta(max_length=MAX_OUTPUT)]


class Messages(Frozen, frozen=True, tag="messages"):
    """The next bytes of what a session's kernel says: Jupyter messages, see `homie_core.runner.messages`."""

    data: Annotated[bytes, Meta(max_length=MAX_OUTPUT)]


class Busy(Frozen, frozen=True, tag="busy"):
    """A session's kernel runs this cell (the id of its request) from now on; empty: none."""

    cell: Annotated[str, Meta(max_length=200)] = ""


class Restarted(Frozen, frozen=True, tag="restarted"):
    """A session has another kernel, without variables; with it begins another stream of messages."""


class Placed(Frozen, frozen=True, tag="placed"):
    """A file that came while the session runs is there; or in words why not."""

    error: Annotated[str, Meta(max_length=1000)] = ""


class Notice(Frozen, frozen=True, tag="notice"):
    """A sentence of the host's own to whom the session belongs."""

    text: Annotated[str, Meta(max_length=1000)]


class Exited(Frozen, frozen=True, tag="exited"):
    """Its program has ended; all its output comes before this. Why it did, `Ended` may know better."""

    outcome: Outcome


class Collected(Frozen, frozen=True, tag="collected"):
    """The files it wrote or changed, and what was not taken (links, devices, unsafe names, too many)."""

    files: Annotated[tuple[FileRef, ...], Meta(max_length=MAX_FILES)]
    skipped: Annotated[tuple[Annotated[str, Meta(max_length=200)], ...], Meta(max_length=100)] = ()


class Ended(Frozen, frozen=True, tag="ended"):
    """The last event of every job."""

    outcome: Outcome


SessionEvent = Messages | Busy | Restarted | Placed | Notice
"""What only happens in sessions."""

Event = Accepted | Queued | Started | Output | SessionEvent | Exited | Collected | Ended


class Record(Frozen, frozen=True):
    """An event with its number (1, 2, 3, ... without gaps) and the host's wall time in seconds."""

    seq: Annotated[int, Meta(ge=1, lt=2**62)]
    at: float
    event: Event
    fact: Annotated[int, Meta(ge=0, lt=2**62)] = 0
    """Number of the runner's record that it was; 0: it is the host's own."""
