"""A session on its host: what its kernel is told, in order, and how long each of its cells may take."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

from msgspec.structs import replace

from homie_core.daemon.progress import Progress
from homie_core.model.errors import CannotWrite, PeerRefused
from homie_core.model.event import Busy, Collected, Event, Notice, Restarted
from homie_core.model.job import How, JobSpec, Limits
from homie_core.model.quantity import show_duration
from homie_core.model.session import Cell, Finish, Input, Place, Restart, Say
from homie_core.sandbox.link import Fact, Heard, Link
from homie_core.store.inputs import Inputs, Kept

log = logging.getLogger(__name__)

MAX_WAITING = 64
"""Inputs that wait to be passed on; whoever says more waits until there is room."""
PATIENCE = 60.0
"""Seconds in which a kernel has to begin a cell that it was told; it may still be starting."""
GRACE = 5.0
"""Seconds in which an interrupted cell has to end."""
CHUNK = 256 << 10


class Session:
    """One session; `record` takes what its owner must hear of it from its host."""

    def __init__(
        self,
        spec: JobSpec,
        limits: Limits,
        received: Path,
        inputs: Inputs,
        record: Callable[[Event], None],
        progress: Progress,
    ) -> None:
        """`inputs` and `progress` may be of an earlier life of the daemon."""
        self.limits = limits
        self._job, self._received, self._record = spec.id, received, record
        self._inputs, self._progress = inputs, progress
        self._passed = inputs.last
        """Number of the last input that was passed on; all that were there at first, until a runner says more."""
        self._changed = asyncio.Event()
        self._told: dict[str, float] = {}
        """Cells that the kernel has been told and has not ended, with the seconds that each may run."""
        self._runs = progress.runs
        """The cell that the kernel says it runs; it may lie."""
        self._watched = "", ""
        self._deadline: asyncio.Task[None] | None = None
        self._quiet_since = time.monotonic()
        self._over = False
        self._link: Link | None = None
        """To its runner; another one when a stream broke."""
        self._end: Callable[[How], Awaitable[None]] | None = None

    async def tell(self, said: Input) -> None:
        """Take the next input; one that was taken before changes nothing, nor one that comes too late.

        Raises CannotWrite if there is no room to write it down: then it is to be said again.
        """
        while self._inputs.last - self._passed >= MAX_WAITING and not self._over:
            await self._change()
        if self._over:
            return
        last = self._inputs.taken.get(said.origin)
        if last is not None and said.number <= last:
            return
        if last is not None and said.number != last + 1:
            raise PeerRefused(f"input {said.number} came where {last + 1} was due")
        self._inputs.append(said.what, said)
        self._notify()

    async def place(self, place: Place) -> None:
        """Put files that have been received into its folder, before what is told from now on.

        Raises CannotWrite if there is no room to write that down: then it is to be asked again.
        """
        for file in place.files:
            self._inputs.append(Place(files=(file,)))
        self._notify()

    async def serve(self, link: Link, end: Callable[[How], Awaitable[None]]) -> None:
        """Pass on what is said until the link breaks or the session ends; `end` ends it before its time."""
        self._link, self._end = link, end
        self._passed = min(link.heard, self._inputs.last)
        self._remember()
        while True:
            while not (kept := self._inputs.next(self._passed)):
                await self._change()
            self._quiet_since = time.monotonic()
            await self._pass_on(kept, link)
            self._passed = kept.number
            self._notify()
            if isinstance(kept.what, Finish):
                await asyncio.sleep(GRACE)
                await end(How.STOPPED)

    async def _pass_on(self, kept: Kept, link: Link) -> None:
        match kept.what:
            case Say(data=data):
                await link.say(data, kept.number)
            case Cell(id=id, data=data, timeout=timeout):
                self._told[id] = self._seconds(timeout)
                self._watch()
                await link.say(data, kept.number)
            case Place(files=files):
                for file in files:
                    await link.place(file, _chunks(self._received / file.digest), kept.number)
            case Restart():
                await link.restart(kept.number)
            case Finish():
                await link.finish(kept.number)

    def _remember(self) -> None:
        """Note which cells the runner has been told, by this daemon or an earlier one, and has not ended."""
        self._told.clear()
        number = 0
        while (kept := self._inputs.next(number)) and kept.number <= self._passed:
            number = kept.number
            if not isinstance(kept.what, Cell):
                continue
            if kept.what.id == self._progress.begun:
                self._told.clear()  # those before it have ended
                if not self._runs:
                    continue
            self._told[kept.what.id] = self._seconds(kept.what.timeout)
        self._watch()

    def _seconds(self, timeout: float | None) -> float:
        return min(timeout or self.limits.timeout, self.limits.timeout)

    def heard(self, fact: Fact) -> None:
        """Note what the session says of itself."""
        match fact:
            case Heard(number=number):
                self._inputs.heard(min(number, self._passed))
                return
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
        placed = self._inputs.placed
        files = tuple(file for file in collected.files if placed.get(file.name) != file.digest)
        return replace(collected, files=files)

    def quiet(self, now: float) -> float:
        """Return for how many seconds nobody has wanted anything of it; 0 while a cell runs or is due."""
        waits = self._inputs.last > self._passed
        return 0.0 if self._runs or self._told or waits else now - self._quiet_since

    def close(self) -> None:
        """It has ended."""
        self._over = True
        self._notify()
        self._stop_watching()
        self._inputs.close()

    async def _change(self) -> None:
        await self._changed.wait()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _stop_watching(self) -> None:
        if self._deadline:
            self._deadline.cancel()

    def _watch(self) -> None:
        """Hold the deadline of the cell that runs, or else of the one that should run next."""
        due = self._runs or next(iter(self._told), "")
        if (due, self._runs) == self._watched:
            return
        self._watched = due, self._runs
        self._stop_watching()
        if due:
            seconds = self._told.get(due, self.limits.timeout) + (0.0 if self._runs else PATIENCE)
            work = self._hold(due, seconds)
            self._deadline = asyncio.create_task(work, name=f"deadline of a cell of {self._job}")

    async def _hold(self, cell: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        log.info("a cell of session %s ran longer than %s; it is interrupted", self._job, show_duration(seconds))
        with suppress(CannotWrite):  # its end says it too
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
