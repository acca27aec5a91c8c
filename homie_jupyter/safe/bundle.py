"""One MIME bundle of a peer: which of its forms may be shown, and what is said of the others."""

import base64
import re
from collections.abc import Callable
from typing import Any

from homie_jupyter.safe import charts, html, markdown, scripts, tex, values
from homie_jupyter.safe.allowed import words
from homie_jupyter.safe.filter import Filtered
from homie_jupyter.safe.values import Malformed

MAX_FORMS = 40
MAX_NOTICES = 4
PLOTLY = "application/vnd.plotly.v1+json"
VIEW = "application/vnd.jupyter.widget-view+json"
_IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp")
_VEGA = re.compile(r"application/vnd\.vega(?:lite)?\.v\d+(?:\.\d+)*[.+]json\Z")
_MODEL = re.compile(r"[0-9A-Za-z_-]{1,64}\Z")
_QUIET = words(
    """
    application/vnd.bokehjs_exec.v0+json application/vnd.bokehjs_load.v0+json
    application/vnd.holoviews_load.v0+json application/vnd.dataresource+json
    """
)
"""What goes along with a form that is shown, or only loads a library."""
_NOTHING = re.compile(r"(?:\s|<img>|</?(?:div|p|a|span|center)>)*+")
"""HTML of which nothing to look at is left: the text is then shown instead."""
_EMBEDS = re.compile(r"<(?:iframe|embed|object)\b", re.IGNORECASE)
_REMOTE = re.compile(r"<(?:img|video|audio|source)\b[^>]{0,1000}?\bsrc\s*=\s*[\"']?(?:https?:)?//", re.IGNORECASE)
_HANDLER = re.compile(r"<[a-z][^<>]{0,1000}?\son[a-z]{3,20}\s*=", re.IGNORECASE)


def filtered(data: object, metadata: object) -> Filtered:
    """Return what of the bundle is harmless."""
    if not isinstance(data, dict):
        return Filtered({}, {}, ("an output of {peer} is malformed",))
    bundle = _Bundle({key: data[key] for key in list(data)[:MAX_FORMS] if isinstance(key, str)}, metadata)
    bundle.take()
    return Filtered(bundle.out, bundle.metadata, tuple(dict.fromkeys(bundle.notices))[:MAX_NOTICES])


class _Bundle:
    def __init__(self, data: dict[str, Any], metadata: object) -> None:
        self._data = data
        self._given = metadata if isinstance(metadata, dict) else {}
        self.out: dict[str, Any] = {}
        self.metadata: dict[str, Any] = _metadata(self._given)
        self.notices: list[str] = []
        self._unknown: list[str] = []

    def take(self) -> None:
        forms: dict[str, Callable[[str, Any], None]] = {
            "text/plain": self._plain,
            "text/html": self._html,
            "text/latex": self._latex,
            "text/markdown": self._markdown,
            "image/svg+xml": self._svg,
            "application/json": lambda mime, value: self._put(mime, values.json(value)),
            "application/geo+json": lambda mime, value: self._put(mime, charts.geojson(value)),
            "application/javascript": self._javascript,
            PLOTLY: lambda mime, value: self._put(mime, charts.plotly(value)),
            VIEW: self._view,
            **dict.fromkeys(_IMAGES, self._image),
        }
        # HTML first: other forms become HTML where there is none
        for mime in sorted(self._data, key=lambda mime: mime != "text/html"):
            take = forms.get(mime, self._vega if _VEGA.match(mime) else self._other)
            try:
                take(mime, self._data[mime])
            except Malformed:
                self.notices.append(f"{_shown(mime)} of {{peer}} is malformed")
        if self._unknown and not set(self.out) - {"text/plain"}:
            self._refuse(f"{self._unknown[0]} of {{peer}} was not shown")

    def _put(self, mime: str, value: Any) -> None:
        self.out[mime] = value

    def _refuse(self, what: str) -> None:
        self.notices.append(f"{what}; `%homie trust {{peer}}` allows it")

    def _plain(self, mime: str, value: Any) -> None:
        self.out[mime] = values.plain(value)

    def _latex(self, mime: str, value: Any) -> None:
        text = values.text(value)
        self.out[mime] = tex.without_commands(text)

    def _markdown(self, mime: str, value: Any) -> None:
        text = values.text(value)
        if markdown.is_harmless(text):
            self.out[mime] = text
        elif "text/html" not in self.out:
            try:
                self.out["text/html"] = markdown.as_html(text)
            except html.TooComplex:
                self.out.setdefault("text/plain", values.plain(text))

    def _html(self, mime: str, value: Any) -> None:
        text = values.text(value)
        if scripts.is_only_library(text):
            return
        if scripts.needed(text):
            if not isinstance(self._data.get(PLOTLY), dict):  # that form the notebook draws itself
                self._show(scripts.html_in_frame(text))
            return
        try:
            clean = html.sanitise(text)
        except html.TooComplex:
            self._show(scripts.html_in_frame(text))
            return
        if not _NOTHING.fullmatch(clean):
            self.out[mime] = clean
        for pattern, what in _LOST:
            if pattern.search(text) and not scripts.works_without(text):
                self._refuse(what)

    def _svg(self, mime: str, value: Any) -> None:
        """As a picture: there an SVG runs nothing and loads nothing."""
        if "text/html" in self.out:
            return
        packed = base64.b64encode(values.text(value).encode()).decode()
        size = "".join(f' {k}="{v}"' for k, v in self.metadata.pop(mime, {}).items() if k in ("width", "height"))
        self.out["text/html"] = f'<img src="data:image/svg+xml;base64,{packed}"{size}>'

    def _image(self, mime: str, value: Any) -> None:
        self.out[mime] = values.image(value, mime)

    def _view(self, mime: str, value: Any) -> None:
        match value:
            case {"model_id": str(model)} if _MODEL.match(model):
                self.out[mime] = {"version_major": 2, "version_minor": 0, "model_id": model}
            case _:
                raise Malformed

    def _javascript(self, mime: str, value: Any) -> None:
        if "application/vnd.bokehjs_exec.v0+json" in self._data:
            self._show(scripts.bokeh(value))
        elif not _QUIET & self._data.keys():
            self._refuse("JavaScript of {peer} was not run")

    def _vega(self, mime: str, value: Any) -> None:
        if "text/html" not in self.out:
            self._show(scripts.vega(value, mime))

    def _other(self, mime: str, _: Any) -> None:
        if mime not in _QUIET:
            self._unknown.append(_shown(mime))

    def _show(self, shown: scripts.Shown) -> None:
        text, notice = shown
        if text:
            self.out["text/html"] = text
        if notice:
            self.notices.append(notice)


_LOST = (
    (_EMBEDS, "a page that an output of {peer} embeds was not loaded"),
    (_REMOTE, "pictures or sounds that an output of {peer} takes from elsewhere were not loaded"),
    (_HANDLER, "scripts in an output of {peer} were removed"),
)


def _metadata(given: dict[Any, Any]) -> dict[str, Any]:
    """Return the sizes and display wishes of known forms, nothing else."""
    out: dict[str, Any] = {}
    if given.get("needs_background") in ("light", "dark"):
        out["needs_background"] = given["needs_background"]
    for mime in (*_IMAGES, "image/svg+xml", "application/json", "application/geo+json"):
        wishes = given.get(mime)
        if isinstance(wishes, dict) and (kept := {key: wishes[key] for key in _WISHES if _is_wish(key, wishes)}):
            out[mime] = kept
    return out


_WISHES = ("width", "height", "expanded", "unconfined")


def _is_wish(key: str, wishes: dict[Any, Any]) -> bool:
    value = wishes.get(key)
    if key in ("expanded", "unconfined"):
        return isinstance(value, bool)
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 20_000


def _shown(mime: str) -> str:
    """Return the type as it may stand in a notice."""
    return re.sub(r"[^\w.+/-]", "?", mime[:60], flags=re.ASCII)
