"""The rules of a kernel whose code runs on a peer: real sockets and front ends, a scripted peer."""

import json
import queue
import time

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.connect import write_connection_file
from jupyter_client.session import Session as Signer

from homie_core.client.session import session
from homie_core.model import control, event
from homie_core.model.control import JobEvent, Placed, Refused
from homie_core.model.errors import NoPeer
from homie_core.model.job import How, Kind, Limits, Outcome
from homie_core.model.session import MAX_SAID, Cell, Finish, Say
from homie_core.runner.messages import INTERRUPT, IOPUB, SHELL, STDIN, Unpacker, pack
from homie_jupyter.kernel import front as fronting
from homie_jupyter.kernel import relay as relaying
from homie_jupyter.kernel.front import Front
from homie_jupyter.kernel.inbox import ROOM, Failed, Inbox, Opened, Signal
from homie_jupyter.kernel.line import Line
from homie_jupyter.kernel.publisher import KernelPublisher
from homie_jupyter.kernel.relay import Relay

WITHIN = 10.0
"""Seconds for whatever a test waits for."""
REQUEST = control.RunRequest(id="0123456789ab", kind=Kind.SESSION, results="/nonexistent")
LIMITS = Limits(cpus=1, memory=1 << 30, disk=1 << 30, output=1 << 30, timeout=600, pids=64, idle=60)


class Peer:
    """In place of the channel to a session: what it is told is kept, what it says a test decides."""

    def __init__(self):
        self.told = []
        self.closed = False
        self._news = queue.SimpleQueue()
        self._number = 0

    def tell(self, what):
        self.told.append(what)

    def news(self):
        while (news := self._news.get()) is not None:
            yield news
            if isinstance(news, Refused) or (
                isinstance(news, JobEvent) and isinstance(news.record.event, event.Ended)
            ):
                return

    def close(self):
        self.closed = True
        self._news.put(None)

    def says(self, news):
        self._news.put(news)

    def happens(self, what):
        self._number += 1
        self.says(JobEvent(record=event.Record(seq=self._number, at=0.0, event=what)))

    def sends(self, channel, kind, parent, content, **header):
        """A message of the kernel's over there."""
        parts = ({"msg_id": "x", "msg_type": kind, **header}, {"msg_id": parent}, {}, content)
        self.happens(event.Messages(data=pack(channel, [json.dumps(part).encode() for part in parts])))

    def answers(self, parent, kind="execute_reply", **content):
        """The reply, and that all has been said."""
        self.sends(SHELL, kind, parent, {"status": "ok", **content})
        self.sends(IOPUB, "status", parent, {"execution_state": "idle"})

    def requests(self):
        """Ids and kinds of the messages that it was told."""
        found = []
        for what in self.told:
            if isinstance(what, Cell | Say):
                for channel, parts in Unpacker().feed(what.data):
                    header = json.loads(parts[0]) if channel != INTERRUPT else {"msg_type": "interrupt"}
                    found.append((header.get("msg_id"), header["msg_type"]))
        return found


class Talk:
    """A kernel, its front ends, and its peer; all in this thread."""

    def __init__(self, folder, monkeypatch):
        self.peer = Peer()
        monkeypatch.setattr(session, "Channel", lambda home, opening: self.peer)
        monkeypatch.setattr(relaying, "SOON", 0.05)
        self.key = b"of this kernel"
        self._file, _ = write_connection_file(
            str(folder / "kernel.json"), transport="ipc", ip=str(folder / "ipc"), key=self.key
        )
        self.front = Front(folder / "kernel.json")
        self.inbox = Inbox(self.front.wake)
        publisher = KernelPublisher(self.front, self.inbox, paced=False)
        self.opened = 0
        self.refusal = None
        self.slow = False
        """Whether a session has ended before it is known that it was opened."""
        self.stopped = []

        def open():
            self.opened += 1
            if self.refusal:
                self.inbox.put(Failed(self.refusal))
            else:
                client = type("Client", (), {"home": folder, "stop": lambda _, job: self.stopped.append(job)})()
                self.line = Line(client, publisher, REQUEST, self.inbox)
                if self.slow:
                    self.line.closed.wait(WITHIN)
                self.inbox.put(Opened(self.line))
            return lambda patience: None

        self.relay = Relay(self.front, publisher, self.inbox, open, "desk")
        self.clients = []
        self.client = self.another()

    def another(self):
        client = BlockingKernelClient()
        client.load_connection_file(self._file)
        client.start_channels()
        self.clients.append(client)
        self.until(lambda: client.iopub_channel.msg_ready(), "no welcome")
        assert client.get_iopub_msg(timeout=WITHIN)["msg_type"] == "iopub_welcome"
        return client

    def step(self):
        for asked in self.front.receive(0.01):
            self.relay.hear(asked)
        self.relay.work()

    def until(self, condition, what):
        end = time.monotonic() + WITHIN
        while not condition():
            assert time.monotonic() < end, what
            self.step()

    def begun(self, trusted=False):
        """A session on desk begins."""
        self.peer.says(Placed(peer="desk", id="de" * 32, why="it is free", trusted=trusted))
        self.peer.happens(event.Accepted(limits=LIMITS, missing=()))
        self.peer.happens(event.Started(sandbox="docker"))

    def execute(self, code="1", client=None, **options):
        """Ask for a cell, and let the session begin if none has; return the request's id."""
        id = (client or self.client).execute(code, **options)
        self.until(lambda: self.opened, "no session is wanted")
        if not self.line.ready.is_set():
            self.begun()
        return id

    def told(self, id):
        self.until(lambda: any(id == told for told, _ in self.peer.requests()), "the session is not told")

    def reply(self, id, client=None, channel="shell"):
        """Wait for the reply to this request."""
        channel = getattr(client or self.client, f"{channel}_channel")
        while True:
            self.until(channel.msg_ready, "no reply")
            message = channel.get_msg(timeout=0)
            if message["parent_header"]["msg_id"] == id:
                return message["content"]

    def shown(self, id, client=None):
        """Wait until the kernel is idle again after this; return what was published meanwhile for it."""
        client, found = client or self.client, []
        while True:
            self.until(client.iopub_channel.msg_ready, "it does not become idle")
            message = client.get_iopub_msg(timeout=0)
            if message["parent_header"].get("msg_id") != id:
                continue
            if message["content"].get("execution_state") == "idle":
                return found
            if message["msg_type"] != "status":
                found.append((message["msg_type"], message["content"]))

    def close(self):
        self.peer.close()
        for client in self.clients:
            client.stop_channels()
        self.front.close()


@pytest.fixture
def talk(short_tmp, monkeypatch):
    talk = Talk(short_tmp, monkeypatch)
    yield talk
    talk.close()


def test_a_cell_goes_there_and_its_output_comes_back(talk):
    id = talk.execute("1 + 1")
    talk.told(id)
    talk.peer.sends(IOPUB, "execute_input", id, {"code": "what it says was run", "execution_count": 7})
    talk.peer.sends(IOPUB, "stream", id, {"name": "stdout", "text": "out"})
    result = {"data": {"text/plain": "2"}, "metadata": {}, "execution_count": 99}
    talk.peer.sends(IOPUB, "execute_result", id, result)
    talk.peer.answers(id, execution_count=7)
    assert talk.reply(id)["execution_count"] == 7
    assert talk.shown(id) == [
        ("execute_input", {"code": "1 + 1", "execution_count": 7}),
        ("stream", {"name": "stdout", "text": "out"}),
        ("execute_result", {"data": {"text/plain": "2"}, "metadata": {}, "execution_count": 7}),
    ]


def test_replies_and_questions_go_to_who_asked(talk):
    other = talk.another()
    mine, theirs = talk.execute("first"), talk.execute("second", other, allow_stdin=True)
    talk.told(mine)
    talk.peer.answers(mine)
    assert talk.reply(mine)["status"] == "ok"
    talk.told(theirs)
    talk.peer.sends(STDIN, "input_request", theirs, {"prompt": "who? ", "password": False})
    talk.until(other.stdin_channel.msg_ready, "no question")
    assert other.get_stdin_msg(timeout=0)["content"] == {"prompt": "who? ", "password": False}
    other.input("Ada")
    talk.until(lambda: talk.peer.requests()[-1][1] == "input_reply", "no answer")
    talk.peer.answers(theirs)
    assert talk.reply(theirs, other)["status"] == "ok"
    assert not talk.client.stdin_channel.msg_ready()
    assert not talk.client.shell_channel.msg_ready()


def test_a_question_where_nobody_can_answer_is_not_asked_nor_an_answer_without_question_passed_on(talk):
    id = talk.execute("x", allow_stdin=False)
    talk.told(id)
    talk.peer.sends(STDIN, "input_request", id, {"prompt": "?", "password": False})
    talk.client.input("never asked")
    talk.peer.answers(id)
    talk.reply(id)
    assert not talk.client.stdin_channel.msg_ready()
    assert [kind for _, kind in talk.peer.requests()] == ["execute_request"]


def test_what_no_front_end_has_asked_for_is_not_shown(talk):
    id = talk.execute()
    talk.told(id)
    talk.peer.sends(IOPUB, "stream", "of nobody", {"name": "stdout", "text": "foreign"})
    talk.peer.answers("of nobody")
    talk.peer.answers(id)
    assert talk.reply(id)["status"] == "ok"
    assert talk.shown(id) == []
    assert not talk.client.iopub_channel.msg_ready()
    assert not talk.client.shell_channel.msg_ready()


def test_what_an_untrusted_peer_sends_is_filtered_also_in_replies(talk):
    evil = {"text/html": "<script>alert(1)</script><b>bold</b>", "application/javascript": "alert(1)"}
    id = talk.execute("x", user_expressions={"e": "e"})
    talk.told(id)
    talk.peer.sends(IOPUB, "display_data", id, {"data": evil, "metadata": {}, "transient": {"display_id": "mine"}})
    expression = {"status": "ok", "data": evil, "metadata": {}}
    payload = [{"source": "edit_magic", "filename": "/etc/passwd"}, {"source": "set_next_input", "text": "y = 1"}]
    talk.peer.answers(id, execution_count=1, user_expressions={"e": expression}, payload=payload)
    reply = talk.reply(id)
    ((_, said), (_, display)) = sorted(talk.shown(id), key=lambda shown: shown[0] == "display_data")
    assert said["text"].startswith("homie: ")
    for data in (display["data"], reply["user_expressions"]["e"]["data"]):
        assert "<script" not in json.dumps(data).replace("\\u003c", "<") or "sandbox" in json.dumps(data)
        assert "application/javascript" not in data
    assert display["transient"]["display_id"] == "homie-0123456789ab-mine"
    assert reply["payload"] == [{"source": "set_next_input", "text": "y = 1", "replace": False}]


@pytest.mark.parametrize(
    ("reply", "kept"),
    [
        ({"matches": ["a", 1], "cursor_start": "x", "cursor_end": 1, "html": "<b>"}, ["a", "1"]),
        ({"matches": "abc"}, []),
    ],
)
def test_a_completion_has_the_fields_that_it_should(talk, reply, kept):
    id = talk.execute()
    talk.told(id)
    talk.peer.answers(id)
    talk.reply(id)
    asked = talk.client.complete("a")
    talk.told(asked)
    talk.peer.answers(asked, "complete_reply", **reply)
    content = talk.reply(asked)
    assert content.pop("metadata") == {"_jupyter_types_experimental": []}
    assert content == {"status": "ok", "matches": kept, "cursor_start": 1, "cursor_end": 1}


def test_without_a_session_only_a_cell_opens_one(talk):
    assert talk.reply(talk.client.kernel_info())["banner"].startswith("Python on desk")
    assert talk.reply(talk.client.complete("a"))["matches"] == []
    assert talk.reply(talk.client.is_complete("a"))["status"] == "unknown"
    assert talk.reply(talk.client.inspect("a"))["found"] is False
    assert talk.reply(talk.client.history())["history"] == []
    assert talk.reply(talk.client.comm_info())["comms"] == {}
    assert talk.opened == 0


def test_why_a_cell_waits_is_shown_in_it_and_gone_when_it_runs(talk):
    id = talk.client.execute("x")
    talk.until(lambda: talk.opened, "no session is wanted")
    talk.peer.says(Placed(peer="desk", id="de" * 32, why="it is free"))
    talk.peer.happens(event.Queued(position=2, reason="no memory is free"))
    notes = []

    def noted():
        if talk.client.iopub_channel.msg_ready():
            notes.append(talk.client.get_iopub_msg(timeout=0))
        return notes and "place 2" in json.dumps(notes[-1]["content"])

    talk.until(noted, "it does not say why it waits")
    assert talk.reply(talk.client.kernel_info())["status"] == "ok"
    assert talk.peer.told == []
    talk.peer.happens(event.Started(sandbox="docker"))
    talk.told(id)
    talk.peer.answers(id)
    assert talk.shown(id)[-1] == ("clear_output", {"wait": False})


def test_a_cell_that_waits_can_be_interrupted(talk):
    id = talk.client.execute("x")
    talk.until(lambda: talk.opened, "no session is wanted")
    talk.step()
    message = talk.client.session.msg("interrupt_request", {})
    talk.client.control_channel.send(message)
    assert talk.reply(id)["ename"] == "KeyboardInterrupt"
    assert talk.reply(message["header"]["msg_id"], channel="control") == {"status": "ok"}
    talk.begun()
    again = talk.execute("y")
    talk.told(again)
    assert [told for told, _ in talk.peer.requests()] == [again], "the first was never told"
    assert talk.opened == 1


def test_an_interrupt_reaches_the_cell_that_runs_a_bounded_number_of_times(talk):
    id = talk.execute()
    talk.told(id)
    for _ in range(100):
        talk.inbox.put(Signal(end=False))
    talk.step()
    kinds = [kind for _, kind in talk.peer.requests()]
    assert kinds == ["execute_request"] + ["interrupt"] * relaying.MAX_INTERRUPTS


def test_an_error_aborts_the_cells_behind_it_and_no_later_ones(talk):
    ids = [talk.execute(code) for code in ("1 / 0", "a", "b")]
    talk.told(ids[0])
    completion = talk.client.complete("a")
    error = {"ename": "ZeroDivisionError", "evalue": "by zero", "traceback": ["\x1b[2Jline"]}
    talk.peer.sends(IOPUB, "error", ids[0], error)
    talk.peer.answers(ids[0], **{**error, "status": "error", "execution_count": 1})
    assert talk.reply(ids[0])["traceback"] == ["line"]
    assert [talk.reply(id)["status"] for id in ids[1:]] == ["aborted", "aborted"]
    talk.told(completion)
    talk.peer.answers(completion, "complete_reply", matches=["a"])
    assert talk.reply(completion)["matches"] == ["a"]
    later = talk.execute("c")
    talk.told(later)


def test_without_stop_on_error_the_next_cell_runs(talk):
    first, second = talk.execute("1 / 0", stop_on_error=False), talk.execute("a")
    talk.told(first)
    talk.peer.answers(first, status="error")
    assert talk.reply(first)["status"] == "error"
    talk.told(second)


def test_what_is_too_large_is_refused(talk):
    big = talk.execute("x" * MAX_SAID)
    content = talk.reply(big)
    assert content["status"] == "error"
    assert "3.0 MB are possible" in content["evalue"]
    assert [kind for kind, _ in talk.shown(big)] == ["error"]
    assert talk.reply(talk.client.complete("x" * MAX_SAID))["status"] == "error"
    talk.told(talk.execute("small"))
    assert len(talk.peer.told) == 1


def test_rubbish_and_what_is_not_signed_is_dropped(talk):
    socket = talk.client.shell_channel.socket
    for parts in ([b"rubbish"], [b"<IDS|MSG>"], [b"<IDS|MSG>", b"", b"{", b"{}", b"{}", b"{}"]):
        socket.send_multipart(parts)
    for header in ({"msg_id": ["no", "text"]}, {"msg_id": ""}, {"msg_id": "x" * 201}, {"msg_type": None}):
        signer = Signer(key=talk.key)
        message = {"parent_header": {}, "metadata": {}, "content": {"code": "stolen"}}
        socket.send_multipart(
            signer.serialize({**message, "header": signer.msg_header("execute_request") | header})
        )
    thief = Signer(key=b"another")
    socket.send_multipart(thief.serialize(thief.msg("execute_request", {"code": "stolen"})))
    id = talk.execute("mine")
    talk.told(id)
    assert talk.peer.requests() == [(id, "execute_request")]


@pytest.mark.parametrize("while_it_runs", [True, False])
def test_a_session_that_ends_is_said_and_the_next_cell_opens_another(talk, while_it_runs):
    first = talk.execute()
    talk.told(first)
    if not while_it_runs:
        talk.peer.answers(first)
        talk.reply(first)
    talk.peer.happens(event.Ended(outcome=Outcome(how=How.MEMORY, status=None)))
    if while_it_runs:
        failed = talk.reply(first)
        assert "needed more memory than the 1.0 GB it was lent on desk" in failed["evalue"]
        assert "its variables are gone" in failed["evalue"]
    talk.until(talk.line.closed.is_set, "it has not ended")
    talk.step()
    talk.peer = Peer()
    second = talk.client.execute("next")
    talk.until(lambda: talk.opened == 2, "no other session is wanted")
    talk.begun()
    talk.told(second)
    talk.peer.answers(second)
    ((kind, said),) = talk.shown(second)
    assert (kind, said["name"]) == ("stream", "stderr")
    assert "needed more memory" in said["text"]
    assert "variables are gone" in said["text"]


def test_no_peer_is_an_error_that_says_why_and_the_next_cell_tries_again(talk):
    talk.refusal = NoPeer("desk is not here; `homie peers` lists who is")
    assert talk.reply(talk.client.execute("x"))["ename"] == "NoPeer"
    id = talk.client.execute("x")
    assert talk.reply(id)["evalue"] == "desk is not here; `homie peers` lists who is"
    assert talk.opened == 2


def test_a_refusal_of_the_peers_is_an_error_too(talk):
    id = talk.client.execute("x")
    talk.until(lambda: talk.opened, "no session is wanted")
    talk.peer.says(Refused(error="PeerRefused", message="desk lends no graphics card"))
    assert talk.reply(id)["evalue"] == "desk lends no graphics card"


def test_a_refusal_that_comes_at_once_is_an_error_too(talk):
    talk.slow = True
    talk.peer.says(Refused(error="PeerRefused", message="desk lends no graphics card"))
    assert talk.reply(talk.client.execute("x"))["evalue"] == "desk lends no graphics card"


def test_a_flood_of_widgets_messages_waits_here(talk):
    id = talk.execute()
    talk.told(id)
    state = {"_model_name": "IntSliderModel", "_model_module": "@jupyter-widgets/controls", "value": 1}
    state |= {"_model_module_version": "2.0.0", "_view_name": "IntSliderView", "_view_module_version": "2.0.0"}
    state |= {"_view_module": "@jupyter-widgets/controls"}
    opened = {"comm_id": "c", "target_name": "jupyter.widget", "data": {"state": state, "buffer_paths": []}}
    talk.peer.sends(IOPUB, "comm_open", id, opened)
    talk.until(lambda: talk.relay._publisher.comms.comms, "no widget")
    sent = []
    for value in range(100):
        message = talk.client.session.msg("comm_msg", {"comm_id": "c", "data": {"method": "update", "n": value}})
        talk.client.shell_channel.send(message)
        sent.append(message["header"]["msg_id"])
    talk.told(sent[0])
    talk.told(sent[relaying.MAX_UNDER_WAY - 1])
    talk.step()
    assert [told for told, kind in talk.peer.requests() if kind == "comm_msg"] == sent[: relaying.MAX_UNDER_WAY]
    for each in sent:
        talk.told(each)
        talk.peer.sends(IOPUB, "status", each, {"execution_state": "idle"})
        assert talk.shown(each) == []


def test_a_comm_that_a_front_end_opens_is_closed(talk):
    message = talk.client.session.msg("comm_open", {"comm_id": "mine", "target_name": "own", "data": {}})
    talk.client.shell_channel.send(message)
    assert talk.shown(message["header"]["msg_id"]) == [("comm_close", {"comm_id": "mine", "data": {}})]
    assert talk.peer.told == []


def test_shutdown_ends_the_session_and_is_answered(talk):
    id = talk.execute()
    talk.told(id)
    message = talk.client.session.msg("shutdown_request", {"restart": True})
    talk.client.control_channel.send(message)

    def ends():
        if Finish() in talk.peer.told:
            talk.peer.happens(event.Ended(outcome=Outcome(how=How.STOPPED, status=None)))
        return True

    original, talk.peer.tell = talk.peer.tell, lambda what: (original(what), ends())
    assert talk.reply(message["header"]["msg_id"], channel="control") == {"status": "ok", "restart": True}
    assert talk.relay.ended
    assert talk.peer.told[-1] == Finish()


def test_a_kernel_that_ends_while_its_session_waits_takes_it_back(talk):
    talk.client.execute("x")
    talk.until(lambda: talk.opened, "no session is wanted")
    talk.step()
    talk.inbox.put(Signal(end=True))
    talk.step()
    assert talk.relay.ended
    assert talk.stopped == [REQUEST.id]
    assert talk.peer.told == []


def test_requests_that_no_session_knows_are_answered_here(talk):
    id = talk.execute()
    talk.told(id)
    for channel, kind in (
        ("control", "debug_request"),
        ("control", "create_subshell_request"),
        ("shell", "x_request"),
    ):
        message = talk.client.session.msg(kind, {})
        getattr(talk.client, f"{channel}_channel").send(message)
        assert talk.reply(message["header"]["msg_id"], channel=channel)["ename"] == "NotSupported"
    talk.client.shell_channel.send(talk.client.session.msg("no request", {}))
    talk.peer.answers(id)
    talk.told(talk.execute("the next"))
    assert [kind for _, kind in talk.peer.requests()] == ["execute_request"] * 2


def test_a_peer_that_never_answers_a_completion_is_waited_for_until_an_interrupt(talk):
    id = talk.execute()
    talk.told(id)
    talk.peer.answers(id)
    asked = talk.client.complete("a")
    talk.told(asked)
    talk.inbox.put(Signal(end=False))
    assert talk.reply(asked)["matches"] == []
    talk.peer.answers(asked, "complete_reply", matches=["late"])
    talk.told(talk.execute("the next"))


def test_what_cannot_be_sent_to_a_front_end_is_said(talk):
    id = talk.execute()
    talk.told(id)
    header = {"msg_id": id}
    for _ in range(2):
        talk.front.publish("display_data", {"data": {"application/json": 10**5000}}, header)
    talk.peer.answers(id, "execute_reply", status="error", evalue="fine")
    assert [kind for kind, _ in talk.shown(id)] == ["stream", "stream"]
    asked = talk.client.complete("a")
    talk.told(asked)
    talk.front.reply(talk.relay._current, {"status": "ok", "matches": [10**5000]})
    assert talk.reply(asked)["ename"] == "NotSent"


def test_a_session_that_waits_for_room_holds_no_lock_that_makes_room(talk):
    id = talk.execute()
    talk.told(id)
    for number in range(3 * ROOM):
        talk.peer.sends(IOPUB, "stream", id, {"name": "stdout", "text": f"{number} "})
    end = time.monotonic() + WITHIN
    while talk.inbox._room._value:
        assert time.monotonic() < end, "it is never full"
    publisher = talk.relay._publisher
    assert publisher._lock.acquire(timeout=WITHIN)
    publisher._lock.release()
    talk.peer.answers(id)
    shown = "".join(content["text"] for _, content in talk.shown(id))
    assert shown == "".join(f"{number} " for number in range(3 * ROOM))


def test_a_first_request_waits_for_a_listener_but_not_for_ever(short_tmp, monkeypatch):
    monkeypatch.setattr(fronting, "LISTENED_WITHIN", 0.2)
    file, _ = write_connection_file(
        str(short_tmp / "kernel.json"), transport="ipc", ip=str(short_tmp / "ipc"), key=b"k"
    )
    front = Front(short_tmp / "kernel.json")
    client = BlockingKernelClient()
    client.load_connection_file(file)
    client.start_channels(iopub=False)
    try:
        id = client.kernel_info()
        began, asked = time.monotonic(), []
        while not asked:
            assert time.monotonic() - began < WITHIN
            asked = front.receive(0.01)
        assert asked[0].id == id
        assert time.monotonic() - began > 0.15
    finally:
        client.stop_channels()
        front.close()
