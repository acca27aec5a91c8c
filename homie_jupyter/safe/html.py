"""HTML of a peer, reduced to what shows text, tables, pictures of its own and drawings.

JupyterLab trusts what a cell of the user puts out, so nothing may stay that runs, loads, submits, covers
the page, or is a hook for the page's own scripts (`data-*`, its classes, ids of others).
"""

import hashlib
import re

import nh3

from homie_jupyter.safe import allowed, css, tex

MAX_HTML = 8 << 20
MAX_CSS = 256 << 10
MAX_STYLE = 10_000
MAX_UNTIDY = 50_000_000
"""Tags times characters of HTML that is not plainly nested: the parser may repeat each open tag in each other."""
MAX_ENTITIES = 50_000
MAX_DEPTH = 256


class TooComplex(Exception):
    """To sanitise this could take too long; it can still be shown in a frame."""


def sanitise(html: str) -> str:
    """Return what of the HTML is harmless; raise TooComplex if that cannot be told in bounded time."""
    _check(html)
    name = "homie-" + hashlib.sha256(html.encode("utf-8", "replace")).hexdigest()[:10]
    html, _ = _take("script", html)
    html, sheets = _take("style", html)
    if sum(map(len, sheets)) > MAX_CSS:
        raise TooComplex
    _check_nesting(html)
    prefix = name + "-"
    attributes = _Attributes(prefix)
    clean = nh3.clean(
        html,
        tags=set(allowed.TAGS),
        clean_content_tags=set(allowed.DROPPED),
        attributes={tag: set(names) for tag, names in allowed.ATTRIBUTES.items()},
        attribute_filter=attributes,
        url_schemes={"http", "https", "mailto", "data"},
        url_relative=lambda url: url if url.startswith("#") else None,
        set_tag_attribute_values={"input": {"type": "checkbox"}, "a": {"target": "_blank"}},
        link_rel="noopener noreferrer",
    )
    if attributes.parsed > MAX_CSS:
        raise TooComplex
    clean = tex.disarm(clean)
    sheet = "\n".join(filter(None, (css.stylesheet(text, name, prefix) for text in sheets)))
    return _contained(clean, sheet, name)


def _contained(clean: str, sheet: str, name: str) -> str:
    """Put a box around what has styles: nothing in it is drawn outside, wherever it is positioned."""
    if not sheet and " style=" not in clean and " class=" not in clean:
        return clean
    rules = f"<style>\n{sheet}\n</style>" if sheet else ""
    return f'<div style="contain: content; overflow: auto">{rules}<div class="{name}">{clean}</div></div>'


# --- bounds

_SELF_CLOSED = allowed.words("area base br col embed hr img input link meta param source track wbr")
_SPECIAL = re.compile(
    r"<(?:!--|!\[|\?|/?(?:textarea|title|xmp|plaintext|noembed|noframes|template|select|math))", re.I
)
_TIDY = re.compile(
    r"""<(?:(/)?([A-Za-z][A-Za-z0-9]{0,20})
        ((?:\s+[A-Za-z_:][-\w:.]*+(?:\s*+=\s*+(?:"[^"<>]*+"|'[^'<>]*+'|[^\s"'<>=`]++))?+){0,60}+)\s*+(/)?>)?""",
    re.VERBOSE,
)


def _check(html: str) -> None:
    if len(html) > MAX_HTML or html.count("&") > MAX_ENTITIES:
        raise TooComplex


def _check_nesting(html: str) -> None:
    if html.count("<") * len(html) > MAX_UNTIDY and not _is_tidy(html):
        raise TooComplex
    if len(html) > MAX_STYLE and not _is_tidy(html) and any(len(tag) > MAX_STYLE for tag in html.split(">")):
        raise TooComplex  # the parser compares each attribute of a tag with each other


def _is_tidy(html: str) -> bool:
    """Return whether each tag is closed by its own, in order, and not too deep."""
    if _SPECIAL.search(html):
        return False
    opened: list[str] = []
    frames = 0
    for found in _TIDY.finditer(html):
        name = found[2]
        if not name:
            return False
        name = name.lower()
        if name in _SELF_CLOSED:
            continue
        if name in ("html", "head", "body"):
            frames += 1
            if frames > 6:
                return False
            continue
        if found[1]:
            if not opened or opened.pop() != name:
                return False
        elif not found[4]:
            opened.append(name)
            if len(opened) > MAX_DEPTH:
                return False
    return True


def _take(tag: str, html: str) -> tuple[str, list[str]]:
    """Return the HTML without such elements, and their contents. A wrong cut is harmless: all is sanitised yet."""
    begins = re.compile(rf"<{tag}\b[^>]{{0,500}}>", re.IGNORECASE)
    ends = re.compile(rf"</{tag}\b[^>]{{0,500}}>", re.IGNORECASE)
    out, contents, at = [], [], 0
    while begin := begins.search(html, at):
        end = ends.search(html, begin.end())
        if end is None:
            break
        out.append(html[at : begin.start()])
        contents.append(html[begin.end() : end.start()])
        at = end.end()
    return "".join([*out, html[at:]]), contents


# --- what may stay

_IDS = allowed.words("id for headers aria-labelledby aria-describedby")
_OWN_DATA = {
    "img": re.compile(
        r"data:image/(?:png|jpeg|gif|webp|svg\+xml)(?:;charset=[\w-]+)?(?:;base64)?,", re.IGNORECASE
    ),
    "audio": re.compile(r"data:audio/[\w.+-]+;base64,", re.IGNORECASE),
    "video": re.compile(r"data:video/[\w.+-]+;base64,", re.IGNORECASE),
    "source": re.compile(r"data:(?:audio|video)/[\w.+-]+;base64,", re.IGNORECASE),
}
_LINK = re.compile(r"(?:https?://|mailto:)", re.IGNORECASE)
_HOOKS = re.compile(
    r"(?:jp|lm|p|cm|m|vscode|monaco|homie|Mui)-|(?:jupyter|mathjax|MathJax|tex2jax|mermaid)", re.IGNORECASE
)
"""Classes by which the page finds elements of its own."""


class _Attributes:
    """Decides about each attribute that may stay: with which value, if with any."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._styles: dict[str, str] = {}
        """Tables repeat theirs in each cell."""
        self.parsed = 0
        """Characters of CSS."""

    def __call__(self, tag: str, attribute: str, value: str) -> str | None:
        match attribute:
            case "style":
                return self._style(value) or None
            case "class":
                return " ".join(name for name in value.split() if not _HOOKS.match(name)) or None
            case "href" if value.startswith("#"):
                return f"#{self._prefix}{value[1:]}"
            case "href":
                return value if tag == "a" and _LINK.match(value) else None
            case "src":
                return value if tag in _OWN_DATA and _OWN_DATA[tag].match(value) else None
            case "fill" | "stroke" | "color" | "bgcolor" | "transform" if "(" in value:
                return value if self._style(f"{_ANY}: {value}") else None
            case _ if attribute in _IDS:
                return " ".join(self._prefix + id for id in value.split()) or None
        return value

    def _style(self, text: str) -> str:
        if text not in self._styles:
            self.parsed += len(text)
            small = len(text) <= MAX_STYLE and self.parsed <= MAX_CSS
            self._styles[text] = css.declarations(text) if small else ""
        return self._styles[text]


_ANY = "--any"
"""A property that takes any harmless value."""
