"""Outputs that are nothing without their scripts: shown in a frame, with libraries that this machine has.

Charts that their library would fetch from the internet (plotly, bokeh, altair) stay interactive if its Python
package is installed here too.
"""

import json
import re
from html import unescape

from homie_jupyter.safe import libraries, values
from homie_jupyter.safe.frame import HEIGHT, MAX_DOCUMENT, framed

_RUNS = re.compile(
    r"<script\b(?![^>]{0,200}\btype\s*=\s*[\"']?(?:application/(?:\w+\+)?json|math/tex))", re.IGNORECASE
)
_PAGE = re.compile(r"<iframe\b[^>]{0,2000}?\bsrcdoc\s*=", re.IGNORECASE)
_FOREIGN = re.compile(
    r"(?:<script\b[^>]{0,500}?\bsrc|<link\b[^>]{0,500}?\bhref)\s*=\s*[\"']?(?:https?:)?//([\w.-]{1,100})",
    re.IGNORECASE,
)
_PLOTLY_SIZE = re.compile(r"height:\s*(\d{2,4})px")
_VEGA_VERSION = re.compile(r"maybeLoadScript\(\"(vega[a-z-]*)\", \"([\w.-]{1,40})\"\)")
_BOKEH_ROOT = re.compile(r'"roots":\{((?:"[\w-]{1,80}":"[\w-]{1,80}",?){1,50})\}')
_BOKEH_VERSION = re.compile(r'"version":"([\w.]{1,20})"')
_HEIGHT = re.compile(r'"(?:frame_)?height":\s*(\d{2,4})\b')

_VEGA_HEIGHT = 380
"""Pixels: of a chart of Vega-Lite's usual 300, with axes."""

Shown = tuple[str, str]
"""What to show, and what to say; either may be empty."""


def needed(html: str) -> bool:
    """Return whether the HTML is nothing without its scripts. A wrong answer costs looks, not safety."""
    return not works_without(html) and bool(_RUNS.search(html) or _PAGE.search(html))


def works_without(html: str) -> bool:
    """Return whether it is known to look and work the same without its scripts: scikit-learn's diagrams."""
    return "sk-top-container" in html


def is_only_library(html: str) -> bool:
    """Return whether it merely loads a library into the page, for outputs that come later."""
    plotly = "PlotlyConfig" in html and "plotly-graph-div" not in html
    return plotly or ("Loading BokehJS" in html and "bk-notebook-logo" in html)


def html_in_frame(html: str) -> Shown:
    """Return the HTML in a frame."""
    if len(html) > MAX_DOCUMENT:
        return "", "an output of {peer} is too large to be shown"
    scripts: list[str] = []
    missing = notice = ""
    height = HEIGHT
    if "Plotly." in html and "* plotly.js v" not in html:
        missing = _take(scripts, libraries.plotly(), "plotly")
        height = int(found[1]) + 5 if (found := _PLOTLY_SIZE.search(html[:1000])) else HEIGHT
    elif "vegaEmbed" in html:
        missing = _take(scripts, libraries.vega(), "vl-convert-python")
        versions = {f"{name.replace('-', '')}_version": version for name, version in _VEGA_VERSION.findall(html)}
        height = _VEGA_HEIGHT
        scripts.append(f"var VEGA_DEBUG = {json.dumps(versions)};")
    elif "Bokeh" in html and "docs_json" in html:
        missing = _take(scripts, libraries.bokeh(), "bokeh")
        height = _bokeh_height(html)
    elif foreign := sorted({*_FOREIGN.findall(html), *_FOREIGN.findall(unescape(html[: 4 << 20]))}):
        notice = f"an output of {{peer}} wants scripts from {', '.join(foreign[:3])}, which were not loaded"
        if _PAGE.search(html):  # a page made for these scripts, such as folium's maps: nothing of it would be seen
            missing = notice
    if missing:
        return "", missing
    return framed(html, *scripts, height=height), notice


def bokeh(script: object) -> Shown:
    """Return the chart of one of bokeh's messages for notebooks, in a frame."""
    script = values.text(script)
    roots = [pair for found in _BOKEH_ROOT.findall(script) for pair in json.loads("{" + found + "}").items()]
    scripts: list[str] = []
    missing = _take(scripts, libraries.bokeh(), "bokeh")
    if not roots or missing:
        return "", missing or "a chart of {peer} was not understood"
    there = found[1] if (found := _BOKEH_VERSION.search(script)) else ""
    if there.split(".")[:2] != libraries.bokeh_version().split(".")[:2]:
        missing = f"this chart of {{peer}} was made by bokeh {there}, here is {libraries.bokeh_version()}"
    places = "".join(f'<div id="{place}" data-root-id="{root}"></div>' for root, place in roots)
    body = f"{places}<script>{libraries.inline(script)}</script>"
    return framed(body, *scripts, height=_bokeh_height(script)), missing


def vega(spec: object, mime: str) -> Shown:
    """Return a Vega or Vega-Lite chart in a frame: in the page it could load files with the user's rights."""
    scripts: list[str] = []
    missing = _take(scripts, libraries.vega(), "vl-convert-python")
    if missing:
        return "", missing
    text = json.dumps(values.json(spec)).replace("<", "\\u003c")
    mode = "vega-lite" if "vegalite" in mime else "vega"
    body = f'<div id="chart"></div><script>vegaEmbed("#chart", {text}, {{mode: "{mode}"}});</script>'
    return framed(body, *scripts, height=_VEGA_HEIGHT), ""


def _take(scripts: list[str], library: str | None, package: str) -> str:
    if library:
        scripts.append(library)
        return ""
    return f"a chart of {{peer}} needs the package {package} here too: pip install {package}"


def _bokeh_height(text: str) -> int:
    heights = [int(found) for found in _HEIGHT.findall(text[: 4 << 20])]
    return max(heights, default=600) + 30
