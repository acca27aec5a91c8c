from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homie_core.model import errors
from homie_core.model.control import Refused, Source
from homie_core.model.errors import BadMessage, HomieError, NoPeer, PeerRefused
from homie_core.model.event import Output, Record
from homie_core.model.job import FileRef, JobSpec, Kind
from homie_core.model.names import Digest, FileName, JobId
from homie_core.model.wire import MAX_MESSAGE, Unframer, decode, encode, frame

RECORD = Record(seq=1, at=2.0, event=Output(stream=1, data=b"x"))


def ref(name="a.py", digest="0", size=1):
    return FileRef(name=FileName(name), digest=Digest(digest * 64), size=size)


def spec(**changes):
    good = {"id": JobId("0" * 12), "kind": Kind.SCRIPT, "entry": FileName("a.py"), "files": (ref(),)}
    return JobSpec(**{**good, **changes})


@given(st.lists(st.binary(max_size=50), max_size=20), st.integers(1, 7))
def test_frames_come_out_whole_however_the_stream_is_cut(bodies, step):
    stream = b"".join(frame(body) for body in bodies)
    unframer = Unframer()
    pieces = (stream[at : at + step] for at in range(0, len(stream), step))
    assert [decode(each, bytes) for piece in pieces for each in unframer.feed(piece)] == bodies


def test_a_frame_that_is_too_long_is_refused_before_it_is_here():
    with pytest.raises(BadMessage, match="are allowed"):
        list(Unframer().feed((MAX_MESSAGE + 1).to_bytes(4, "big")))


def test_a_message_that_is_too_long_is_refused():
    with pytest.raises(BadMessage, match="are allowed"):
        decode(b"\0" * (MAX_MESSAGE + 1), bytes)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_a_record_or_a_bad_message(data):
    with suppress(BadMessage):
        assert isinstance(decode(data, Record), Record)


def test_a_record_and_what_a_newer_peer_adds_to_it():
    assert decode(encode(RECORD), Record) == RECORD
    more = {"seq": 1, "at": 2.0, "mood": 7, "event": {"type": "output", "stream": 1, "data": b"x", "new": []}}
    assert decode(encode(more), Record) == RECORD


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"entry": "b.py"}, "the entry is not among"),
        ({"files": (ref(), ref(digest="1"))}, "the same name"),
        ({"files": (ref(), ref("a.py/b", "1"))}, "both a file and a folder"),
        ({"files": (ref(), ref("b", size=2))}, "two sizes"),
    ],
)
def test_a_job_that_contradicts_itself(changes, words):
    with pytest.raises(ValueError, match=words):
        spec(**changes)


def test_a_source_has_a_path_or_a_content():
    for wrong in ({}, {"path": "/x", "content": b""}):
        with pytest.raises(ValueError, match="either a path or a content"):
            Source(name=FileName("x"), **wrong)


@pytest.mark.parametrize("kind", [each for each in vars(errors).values() if isinstance(each, type)])
def test_every_error_travels(kind):
    if not issubclass(kind, HomieError):
        return
    there = decode(encode(Refused.because(kind("what, why, next"))), Refused).as_error()
    assert (type(there), str(there)) == (kind, "what, why, next")


def test_an_error_of_a_newer_version_is_a_refusal_and_no_other_class_can_be_named():
    for name in ("FromTheFuture", "Self", "__doc__", "", "Exception"):
        assert type(Refused(error=name, message="no").as_error()) is PeerRefused
    assert type(Refused(error="NoPeer", message="no").as_error()) is NoPeer
