"""A session on its host: what its kernel is told, in order, and how long each of its cells may take."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from msgspec.structs import replace

from homie_core.model.errors import PeerRefused
from homie_core.model.event import Busy, Collected, Event, Notice, Restarted
from homie_core.model.job import How, JobSpec, Limits
from homie_core.model.names import Digest, FileName
from homie_core.model.quantity import show_duration
from homie_core.model.session import Cell, Finish, Input, Place, Restart, Say, Told
from homie_core.sandbox.link import Link

log = logging.getLogger(__name__)

MAX_WAITING = 64
"""Inputs that wait to be passed on; whoever says more waits until there is room."""
MAX_ORIGINS = 64
"""Front ends whose last number is remembered."""
PATIENCE = 60.0
"""Seconds in which a kernel has to begin a cell that it was told; it may still be starting."""
GRACE = 5.0
"""Seconds in which an interrupted cell has to end."""
CHUNK = 256 << 10


class Session:
    """One session; `record` takes what its owner must hear of it from its host."""

    def __init__(self, spec: JobSpec, limits: Limits, received: Path, record: Callable[[Event], None]) -> None:
        self.limits = limits
        self._job, self._received, self._record = spec.id, received, record
        self._inputs: asyncio.Queue[Told | Place] = asyncio.Queue(MAX_WAITING)
        self._taken: dict[str, int] = {}
        self._placed: dict[FileName, Digest] = {}
        """Files that came while it ran."""
        self._told: dict[str, float] = {}
        """Cells that the kernel has been told and has not ended, with the seconds that each may run."""
        self._runs = ""
        """The cell that the kernel says it runs; it may lie."""
        self._watched = "", ""
        self._link: Link | None = None
        """To its runner; another one when a stream broke."""
        self._end: Callable[[How], Awaitable[None]] | None = None
        self._deadline: asyncio.Task[None] | None = None
        self._quiet_since = time.monotonic()

    async def tell(self, said: Input) -> None:
        """Take the next input; one that was taken before changes nothing."""
        last = self._taken.get(said.origin, 0)
        if said.number <= last:
            return
        if said.number != last + 1 and said.origin in self._taken:
            raise PeerRefused(f"input {said.number} came where {last + 1} was due")
        await self._inputs.put(said.what)
        self._taken.pop(said.origin, None)
        self._taken[said.origin] = said.number
        while len(self._taken) > MAX_ORIGINS:
            del self._taken[next(iter(self._taken))]

    async def place(self, place: Place) -> None:
        """Put files that have been received into its folder, before what is told from now on."""
        await self._inputs.put(place)

    async def serve(self, link: Link, end: Callable[[How], Awaitable[None]]) -> None:
        """Pass on what is said until the link breaks or the session ends; `end` ends it before its time."""
        self._link, self._end = link, end
        while True:
            said = await self._inputs.get()
            self._quiet_since = time.monotonic()
            match said:
                case Say(data=data):
                    await link.say(data)
                case Cell(id=id, data=data, timeout=timeout):
                    self._told[id] = min(timeout or self.limits.timeout, self.limits.timeout)
                    self._watch()
                    await link.say(data)
                case Place(files=files):
                    for file in files:
                        self._placed[file.name] = file.digest
                        await link.place(file, _chunks(self._received / file.digest))
                case Restart():
                    await link.restart()
                case Finish():
                    await link.finish()
                    await asyncio.sleep(GRACE)
                    await end(How.STOPPED)

    def heard(self, event: Event) -> None:
        """Note what the session says of itself."""
        match event:
            case Busy(cell=""):
                self._told.pop(self._runs, None)
                self._runs = ""
            case Busy(cell=cell):
                self._runs = cell
            case Restarted():
                self._told.clear()
                self._runs = ""
            case _:
                return
        self._quiet_since = time.monotonic()
        self._watch()

    def without_inputs(self, collected: Collected) -> Collected:
        """Return it without the files that were put into the folder and are as they were."""
        files = tuple(file for file in collected.files if self._placed.get(file.name) != file.digest)
        return replace(collected, files=files)

    def quiet(self, now: float) -> float:
        """Return for how many seconds nobody has wanted anything of it; 0 while a cell runs or is due."""
        return 0.0 if self._runs or self._told or not self._inputs.empty() else now - self._quiet_since

    def close(self) -> None:
        """It has ended."""
        if self._deadline:
            self._deadline.cancel()

    def _watch(self) -> None:
        """Hold the deadline of the cell that runs, or else of the one that should run next."""
        due = self._runs or next(iter(self._told), "")
        if (due, self._runs) == self._watched:
            return
        self._watched = due, self._runs
        self.close()
        if due:
            seconds = self._told.get(due, self.limits.timeout) + (0.0 if self._runs else PATIENCE)
            work = self._hold(due, seconds)
            self._deadline = asyncio.create_task(work, name=f"deadline of a cell of {self._job}")

    async def _hold(self, cell: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        log.info("a cell of session %s ran longer than %s; it is interrupted", self._job, show_duration(seconds))
        self._record(Notice(text=f"it ran longer than {show_duration(seconds)}, so it is interrupted"))
        assert self._link
        assert self._end
        await self._link.interrupt(cell)
        await asyncio.sleep(GRACE)
        await self._end(How.DEADLINE)


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(CHUNK):
            yield chunk
