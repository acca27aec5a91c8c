import errno
import hashlib
import os
from contextlib import suppress
from pathlib import Path

import pytest

from homie_core.model.errors import CannotWrite, TransferError, UnsafeName
from homie_core.model.job import FileRef
from homie_core.model.names import Digest, FileName, JobId
from homie_core.store.incoming import Delivery, Inbox

JOB = JobId("a" * 12)
DATA = b"some content"


def ref(name, data=DATA, **changes):
    digest = Digest(hashlib.sha256(data).hexdigest())
    return FileRef(**{"name": FileName(name), "digest": digest, "size": len(data), **changes})


def deliver(folder, *refs, data=DATA):
    delivery = Delivery(folder, JOB)
    for each in refs:
        with delivery.receive(each) as incoming:
            incoming.write(data)
    return delivery


def tree(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


def test_a_file_arrives_whole_with_its_mode(tmp_path):
    delivery = deliver(tmp_path / "out", ref("deep/er/run.sh", executable=True))
    path = tmp_path / "out/deep/er/run.sh"
    assert path.read_bytes() == DATA
    assert path.stat().st_mode & 0o777 == 0o755
    assert delivery.files == ["deep/er/run.sh"]


def test_no_files_make_no_folder(tmp_path):
    Delivery(tmp_path / "out", JOB)
    assert not (tmp_path / "out").exists()


def test_a_file_that_exists_is_kept(tmp_path):
    (tmp_path / "model.pt").write_text("mine")
    delivery = deliver(tmp_path, ref("model.pt"))
    assert (tmp_path / "model.pt").read_text() == "mine"
    assert (tmp_path / f"model.pt.{JOB}").read_bytes() == DATA
    assert "was kept" in delivery.notes[0]


def test_a_link_with_the_files_name_is_not_followed(tmp_path):
    outside = tmp_path / "outside"
    out = tmp_path / "out"
    out.mkdir()
    (out / "model.pt").symlink_to(outside)
    deliver(out, ref("model.pt"))
    assert not outside.exists()


def test_a_linked_folder_is_not_entered(tmp_path):
    outside, out = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    out.mkdir()
    (out / "sub").symlink_to(outside)
    with pytest.raises(UnsafeName, match="sub is no folder"):
        deliver(out, ref("sub/x"))
    assert list(outside.iterdir()) == []


def test_a_full_disk_is_no_unsafe_name(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "out").mkdir()
    monkeypatch.setattr(os, "mkdir", full)
    with pytest.raises(CannotWrite, match="out is full; make room there"):
        deliver(tmp_path / "out", ref("sub/x"))


@pytest.mark.parametrize("name", ["../x", "/abs/x", "a/../../x", "a//b", ".", "c:x", "a\\b", "x\n", "\x1b[2J", ""])
def test_a_name_that_leads_out_cannot_even_be_said(tmp_path, name):
    with pytest.raises((UnsafeName, ValueError)):
        deliver(tmp_path / "out", ref(name))
    assert not (tmp_path / "out").exists()


def test_what_is_not_what_was_announced_leaves_nothing(tmp_path):
    for wrong, words in [
        (ref("x", digest=Digest("0" * 64)), "not what was announced"),
        (ref("x", size=len(DATA) + 1), "12 of 13 bytes"),
        (ref("x", size=len(DATA) - 1), "more than the 11 bytes"),
    ]:
        with pytest.raises(TransferError, match=words):
            deliver(tmp_path, wrong)
        assert tree(tmp_path) == set()


def test_a_broken_transfer_leaves_nothing(tmp_path):
    delivery = Delivery(tmp_path, JOB)
    with suppress(ConnectionError), delivery.receive(ref("x")) as incoming:
        incoming.write(DATA[:3])
        raise ConnectionError
    assert tree(tmp_path) == set()
    assert delivery.taken == set()


def test_an_inbox_knows_what_is_missing(tmp_path):
    a, b, again = ref("a", b"a"), ref("b", b"b"), ref("c", b"a")
    inbox = Inbox(tmp_path / "in", (a, b, again))
    assert inbox.missing == (a.digest, b.digest)
    with inbox.receive(a.digest) as incoming:
        incoming.write(b"a")
    assert inbox.missing == (b.digest,)
    assert Inbox(tmp_path / "in", (a, b, again)).missing == (b.digest,)


def test_an_inbox_takes_only_what_was_announced(tmp_path):
    inbox = Inbox(tmp_path / "in", (ref("a"),))
    with pytest.raises(TransferError, match="no file of this job"), inbox.receive(Digest("0" * 64)):
        pass
    assert tree(tmp_path) == set()


def test_the_same_input_twice_at_once_is_one_file(tmp_path):
    inbox = Inbox(tmp_path / "in", (ref("a"),))
    with inbox.receive(ref("a").digest) as first, inbox.receive(ref("a").digest) as second:
        for incoming in (first, second):
            incoming.write(DATA)
    assert [Path(path).read_bytes() for path in (tmp_path / "in").iterdir()] == [DATA]
