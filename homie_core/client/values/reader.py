"""From description and buffers to a value; every claim is checked before it is believed."""

import datetime
import decimal
import json
import math
import zoneinfo
from collections.abc import Callable, Sequence
from typing import Any

from homie_core.client.values import arrays, arrow, pictures
from homie_core.client.values.claims import Buffer, Malformed, buffer_at, integer, text
from homie_core.model.errors import HomieError
from homie_core.runner.values import MAX_DEPTH

MAX_DESCRIPTION = 64 << 20
"""Bytes; a list of some ten million numbers. Arrays are buffers and have no such bound."""


class Untrusted(HomieError):
    """A pickle came from a peer that the user does not trust."""


def read(description: bytes, buffers: Sequence[Buffer], pickles: bool = False) -> Any:
    """Return the value. Raises Malformed, or Untrusted for a pickle unless `pickles`.

    Arrays and tensors keep the memory of buffers that can be written, and copy others.
    """
    if len(description) > MAX_DESCRIPTION:
        raise Malformed(f"a description of {len(description):,} bytes; arrays travel better than lists")
    try:
        node = json.loads(description, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Malformed("no JSON") from error
    return _Reader(buffers, pickles).value(node, 0)


class _Reader:
    def __init__(self, buffers: Sequence[Buffer], pickles: bool) -> None:
        self._buffers, self._pickles = buffers, pickles

    def value(self, node: Any, depth: int) -> Any:
        if depth > MAX_DEPTH + 1:
            raise Malformed("nested too deep")
        if isinstance(node, list):
            return [self.value(each, depth + 1) for each in node]
        if not isinstance(node, dict):
            return node
        what = node.get("is")
        try:
            if what in _PLAIN:
                return _PLAIN[what](node)
            return self._rich(what, node, depth)
        except (Malformed, Untrusted):
            raise
        except MemoryError:
            raise
        except Exception as error:  # the libraries' own, of which each has others
            raise Malformed(f"no {text(what, 20)}: {type(error).__name__}: {str(error)[:200]}") from error

    def _rich(self, what: object, node: dict[str, Any], depth: int) -> Any:
        match what:
            case "tuple" | "set" | "frozenset":
                kind: Callable[[Any], Any] = {"tuple": tuple, "set": set, "frozenset": frozenset}[what]
                return kind(self._members(node, "of", depth))
            case "dict":
                return dict(zip(self._members(node, "keys", depth), self._members(node, "of", depth), strict=True))
            case "bytes":
                return bytes(self._at(node))
            case "bytearray":
                return bytearray(self._at(node))
            case "array":
                return arrays.array(node, self._at(node))
            case "scalar":
                return arrays.array(node, self._at(node))[()]
            case "tensor":
                return arrays.tensor(node, self._at(node))
            case "Timestamp" | "Timedelta" | "NaT" | "NA":
                zone = node.get("zone")
                return arrow.moment(node, None if zone is None else _zone(zone))
            case "arrow":
                return arrow.opened(node, self._at(node), self.value(node.get("name"), depth + 1))
            case "image":
                return pictures.image(node, self._at(node), self._buffers)
            case "figure":
                return pictures.Figure(bytes(self._at(node)))
            case "pickle":
                return self._pickle(node)
        raise Malformed(f"an unknown kind of value: {text(what, 40)}")

    def _members(self, node: dict[str, Any], key: str, depth: int) -> list[Any]:
        members = node.get(key)
        if not isinstance(members, list):
            raise Malformed("a container without members")
        return [self.value(each, depth + 1) for each in members]

    def _at(self, node: dict[str, Any]) -> Buffer:
        return buffer_at(self._buffers, node.get("at"))

    def _pickle(self, node: dict[str, Any]) -> Any:
        if not self._pickles:
            raise Untrusted("it is a pickle, which could run anything here")
        import pickle

        others = node.get("with")
        buffers = [buffer_at(self._buffers, at) for at in others] if isinstance(others, list) else []
        return pickle.loads(self._at(node), buffers=buffers)  # noqa: S301 - of a peer that the user trusts


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _float(node: dict[str, Any]) -> float:
    value = float(text(node["v"], 4))
    if math.isfinite(value):
        raise Malformed("a float that should be a number of JSON's")
    return value


def _moment(kind: type[Any], node: dict[str, Any]) -> Any:
    moment = kind.fromisoformat(text(node["v"], 40))
    zone = node.get("zone")
    tzinfo = None if zone is None else _zone(zone)
    return moment.replace(tzinfo=tzinfo, fold=integer(node["fold"], 1))


def _zone(described: Any) -> datetime.tzinfo:
    if isinstance(described, str):
        return zoneinfo.ZoneInfo(text(described, 100))
    microseconds, name = described
    offset = datetime.timedelta(microseconds=microseconds)
    return datetime.timezone(offset) if name is None else datetime.timezone(offset, text(name, 100))


_PLAIN: dict[Any, Callable[[dict[str, Any]], Any]] = {
    "int": lambda node: int(text(node["v"], MAX_DESCRIPTION), 16),
    "float": _float,
    "complex": lambda node: complex(*(float(text(part, 40)) for part in node["v"])),
    "Decimal": lambda node: decimal.Decimal(text(node["v"], 10_000)),
    "date": lambda node: datetime.date.fromisoformat(text(node["v"], 20)),
    "time": lambda node: _moment(datetime.time, node),
    "datetime": lambda node: _moment(datetime.datetime, node),
    "timedelta": lambda node: datetime.timedelta(*node["v"]),
    "zone": lambda node: _zone(node["v"]),
}
