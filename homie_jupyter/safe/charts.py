"""Charts that the notebook draws from JSON: nothing in it may load, link to scripts, or be taken as HTML."""

import re
from typing import Any

from homie_jupyter.safe import css, tex, values
from homie_jupyter.safe.allowed import words

_PLOTLY_PARTS = ("data", "layout", "frames")
_PLOTLY_CONFIG = words(
    """
    autosizable displayModeBar displaylogo doubleClick doubleClickDelay editable edits fillFrame frameMargins
    locale modeBarButtonsToRemove plotGlPixelRatio responsive scrollZoom showAxisDragHandles
    showAxisRangeEntryBoxes showTips staticPlot toImageButtonOptions
    """
)
"""Not: where to send the chart to, where to fetch maps from."""
_LOADS = words(
    """
    source geojson style url urls tiles sources sourceattribution attribution accesstoken href glyphs sprite
    """
)
_DATA_IMAGE = re.compile(r"data:image/(?:png|jpeg|gif|webp|svg\+xml)[;,]", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""\b(href|xlink:href|style)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>"']*))""", re.IGNORECASE)
_LINK = re.compile(r"(?:https?://|mailto:)[^\s\x00-\x1f]*\Z", re.IGNORECASE)


def plotly(value: object) -> dict[str, Any]:
    """Return a figure of plotly that loads nothing; raise Malformed if it is none."""
    if not isinstance(value, dict) or not isinstance(value.get("data"), list):
        raise values.Malformed("no figure")
    figure = {part: values.json(value[part], _plotly_member) for part in _PLOTLY_PARTS if part in value}
    config = value.get("config")
    if isinstance(config, dict):
        figure["config"] = values.json({key: config[key] for key in config if key in _PLOTLY_CONFIG})
    return figure


def geojson(value: object) -> dict[str, Any]:
    """Return GeoJSON whose texts stay texts where a map shows them as HTML."""
    if not isinstance(value, dict):
        raise values.Malformed("no GeoJSON")
    escaped: dict[str, Any] = _without_markup(values.json(value))
    return escaped


def _plotly_member(key: str, value: Any) -> Any:
    name = _name(key)
    if name in _LOADS and not _stays(name, value):
        return values.DROP
    if key in ("args", "args2") and _sets_a_source(value):
        return values.DROP
    if isinstance(value, str):
        return _drawn(value)
    if isinstance(value, list | tuple):
        return [_drawn(each) if isinstance(each, str) else each for each in value]
    return value


def _stays(key: str, value: Any) -> bool:
    match value:
        case str():
            if key == "source":
                return bool(_DATA_IMAGE.match(value))
            return key == "style" and "/" not in value and ":" not in value
        case dict():
            return key in ("source", "geojson")
        case list() | tuple():
            return all(_stays(key, each) for each in value)
    return True


def _name(key: str) -> str:
    """Return the last name of what buttons may call `images[0].source`."""
    return re.split(r"[.\[\]]+", key)[-1]


def _sets_a_source(arguments: Any) -> bool:
    """Return whether a button or slider would set what is loaded, by the name of an attribute."""
    listed = arguments if isinstance(arguments, list | tuple) else ()
    return any(isinstance(each, str) and _name(each) in _LOADS for each in listed)


def _drawn(text: str) -> str:
    """Return a text that plotly draws, with its own few tags, without what these could do."""
    if "<" in text:
        text = _ATTRIBUTE.sub(_attribute, text)
    return tex.without_commands(text) if "$" in text else text


def _attribute(found: re.Match[str]) -> str:
    value = found[2] or found[3] or found[4] or ""
    if found[1].lower() == "style":
        return found[0] if "\\" not in value and "&" not in value and css.value_is_harmless(value) else ""
    return found[0] if _LINK.match(value) else ""


def _without_markup(value: Any) -> Any:
    match value:
        case str():
            return value.replace("<", "&lt;").replace('"', "&quot;")
        case list():
            return [_without_markup(each) for each in value]
        case dict():
            return {_without_markup(key): _without_markup(each) for key, each in value.items()}
    return value
