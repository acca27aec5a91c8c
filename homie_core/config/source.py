"""The text of a configuration file: to settings, with the place of every mistake; and small cuts in it."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import yaml

from homie_core.config.settings import LISTS, Config, allowed, read
from homie_core.model.errors import ConfigError


@dataclass(frozen=True)
class Source:
    """A valid configuration file: its text, what it says, and where in the text each value lies."""

    path: Path
    text: str
    config: Config
    nodes: dict[str, yaml.Node]


def parse(path: Path, text: str) -> Source:
    """Return the text, understood; raise ConfigError: `FILE:LINE: KEY: what is wrong; what is allowed`."""
    nodes = _nodes(path, text)
    values: dict[str, Any] = {}
    for key, node in nodes.items():
        try:
            values[key] = read(key, _texts(key, node))
        except ValueError as error:
            raise ConfigError(f"{path}:{_line(node)}: {error}") from error
    for key in ("name", "group_secret"):
        if key not in values:
            raise ConfigError(f"{path}:1: {key}: is missing; allowed: {allowed(key)}")
    return Source(path, text, Config(**values), nodes)


def scalar(text: str) -> str:
    """Return one value as YAML that means exactly this text."""
    if _PLAIN.match(text) and text.lower() != "null":
        return text
    return json.dumps(text, ensure_ascii=False)


def flow(texts: list[str]) -> str:
    """Return a list as YAML on one line."""
    return f"[{', '.join(map(scalar, texts))}]"


def splice(text: str, node: yaml.Node, new: str) -> str:
    """Return the text with the node's own characters replaced."""
    start, end = node.start_mark.index, _end(text, node)
    if is_block(node) and node.start_mark.column == 0:
        new = f"  {new}"  # a value on a line of its own must be indented, unless it is such a list
    elif start == end:
        new = f" {new}"  # `key:` without a value
    return text[:start] + new + text[end:]


def append(text: str, key: str, new: str) -> str:
    """Return the text with one more key at its end."""
    gap = "" if text.endswith("\n") or not text else newline(text)
    return f"{text}{gap}{key}: {new}{newline(text)}"


def with_item(text: str, node: yaml.SequenceNode, new: str) -> str:
    """Return the text with one more line in a list that is written one item a line."""
    at = text.find("\n", _end(text, node)) + 1
    if not at:
        text += newline(text)
        at = len(text)
    return f"{text[:at]}{' ' * node.start_mark.column}- {scalar(new)}{newline(text)}{text[at:]}"


def without_item(text: str, item: yaml.Node) -> str:
    """Return the text without the line of this item."""
    start = text.rfind("\n", 0, item.start_mark.index) + 1
    end = text.find("\n", item.end_mark.index) + 1
    return text[:start] + (text[end:] if end else "")


def is_block(node: yaml.Node | None) -> TypeGuard[yaml.SequenceNode]:
    """Whether the node is a list that is written one item a line."""
    return isinstance(node, yaml.SequenceNode) and not node.flow_style


def newline(text: str) -> str:
    """Return how lines end in this text."""
    return "\r\n" if "\r\n" in text else "\n"


_PLAIN = re.compile(r"^[A-Za-z0-9](?:[A-Za-z0-9._/:+-]*[A-Za-z0-9])?\Z")


class _Loader(yaml.SafeLoader):
    """Makes nodes only; an alias would be a value whose characters stand somewhere else (or a bomb)."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases (*name) cannot be used here", mark)
        return super().compose_node(parent, index)


def _nodes(path: Path, text: str) -> dict[str, yaml.Node]:
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ConfigError(f"{path}:{mark.line + 1 if mark else 1}: not valid YAML: {error.problem}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(f"{path}:{line}: not valid YAML: a character that cannot be printed") from error
    except RecursionError as error:
        raise ConfigError(f"{path}:1: not valid YAML: it is nested too deeply") from error
    except (ValueError, OverflowError) as error:  # PyYAML lets these out for escapes such as \UFFFFFFFF
        raise ConfigError(f"{path}:1: not valid YAML: {error}") from error
    if root is None:
        return {}
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(f"{path}:{_line(root)}: is no list of settings; write one `KEY: VALUE` a line")
    nodes: dict[str, yaml.Node] = {}
    for key, node in root.value:
        if not isinstance(key, yaml.ScalarNode):
            raise ConfigError(f"{path}:{_line(key)}: a key must be one word; write `KEY: VALUE`")
        if key.value in nodes:
            first, again = _line(nodes[key.value]), ascii(key.value[:40])[1:-1]
            raise ConfigError(f"{path}:{_line(key)}: {again}: is in line {first} already; keep one of them")
        nodes[key.value] = node
    return nodes


def _texts(key: str, node: yaml.Node) -> list[str]:
    """The characters of the value or values; what YAML would make of `no`, `1:30` or `0x10` is no matter."""
    if isinstance(node, yaml.SequenceNode) and key in LISTS:
        if all(isinstance(item, yaml.ScalarNode) for item in node.value):
            return [item.value for item in node.value]
    elif isinstance(node, yaml.ScalarNode):
        if node.tag != "tag:yaml.org,2002:null":
            return [node.value]
        if key in LISTS:
            return []
        raise ValueError(f"{key}: has no value; allowed: {allowed(key)}")
    raise ValueError(f"{key}: is a list or a group of settings; allowed: {allowed(key)}")


def _end(text: str, node: yaml.Node) -> int:
    """Where the node's own characters end: PyYAML lets a block reach to the next token, past comments."""
    start = node.start_mark.index
    end = node.value[-1].end_mark.index if is_block(node) else node.end_mark.index
    return start + len(text[start:end].rstrip())


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
