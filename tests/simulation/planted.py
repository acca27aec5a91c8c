"""Bugs that are put into the real code, to see that the simulation finds them: each a change of a few words."""

import contextlib
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any, NamedTuple

from swaps import swapped

from homie_core.daemon import full_disk
from homie_core.daemon.caring import Care
from homie_core.daemon.hosting import Hosting
from homie_core.daemon.pool import Ready
from homie_core.daemon.reception import Reception
from homie_core.daemon.renewing import Hold
from homie_core.daemon.running import Running
from homie_core.daemon.runs import Runs
from homie_core.daemon.submitting import Submitter
from homie_core.engine.admission import Admission
from homie_core.engine.peers import PeerTable
from homie_core.runner.__main__ import Runner
from homie_core.store.steady import Steady


class Change(NamedTuple):
    """In the method `name` of `owner`, `old` becomes `new`."""

    owner: Any
    name: str
    old: str
    new: str


PLANTED = {
    "no journal before the acknowledgement": [
        Change(
            Hosting,
            "_accept",
            "self.journal.accept(caller",
            "asyncio.get_running_loop().call_later(0.1, self.journal.accept, caller",
        ),
    ],
    "no journal before the program starts": [
        Change(Hosting, "_begin", "self.journal.begin(hosted.job.spec.id, begun)", "pass"),
    ],
    "START said twice is a new start": [
        Change(Runner, "hear", "kind == START and self.child is None", "kind == START"),
    ],
    "a record is acknowledged before it is in the spool": [
        Change(
            Running,
            "_facts",
            "yield number, fact\n",
            "await link.ack(number)\n                await asyncio.sleep(1)\n                yield number, fact\n",
        ),
    ],
    "a daemon that comes back hears a record twice": [
        Change(Running, "_find", "self._past.fact", "max(0, self._past.fact - 1)"),
    ],
    "another peer is tried when an upload falls silent": [
        Change(Submitter, "_upload", "reversed(range(TRIES))", "reversed(range(1))"),
        Change(
            Submitter,
            "bring",
            "await self._upload(",
            "with suppress(PeerUnreachable):\n"
            "            await self._upload(sent, files, frozenset(accepted.missing), missing, meter)\n"
            "            return sent\n"
            "        sent, _, accepted = await self._find_host(request, spec, but)\n"
            "        await self._upload(",
        ),
    ],
    "collection that forgets": [
        Change(Running, "events", "if not self._past.collected", "if not self._past.exited"),
    ],
    "capacity is released twice": [
        Change(
            Admission,
            "release",
            "self.running.pop(job, None)",
            "self.running.pop(job, None) or (self.running and self.running.popitem())",
        ),
        Change(Hosting, "_end", "self.admission.release(job)", "[self.admission.release(job) for _ in '12']"),
    ],
    "capacity is not held again by what goes on": [
        Change(Hosting, "_expect", "self.admission.resume(", "(lambda *_: None)("),
    ],
    "what waited is forgotten at a restart": [
        Change(Hosting, "_expect", "self.admission.complete(spec.id)", "pass"),
    ],
    "a sandbox that was found again is left": [
        Change(
            Ready,
            "remove",
            "await self.sandbox.remove()",
            "self.sandbox.cell.runs and await self.sandbox.remove()",
        ),
    ],
    "a fetched job is taken anew by an offer that comes late": [
        Change(Reception, "offer", "if hosting.was_here(spec.id)", "if False"),
    ],
    "a job is forgotten before its end is told": [
        Change(
            Runs,
            "_relay",
            "with suppress(CannotWrite):  # its host can be asked\n",
            "self._tasks.start(_forget(link, sent.job), 'early')\n"
            "                        await asyncio.sleep(0.1)\n"
            "                        with suppress(CannotWrite):\n",
        ),
    ],
    "a full disk ends what runs": [
        Change(full_disk, "when_room", "except CannotWrite as error", "except ZeroDivisionError as error"),
    ],
    "an engine that does not answer is asked once to remove a sandbox": [
        Change(Ready, "discard", "if time.monotonic() > until", "if True"),
    ],
    "a second copy is started while the host is only silent": [
        Change(Care, "_until_over", "not hold.over", "hold.clock() - hold.heard_at < lease / 2"),
    ],
    "the runner ignores its lease": [
        Change(Runner, "watch", "boottime() >= self.lease", "False"),
    ],
    "the submitter renews after silence": [
        Change(Hold, "keep", "self.clock() - self.heard_at >= SILENCE * self.length", "False"),
    ],
    "ages are told by a clock that people set": [
        Change(Steady, "now", "self._then + boottime() - self._began", "time.time()"),
    ],
    "a peer that was away is not looked for": [
        Change(PeerTable, "_hint", "(Standing.HEARD, Standing.OFFLINE)", "()"),
        Change(PeerTable, "tick", "elif now >= entry.probe_at", "elif False"),
    ],
}


@contextlib.contextmanager
def planted(bug: str) -> Iterator[None]:
    """Let the code have this bug."""
    with contextlib.ExitStack() as stack:
        for owner, name, old, new in PLANTED[bug]:
            real = owner.__dict__[name]
            source = textwrap.dedent(inspect.getsource(real))
            assert source.count(old) == 1, f"{name} has changed: {old!r} is {source.count(old)} times in it"
            made: dict[str, Any] = {}
            exec(compile(source.replace(old, new), f"<{bug}>", "exec"), real.__globals__, made)
            stack.enter_context(swapped({(owner, name): made[name]}))
        yield
