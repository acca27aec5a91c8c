"""What can be set, and what each key may hold."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from ipaddress import IPv4Address
from typing import Any

from homie_core.model.job import MAX_TIMEOUT
from homie_core.model.names import NODE_NAME_PATTERN, NodeName
from homie_core.model.quantity import parse_duration, parse_size
from homie_core.model.wire import Frozen

WORKER_PORT = 5556
LISTS = ("packages", "peers")
"""Keys that hold several values."""
MAX_ITEMS = 256


class Config(Frozen, frozen=True):
    """What the owner of this machine has decided."""

    name: NodeName
    """What the others call this machine."""
    group_secret: str
    """The secret that makes machines a group, as text; see `homie_core.store.secret`."""
    discovery_port: int = 5555
    """UDP port of the heartbeats."""
    worker_port: int = WORKER_PORT
    """TCP port where other nodes reach this one."""
    container_cpu_limit: float = 2.0
    """Cores that one job may use."""
    container_memory_limit: int = 4 << 30
    """Bytes of memory that one job may use."""
    container_timeout: float = 600.0
    """Seconds that one job may run."""
    container_base_image: str = "python:3.12-slim"
    """Docker image that jobs run in."""
    container_disk_limit: int = 10 << 30
    """Bytes that one job may keep in its work folder."""
    container_output_limit: int = 1 << 30
    """Bytes that one job may print."""
    kept_disk_limit: int = 10 << 30
    """Bytes that all jobs together may leave here until they are fetched; the oldest are dropped first."""
    sandbox: str = "auto"
    """What jobs run in: `auto`, `docker`, `podman`, `bubblewrap`, or `none` (no isolation at all)."""
    sandbox_runtime: str = ""
    """The engine's runtime, such as `runsc`; empty: the engine's own choice."""
    sandbox_pool: int = 1
    """Sandboxes that wait, started, for the next job: 0 to 4."""
    max_jobs: int = 32
    """Jobs that run at one time, however little each asks for; sessions that rest are among them."""
    session_idle_timeout: float = 1200.0
    """Seconds after which a session ends that nobody uses."""
    packages: tuple[str, ...] = ()
    """What every session finds besides IPython, as pip writes it: `pandas`, `numpy>=2`."""
    sharing: bool = True
    """Whether this machine takes jobs of others at all."""
    listen: str = "0.0.0.0"  # noqa: S104 - whoever connects must prove a key of the group first
    """IPv4 address to listen on; 127.0.0.1 keeps everything on this machine."""
    peers: tuple[str, ...] = ()
    """Nodes that broadcast cannot reach, each `HOST` or `HOST:PORT`."""

    def __repr__(self) -> str:  # it ends up in logs, the secret must not
        return f"Config({', '.join(f'{key}={text!r}' for key, text in show(self))})"


def show(config: Config) -> list[tuple[str, str]]:
    """Return every key with its value as text, the secret hidden."""
    return [(key, "(hidden)" if key == "group_secret" else as_text(key, getattr(config, key))) for key in KEYS]


def split_peer(peer: str) -> tuple[str, int]:
    """Return host (lower case) and port of `HOST[:PORT]`; raise ValueError for anything else."""
    match = _PEER.match(peer)
    if not match:
        raise ValueError("is no address of a peer")
    return match[1].lower(), _port(match[2]) if match[2] else WORKER_PORT


def as_text(key: str, value: object) -> str:
    """Return a value in the form that `read` understands."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value))
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if key in _SIZES and isinstance(value, int):
        power = next(power for power in (4, 3, 2, 1, 0) if value % 1024**power == 0)
        return f"{value // 1024**power}{' kmgt'[power].strip()}"
    if key in _DURATIONS and isinstance(value, int | float):
        return f"{value}s"
    return str(value)


def read(key: str, texts: Sequence[str]) -> Any:
    """Return the key's value; raise ValueError: `KEY: what is wrong; allowed: ...`.

    Every key but the `LISTS` takes exactly one text.
    """
    setting = _setting(key)
    if key not in LISTS and len(texts) != 1:
        raise ValueError(f"{key}: is a list; allowed: {setting.allowed}")
    if len(texts) > MAX_ITEMS:
        raise ValueError(f"{key}: are {len(texts)}; allowed: at most {MAX_ITEMS}")
    values = []
    for text in texts:
        try:
            values.append(setting.read(text))
        except ValueError as error:
            wrong = "this text" if key == "group_secret" else _quoted(text)
            raise ValueError(f"{key}: {wrong} {error}; allowed: {setting.allowed}") from error
    return tuple(values) if key in LISTS else values[0]


def allowed(key: str) -> str:
    """Return in words what a key may hold; raise ValueError for an unknown key."""
    return _setting(key).allowed


@dataclass(frozen=True)
class _Setting:
    read: Callable[[str], Any]
    """Text to value; the ValueError goes on from `'text' ...`."""
    allowed: str


def _setting(key: str) -> _Setting:
    if key in _SETTINGS:
        return _SETTINGS[key]
    close = get_close_matches(key, KEYS, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]}?" if close else f"allowed: {', '.join(KEYS)}"
    raise ValueError(f"{_quoted(key)} is no key; {hint}")


def _quoted(text: str) -> str:
    """A piece of a file that cannot garble a terminal or fill it."""
    return ascii(text if len(text) <= 40 else text[:40] + "...")


def _like(pattern: str, wrong: str) -> Callable[[str], str]:
    def read_text(text: str) -> str:
        if not re.match(pattern, text):
            raise ValueError(wrong)
        return text

    return read_text


def _quantity(parse: Callable[[str], Any], wrong: str, least: float, most: float) -> Callable[[str], Any]:
    def read_quantity(text: str) -> Any:
        if len(text) > 40:
            raise ValueError(wrong)
        try:
            value = parse(text)
        except ValueError as error:
            raise ValueError(wrong) from error
        if not least <= value <= most:
            raise ValueError("is out of range")
        return value

    return read_quantity


def _decimal(text: str) -> float:
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text, re.ASCII):
        raise ValueError("is no number")
    return float(text)


def _whole(text: str) -> int:
    if not re.fullmatch(r"[0-9]+", text):
        raise ValueError("is no whole number")
    return int(text)


def _truth(text: str) -> bool:
    word = text.lower()
    if word not in _TRUE | _FALSE:
        raise ValueError("is neither true nor false")
    return word in _TRUE


def _ipv4(text: str) -> str:
    try:
        return str(IPv4Address(text))
    except ValueError as error:
        raise ValueError("is no IPv4 address") from error


def _peer(text: str) -> str:
    split_peer(text)
    return text


_SIZES = ("container_memory_limit", "container_disk_limit", "container_output_limit", "kept_disk_limit")
_DURATIONS = ("container_timeout", "session_idle_timeout")
_TRUE, _FALSE = frozenset({"true", "yes", "on"}), frozenset({"false", "no", "off"})
_PEER = re.compile(r"^([A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?)(?::([0-9]{1,9}))?\Z")
_PACKAGE = (
    r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}(\[[A-Za-z0-9._-]{1,99}\])?((===?|[<>~!]=|[<>])[A-Za-z0-9.*+!-]{1,60})?\Z"
)
_IMAGE = r"^[A-Za-z0-9][A-Za-z0-9._/:@-]{0,254}\Z"
_SECRET = r"^[A-Za-z0-9][A-Za-z0-9 -]{0,199}\Z"  # noqa: S105 - its alphabet; the checksum is the store's business
_port = _quantity(_whole, "is no port number", 1, 65535)

_SETTINGS = {
    "name": _Setting(
        _like(NODE_NAME_PATTERN, "is no node name"),
        "up to 40 letters, digits, dots, dashes or underscores, the first a letter or digit",
    ),
    "group_secret": _Setting(_like(_SECRET, "is no group secret"), "the text that `homie setup` makes or takes"),
    "discovery_port": _Setting(_port, "a port from 1 to 65535"),
    "worker_port": _Setting(_port, "a port from 1 to 65535"),
    "container_cpu_limit": _Setting(
        _quantity(_decimal, "is no number of cores", 0.01, 4096), "cores from 0.01 to 4096, such as 2 or 1.5"
    ),
    "container_memory_limit": _Setting(
        _quantity(parse_size, "is no size", 16 << 20, (1 << 60) - 1),
        "a size from 16m upwards, such as 512m or 4g",
    ),
    "container_timeout": _Setting(
        _quantity(parse_duration, "is no duration", 1, MAX_TIMEOUT),
        "1s to 30d, such as 90 (seconds), 10m or 1h30m",
    ),
    "container_base_image": _Setting(
        _like(_IMAGE, "is no name of an image"), "a Docker image such as python:3.12-slim"
    ),
    "container_disk_limit": _Setting(
        _quantity(parse_size, "is no size", 1 << 20, (1 << 60) - 1), "a size from 1m upwards, such as 500m or 10g"
    ),
    "container_output_limit": _Setting(
        _quantity(parse_size, "is no size", 1 << 20, (1 << 60) - 1), "a size from 1m upwards, such as 500m or 1g"
    ),
    "kept_disk_limit": _Setting(
        _quantity(parse_size, "is no size", 1 << 20, (1 << 60) - 1), "a size from 1m upwards, such as 500m or 10g"
    ),
    "sandbox": _Setting(
        _like(r"^(auto|docker|podman|bubblewrap|none)\Z", "is no kind of sandbox"),
        "auto, docker, podman, bubblewrap or none",
    ),
    "sandbox_runtime": _Setting(
        _like(r"^([A-Za-z0-9][A-Za-z0-9._-]{0,99})?\Z", "is no runtime"),
        "a runtime that the engine knows, such as runsc, crun or kata; or empty",
    ),
    "sandbox_pool": _Setting(_quantity(_whole, "is no whole number", 0, 4), "0 to 4 sandboxes"),
    "max_jobs": _Setting(_quantity(_whole, "is no whole number", 1, 10_000), "1 to 10000 jobs at one time"),
    "session_idle_timeout": _Setting(
        _quantity(parse_duration, "is no duration", 1, MAX_TIMEOUT), "1s to 30d, such as 90 (seconds), 20m or 2h"
    ),
    "packages": _Setting(
        _like(_PACKAGE, "is no package"), "a list of packages such as pandas, numpy>=2 or torch==2.7.1"
    ),
    "sharing": _Setting(_truth, "true or false"),
    "listen": _Setting(_ipv4, "an IPv4 address of this machine, or 0.0.0.0 for all of them"),
    "peers": _Setting(_peer, "a list of HOST or HOST:PORT"),
}

KEYS = tuple(_SETTINGS)
"""Every key, in the order of the file."""
