"""The configuration on disk: load it, create it, change one value and keep the rest as its owner wrote it."""

import re
from pathlib import Path

from msgspec.structs import asdict, replace

from homie_core.config import source
from homie_core.config.settings import LISTS, Config, allowed, as_text, read, split_peer
from homie_core.config.source import Source
from homie_core.model.errors import ConfigError
from homie_core.model.names import NodeName
from homie_core.private_file import read_private, write_private

MAX_FILE = 64 << 10
"""Upper bound of the file in bytes."""


def load(path: Path) -> Config:
    """Return the configuration; raise ConfigError: `FILE:LINE: KEY: what is wrong; what is allowed`."""
    return _open(path).config


def create(path: Path, name: str, group_secret: str, **settings: object) -> Config:
    """Write a new, commented file (mode 0600, its folder 0700) and return what it says.

    `settings` are further keys of Config. Raises ConfigError if one is wrong or the file is there already.
    """
    values = asdict(Config(name=NodeName(name), group_secret=group_secret)) | settings
    shown = {}
    for key, value in values.items():
        text = as_text(key, value)
        _checked(key, text)
        shown[key] = _as_yaml(key, text)
    new = source.parse(path, _NEW_FILE.format_map(shown))
    try:
        write_private(path, new.text.encode(), ConfigError, fresh=True)
    except FileExistsError as error:
        raise ConfigError(f"{path}: is there already; to change it, run: homie config set KEY VALUE") from error
    return new.config


def get_value(path: Path, key: str) -> str:
    """Return one value (the secret too) as text that `set_value` takes."""
    try:
        allowed(key)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return as_text(key, getattr(load(path), key))


def set_value(path: Path, key: str, text: str) -> Config:
    """Change one key in the file and nothing else in it; return the new configuration.

    A list is separated by commas or spaces. On ConfigError the file is as it was.
    """
    value = _checked(key, text)
    old = _open(path)
    new = _as_yaml(key, text)
    node = old.nodes.get(key)
    changed = source.append(old.text, key, new) if node is None else source.splice(old.text, node, new)
    return _save(old, changed, replace(old.config, **{key: value}))


def with_peer(path: Path, peer: str) -> Config:
    """Put `HOST[:PORT]` on the file's list of peers, unless it is there; return the new configuration."""
    _checked("peers", peer)
    old = _open(path)
    peers = old.config.peers
    if split_peer(peer) in map(split_peer, peers):
        return old.config
    node = old.nodes.get("peers")
    if not source.is_block(node):
        return set_value(path, "peers", ", ".join((*peers, peer)))
    return _save(old, source.with_item(old.text, node, peer), replace(old.config, peers=(*peers, peer)))


def without_peer(path: Path, peer: str) -> Config:
    """Take `HOST[:PORT]` off the file's list; return the new configuration. Raises ConfigError."""
    _checked("peers", peer)
    old = _open(path)
    peers = old.config.peers
    left = tuple(other for other in peers if split_peer(other) != split_peer(peer))
    if left == peers:
        raise ConfigError(f"{peer} is not among the peers of {path}; they are: {', '.join(peers) or 'none'}")
    node = old.nodes["peers"]
    if not (source.is_block(node) and left):
        return set_value(path, "peers", ", ".join(left))
    changed = old.text
    for item in reversed(node.value):
        if split_peer(item.value) == split_peer(peer):
            changed = source.without_item(changed, item)
    return _save(old, changed, replace(old.config, peers=left))


def _open(path: Path) -> Source:
    try:
        data = read_private(path, MAX_FILE, ConfigError)
    except FileNotFoundError as error:
        raise ConfigError(f"there is no configuration yet ({path}); run `homie setup`") from error
    try:
        return source.parse(path, data.decode())
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: is not UTF-8 text; save it as UTF-8") from error


def _save(old: Source, text: str, expected: Config) -> Config:
    """Put the changed text in place, if it says what it should and nothing else."""
    try:
        result = source.parse(old.path, text).config
    except ConfigError:
        result = None
    if result != expected or len(text.encode()) > MAX_FILE:
        raise ConfigError(f"{old.path}: is laid out in a way that this cannot change; edit the file by hand")
    write_private(old.path, text.encode(), ConfigError)
    return result


def _checked(key: str, text: str) -> object:
    try:
        return read(key, _items(text) if key in LISTS else [text])
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _as_yaml(key: str, text: str) -> str:
    return source.flow(_items(text)) if key in LISTS else source.scalar(text)


def _items(text: str) -> list[str]:
    return [item for item in re.split(r"[\s,]+", text) if item]


_NEW_FILE = """\
# Homie on this machine. After a change by hand: homie down, homie up.
# One value from the command line: homie config set KEY VALUE

# What your friends' machines call this one.
name: {name}

# The secret of your group. Whoever has it can run jobs on the group's machines: treat it like a key.
group_secret: {group_secret}


# What one job of a friend may use here

# Cores (1.5 is one and a half).
container_cpu_limit: {container_cpu_limit}

# Memory: k, m, g, t are powers of 1024.
container_memory_limit: {container_memory_limit}

# Running time: 90 is seconds; 10m, 1h30m, 2d work too.
container_timeout: {container_timeout}

# Docker image that jobs run in.
container_base_image: {container_base_image}

# Disk: what one job may keep in its folder.
container_disk_limit: {container_disk_limit}

# Output: what one job may print.
container_output_limit: {container_output_limit}

# Disk for all jobs that have ended and were not fetched yet, together: over that the oldest are dropped.
kept_disk_limit: {kept_disk_limit}

# What jobs run in: auto (the first of the next three that works here), docker, podman, bubblewrap, or none
# (NO ISOLATION; only with listen: 127.0.0.1).
sandbox: {sandbox}

# Runtime of the engine: empty is its own choice; runsc, crun or kata if they are installed.
sandbox_runtime: {sandbox_runtime}

# Sandboxes that wait, started, for the next job: 0 to 4. Each costs some memory.
sandbox_pool: {sandbox_pool}

# Jobs that run at one time, however little each of them asks for; others wait.
max_jobs: {max_jobs}

# A notebook's session on this machine ends when nobody has used it for so long.
session_idle_timeout: {session_idle_timeout}

# Packages that every session finds, besides IPython and ipywidgets: [pandas, matplotlib, numpy>=2]
packages: {packages}

# Whether this machine takes jobs at all. With false it only sends its own.
sharing: {sharing}


# The network

# UDP port of the heartbeats by which machines find each other; the same on all of them.
discovery_port: {discovery_port}

# TCP port where the others reach this machine.
worker_port: {worker_port}

# IPv4 address to listen on: 0.0.0.0 is every network of this machine, 127.0.0.1 none (this machine only).
listen: {listen}

# Machines that broadcast cannot reach: [desk.example.org, 10.0.0.7:5556]
peers: {peers}
"""
