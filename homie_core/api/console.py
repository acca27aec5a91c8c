"""What code on a peer prints, on its way to the job it belongs to."""

import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from homie_core.api.call import Call
from homie_core.client.safe_text import Lines, SafeText
from homie_core.client.session import Header, Message


class Console:
    """The output of one session's jobs, as text that is harmless in a terminal."""

    def __init__(self) -> None:
        self._jobs: dict[str, Call[Any]] = {}
        self._safe = {name: SafeText() for name in ("stdout", "stderr")}
        self._errors: dict[str, dict[str, Any]] = {}

    def shows(self, job: Call[Any]) -> None:
        """From now on, this job's output is passed on to it."""
        self._jobs[job.key] = job
        job.future.add_done_callback(lambda _: self._jobs.pop(job.key, None))

    def belongs(self, header: Header, id: str = "") -> None:
        """Jobs are told apart by `shows`."""

    def placed(self, peer: str) -> None:
        """The jobs know."""

    def trusts(self, trusted: bool) -> None:
        """Text is made harmless in any case."""

    def say(self, text: str, ids: Iterable[str]) -> None:
        """Show a sentence of Homie's own, and let the jobs that it is about know it."""
        announce(text)
        for id in ids:
            if job := self._jobs.get(id):
                job.noticed(text)

    def publish(self, message: Message) -> None:
        """Pass on what is text."""
        content = message.content
        match message.type:
            case "stream" if isinstance(text := content.get("text"), str):
                self._print(message.parent, "stderr" if content.get("name") == "stderr" else "stdout", text)
            case "display_data" | "execute_result" if isinstance(data := content.get("data"), dict):
                if isinstance(text := data.get("text/plain"), str):
                    self._print(message.parent, "stdout", f"{text}\n")
            case "error":
                self._errors[message.parent] = content
            case _:
                pass

    def take_error(self, id: str) -> dict[str, Any] | None:
        """Return the error with which this job ended."""
        return self._errors.pop(id, None)

    def settle(self, id: str) -> None:
        """Its last error was not its end: it is output."""
        error = self._errors.pop(id, None)
        if error and isinstance(lines := error.get("traceback"), list):
            self._print(id, "stderr", "\n".join(map(str, lines)) + "\n")

    def close(self) -> None:
        """The kernel is no more."""
        self._errors.clear()

    def _print(self, id: str, stream: str, text: str) -> None:
        if job := self._jobs.get(id):
            job.printed(stream, self._safe[stream].feed(text.encode(errors="replace")))


def printer(prefix: str = "") -> Callable[[str, str], None]:
    """Return what prints the output of a job here, at once; each line behind the prefix, if there is one."""
    lines = {stream: Lines(prefix) for stream in ("stdout", "stderr")} if prefix else {}

    def prints(stream: str, text: str) -> None:
        target = sys.stderr if stream == "stderr" else sys.stdout
        target.write(lines[stream].feed(text) if prefix else text)
        target.flush()

    return prints


def announce(text: str) -> None:
    """Say a sentence of Homie's own."""
    line = "".join(c if c.isprintable() else "?" for c in text)
    print(f"homie: {line}", file=sys.stderr, flush=True)  # noqa: T201


def progress_for(wish: bool | Callable[[int, int], None] | None) -> Callable[[int, int], None]:
    """Return what shows how far something is: the user's own function, a line on the terminal, or nothing."""
    if callable(wish):
        return wish
    if wish or (wish is None and sys.stderr is not None and sys.stderr.isatty()):
        return _Line().show
    return lambda done, total: None


class _Line:
    """One line on the terminal that counts."""

    def __init__(self) -> None:
        self._began, self._shown = time.monotonic(), 0.0

    def show(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._shown < 0.1 and done < total:
            return
        self._shown = now
        rate = done / max(now - self._began, 1e-6)
        left = f", {(total - done) / rate:.0f} s left" if rate and done < total else ""
        sys.stderr.write(f"\r\x1b[2Khomie: {done} of {total}{left}{'' if done < total else chr(10)}")
        sys.stderr.flush()
