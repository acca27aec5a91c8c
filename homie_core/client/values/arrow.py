"""Tables of pandas, polars and pyarrow: an Arrow stream, checked before and after it is opened.

Format: Apache Arrow IPC streaming, https://arrow.apache.org/docs/format/Columnar.html#serialization-and-interprocess-communication-ipc
"""

import datetime
import struct
from collections.abc import Iterator
from typing import Any

from homie_core.client.values.claims import Buffer, Malformed, integer, library, text

MAX_EMPTY = 10_000_000
"""Values of columns that hold nothing, which a stream can claim without a byte for each."""
_RECORD_BATCH, _DICTIONARY_BATCH = 3, 2
_EXTENSIONS = ("pandas.period", "pandas.interval")


def opened(node: dict[str, Any], data: Buffer, name: Any) -> Any:
    """Return the table, as what it was. Raises Malformed."""
    was = text(node["as"], 40)
    package, _, kind = was.partition(".")
    if kind not in {
        "pandas": ("DataFrame", "Series", "Index"),
        "polars": ("DataFrame", "Series"),
        "pyarrow": ("Table", "RecordBatch"),
    }.get(package, ()):
        raise Malformed("a table of an unknown kind")
    table = _table(data, was)
    if package == "pyarrow":
        return table if kind == "Table" else table.combine_chunks().to_batches()[0]
    if package == "polars":
        frame = library("polars", f"a {was}").from_arrow(table)
        return frame if kind == "DataFrame" else frame.to_series()
    library("pandas", f"a {was}")
    frame = table.to_pandas()
    if kind == "DataFrame":
        return _writable(frame)
    if kind == "Index":
        return frame.index
    series = _writable(frame)[frame.columns[0]]
    series.name = name
    return series


def moment(node: dict[str, Any], zone: datetime.tzinfo | None) -> Any:
    """Return a Timestamp, Timedelta, NaT or NA of pandas."""
    pandas, what = library("pandas", "a time of pandas"), node["is"]
    if what in ("NaT", "NA"):
        return getattr(pandas, what)
    numpy, unit = library("numpy", "a time"), text(node["unit"], 2)
    value = integer(node["v"], 2**63 - 1, -(2**63) + 1)
    if what == "Timedelta":
        return pandas.Timedelta(numpy.timedelta64(value, unit))
    stamp = pandas.Timestamp(numpy.datetime64(value, unit))
    return stamp if zone is None else stamp.tz_localize("UTC").tz_convert(zone)


def _table(data: Buffer, was: str) -> Any:
    pyarrow = library("pyarrow", f"a {was}")
    library("pyarrow.ipc", f"a {was}")
    for metadata in _messages(memoryview(data)):
        if _is_compressed(metadata):
            raise Malformed("a compressed table, which could be of any size")
    reader = pyarrow.ipc.open_stream(pyarrow.py_buffer(data))
    for field in reader.schema:
        _check_type(pyarrow, field.type, 0)
    empty = all(_holds_nothing(pyarrow, field.type) for field in reader.schema)
    batches = []
    for batch in reader:
        if batch.num_rows > (MAX_EMPTY if empty else 8 * len(data)):
            raise Malformed(f"{batch.num_rows:,} rows of nothing")
        batch.validate(full=True)
        batches.append(batch)
    return pyarrow.Table.from_batches(batches, reader.schema)


def _check_type(pyarrow: Any, kind: Any, depth: int) -> None:
    """Refuse types whose length costs no bytes, or that are more than data."""
    types = pyarrow.types
    if depth > 16:
        raise Malformed("a table whose types are nested too deep")
    if isinstance(kind, pyarrow.BaseExtensionType):
        if kind.extension_name not in _EXTENSIONS:
            raise Malformed(f"a table with values of type {str(kind.extension_name)[:60]}")
        _check_type(pyarrow, kind.storage_type, depth + 1)
    elif types.is_dictionary(kind):
        _check_type(pyarrow, kind.value_type, depth + 1)
        _check_type(pyarrow, kind.index_type, depth + 1)
    elif types.is_struct(kind):
        if not kind.num_fields:
            raise Malformed("a table of empty records")
        for index in range(kind.num_fields):
            _check_type(pyarrow, kind.field(index).type, depth + 1)
    elif types.is_map(kind):
        _check_type(pyarrow, kind.key_type, depth + 1)
        _check_type(pyarrow, kind.item_type, depth + 1)
    elif types.is_fixed_size_list(kind):
        if not 0 < kind.list_size <= 1_000_000 or _holds_nothing(pyarrow, kind.value_type):
            raise Malformed("a table of lists of nothing")
        _check_type(pyarrow, kind.value_type, depth + 1)
    elif types.is_list(kind) or types.is_large_list(kind):
        if _holds_nothing(pyarrow, kind.value_type):
            raise Malformed("a table of lists of nothing")
        _check_type(pyarrow, kind.value_type, depth + 1)
    elif types.is_union(kind) or types.is_run_end_encoded(kind):
        raise Malformed(f"a table with values of type {str(kind)[:60]}")


def _holds_nothing(pyarrow: Any, kind: Any) -> bool:
    """Return whether a million values of this type take no byte."""
    types = pyarrow.types
    if types.is_struct(kind):
        return all(_holds_nothing(pyarrow, kind.field(index).type) for index in range(kind.num_fields))
    return bool(types.is_null(kind) or (types.is_fixed_size_binary(kind) and kind.byte_width == 0))


def _writable(frame: Any) -> Any:
    """Return the frame with memory of its own where Arrow lent it memory that cannot be written."""
    for name in range(frame.shape[1]):
        values = frame.iloc[:, name].array
        inner = getattr(values, "_ndarray", None)
        if inner is not None and not inner.flags.writeable:
            return frame.copy()
    return frame


def _messages(stream: memoryview) -> Iterator[memoryview]:
    """Yield the metadata of each message: marker, length, metadata, body."""
    at = 0
    while at + 8 <= len(stream):
        marker, length = struct.unpack_from("<II", stream, at)
        if marker != 0xFFFFFFFF:
            raise Malformed("no Arrow stream")
        if not length:
            return
        metadata = stream[at + 8 : at + 8 + length]
        body = _field(metadata, _root(metadata), 3)
        size = struct.unpack_from("<q", metadata, body)[0] if body else 0
        if not 0 <= size <= len(stream):
            raise Malformed("an Arrow stream that claims more than there is")
        yield metadata
        at += 8 + length + size


def _is_compressed(metadata: memoryview) -> bool:
    """Whether this message holds a record batch whose buffers are compressed.

    Flatbuffers, https://github.com/apache/arrow/blob/main/format/Message.fbs: a Message's fields 1 and 2 are the
    kind and place of its header, the 3 of a RecordBatch its compression, the 1 of a DictionaryBatch a RecordBatch.
    """
    message = _root(metadata)
    kind, header = _field(metadata, message, 1), _field(metadata, message, 2)
    if not kind or not header or metadata[kind] not in (_RECORD_BATCH, _DICTIONARY_BATCH):
        return False
    batch = _follow(metadata, header)
    if metadata[kind] == _DICTIONARY_BATCH:
        inner = _field(metadata, batch, 1)
        if not inner:
            raise Malformed("a dictionary without values")
        batch = _follow(metadata, inner)
    return _field(metadata, batch, 3) != 0


def _root(table: memoryview) -> int:
    return _follow(table, 0)


def _follow(table: memoryview, at: int) -> int:
    offset: int = struct.unpack_from("<I", table, at)[0]
    return at + offset


def _field(table: memoryview, at: int, number: int) -> int:
    """Return where a field of the table at this place lies; 0 if it has none."""
    names = at - struct.unpack_from("<i", table, at)[0]
    if names < 0:
        raise Malformed("no Arrow stream")
    size = struct.unpack_from("<H", table, names)[0]
    slot = 4 + 2 * number
    offset = struct.unpack_from("<H", table, names + slot)[0] if slot < size else 0
    return at + offset if offset else 0
