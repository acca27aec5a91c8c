"""What a submitter says to a session that runs on a host."""

from typing import Annotated

from msgspec import Meta

from homie_core.model.job import MAX_FILES, FileRef, check_files, check_name
from homie_core.model.names import Digest, FileName
from homie_core.model.peer import Bytes
from homie_core.model.wire import Frozen

MAX_SAID = 3 << 20
"""Bytes of messages said at once: with what is around them they fit into one message of the wire."""

Said = Annotated[bytes, Meta(max_length=MAX_SAID)]
"""One or several whole Jupyter messages, as `homie_core.runner.messages` packs them."""

CellId = Annotated[str, Meta(min_length=1, max_length=200)]
"""The id of a cell's execute request."""


ParcelName = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")]
"""A parcel: values too large for a message, into a session that runs or out of it; or a file out of it."""


class Say(Frozen, frozen=True, tag="say"):
    """Pass these messages on to the kernel (an interrupt, an answer, a widget's news)."""

    data: Said


class Cell(Frozen, frozen=True, tag="cell"):
    """Run this cell: `data` is its execute request."""

    id: CellId
    data: Said
    timeout: Annotated[float, Meta(gt=0)] | None = None
    """Seconds that it may run; None, and at most, what the host lends."""


class Restart(Frozen, frozen=True, tag="restart"):
    """Put another kernel, without variables, in the place of this one; files stay."""


class Finish(Frozen, frozen=True, tag="finish"):
    """End the session; its files are collected."""


Told = Say | Cell | Restart | Finish


class Input(Frozen, frozen=True):
    """One thing said, with its number: what comes twice, because a link broke, counts once.

    Numbers grow by one for each `origin`, which a front end draws at random.
    """

    origin: Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")]
    number: Annotated[int, Meta(ge=1, lt=2**62)]
    what: Told


class Taken(Frozen, frozen=True):
    """The host has taken every input of this origin up to this number."""

    origin: str
    number: int


class Place(Frozen, frozen=True, tag="place"):
    """Put these files into a session's folder."""

    files: Annotated[tuple[FileRef, ...], Meta(min_length=1, max_length=MAX_FILES)]

    def __post_init__(self) -> None:
        check_files(self.files)


class Offered(Frozen, frozen=True):
    """A file in the folder of a session that runs, which can be fetched as this parcel."""

    name: FileName
    size: Bytes
    parcel: ParcelName
    executable: bool = False

    def __post_init__(self) -> None:
        check_name(self.name)


class Missing(Frozen, frozen=True):
    """Which of the files to place have to be sent first."""

    digests: Annotated[tuple[Digest, ...], Meta(max_length=MAX_FILES)]
