"""The format of parcels: what is bundled comes out again; what is none is told before there is memory for it."""

import io
import struct
import tracemalloc

import pytest

from homie_core.runner.parcel import MAX_BUFFERS, bundle, taken, unbundled

BUFFERS = [b"", b"x", bytes(range(256)) * 3, bytearray(64), memoryview(b"abc")]


def parcel(buffers):
    return b"".join(bundle(buffers))


def read(data, size=None):
    return unbundled(len(data) if size is None else size, io.BytesIO(data).readinto)


@pytest.mark.parametrize("buffers", [[], [b""], [b"x"], BUFFERS, BUFFERS * 20])
def test_what_is_bundled_comes_out_again(buffers, tmp_path):
    data = parcel(buffers)
    assert read(data) == list(map(bytes, buffers))
    path = tmp_path / "parcel"
    path.write_bytes(data)
    there = taken(str(path))
    assert there == list(map(bytes, buffers))
    assert not path.exists()
    for buffer in there:
        if buffer:
            buffer[0] = 7


def test_a_large_buffer_is_at_a_place_that_numpy_likes():
    data = parcel([b"x", b"aligned"])
    assert data.index(b"aligned") % 64 == 0


HEAD = struct.Struct(">IQ")


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (b"", None),
        (b"\x00\x00", None),
        (struct.pack(">I", MAX_BUFFERS + 1), None),
        (struct.pack(">I", 0xFFFFFFFF), None),
        (HEAD.pack(1, 1 << 60).ljust(64, b"\0"), None),
        (HEAD.pack(1, 1 << 60).ljust(64, b"\0"), (1 << 60) + 63),
        (HEAD.pack(1, 64).ljust(128, b"\0"), 129),
        (HEAD.pack(1, 64).ljust(100, b"\0"), 128),
        (parcel([b"data"])[:-1], None),
    ],
)
def test_what_is_no_parcel_is_told(data, size):
    tracemalloc.start()
    try:
        with pytest.raises((ValueError, struct.error)):
            read(data, size)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()
