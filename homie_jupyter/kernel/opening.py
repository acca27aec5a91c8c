"""How a session begins: in a thread, while requests wait and everything else is answered."""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from homie_core.client import ensure_daemon, new_job_id, request_for_session, wait_for_peers
from homie_core.home import home
from homie_core.model.job import Ask
from homie_jupyter.kernel.inbox import Failed, Inbox, Opened
from homie_jupyter.kernel.line import Line
from homie_jupyter.kernel.publisher import KernelPublisher


@dataclass(frozen=True)
class Wish:
    """What a kernelspec asks for; None leaves it to the peer's own limits."""

    node: str | None = None
    """None: the best machine that is free."""
    ask: Ask = field(default_factory=Ask)
    timeout: float | None = None
    """Seconds that a cell may run."""


class Opener:
    """Opens sessions on the node that this kernel is for."""

    def __init__(self, wish: Wish, publisher: KernelPublisher, inbox: Inbox) -> None:
        self._wish, self._publisher, self._inbox = wish, publisher, inbox

    def __call__(self) -> Callable[[float], None]:
        """Begin; `Opened` or `Failed` will be in the inbox. Returns what waits for that (seconds)."""
        thread = threading.Thread(target=self._open, name="homie opening", daemon=True)
        thread.start()
        return thread.join

    def _open(self) -> None:
        try:
            client, started = ensure_daemon(home())
            if started:
                wait_for_peers(client)
            job = new_job_id()
            request = request_for_session(
                title=f"kernel {os.environ.get('JPY_SESSION_NAME', '')[-150:]}".strip(),
                results=Path("homie-results") / job,
                job=job,
                ask=self._wish.ask,
                node=self._wish.node,
            )
            line = Line(client, self._publisher, request, self._inbox, self._wish.timeout)
        except Exception as error:  # whatever it is, the cell that waits must say it
            self._inbox.put(Failed(error))
        else:
            self._inbox.put(Opened(line))
