"""Parcels in a folder that belongs to a stranger's code."""

import os

import pytest

from homie_core.model.errors import TransferError
from homie_core.store import parcels

NAME = "0123456789abcdef"
ME = os.getuid(), os.getgid()


@pytest.fixture
def work(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.fixture
def outside(tmp_path):
    """What is not the session's."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / NAME).write_bytes(b"secret")
    return folder


def put(work, data=b"data", size=None):
    with parcels.incoming(work, NAME, len(data) if size is None else size, *ME) as parcel:
        parcel.write(data)


def get(work, most=1000):
    with parcels.outgoing(work, NAME, most) as (fd, size):
        return os.read(fd, size)


def test_a_parcel_goes_in_and_out(work):
    put(work)
    assert (work / ".homie" / NAME).read_bytes() == b"data"
    assert get(work) == b"data"


def test_a_parcel_that_was_sent_is_gone_and_one_that_was_not_stays(work):
    put(work)

    def breaks():
        with parcels.outgoing(work, NAME, 1000):
            raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        breaks()
    assert get(work) == b"data"
    with pytest.raises(TransferError, match="No such file"):
        get(work)


@pytest.mark.parametrize("size", [3, 5])
def test_one_of_another_size_leaves_nothing(work, size):
    with pytest.raises(TransferError):
        put(work, size=size)
    assert list((work / ".homie").iterdir()) == []


def test_one_that_breaks_leaves_nothing(work):
    def breaks():
        with parcels.incoming(work, NAME, 9, *ME) as parcel:
            parcel.write(b"data")
            raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        breaks()
    assert list((work / ".homie").iterdir()) == []


def test_a_folder_that_leads_elsewhere_is_not_followed(work, outside):
    (work / ".homie").symlink_to(outside)
    with pytest.raises(TransferError):
        put(work)
    with pytest.raises(TransferError):
        get(work)
    assert [path.name for path in outside.iterdir()] == [NAME]
    assert (outside / NAME).read_bytes() == b"secret"


def test_a_parcel_that_leads_elsewhere_is_not_followed(work, outside):
    (work / ".homie").mkdir()
    (work / ".homie" / NAME).symlink_to(outside / NAME)
    with pytest.raises(TransferError):
        get(work)
    put(work)
    assert (outside / NAME).read_bytes() == b"secret"
    assert not (work / ".homie" / NAME).is_symlink(), "it is replaced"


def test_a_part_that_leads_elsewhere_is_not_followed(work, outside):
    (work / ".homie").mkdir()
    (work / ".homie" / f"{NAME}.part").symlink_to(outside / NAME)
    with pytest.raises(TransferError):
        put(work)
    assert (outside / NAME).read_bytes() == b"secret"


def test_a_folder_that_is_moved_away_meanwhile_changes_nothing_elsewhere(work, outside):
    with parcels.incoming(work, NAME, 4, *ME) as parcel:
        (work / ".homie").rename(work / "moved")
        (work / ".homie").symlink_to(outside)
        parcel.write(b"data")
    assert (outside / NAME).read_bytes() == b"secret"
    assert (work / "moved" / NAME).read_bytes() == b"data"


def test_what_is_no_file_is_no_parcel(work):
    (work / ".homie").mkdir()
    os.mkfifo(work / ".homie" / NAME)  # nobody writes into it: an open that waits would wait for ever
    with pytest.raises(TransferError, match="no parcel"):
        get(work)


def test_a_file_that_claims_to_be_huge_is_no_parcel(work):
    (work / ".homie").mkdir()
    with (work / ".homie" / NAME).open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(TransferError, match="no parcel"):
        get(work)


def test_one_that_is_not_there_is_told(work):
    with pytest.raises(TransferError, match="No such file"):
        get(work)
