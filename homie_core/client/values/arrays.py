"""Arrays of numpy and tensors of torch: raw numbers, whose size must be what is said."""

import re
from typing import Any

from homie_core.client.values.claims import Buffer, Malformed, library, shape_of, text

_SIMPLE = re.compile(r"[<>|=]?(?:[biufcSUV][0-9]{1,10}|[mM]8(?:\[[0-9]{0,9}[A-Za-z]{1,2}\])?)\Z")
"""Types that hold no Python objects."""
_TORCH = re.compile(r"bool|u?int(?:8|16|32|64)|b?float(?:16|32|64)|float8_e[0-9a-z]{3,7}|complex(?:32|64|128)")
MAX_FIELDS = 1000


def array(node: dict[str, Any], data: Buffer) -> Any:
    """Return a numpy array that can be written."""
    numpy = library("numpy", "an array")
    dtype = numpy.lib.format.descr_to_dtype(_descr(node["dtype"], 0))
    if dtype.hasobject:
        raise Malformed("an array of objects")
    shape = shape_of(node["shape"], len(data), dtype.itemsize)
    order = "F" if node.get("order") == "F" else "C"
    if not len(data):
        return numpy.empty(shape, dtype, order)
    if dtype.kind == "U" and numpy.frombuffer(data, dtype.str[0] + "u4").max() > 0x10FFFF:
        raise Malformed("text of characters that do not exist")
    writable = data if not memoryview(data).readonly else bytearray(data)
    return numpy.frombuffer(writable, dtype).reshape(shape, order=order)


def tensor(node: dict[str, Any], data: Buffer) -> Any:
    """Return a tensor of torch, on the CPU."""
    name = text(node["dtype"], 20)
    if not _TORCH.fullmatch(name):
        raise Malformed(f"a tensor of type {name}")
    torch = library("torch", "a tensor")
    dtype = getattr(torch, name)
    shape = shape_of(node["shape"], len(data), dtype.itemsize)
    if not len(data):
        return torch.empty(shape, dtype=dtype)
    writable = data if not memoryview(data).readonly else bytearray(data)
    return torch.frombuffer(writable, dtype=dtype).reshape(shape)


def _descr(claim: Any, depth: int) -> Any:
    """Return what npy calls `descr`, of strings and tuples; nothing in it may name an object."""
    if isinstance(claim, str):
        if not _SIMPLE.match(claim):
            raise Malformed("an array of a type that is no data")
        return claim
    if not isinstance(claim, list) or len(claim) > MAX_FIELDS or depth > 8:
        raise Malformed("an array of a type that is none")
    if len(claim) == 2 and isinstance(claim[0], str) and _is_shape(claim[1]):
        return claim[0] if not claim[1] else (_descr(claim[0], depth + 1), tuple(claim[1]))
    fields = []
    for field in claim:
        name, kind, *shape = field
        name = tuple(text(part, 1000) for part in name) if isinstance(name, list) else text(name, 1000)
        if shape and not _is_shape(shape[0]):
            raise Malformed("a field whose shape is none")
        fields.append((name, _descr(kind, depth + 1), *map(tuple, shape[:1])))
    return fields


def _is_shape(claim: Any) -> bool:
    return isinstance(claim, list) and len(claim) <= 32 and all(type(n) is int and 0 <= n < 2**40 for n in claim)
