"""CSS of a peer, reduced to what draws inside its own output and loads nothing.

Parsed by the CSS syntax, and only what is known is written out again: properties, functions, selectors. Every
selector is put below a scope, so a rule never reaches another cell or the page around it.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

import tinycss2

from homie_jupyter.safe import allowed

_LESS_THAN = re.compile(r"(\\[^<])|\\?<", re.DOTALL)
"""With the backslash that may stand before it; other escapes are passed over as a whole."""
MAX_DEPTH = 24
MAX_RULES = 20_000


def declarations(text: str) -> str:
    """Return the harmless part of a `style` attribute."""
    return _declarations(tinycss2.parse_blocks_contents(text, skip_comments=True, skip_whitespace=True))


def value_is_harmless(text: str) -> bool:
    """Return whether a value of some property loads nothing."""
    return _harmless(tinycss2.parse_component_value_list(text), allowed.VALUE_TOKENS, allowed.FUNCTIONS)


def stylesheet(text: str, scope: str, prefix: str) -> str:
    """Return the harmless rules, each below the class `scope`, with `prefix` before the ids of selectors."""
    rules = tinycss2.parse_stylesheet(text, skip_comments=True, skip_whitespace=True)
    return "\n".join(_rules(rules[:MAX_RULES], scope, prefix, MAX_DEPTH // 8))


def _rules(rules: Iterable[Any], scope: str, prefix: str, depth: int) -> Iterator[str]:
    for rule in rules:
        if rule.type == "qualified-rule":
            body = _declarations(
                tinycss2.parse_blocks_contents(rule.content, skip_comments=True, skip_whitespace=True)
            )
            selectors = list(_selectors(rule.prelude, scope, prefix))
            if body and selectors:
                yield f"{', '.join(selectors)} {{ {body} }}"
        elif rule.type == "at-rule" and rule.lower_at_keyword in ("media", "supports") and rule.content and depth:
            if not _harmless(rule.prelude, allowed.VALUE_TOKENS, frozenset()):
                continue
            inner = tinycss2.parse_rule_list(rule.content, skip_comments=True, skip_whitespace=True)
            body = "\n".join(_rules(inner[:MAX_RULES], scope, prefix, depth - 1))
            yield f"@{rule.lower_at_keyword} {_text(rule.prelude).strip()} {{ {body} }}"


def _declarations(nodes: Iterable[Any]) -> str:
    kept = []
    for node in nodes:
        if node.type != "declaration" or not (node.name.startswith("--") or node.lower_name in allowed.PROPERTIES):
            continue
        if not _harmless(node.value, allowed.VALUE_TOKENS, allowed.FUNCTIONS):
            continue
        value = _text(node.value).strip()
        if node.lower_name == "position" and value.lower() not in allowed.POSITIONS:
            continue
        name = _text([tinycss2.ast.IdentToken(0, 0, node.name)])
        kept.append(f"{name}: {value}{' !important' if node.important else ''}")
    return "; ".join(kept)


def _harmless(nodes: Iterable[Any], kinds: frozenset[str], functions: frozenset[str]) -> bool:
    """Return whether all tokens are of these kinds and call only these functions, to a sane depth."""
    waiting = [(node, 0) for node in nodes]
    while waiting:
        node, depth = waiting.pop()
        kind = node.type.removesuffix(" block")
        if kind not in kinds or depth > MAX_DEPTH:
            return False
        if kind == "function" and node.lower_name not in functions:
            return False
        inner = node.arguments if kind == "function" else getattr(node, "content", ())
        waiting.extend((each, depth + 1) for each in inner)
    return True


def _selectors(prelude: list[Any], scope: str, prefix: str) -> Iterator[str]:
    if not _harmless(prelude, allowed.SELECTOR_TOKENS, allowed.PSEUDO_FUNCTIONS):
        return
    one: list[Any] = []
    for node in [*prelude, tinycss2.ast.LiteralToken(0, 0, ",")]:
        if node.type == "literal" and node.value == ",":
            if scoped := _scoped(_stripped(one), scope, prefix):
                yield scoped
            one = []
        elif node.type != "comment":
            one.append(node)


def _scoped(selector: list[Any], scope: str, prefix: str) -> str:
    """Return the selector below the scope, or nothing if it could mean an element beside it.

    `html` and `body` stay before the scope (they tell dark from light), `:root` becomes the scope itself.
    """
    if not selector:
        return ""
    before: list[Any] = []
    while selector and selector[0].type == "ident" and selector[0].lower_value in ("html", "body"):
        compound = _first_compound(selector)
        before += [*compound, tinycss2.ast.WhitespaceToken(0, 0, " ")]
        selector = _stripped(selector[len(compound) :])
    compound = _first_compound(selector)
    if _text(compound).lower() == ":root":
        selector = _stripped(selector[len(compound) :])
    if selector and selector[0].type == "literal" and selector[0].value not in (".", ":", "*"):
        return ""  # a combinator: `:root + div` is not below
    return f"{_text(before)}.{scope} {_text(_with_prefix(selector, prefix))}".strip()


def _first_compound(selector: list[Any]) -> list[Any]:
    for at, node in enumerate(selector):
        if node.type == "whitespace" or (node.type == "literal" and node.value in (">", "+", "~", "|", "&")):
            return selector[:at]
    return selector


def _with_prefix(nodes: Iterable[Any], prefix: str) -> list[Any]:
    out: list[Any] = []
    for node in nodes:
        if node.type == "hash":
            out.append(tinycss2.ast.HashToken(0, 0, prefix + node.value, True))
        elif node.type == "function":
            inner = _with_prefix(node.arguments, prefix)
            out.append(tinycss2.ast.FunctionBlock(0, 0, node.name, inner))
        else:
            out.append(node)
    return out


def _stripped(nodes: list[Any]) -> list[Any]:
    begin, end = 0, len(nodes)
    while begin < end and nodes[begin].type == "whitespace":
        begin += 1
    while end > begin and nodes[end - 1].type == "whitespace":
        end -= 1
    return nodes[begin:end]


def _text(nodes: Iterable[Any]) -> str:
    """Return the tokens as text in which no tag can begin or end."""
    return _LESS_THAN.sub(lambda found: found[0] if found[1] else r"\3c ", tinycss2.serialize(nodes))
