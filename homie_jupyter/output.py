"""What a session's kernel publishes, on its way into the cell that it belongs to."""

from collections.abc import Callable, Iterable
from typing import Any

from homie_core.client.session import Header, Message, Session
from homie_core.model.names import JobId
from homie_jupyter.comms import Comms
from homie_jupyter.publish import Publisher
from homie_jupyter.safe import Filter

MAX_REQUESTS = 2000
"""Requests whose late output (of threads, say) still finds its cell."""


class Output:
    """Publishes messages of one session, each under the header of the request that caused it.

    What no request of this notebook's has caused is dropped, and all goes through the filter.
    """

    def __init__(self, publisher: Publisher, job: JobId, comms: Comms) -> None:
        self._publisher, self._job, self._comms = publisher, job, comms
        self._peer = ""
        self.filter = Filter()
        self._headers: dict[str, Header] = {}
        self._errors: dict[str, Message] = {}
        """The newest error of a request, until it is known whether it is the request's own."""
        self._clearing: set[str] = set()
        """Requests whose output is to be cleared as soon as there is more: by their own next output, not by what
        Homie shows under it."""
        self._said: set[str] = set()
        """Notices of the filter, each of which is shown once."""

    def belongs(self, header: Header, id: str = "") -> None:
        """What comes of this request (its own, unless another is named) belongs under this header."""
        self._headers[id or str(header["msg_id"])] = header
        while len(self._headers) > MAX_REQUESTS:
            oldest = next(iter(self._headers))
            del self._headers[oldest]
            self._clearing.discard(oldest)

    def placed(self, peer: str) -> None:
        """It comes from this peer."""
        self._peer = peer

    def trusts(self, trusted: bool) -> None:
        """Whether the user trusts that peer: then nothing is filtered."""
        self.filter.trusted = trusted

    def say(self, text: str, ids: Iterable[str]) -> None:
        """Show a sentence of Homie's own under these requests."""
        for header in [self._headers[id] for id in ids if id in self._headers]:
            self._say(text, header)

    def publish(self, message: Message) -> None:
        """Publish a message of the kernel's, if it is one that a cell may show."""
        header = self._headers.get(message.parent)
        if header is None:
            return
        self.settle(message.parent)
        try:
            self._publish(message, header)
        except Exception as error:  # whatever a peer thinks of: what follows it must still be heard
            self._say(
                f"an output of {self._peer} was not shown: {type(error).__name__} while it was looked at", header
            )

    def _publish(self, message: Message, header: Header) -> None:
        content = message.content
        match message.type:
            case "stream" if isinstance(text := content.get("text"), str):
                name = "stderr" if content.get("name") == "stderr" else "stdout"
                self._show("stream", {"name": name, "text": text}, message.parent)
            case "display_data" | "execute_result":
                if bundle := self._bundle(content, header):
                    self._show(message.type, bundle, message.parent)
            case "update_display_data":
                if bundle := self._bundle(content, header):
                    self._publisher.publish(message.type, bundle, {}, header, [])
            case "clear_output" if content.get("wait") is True:
                self._clearing.add(message.parent)
            case "clear_output":
                self._clearing.discard(message.parent)
                self._publisher.publish("clear_output", {"wait": False}, {}, header, [])
            case "error":
                self._errors[message.parent] = message
            case "comm_open" | "comm_msg" | "comm_close":
                self._comm(message, header)
            case _:
                pass

    def take_error(self, id: str) -> dict[str, Any] | None:
        """Return the error with which this request ended, which its cell will raise."""
        error = self._errors.pop(id, None)
        if error:
            self._clear(id)
        return error.content if error else None

    def settle(self, id: str) -> None:
        """The last error of this request was not its end: it is output like any other."""
        if error := self._errors.pop(id, None):
            lines = error.content.get("traceback")
            content = {
                "ename": str(error.content.get("ename")),
                "evalue": str(error.content.get("evalue")),
                "traceback": [str(line) for line in lines] if isinstance(lines, list) else [],
            }
            self._show("error", content, id)

    def _show(self, kind: str, content: dict[str, Any], id: str) -> None:
        self._clear(id)
        self._publisher.publish(kind, content, {}, self._headers[id], [])

    def _clear(self, id: str) -> None:
        """Clear what this request has shown, if that was to happen before it shows more."""
        if id in self._clearing:
            self._clearing.discard(id)
            self._publisher.publish("clear_output", {"wait": True}, {}, self._headers[id], [])

    def close(self) -> None:
        """The kernel is no more: its widgets are told to be dead."""
        for id, header in self._comms.close():
            self._publisher.publish("comm_close", {"comm_id": id, "data": {}}, {}, header, [])

    def _bundle(self, content: dict[str, Any], header: Header) -> dict[str, Any] | None:
        data, metadata = content.get("data"), content.get("metadata")
        filtered = self.filter.bundle(
            data if isinstance(data, dict) else {}, metadata if isinstance(metadata, dict) else {}
        )
        self._notice(filtered.notices, header)
        if not filtered.data and data:
            return None
        bundle: dict[str, Any] = {"data": filtered.data, "metadata": filtered.metadata}
        transient = content.get("transient")
        if isinstance(transient, dict) and isinstance(id := transient.get("display_id"), str):
            # Its own, whatever the peer chose: it cannot name a display of anybody else's.
            bundle["transient"] = {"display_id": f"homie-{self._job}-{id[:200]}"}
        return bundle

    def _comm(self, message: Message, header: Header) -> None:
        content = message.content
        if message.type == "comm_open":
            if why := self.filter.comm_open(content):
                self._notice((why,), header)
                return
            id, target = content.get("comm_id"), content.get("target_name")
            if not isinstance(id, str) or not isinstance(target, str) or not self._comms.opens(id, target, header):
                return
        elif not self._comms.knows(content.get("comm_id")):
            return
        cleaned = self.filter.comm_content(message.type, content)
        if cleaned is None:
            return
        version = message.metadata.get("version")
        metadata = {"version": version} if isinstance(version, str) else {}
        self._publisher.publish(message.type, cleaned, metadata, header, message.buffers)
        if message.type == "comm_close":
            self._comms.closes(cleaned["comm_id"])

    def _notice(self, notices: tuple[str, ...], header: Header) -> None:
        for notice in notices:
            if notice not in self._said:
                self._said.add(notice)
                self._say(notice.replace("{peer}", self._peer), header)

    def _say(self, text: str, header: Header) -> None:
        self._publisher.publish("stream", {"name": "stderr", "text": f"homie: {text}\n"}, {}, header, [])


def output_on(publisher: Publisher) -> Callable[[Session], Output]:
    """Return what makes the output of a session that this publisher shows."""
    return lambda session: Output(publisher, session.job, Comms(publisher.comms, session.say))
