"""Values as data: what leaves a sandbox is described and copied, never pickled, so reading it can run nothing.

A value becomes a description, which is JSON, and buffers, which are bytes as they are. JSON's own null, booleans,
strings, lists, integers of 64 bits and finite floats stand for themselves; whatever else is an object that says
what it `is`:

    float, int, complex, Decimal, date, time, datetime, timedelta, zone     `v`, as text or numbers
    tuple, set, frozenset                      `of`: the members         dict       `keys` and `of`
    bytes, bytearray                           `at`: number of the buffer
    array, scalar (numpy)                      `dtype` (as in npy), `shape`, `order` (C or F), `at`
    tensor (torch; comes back on the CPU)      `dtype`, `shape`, `at`
    arrow (pandas, polars, pyarrow)            `as`: what it was, `at`: an uncompressed Arrow stream
    image (PIL)                                `mode`, `size`, `palette`, `at`: its raw pixels
    figure (matplotlib)                        `at`: PNG
    pickle                                     `at`, `with`: buffers; only where the reader trusts this peer

Subclasses are no data, since what makes them special would be lost; the same object twice comes back as two.
`homie_core.client.values` is the reader. Only the standard library is imported here: a value's own library is
there already, or there would be no such value.
"""

import datetime
import decimal
import io
import json
import math
import sys
from typing import Any

MAX_DEPTH = 100
"""Containers within containers."""
_NUMPY_KINDS = "biufcmMSUV"
IMAGE_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "I;16")


class NotData(Exception):
    """This value, or something in it, is no data: `where` (`x[0].name`) it is, and why."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"{where}: {why}")
        self.where, self.why = where, why


Buffer = bytes | bytearray | memoryview


def describe(name: str, value: object, pickles: bool = False) -> tuple[bytes, list[Buffer]]:
    """Return a value's description and buffers; `name` is what errors call it. Raises NotData.

    `pickles`: the reader trusts this sandbox, so what is no data is pickled.
    """
    writer = _Writer(pickles)
    node = writer.node(value, name, 0)
    return json.dumps(node, separators=(",", ":"), allow_nan=False).encode(), writer.buffers


class _Writer:
    """Describes one value."""

    def __init__(self, pickles: bool) -> None:
        self._pickles = pickles
        self.buffers: list[Buffer] = []
        self._above: set[int] = set()
        """Containers that the present value is in."""

    def node(self, value: Any, where: str, depth: int) -> Any:
        kind = type(value)
        if value is None or kind is bool or kind is str:
            return value
        if kind is int:
            return value if -(2**63) <= value < 2**63 else {"is": "int", "v": hex(value)}
        if kind is float:
            return value if math.isfinite(value) else {"is": "float", "v": repr(value)}
        if kind in _CONTAINERS:
            return self._container(value, where, depth)
        if kind in _PLAIN:
            return {"is": kind.__name__, **_PLAIN[kind](value)}
        if kind is bytes or kind is bytearray:
            return {"is": kind.__name__, "at": self._buffer(value)}
        zone = value if kind in (datetime.datetime, datetime.time) else None
        if zone is not None:
            return {"is": kind.__name__, **_moment(value, where)}
        if kind is datetime.timezone or kind.__module__ == "zoneinfo":
            return {"is": "zone", **_zone(value, where)}
        try:
            node = self._of_library(value, where)
            if node is None:
                raise NotData(where, f"{_a(kind)} is no data")
        except NotData:
            if not self._pickles:
                raise
            node = self._pickle(value, where)
        return node

    def _container(self, value: Any, where: str, depth: int) -> Any:
        if depth >= MAX_DEPTH:
            raise NotData(where, f"nested deeper than {MAX_DEPTH} levels")
        if id(value) in self._above:
            raise NotData(where, "it contains itself")
        self._above.add(id(value))
        try:
            kind = type(value)
            if kind is dict:
                return {
                    "is": "dict",
                    "keys": [self.node(key, f"a key of {where}", depth + 1) for key in value],
                    "of": [self.node(each, f"{where}[{_short(key)}]", depth + 1) for key, each in value.items()],
                }
            if kind in (set, frozenset):
                of = [self.node(each, f"a member of {where}", depth + 1) for each in value]
            else:
                of = [self.node(each, f"{where}[{index}]", depth + 1) for index, each in enumerate(value)]
            return of if kind is list else {"is": kind.__name__, "of": of}
        finally:
            self._above.discard(id(value))

    def _of_library(self, value: Any, where: str) -> dict[str, Any] | None:
        """Return the description of a value of a library that is loaded; None if it is none."""
        for library, describes in (
            ("numpy", self._numpy),
            ("pandas", self._pandas),
            ("polars", self._polars),
            ("pyarrow", self._arrow),
            ("torch", self._torch),
            ("PIL.Image", self._image),
            ("matplotlib.figure", self._figure),
        ):
            module = sys.modules.get(library)
            if module is not None and (node := describes(module, value, where)) is not None:
                return node
        return None

    def _numpy(self, numpy: Any, value: Any, where: str) -> dict[str, Any] | None:
        if isinstance(value, numpy.generic):
            return {**self._array(numpy, numpy.asarray(value), where), "is": "scalar"}
        if type(value) is numpy.ndarray:
            return self._array(numpy, value, where)
        return None

    def _array(self, numpy: Any, array: Any, where: str) -> dict[str, Any]:
        if array.dtype.kind == "O":
            raise NotData(where, "an array of Python objects is no data; give it a dtype, or send it as a list")
        described = numpy.lib.format.dtype_to_descr(array.dtype) if array.dtype.kind in _NUMPY_KINDS else None
        known = described is not None and numpy.lib.format.descr_to_dtype(described) == array.dtype
        if not known or array.dtype.hasobject:
            raise NotData(where, f"an array of type {array.dtype} is no data")
        fortran = array.flags.f_contiguous and not array.flags.c_contiguous
        flat = (array.T if fortran else numpy.ascontiguousarray(array)).reshape(-1)
        data = memoryview(flat.view(numpy.uint8)) if flat.nbytes else b""
        order = "F" if fortran else "C"
        shape = list(array.shape)
        return {"is": "array", "dtype": described, "shape": shape, "order": order, "at": self._buffer(data)}

    def _pandas(self, pandas: Any, value: Any, where: str) -> dict[str, Any] | None:
        if value is pandas.NaT or value is pandas.NA:
            return {"is": "NaT" if value is pandas.NaT else "NA"}
        if type(value) in (pandas.Timestamp, pandas.Timedelta):
            zone = getattr(value, "tzinfo", None)
            described = {"v": int(value.asm8.astype("int64")), "unit": value.unit}
            return {"is": type(value).__name__, **described, "zone": zone and _zone(zone, where)["v"]}
        name = None
        if type(value) is pandas.DataFrame:
            frame, was = value, "pandas.DataFrame"
        elif type(value) is pandas.Series:
            frame, was, name = value.to_frame("values"), "pandas.Series", value.name
        elif isinstance(value, pandas.Index):
            frame, was = pandas.DataFrame(index=value), "pandas.Index"
        else:
            return None
        pyarrow = _pyarrow(where, value)
        try:
            table = pyarrow.Table.from_pandas(frame)
        except (pyarrow.ArrowException, ValueError, TypeError) as error:
            raise NotData(where, f"Arrow cannot hold it: {_first_line(error)}") from None
        return {**self._stream(pyarrow, table, was), "name": self.node(name, f"the name of {where}", 1)}

    def _polars(self, polars: Any, value: Any, where: str) -> dict[str, Any] | None:
        if type(value) is polars.DataFrame:
            frame, was = value, "polars.DataFrame"
        elif type(value) is polars.Series:
            frame, was = value.to_frame(), "polars.Series"
        else:
            return None
        pyarrow = _pyarrow(where, value)
        if polars.Object in frame.dtypes:
            raise NotData(where, "a column of Python objects is no data")
        return self._stream(pyarrow, frame.to_arrow(compat_level=polars.CompatLevel.oldest()), was)

    def _arrow(self, pyarrow: Any, value: Any, where: str) -> dict[str, Any] | None:
        if type(value) is pyarrow.Table:
            return self._stream(pyarrow, value, "pyarrow.Table")
        if type(value) is pyarrow.RecordBatch:
            return self._stream(pyarrow, pyarrow.Table.from_batches([value]), "pyarrow.RecordBatch")
        return None

    def _stream(self, pyarrow: Any, table: Any, was: str) -> dict[str, Any]:
        from pyarrow import ipc

        sink = pyarrow.BufferOutputStream()
        with ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        return {"is": "arrow", "as": was, "at": self._buffer(memoryview(sink.getvalue()))}

    def _torch(self, torch: Any, value: Any, where: str) -> dict[str, Any] | None:
        if type(value) not in (torch.Tensor, torch.nn.Parameter):
            return None
        if value.layout != torch.strided or value.is_quantized:
            raise NotData(where, "a sparse or quantised tensor is no data; send value.to_dense()")
        flat = value.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
        data = memoryview(flat.view(torch.uint8).numpy()) if flat.numel() else b""
        name = str(value.dtype).removeprefix("torch.")
        return {"is": "tensor", "dtype": name, "shape": list(value.shape), "at": self._buffer(data)}

    def _image(self, images: Any, value: Any, where: str) -> dict[str, Any] | None:
        if not isinstance(value, images.Image):
            return None
        if value.mode not in IMAGE_MODES:
            raise NotData(where, f"a picture of mode {value.mode} is no data; send value.convert('RGB')")
        palette = None
        if value.mode == "P" and value.palette is not None:
            mode = value.palette.mode
            palette = {"mode": mode, "at": self._buffer(bytes(value.getpalette(mode)))}
        data = self._buffer(value.tobytes())
        return {"is": "image", "mode": value.mode, "size": list(value.size), "palette": palette, "at": data}

    def _figure(self, figures: Any, value: Any, where: str) -> dict[str, Any] | None:
        if not isinstance(value, figures.Figure):
            return None
        png = io.BytesIO()
        value.savefig(png, format="png", bbox_inches="tight")
        return {"is": "figure", "at": self._buffer(png.getvalue())}

    def _pickle(self, value: Any, where: str) -> dict[str, Any]:
        import pickle

        import cloudpickle

        taken: list[pickle.PickleBuffer] = []
        try:
            data = cloudpickle.dumps(value, protocol=5, buffer_callback=taken.append)
        except (pickle.PicklingError, TypeError, AttributeError, RecursionError) as error:
            raise NotData(where, f"{_a(type(value))} cannot even be pickled: {_first_line(error)}") from None
        return {"is": "pickle", "at": self._buffer(data), "with": [self._buffer(each.raw()) for each in taken]}

    def _buffer(self, data: Buffer) -> int:
        self.buffers.append(data)
        return len(self.buffers) - 1


_CONTAINERS = (list, tuple, dict, set, frozenset)
_PLAIN: dict[type, Any] = {
    complex: lambda value: {"v": [repr(value.real), repr(value.imag)]},
    decimal.Decimal: lambda value: {"v": str(value)},
    datetime.date: lambda value: {"v": value.isoformat()},
    datetime.timedelta: lambda value: {"v": [value.days, value.seconds, value.microseconds]},
}


def _moment(value: datetime.datetime | datetime.time, where: str) -> dict[str, Any]:
    zone = None if value.tzinfo is None else _zone(value.tzinfo, where)["v"]
    return {"v": value.replace(tzinfo=None).isoformat(), "fold": value.fold, "zone": zone}


def _zone(zone: Any, where: str) -> dict[str, Any]:
    """A zone of a name, or of an offset in microseconds (and perhaps a name)."""
    if type(zone) is datetime.timezone:
        offset = zone.utcoffset(None) // datetime.timedelta(microseconds=1)
        name = zone.tzname(None)
        return {"v": [offset, name if name != datetime.timezone(zone.utcoffset(None)).tzname(None) else None]}
    if isinstance(key := getattr(zone, "key", None), str):
        return {"v": key}
    raise NotData(where, f"a time zone of {_a(type(zone))} is no data; use zoneinfo")


def _pyarrow(where: str, value: object) -> Any:
    try:
        import pyarrow
    except ImportError:
        raise NotData(where, f"{_a(type(value))} travels as Arrow, and pyarrow is not installed there") from None
    return pyarrow


def name_of(kind: type) -> str:
    """Return a type's name as people know it: `pandas.DataFrame`."""
    package = kind.__module__.split(".")[0]
    return kind.__qualname__ if package in ("builtins", "__main__") else f"{package}.{kind.__qualname__}"


def _a(kind: type) -> str:
    return f"a value of type {name_of(kind)}"


def _short(key: object) -> str:
    shown = repr(key)
    return shown if len(shown) <= 40 else f"{shown[:37]}..."


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]
