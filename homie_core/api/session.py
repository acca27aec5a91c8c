"""A session that stays: code, values and files, one after another, on one peer."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Self, Unpack

from homie_core.api.asking import Options, where
from homie_core.api.call import Call
from homie_core.api.calls import CALL, VALUE, only, packed_call
from homie_core.api.console import announce, printer
from homie_core.api.workers import open_worker
from homie_core.client.files import checked_globs, fresh_folder
from homie_core.client.job import Job
from homie_core.client.values import Given, Packed


class Session:
    """A Python on a peer that remembers, for as long as it is open; use it in `with`, or `close()` it."""

    def __init__(self, name: str = "session", **options: Unpack[Options]) -> None:
        """Open it, on the best peer or on `node`; options as for `run`. Raises HomieError."""
        there = where(**options)
        self.name, self._timeout = name, there.timeout
        self._worker = open_worker(there, name)

    @property
    def peer(self) -> str:
        """Name of the machine that it is on."""
        return self._worker.session.peer

    @property
    def alive(self) -> bool:
        """Whether it is open, as far as is known."""
        return self._worker.session.alive

    def run(self, what: str | Callable[..., Any], *args: Any, **keywords: Any) -> Any:
        """Run code (returns None), or `what(*args, **keywords)` (returns its value); what it prints is shown.

        Raises RemoteError if it fails, HomieError if the session is over.
        """
        job = self._sent(what, args, keywords, printer())
        try:
            return job.result()
        except KeyboardInterrupt:
            job.cancel()
            raise

    def submit(self, what: str | Callable[..., Any], *args: Any, **keywords: Any) -> Job[Any]:
        """The same, without waiting for it; it begins when what was sent before has ended."""
        return self._sent(what, args, keywords, None)

    def push(self, **variables: Any) -> None:
        """Set variables there. Raises CannotSend for a value that cannot be sent."""
        self._do(Call("", Packed(variables), (), _nothing, timeout=self._timeout)).result()

    def pull(self, *expressions: str) -> Any:
        """Return the value of an expression there, or a tuple of those of several. Raises NotGiven."""
        job: Call[Given] = Call("", Packed({}), expressions, _came, timeout=self._timeout)
        came = self._do(job).result()
        values = tuple(came.values[expression] for expression in expressions)
        return values[0] if len(values) == 1 else values

    def put(self, *globs: str) -> None:
        """Copy files, folders and what patterns find into its folder: to their relative paths, or to their names.

        Raises CannotSend for what is not there, or a pattern that finds nothing.
        """
        self._worker.session.put(globs, announce, lambda _: None)

    def get(self, glob: str, into: str | Path | None = None) -> list[Path]:
        """Bring the files in its folder that a pattern finds, and return where they are now, in their order.

        They keep their relative paths below `into`, or below a new folder in `homie-results`; a file that is there
        already stays as it is, and what came gets another name. Raises NotGiven if there are none, HomieError.
        """
        job: Call[Given] = Call("", Packed({}), (), _came, gets=checked_globs([glob]), timeout=self._timeout)
        came = self._do(job).result()
        for note in came.notes:
            announce(f"not taken: {note}")
        with fresh_folder(self.name) if into is None else nullcontext(Path(into)) as folder:
            delivered = self._worker.session.fetch(came.files, folder, lambda _: None)
        for note in delivered.notes:
            announce(note)
        return [folder / name for name in delivered.files]

    def restart(self) -> None:
        """Begin anew in the same folder, without variables."""
        self._worker.session.restart()

    def close(self) -> None:
        """End it; its variables are gone, files that it made come back into `homie-results`."""
        session = self._worker.session
        if session.alive:
            session.end()
            session.closed.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Session {self.name} on {self.peer}{'' if self.alive else ', over'}>"

    def _sent(self, what: Any, args: Any, keywords: Any, prints: Callable[[str, str], None] | None) -> Job[Any]:
        if isinstance(what, str):
            if args or keywords:
                raise TypeError("code takes no arguments; `push` sets variables")
            return self._do(Call(what, Packed({}), (), _nothing, timeout=self._timeout, prints=prints))
        packed = packed_call(what, args, keywords)
        label = f"{getattr(what, '__name__', 'function')}(...)"
        return self._do(Call(CALL, packed, (VALUE,), only, labels=(label,), timeout=self._timeout, prints=prints))

    def _do(self, job: Call[Any]) -> Call[Any]:
        self._worker.runs(job, killable=False)
        return job


def _nothing(came: Given) -> None:
    came.check()


def _came(came: Given) -> Given:
    came.check()
    return came
