"""What a session may publish, and where: without a kernel, a daemon or a peer."""

import json
from types import SimpleNamespace

import pytest

from homie_core.client.session.messages import Message, to_session, unpack
from homie_core.model.errors import BadMessage
from homie_core.runner.messages import IOPUB, Unpacker
from homie_jupyter.comms import Comms
from homie_jupyter.output import MAX_REQUESTS, Output
from homie_jupyter.pace import BURST, BYTES_A_SECOND, MESSAGES_A_SECOND, Pace
from homie_jupyter.publish import NotebookPublisher
from homie_jupyter.safe import Filter

CELL = {"msg_id": "cell", "msg_type": "execute_request"}
WIDGET = {
    "comm_id": "w1",
    "target_name": "jupyter.widget",
    "data": {
        "state": {
            "_model_module": "@jupyter-widgets/controls",
            "_model_name": "IntSliderModel",
            "_model_module_version": "2.0.0",
            "_view_module": "@jupyter-widgets/controls",
            "_view_name": "IntSliderView",
            "_view_module_version": "2.0.0",
            "value": 3,
        }
    },
}


class Published(list):
    """A publisher that notes what it is given."""

    def publish(self, kind, content, metadata, header, buffers):
        self.append((kind, content, header["msg_id"]))


class Manager:
    """A kernel's comms."""

    def __init__(self):
        self.comms = {}


class Desk:
    """A session's output, and what came of it."""

    def __init__(self):
        self.published, self.told, self.manager = Published(), [], Manager()
        comms = Comms(self.manager, lambda *told: self.told.append(told))
        self.output = Output(self.published, "0" * 12, comms)
        self.output.placed("desk")
        self.output.belongs(CELL)

    @property
    def said(self):
        """Sentences of Homie's own."""
        texts = [content["text"] for kind, content, _ in self.published if content.get("name") == "stderr"]
        return [text.removeprefix("homie: ").strip() for text in texts if text.startswith("homie: ")]

    def sends(self, kind, parent="cell", **content):
        self.output.publish(Message(IOPUB, kind, parent, content, {"version": "2.1.0"}))


@pytest.fixture
def desk():
    return Desk()


def test_what_no_cell_of_mine_caused_is_dropped(desk):
    desk.sends("stream", parent="another", name="stdout", text="x")
    desk.sends("stream", parent="", name="stdout", text="x")
    assert desk.published == []


@pytest.mark.parametrize(
    "kind", ["execute_input", "status", "input_request", "shutdown_reply", "comm_info_reply", ""]
)
def test_kinds_that_are_no_output_are_dropped(desk, kind):
    desk.sends(kind, code="x")
    assert desk.published == []


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"name": "stdout", "text": 7},
        {"name": "stdout", "text": ["x"]},
        {"data": 7},
        {"data": {"text/plain": 7}},
    ],
)
@pytest.mark.parametrize("kind", ["stream", "display_data", "execute_result", "comm_open", "comm_msg", "error"])
def test_rubbish_breaks_nothing(desk, kind, content):
    desk.sends(kind, **content)
    desk.sends("stream", name="stdout", text="next")
    assert desk.published[-1] == ("stream", {"name": "stdout", "text": "next"}, "cell")


def test_a_filter_that_fails_hides_the_output_and_nothing_else(desk):
    class Broken(Filter):
        def bundle(self, data, metadata):
            raise ZeroDivisionError

    desk.output.filter = Broken()
    desk.sends("display_data", data={"text/plain": "x"}, metadata={})
    desk.sends("stream", name="stderr", text="next")
    assert [content.get("text") for _, content, _ in desk.published][1:] == ["next"]
    assert desk.said == ["an output of desk was not shown: ZeroDivisionError while it was looked at"]


def test_display_ids_are_the_sessions_own(desk):
    desk.sends("display_data", data={"text/plain": "x"}, metadata={}, transient={"display_id": "mine"})
    assert desk.published[0][1]["transient"] == {"display_id": "homie-000000000000-mine"}


def test_javascript_is_not_shown_and_that_is_said_once(desk):
    for _ in range(3):
        desk.sends("display_data", data={"application/javascript": "alert(1)"}, metadata={})
    assert len(desk.published) == len(desk.said) == 1
    assert "%homie trust desk" in desk.said[0]


def test_output_that_is_to_be_cleared_by_the_next_one_is_not_cleared_by_homies_own(desk):
    desk.sends("stream", name="stdout", text="stays")
    desk.sends("clear_output", wait=True)
    assert [kind for kind, *_ in desk.published] == ["stream"]
    desk.sends("stream", name="stdout", text="late")
    desk.sends("stream", name="stdout", text="later")
    assert [kind for kind, *_ in desk.published] == ["stream", "clear_output", "stream", "stream"]


def test_the_cells_own_error_clears_what_waits_for_it(desk):
    desk.sends("clear_output", wait=True)
    desk.sends("error", ename="E", evalue="", traceback=[])
    assert desk.output.take_error("cell")
    assert desk.published == [("clear_output", {"wait": True}, "cell")]


class Kernel:
    """A notebook's kernel, and what was sent from it."""

    iopub_socket = None

    def __init__(self):
        self.session = self
        self.shell = SimpleNamespace(displayhook=SimpleNamespace(prompt_count=1))
        self.sent = []

    def get_parent(self, channel):
        return {"header": dict(CELL)}

    def _topic(self, kind):
        return b""

    def send(self, socket, kind, content, **_):
        text = content.get("text") or content.get("data", {}).get("text/plain")
        self.sent.append((kind, text))


def test_a_note_that_was_alone_in_its_cell_leaves_nothing():
    kernel = Kernel()
    publisher = NotebookPublisher(kernel, paced=False)
    header = publisher.new_header()
    for text in ("waits", "waits", "still waits", "", ""):
        publisher.note(text, header)
    publisher.publish("stream", {"text": "out"}, {}, header, [])
    assert kernel.sent == [
        ("display_data", "waits"),
        ("update_display_data", "still waits"),
        ("clear_output", None),
        ("stream", "out"),
    ]


def test_output_takes_the_place_of_a_note_that_it_overtakes():
    kernel = Kernel()
    publisher = NotebookPublisher(kernel, paced=False)
    header = publisher.new_header()
    publisher.note("waits", header)
    publisher.publish("stream", {"text": "out"}, {}, header, [])
    publisher.note("", header)
    assert [kind for kind, _ in kernel.sent] == ["display_data", "clear_output", "stream"]


def test_a_note_that_goes_takes_nothing_else_with_it():
    kernel = Kernel()
    publisher = NotebookPublisher(kernel, paced=False)
    header = publisher.new_header()
    publisher.publish("stream", {"text": "out"}, {}, header, [])
    publisher.note("waits", header)
    publisher.note("", header)
    publisher.publish("stream", {"text": "more"}, {}, header, [])
    assert [kind for kind, _ in kernel.sent] == ["stream", "display_data", "update_display_data", "stream"]


def test_an_error_waits_until_it_is_known_whose_it_is(desk):
    error = {"ename": "E", "evalue": "v", "traceback": ["t"]}
    desk.sends("error", **error)
    assert desk.published == []
    desk.sends("stream", name="stdout", text="on")
    assert [kind for kind, *_ in desk.published] == ["error", "stream"], "it was output like any other"
    desk.sends("error", **error)
    assert desk.output.take_error("cell") == error
    assert len(desk.published) == 2


def test_widgets_go_both_ways(desk):
    desk.sends("comm_open", **WIDGET)
    desk.sends("comm_msg", comm_id="w1", data={"method": "update", "state": {"value": 5}})
    assert [kind for kind, *_ in desk.published] == ["comm_open", "comm_msg"]
    stand_in = desk.manager.comms["w1"]
    assert stand_in.target_name == "jupyter.widget"
    header = {"msg_id": "click", "subshell_id": "s"}
    stand_in.handle_msg({"header": header, "content": {"comm_id": "w1", "data": {}}, "buffers": [b"x"]})
    assert desk.told == [("comm_msg", {"msg_id": "click"}, {"comm_id": "w1", "data": {}}, [b"x"])]


def test_a_widget_of_the_notebooks_own_cannot_be_taken_over(desk):
    desk.manager.comms["w1"] = mine = object()
    desk.sends("comm_open", **WIDGET)
    desk.sends("comm_msg", comm_id="w1", data={"method": "update", "state": {"value": 5}})
    desk.sends("comm_close", comm_id="w1", data={})
    assert desk.published == []
    assert desk.manager.comms == {"w1": mine}


def test_widgets_of_a_session_that_ended_are_told_to_be_dead(desk):
    desk.sends("comm_open", **WIDGET)
    desk.output.close()
    assert desk.published[-1] == ("comm_close", {"comm_id": "w1", "data": {}}, "cell")
    assert desk.manager.comms == {}


def test_requests_long_ago_are_forgotten(desk):
    for number in range(MAX_REQUESTS):
        desk.output.belongs({"msg_id": str(number)})
    desk.sends("stream", name="stdout", text="x")
    assert desk.published == []


@pytest.mark.parametrize(
    "parts", [[], [b"{}"] * 3, [b"{}", b"{}", b"{}", b"[]"], [b"\xff"] * 4, [b"[" * 100_000] * 4, [b"7"] * 4]
)
def test_parts_that_are_no_message_are_refused(parts):
    with pytest.raises(BadMessage):
        unpack(IOPUB, parts)


def test_a_message_to_a_session_is_the_one_that_it_reads_and_names_nobody():
    header = {"msg_id": "ü", "msg_type": "input_reply", "username": "me", "session": "s", "date": "2026-01-01"}
    ((channel, parts),) = Unpacker().feed(to_session(3, header, {"value": "x"}, [b"buffer"]))
    sent, *others = [json.loads(part) for part in parts[:4]]
    assert (channel, others, parts[4:]) == (3, [{}, {}, {"value": "x"}], [b"buffer"])
    assert (sent.pop("msg_id"), sent.pop("msg_type")) == ("ü", "input_reply")
    assert sent == {"username": "", "session": "", "date": "1970-01-01T00:00:00Z", "version": "5.3"}


def test_the_pace_lets_a_burst_through_and_then_holds_both_rates():
    pace, now = Pace(), 100.0
    burst = int(BURST * MESSAGES_A_SECOND)
    assert all(pace.delay(10, now) == 0 for _ in range(burst - 1))
    delays = [pace.delay(10, now) for _ in range(MESSAGES_A_SECOND)]
    assert delays[-1] == pytest.approx(1.0, abs=0.01)
    pace = Pace()
    assert pace.delay(int(BURST * BYTES_A_SECOND), now) == 0
    assert pace.delay(BYTES_A_SECOND, now) == pytest.approx(1.0)
    assert pace.delay(1, now + 60) == 0
