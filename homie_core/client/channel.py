"""The channel to a session: one standing WebSocket to my own daemon, for what it says and what it is told.

The library is `websockets`, whose blocking client is thread-safe; importing it costs a tenth of an asynchronous
client's, and only the first cell pays.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.sync.client import unix_connect

from homie_core.client.control import LOG, SOCKET
from homie_core.model import wire
from homie_core.model.control import Follow, JobEvent, News, Refused, RunRequest
from homie_core.model.errors import DaemonUnreachable
from homie_core.model.event import Ended
from homie_core.model.session import Told

_NEWS: Any = News


class Channel:
    """A session opened, or seen again; one thread reads its news, any thread may tell it something."""

    def __init__(self, home: Path, opening: RunRequest | Follow) -> None:
        """Raises DaemonUnreachable."""
        self._log = home / LOG
        query = ""
        if isinstance(opening, Follow):
            wish = {"job": opening.job, "after": opening.after, "results": opening.results}
            query = f"?{urlencode({key: value for key, value in wish.items() if value is not None})}"
        self._open = ExitStack()  # the library wants its connections entered; this one is left in `close`
        try:
            connecting = unix_connect(
                str(home / SOCKET),
                f"ws://homie/v1/channel{query}",
                compression=None,
                max_size=2 * wire.MAX_MESSAGE,
                ping_interval=None,
                user_agent_header=None,
            )
            self._socket = self._open.enter_context(connecting)
            if isinstance(opening, RunRequest):
                self._socket.send(wire.encode(opening))
        except (OSError, WebSocketException) as error:
            raise self._unreachable(error) from error

    def news(self) -> Iterator[News]:
        """Yield what happens until `Refused` or `Ended`, or until it is closed here."""
        unframer = wire.Unframer()
        try:
            for data in self._socket:
                for message in unframer.feed(data if isinstance(data, bytes) else data.encode()):
                    news: News = wire.decode(message, _NEWS)
                    yield news
                    if isinstance(news, Refused):
                        return
                    if isinstance(news, JobEvent) and isinstance(news.record.event, Ended):
                        return
        except ConnectionClosed as error:
            raise self._unreachable(error) from error

    def tell(self, what: Told) -> None:
        """Tell the session something. Raises DaemonUnreachable."""
        try:
            self._socket.send(wire.encode(what))
        except (OSError, ConnectionClosed) as error:
            raise self._unreachable(error) from error

    def close(self) -> None:
        """Hang up; the session goes on."""
        self._open.close()

    def _unreachable(self, error: Exception) -> DaemonUnreachable:
        if isinstance(error, FileNotFoundError | ConnectionRefusedError):
            return DaemonUnreachable("homie is not running here; start it with `homie up`")
        what = "refused the channel" if isinstance(error, InvalidStatus) else "ended the channel"
        return DaemonUnreachable(f"the daemon {what} ({type(error).__name__}); {self._log} says more")
