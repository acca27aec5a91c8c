"""What a hostile sandbox may send as a value: it runs nothing, fills nothing, and is told apart."""

import contextlib
import io
import json
import pickle
import struct
import tracemalloc
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch  # noqa: F401 - before its memory would be counted

from homie_core.client.values import Malformed, Untrusted, read
from homie_core.runner.values import describe


class Bomb:
    """Runs when it is unpickled."""

    went_off = False

    def __reduce__(self):
        return setattr, (Bomb, "went_off", True)


PICKLED = pickle.dumps(Bomb())


def npy_of_objects():
    file = io.BytesIO()
    np.save(file, np.array([Bomb()]), allow_pickle=True)
    return file.getvalue()


def zip_bomb():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x", bytes(10_000_000))
    return file.getvalue()


def stream(table, **options):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as out:
        out.write_table(table)
    return sink.getvalue().to_pybytes()


def arrow(data, was="pyarrow.Table"):
    return {"is": "arrow", "as": was, "at": 0}, data


def array(dtype, shape, data=bytes(8), **more):
    return {"is": "array", "dtype": dtype, "shape": shape, "at": 0, **more}, data


def of_many_nulls():
    """A column that claims two billion values of which none takes a byte."""
    batch = pa.RecordBatch.from_arrays([pa.Array.from_buffers(pa.null(), 2**31 - 1, [None])], names=["a"])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as out:
        out.write_batch(batch)
    return sink.getvalue().to_pybytes()


def with_wrong_offsets():
    """Strings that lie outside their buffer."""
    good, bad = struct.pack("<ii", 0, 77), struct.pack("<ii", 0, 10_000)
    data = stream(pa.table({"a": ["x" * 77]}))
    before, after = data.rsplit(good, 1)  # the body comes behind what is said of it
    return before + bad + after


class Odd(pa.ExtensionType):
    def __init__(self):
        super().__init__(pa.int8(), "odd")

    def __arrow_ext_serialize__(self):
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, storage, serialized):
        return cls()


HOSTILE = {
    "a pickle": ({"is": "pickle", "at": 0, "with": []}, PICKLED),
    "an array of objects": array("|O", [1]),
    "an array of objects in a field": array([["a", "|O"]], [1]),
    "an array of objects deeper": array([["a", [["b", "|O8", [2]]]]], [1]),
    "an array of a type by name": array("object", [1]),
    "a type that is code": array("__import__('os')", [1]),
    "npy with a pickle": array("|u1", [3], npy_of_objects()),
    "a zip bomb as an array": array("<f8", [1 << 40], zip_bomb()),
    "an array larger than its bytes": array("<f8", [1 << 50]),
    "an array smaller than its bytes": array("<f8", [0]),
    "an array that overflows": array("<f8", [1 << 62, 4]),
    "a negative shape": array("<f8", [-1]),
    "a shape of floats": array("<f8", [1.0]),
    "a shape of booleans": array("<f8", [True]),
    "an array of nothing, many times": array("|S0", [1 << 40], b""),
    "an array of too many dimensions": array("<f8", [1] * 65),
    "a record of many fields": array([[f"a{n}", "|i1"] for n in range(5000)], [1], bytes(5000)),
    "a record nested deep": array(json.loads('[["a",' * 20 + '"|i1"' + "]]" * 20), [1], bytes(1)),
    "text that is none": array("<U1", [1], b"\xff\xff\xff\xff"),
    "no such buffer": ({"is": "bytes", "at": 1}, b""),
    "a buffer before the first": ({"is": "bytes", "at": -1}, b""),
    "a tensor of another name": ({"is": "tensor", "dtype": "load", "shape": [], "at": 0}, b"x"),
    "a tensor larger than its bytes": (
        {"is": "tensor", "dtype": "float32", "shape": [1 << 40], "at": 0},
        bytes(4),
    ),
    "a picture larger than its bytes": ({"is": "image", "mode": "RGB", "size": [50_000, 50_000], "at": 0}, b"x"),
    "a picture of an odd mode": ({"is": "image", "mode": "../x", "size": [1, 1], "at": 0}, b"x"),
    "a figure that is none": ({"is": "figure", "at": 0}, b"<svg onload=x>"),
    "an unknown kind": ({"is": "Bomb", "at": 0}, b""),
    "no kind": ({}, b""),
    "an unhashable key": ({"is": "dict", "keys": [[]], "of": [1]}, b""),
    "keys without values": ({"is": "dict", "keys": [1], "of": []}, b""),
    "a set of lists": ({"is": "set", "of": [[]]}, b""),
    "members that are none": ({"is": "set", "of": "xyz"}, b""),
    "a zone out of the folder": ({"is": "zone", "v": "../../../etc/passwd"}, b""),
    "a date of another kind": ({"is": "date", "v": 7}, b""),
    "a span of another kind": ({"is": "timedelta", "v": [1e400]}, b""),
    "arrow that is none": arrow(b"x" * 100),
    "arrow without anything": arrow(b""),
    "arrow cut short": arrow(stream(pa.table({"a": [1, 2, 3]}))[:-40]),
    "arrow of another kind": arrow(stream(pa.table({"a": [1]})), "os.system"),
    "arrow, compressed": arrow(stream(pa.table({"a": np.zeros(1 << 20)}), compression="zstd")),
    "arrow with compressed dictionaries": arrow(
        stream(pa.table({"a": pa.array(["x" * (1 << 20)]).dictionary_encode()}), compression="lz4")
    ),
    "arrow of nothing, many times": arrow(of_many_nulls()),
    "arrow whose text is elsewhere": arrow(with_wrong_offsets()),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_hostile_runs_nothing_and_fills_nothing(name):
    node, data = HOSTILE[name]
    description = json.dumps(node).encode()
    tracemalloc.start()
    try:
        with pytest.raises((Malformed, Untrusted)):
            read(description, [data])
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    assert not Bomb.went_off


def test_a_type_that_is_more_than_data_is_refused():
    data = stream(pa.table({"a": pa.ExtensionArray.from_storage(Odd(), pa.array([1], pa.int8()))}))
    pa.register_extension_type(Odd())
    try:
        with pytest.raises(Malformed, match="values of type odd"):
            read(json.dumps(arrow(data)[0]).encode(), [data])
    finally:
        pa.unregister_extension_type("odd")


def test_the_bomb_would_go_off():
    try:
        read(b'{"is":"pickle","at":0,"with":[]}', [PICKLED], pickles=True)
        assert Bomb.went_off
    finally:
        Bomb.went_off = False


@pytest.mark.parametrize(
    "description",
    [b"", b"x", b"\xff", b"NaN", b"[1,Infinity]", b"[" * 100_000, b"[" * 150 + b"]" * 150, b'{"is":' * 5000],
    ids=repr,
)
def test_descriptions_that_are_none(description):
    with pytest.raises(Malformed):
        read(description, [])


def test_a_description_has_a_bound(monkeypatch):
    monkeypatch.setattr("homie_core.client.values.reader.MAX_DESCRIPTION", 10)
    with pytest.raises(Malformed, match="arrays travel better than lists"):
        read(b"[1,2,3,4,5,6]", [])


@pytest.mark.parametrize(
    "value", [[1, {"a": (2.5, b"xy")}], np.arange(3), pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})]
)
def test_any_byte_that_is_changed_is_either_noticed_or_data(value):
    description, buffers = describe("x", value)
    for at in range(len(description)):
        for byte in b'\x00"[{9':
            changed = bytes((*description[:at], byte, *description[at + 1 :]))
            with contextlib.suppress(Malformed):
                read(changed, buffers)
    for index, buffer in enumerate(map(bytes, buffers)):
        for at in range(0, len(buffer), max(1, len(buffer) // 400)):
            changed = bytes((*buffer[:at], buffer[at] ^ 0x55, *buffer[at + 1 :]))
            with contextlib.suppress(Malformed):
                read(description, [*buffers[:index], changed, *buffers[index + 1 :]])
    assert not Bomb.went_off
