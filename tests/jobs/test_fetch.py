"""Files of a session come into a folder here, whatever its host sends instead."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from homie_core.daemon.runs import Runs
from homie_core.model.control import Delivered, FetchRequest, Transfer
from homie_core.model.errors import PeerUnreachable, TransferError
from homie_core.model.names import FileName, JobId, NodeName, PeerId
from homie_core.model.session import Offered
from homie_core.store.journal import Journal, Sent

JOB = JobId("a" * 12)
PARCELS = {f"{number:016x}": data for number, data in enumerate((b"abc", b"", b"0123456789" * 1000))}


class Host:
    """A link to a host that sends these parcels, and perhaps something else than it says."""

    def __init__(self) -> None:
        self.parcels: dict[str, bytes] = dict(PARCELS)
        self.fails: Exception | None = None
        self.sent = 0

    def to(self, _: PeerId) -> "Host":
        return self

    @asynccontextmanager
    async def parcel(self, _: JobId, name: str) -> AsyncIterator[tuple[int, AsyncIterator[bytes]]]:
        if name not in self.parcels:
            raise TransferError("a parcel of the session: No such file or directory")
        yield len(self.parcels[name]), self._chunks(self.parcels[name])

    async def _chunks(self, data: bytes) -> AsyncIterator[bytes]:
        for at in range(0, len(data), 1000):
            if self.fails:
                raise self.fails
            self.sent += len(data[at : at + 1000])
            yield data[at : at + 1000]


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def fetch(host: Host, tmp_path: Path):
    journal = Journal(tmp_path / "journal")
    journal.send(Sent(JOB, PeerId("de" * 32), NodeName("desk"), "session", 0.0))
    links: Any = host

    async def fetch(*files: tuple[str, int, int], into: Path = tmp_path / "into") -> Delivered:
        wanted = tuple(Offered(name=FileName(n), size=size, parcel=f"{number:016x}") for n, size, number in files)
        request = FetchRequest(folder=str(into), files=wanted)
        *before, last = [news async for news in Runs(journal, links).fetch(JOB, request)]
        assert all(isinstance(news, Transfer) for news in before)
        assert isinstance(last, Delivered)
        return last

    return fetch


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def test_files_come_under_their_names(fetch, tmp_path):
    delivered = await fetch(("a", 3, 0), ("deep/empty", 0, 1), ("deep/b", 10_000, 2))
    assert delivered.files == ("a", "deep/empty", "deep/b")
    assert delivered.notes == ()
    assert tree(tmp_path / "into") == {"a": b"abc", "deep/empty": b"", "deep/b": PARCELS[f"{2:016x}"]}


@pytest.mark.parametrize(
    ("size", "said"), [(4, "3 of 4 bytes arrived"), (2, "more than the 2 bytes"), (0, "more than the 0 bytes")]
)
async def test_a_size_that_is_a_lie_leaves_nothing_and_the_others_come(fetch, tmp_path, size, said):
    delivered = await fetch(("lie", size, 0), ("b", 10_000, 2))
    assert delivered.files == ("b",)
    assert said in delivered.notes[0]
    assert list(tree(tmp_path / "into")) == ["b"]


async def test_more_than_announced_is_not_read_to_its_end(fetch, host, tmp_path):
    host.parcels[f"{0:016x}"] = bytes(10_000_000)
    await fetch(("flood", 5, 0))
    assert host.sent == 1000
    assert tree(tmp_path / "into") == {}


async def test_what_is_gone_is_told_and_the_others_come(fetch, tmp_path):
    delivered = await fetch(("gone", 5, 9), ("a", 3, 0))
    assert delivered.files == ("a",)
    assert "gone: a parcel of the session: No such file" in delivered.notes[0]


async def test_a_broken_link_leaves_no_half_of_a_file(fetch, host, tmp_path):
    host.fails = PeerUnreachable("desk cannot be reached")
    with pytest.raises(PeerUnreachable):
        await fetch(("b", 10_000, 2))
    assert tree(tmp_path / "into") == {}


async def test_what_lies_there_is_kept_and_no_link_is_followed(fetch, tmp_path):
    into, outside = tmp_path / "into", tmp_path / "outside"
    into.mkdir()
    outside.mkdir()
    (into / "a").write_text("mine")
    (into / "link").symlink_to(outside)
    (into / "new").symlink_to(outside / "new")
    delivered = await fetch(("a", 3, 0), ("link/x", 3, 0), ("new", 3, 0))
    assert delivered.files == (f"a.{JOB}", f"new.{JOB}")
    assert (into / "a").read_text() == "mine"
    assert list(outside.iterdir()) == []
    assert any("link is no folder below the results" in note for note in delivered.notes)


async def test_more_than_fits_is_refused_before_it_comes(fetch, host):
    with pytest.raises(TransferError, match="of disk are free"):
        await fetch(("huge", 2**61, 0))
    assert host.sent == 0


@pytest.mark.parametrize("names", [("../x",), ("/x",), ("a", "a"), ("a", "a/b")])
async def test_names_that_lead_out_cannot_even_be_asked_for(fetch, names):
    with pytest.raises(ValueError):
        await fetch(*((name, 3, 0) for name in names))
