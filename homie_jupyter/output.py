"""What a session's kernel publishes, on its way into the cell that it belongs to."""

from collections.abc import Callable, Iterable
from typing import Any

from homie_core.model.names import JobId
from homie_jupyter.messages import Message
from homie_jupyter.publish import Header, Publisher

MAX_REQUESTS = 2000
"""Requests whose late output (of threads, say) still finds its cell."""


class Output:
    """Publishes messages of one session, each under the header of the request that caused it.

    What no request of this notebook's has caused is dropped.
    """

    def __init__(self, publisher: Publisher, job: JobId, say: Callable[[str], None]) -> None:
        self._publisher, self._job, self._say = publisher, job, say
        self._headers: dict[str, Header] = {}
        self._errors: dict[str, Message] = {}
        """The newest error of a request, until it is known whether it is the request's own."""

    def belongs(self, header: Header, id: str = "") -> None:
        """What comes of this request (its own, unless another is named) belongs under this header."""
        self._headers[id or str(header["msg_id"])] = header
        while len(self._headers) > MAX_REQUESTS:
            del self._headers[next(iter(self._headers))]

    def headers_of(self, ids: Iterable[str]) -> list[Header]:
        """Return the headers of those of these requests that are known."""
        return [self._headers[id] for id in list(ids) if id in self._headers]

    def publish(self, message: Message) -> None:
        """Publish a message of the kernel's, if it is one that a cell may show."""
        header = self._headers.get(message.parent)
        if header is None:
            return
        self.settle(message.parent)
        content, buffers = message.content, message.buffers
        match message.type:
            case "stream" if isinstance(content.get("text"), str):
                name = "stderr" if content.get("name") == "stderr" else "stdout"
                content, buffers = {"name": name, "text": content["text"]}, []
            case "display_data" | "update_display_data" | "execute_result":
                content, buffers = self._bundle(content), []
            case "clear_output":
                content, buffers = {"wait": content.get("wait") is True}, []
            case "error":
                self._errors[message.parent] = message
                return
            case _:
                return
        self._publisher.publish(message.type, content, {}, header, buffers)

    def take_error(self, id: str) -> dict[str, Any] | None:
        """Return the error with which this request ended, which its cell will raise."""
        error = self._errors.pop(id, None)
        return error.content if error else None

    def settle(self, id: str) -> None:
        """The last error of this request was not its end: it is output like any other."""
        if error := self._errors.pop(id, None):
            content = {key: error.content.get(key) for key in ("ename", "evalue", "traceback")}
            self._publisher.publish("error", content, {}, self._headers[id], [])

    def close(self) -> None:
        """The kernel is no more."""

    def _bundle(self, content: dict[str, Any]) -> dict[str, Any]:
        data, metadata = content.get("data"), content.get("metadata")
        bundle: dict[str, Any] = {"data": data if isinstance(data, dict) else {}, "metadata": metadata or {}}
        transient = content.get("transient")
        if isinstance(transient, dict) and isinstance(id := transient.get("display_id"), str):
            # Its own, whatever the peer chose: it cannot name a display of anybody else's.
            bundle["transient"] = {"display_id": f"homie-{self._job}-{id[:200]}"}
        return bundle
