"""An independent judge of filtered outputs: html5lib parses as a browser does, nothing here asks nh3.

`dangers(html)` names all that could run, load, submit, cover the page or hook into it, outside a frame that is
sandboxed and without network.
"""

import base64
import re
import zlib
from collections.abc import Iterator
from xml.etree.ElementTree import Element

import html5lib

from homie_jupyter.safe.allowed import words

HARMLESS = words(
    """
    html head body div span p pre code b i u s em strong small big sub sup br hr a img table thead tbody
    tfoot tr td th caption col colgroup ul ol li dl dt dd h1 h2 h3 h4 h5 h6 blockquote q cite abbr acronym
    article aside audio video source section nav main header footer hgroup figure figcaption details summary
    label input progress meter mark time data var samp kbd tt font center del ins dfn bdi bdo ruby rp rt
    strike style svg g defs symbol use path rect circle ellipse line polyline polygon text tspan
    linearGradient radialGradient stop clipPath
    """
)
FETCHING = {"src", "srcset", "poster", "background", "data", "action", "formaction", "cite", "ping", "manifest"}
OWN = re.compile(r"data:(?:image/(?:png|jpeg|gif|webp|svg\+xml)|audio/[\w.+-]+|video/[\w.+-]+)[;,]", re.IGNORECASE)
LINK = re.compile(r"(?:https?://|mailto:|#homie-)", re.IGNORECASE)
CSS_ESCAPE = re.compile(r"\\([0-9a-fA-F]{1,6})\s?|\\(.)", re.DOTALL)
BAD_CSS = re.compile(
    r"url\s*\(|image-set|cross-fade|element\s*\(|expression\s*\(|@import|@font-face"
    r"|position\s*:\s*(?:fixed|sticky)|behavior\s*:|-moz-binding|javascript:",
    re.IGNORECASE,
)
TEX = re.compile(r"\\(?:href|url|class|style|cssId|data|require|mmlToken|bbox|includegraphics)(?![A-Za-z])")
UNSET = {"pre", "code", "style", "script"}
"""Elements in which MathJax sets nothing."""


def dangers(html: str) -> list[str]:
    """Return what is wrong with HTML that would be published, in words; empty if nothing is."""
    page = f'<!doctype html><body><div id="homie-outer">{html}</div><p id="homie-after"></p></body>'
    root = html5lib.parse(page, namespaceHTMLElements=False)
    found = list(_in_page(root))
    body = next(element for element in root if _name(element) == "body")
    after = [element.get("id") for element in body]
    if after != ["homie-outer", "homie-after"]:
        found.append(f"it leaves its place: {after}")
    return found


def _in_page(root: Element) -> Iterator[str]:
    for element in root.iter():
        name = _name(element)
        if name == "iframe":
            yield from _of_frame(element)
            continue
        if name not in HARMLESS:
            yield f"<{name}>"
        for key, value in element.attrib.items():
            yield from _of_attribute(name, _local(key), value)
        if name == "style":
            yield from _of_sheet("".join(element.itertext()))
        elif name not in UNSET:
            texts = [element.text or "", *(child.tail or "" for child in element)]
            yield from (f"TeX {text[:60]!r}" for text in texts if TEX.search(text))


def _of_attribute(name: str, key: str, value: str) -> Iterator[str]:
    bare = re.sub(r"[\x00-\x20\x7f-\xa0]", "", value)
    if key.startswith(("on", "data-")) or key in ("srcdoc", "popover", "slot", "is", "name", "autofocus"):
        yield f"{name}[{key}]"
    if key in FETCHING and not (name in ("img", "audio", "video", "source") and OWN.match(bare)):
        yield f"{name}[{key}={value[:60]!r}]"
    if key == "href" and not LINK.match(bare):
        yield f"{name}[href={value[:60]!r}]"
    if key == "href" and name == "use" and not bare.startswith("#"):
        yield f"use[href={value[:60]!r}]"
    if key in ("id", "for") and not value.startswith("homie-"):
        yield f"{name}[{key}={value[:60]!r}] is not its own"
    if key == "class" and re.search(r"(?:^|\s)(?:jp|lm)-", value, re.IGNORECASE):
        yield f"{name}[class={value[:60]!r}] is the page's"
    if key == "type" and name == "input" and value != "checkbox":
        yield f"input[type={value[:60]!r}]"
    if key == "style" or (key in ("fill", "stroke") and "(" in value):
        yield from _of_css(value)


def _of_sheet(text: str) -> Iterator[str]:
    yield from _of_css(text)
    for selector in re.findall(r"(?:^|[{};])([^{};]*)\{", re.sub(r'"[^"\n]*"', '""', text)):
        scoped = re.match(r"\s*(?:@(?:media|supports) |[^@+~>]*\.homie-\w+\s*(?![\s+~]))", selector)
        if not scoped:
            yield f"a rule without a scope: {selector[:60]!r}"


def _of_css(text: str) -> Iterator[str]:
    plain = CSS_ESCAPE.sub(lambda m: chr(min(int(m[1], 16), 0x10FFFF)) if m[1] else m[2], text)
    outside_strings = re.sub(r'"[^"\n]*"', '""', plain)
    yield from (f"CSS {found[0]!r}" for found in BAD_CSS.finditer(outside_strings))


def _of_frame(frame: Element) -> Iterator[str]:
    if frame.get("sandbox") != "allow-scripts" or "src" in frame.attrib or "allow" in frame.attrib:
        yield f"a frame that is not closed: {dict(frame.attrib)}"[:200]
    extra = {_local(key) for key in frame.attrib} - {
        "sandbox",
        "srcdoc",
        "style",
        "referrerpolicy",
        "loading",
        "title",
    }
    yield from (f"iframe[{key}]" for key in extra)
    document = frame.get("srcdoc", "")
    outer = html5lib.parse(document, namespaceHTMLElements=False)
    yield from _of_policy(document)
    inner = [each for each in outer.iter() if _name(each) == "iframe"]
    if [dict(each.attrib) for each in inner] != [{"sandbox": "allow-scripts", "referrerpolicy": "no-referrer"}]:
        yield "the inner frame is not closed"
    yield from _of_policy(unpacked(document))


def unpacked(document: str) -> str:
    """Return the peer's document inside the outer one."""
    found = re.search(r'atob\("([A-Za-z0-9+/=]*)"\)', document)
    return zlib.decompress(base64.b64decode(found[1])).decode() if found else ""


def frame_content(html: str) -> str:
    """Return the peer's document in a published frame."""
    root = html5lib.parse(html, namespaceHTMLElements=False)
    frame = next(element for element in root.iter() if _name(element) == "iframe")
    return unpacked(frame.get("srcdoc", ""))


def _of_policy(document: str) -> Iterator[str]:
    start = re.match(
        r'<!doctype html><meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" content="([^"]*)">',
        document,
    )
    policy = dict(part.strip().split(" ", 1) for part in start[1].split(";")) if start else {}
    wanted = dict.fromkeys(("default-src", "connect-src", "frame-src", "form-action", "base-uri"), "'none'")
    wanted |= {"img-src": "data: blob:", "style-src": "'unsafe-inline'", "font-src": "data:"}
    yield from (f"policy without {key} {value}" for key, value in wanted.items() if policy.get(key) != value)


def _name(element: Element) -> str:
    return _local(element.tag) if isinstance(element.tag, str) else "#comment"


def _local(name: str) -> str:
    return name.rpartition("}")[2].rpartition(":")[2]
