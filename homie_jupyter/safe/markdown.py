"""Markdown of a peer. JupyterLab renders it with all the HTML and all the links in it."""

import re
from html import escape

from homie_jupyter.safe import html, tex

MAX_MARKDOWN = 200_000
_ACTIVE = re.compile(r"[<&]|\]\(|\]:|(?:```|~~~)[^\n]{0,20}mermaid", re.IGNORECASE)
"""Without these CommonMark makes no HTML of its author's and no link but bare web addresses."""
_MATH = re.compile(
    r"\$\$.{1,4000}?\$\$|\$(?![\s$])[^$\n]{1,1000}?(?<!\s)\$|\\\(.{1,1000}?\\\)|\\\[.{1,4000}?\\\]", re.DOTALL
)

_PLACE = re.compile(r"HomieFormula([0-9]{1,6})End")


def is_harmless(text: str) -> bool:
    """Return whether it may be shown as Markdown, as it is."""
    return _ACTIVE.search(text) is None and tex.is_harmless(text)


def as_html(text: str) -> str:
    """Return it rendered here and sanitised; formulas stay as they are. May raise html.TooComplex."""
    if len(text) > MAX_MARKDOWN:
        raise html.TooComplex
    from markdown_it import MarkdownIt

    formulas: list[str] = []

    def put_aside(found: re.Match[str]) -> str:
        formulas.append(found[0])
        return f"HomieFormula{len(formulas) - 1}End"

    def put_back(place: re.Match[str]) -> str:
        at = int(place[1])
        return escape(formulas[at]) if at < len(formulas) else place[0]

    rendered = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(_MATH.sub(put_aside, text))
    return html.sanitise(_PLACE.sub(put_back, rendered))
