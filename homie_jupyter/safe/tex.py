"""TeX that JupyterLab sets wherever `$` stands: in LaTeX, Markdown and the text of HTML.

MathJax makes links (`\\href`, of any scheme), classes, ids and styles; such commands are taken apart, all other
mathematics stays.
"""

import re

_ACTIVE = re.compile(
    r"\\(?=(?:href|url|class|style|cssId|data|require|bbox|mmlToken|includegraphics|csname|unicode"
    r"|texttip|mathtip|tooltip|action|toggle|html[A-Za-z]*|begingroup|catcode)(?![A-Za-z]))"
)
_TAG = re.compile(r"""<(?:[^<>"']|"[^"]*"|'[^']*')*+>""")


def is_harmless(text: str) -> bool:
    """Return whether the text, set as mathematics, makes neither links nor styles."""
    return _ACTIVE.search(text) is None


def without_commands(text: str) -> str:
    """Return plain text in which such a command has lost its backslash."""
    return _ACTIVE.sub("", text)


def disarm(html: str) -> str:
    """Return sanitised HTML that looks the same, in which such a command no longer is one word of text."""
    if is_harmless(html):
        return html
    out, at = [], 0
    for tag in _TAG.finditer(html):
        out += [_ACTIVE.sub(r"\\<span></span>", html[at : tag.start()]), tag[0]]
        at = tag.end()
    return "".join([*out, _ACTIVE.sub(r"\\<span></span>", html[at:])])
