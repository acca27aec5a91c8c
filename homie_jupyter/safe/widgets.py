"""Widgets of a peer: the standard ones only, and none of their fields that become HTML or load something.

The state of a widget travels in `comm_open` and later in updates; each is sanitised. What a browser does by itself
with a state (links between widgets) must not carry text that was harmless in one widget into one where it is HTML.
"""

import re
from collections.abc import Callable
from typing import Any

from homie_jupyter.safe import values

TARGET = "jupyter.widget"
MODULES = {"@jupyter-widgets/base": 2, "@jupyter-widgets/controls": 2, "@jupyter-widgets/output": 1}
"""With the major versions in which the fields mean what they are taken for here."""
MAX_MODELS = 20_000
_NAME = re.compile(r"[A-Z][A-Za-z]{0,60}Model\Z")
_VERSION = re.compile(r"[\^~]?(\d{1,3})(?:\.\d{1,4}){0,2}\Z")
_ID = re.compile(r"[0-9A-Za-z_-]{1,64}\Z")
_REFERENCE = re.compile(r"IPY_MODEL_([0-9A-Za-z_-]{1,64})\Z")
_LINKS = frozenset({"LinkModel", "DirectionalLinkModel"})
_NUMERIC = re.compile(
    r"(?:Bounded)?(?:Int|Float)(?:Text|Slider|LogSlider|RangeSlider|Progress)?Model\Z"
    r"|(?:FloatLogSlider|FloatRangeSlider|IntRangeSlider|Play|Checkbox|ToggleButton|Valid)Model\Z"
)
_LINK_ENDS = frozenset({"source", "target"})
_LINKED = frozenset({"value", "min", "max", "step", "disabled", "playing", "repeat", "show_repeat", "interval"})
_MEDIA = frozenset({"ImageModel", "AudioModel", "VideoModel"})
_FORMAT = re.compile(r"(?!url)[a-z0-9][a-z0-9.+-]{0,30}\Z")
_ICON = re.compile(r"[a-z0-9 -]{0,60}\Z")
_DRAWN = re.compile(r"(?:Style|Layout)Model\Z")

Bundles = Callable[[dict[str, Any], dict[str, Any]], Any]


def refusal(content: object, models: dict[str, str]) -> str | None:
    """Return why this `comm_open` must not reach the notebook, in words; None lets it through."""
    if not isinstance(content, dict) or not isinstance(id := content.get("comm_id"), str) or not _ID.match(id):
        return "a widget of {peer} is malformed"
    if id in models:  # the browser may keep the first, of another model than was looked at last
        return "a widget of {peer} was opened twice"
    if content.get("target_name") != TARGET or content.get("target_module"):
        return "a channel that is no widget's was not opened for {peer}"
    data = content.get("data")
    state = data.get("state") if isinstance(data, dict) else None
    if not isinstance(state, dict):
        return "a widget of {peer} is malformed"
    module, name = state.get("_model_module"), state.get("_model_name")
    if not isinstance(module, str) or module not in MODULES:
        return f"a widget of the kind {_word(module)} was not shown for {{peer}}"
    if not isinstance(name, str) or not _NAME.match(name) or not _is_view_of(name, state):
        return "a widget of {peer} is malformed"
    if not _is_known(module, state.get("_model_module_version")):
        return "a widget of {peer} is of an unknown version"
    if name in _LINKS and not _links_numbers(state, models):
        return "two widgets of {peer} were not linked: only numbers are linked in the browser"
    if len(models) >= MAX_MODELS:
        return "{peer} has made too many widgets"
    return None


def clean_state(state: object, model: str, bundles: Bundles) -> dict[str, Any]:
    """Return the state of a new widget of this model, made harmless; raise Malformed if it is none."""
    if not isinstance(state, dict):
        raise values.Malformed("no state")
    return {
        key: _clean(model, key, value, bundles)
        for key, value in values.json(state).items()
        if _may_stay(model, key, value)
    }


def clean_update(state: object, model: str, bundles: Bundles) -> dict[str, Any]:
    """Return what an update brings, made harmless: what a widget is, and what it links, never changes.

    The answer to a page that was loaded anew says again what the widget is, and must.
    """
    fixed = _LINK_ENDS if model in _LINKS else frozenset()
    cleaned = clean_state(state, model, bundles)
    if _says_again(cleaned, model):
        return cleaned
    return {key: cleaned[key] for key in cleaned if not key.startswith(_WHAT_IT_IS) and key not in fixed}


_WHAT_IT_IS = ("_model_", "_view_")


def _says_again(state: dict[str, Any], model: str) -> bool:
    module = state.get("_model_module")
    return (
        model not in _LINKS
        and state.get("_model_name") == model
        and isinstance(module, str)
        and module in MODULES
        and _is_known(module, state.get("_model_module_version"))
        and _is_view_of(model, state)
    )


def clean_message(kind: str, content: object, models: dict[str, str], bundles: Bundles) -> dict[str, Any] | None:
    """Return the content of a comm message of a widget that was let through, made harmless; None for any other."""
    if not isinstance(content, dict) or not isinstance(id := content.get("comm_id"), str) or not models.get(id):
        return None
    data = content.get("data") if isinstance(content.get("data"), dict) else {}
    assert isinstance(data, dict)
    paths = _paths(data.get("buffer_paths", []))
    match kind, data.get("method"):
        case "comm_open", _:
            state = clean_state(data.get("state"), models[id], bundles)
            return {"comm_id": id, "target_name": TARGET, "data": {"state": state, "buffer_paths": paths}}
        case "comm_msg", "update" | "echo_update" as method:
            state = clean_update(data.get("state"), models[id], bundles)
            return {"comm_id": id, "data": {"method": method, "state": state, "buffer_paths": paths}}
        case "comm_msg", "custom":
            return {"comm_id": id, "data": {"method": "custom", "content": values.json(data.get("content"))}}
        case "comm_close", _:
            return {"comm_id": id, "data": {}}
    return None


def _paths(paths: Any) -> list[list[str | int]]:
    """Return where in a state its buffers belong."""
    if not isinstance(paths, list) or not all(isinstance(path, list) and path for path in paths):
        raise values.Malformed("no paths")
    for path in paths:
        fixed = isinstance(path[0], str) and path[0].startswith("_")
        if fixed or len(path) > 20 or not all(isinstance(step, str | int) for step in path):
            raise values.Malformed("no path")
    return values.json(paths)  # type: ignore[no-any-return]


def _may_stay(model: str, key: str, value: Any) -> bool:
    if key == "description_allow_html":
        return value is False
    if key == "format" and model in _MEDIA:  # "url" would be loaded
        return _is(_FORMAT, value)
    if key == "icon":
        return _is(_ICON, value)
    if _DRAWN.search(model) and isinstance(value, str) and not key.startswith("_"):
        from homie_jupyter.safe import css

        return len(value) < 1000 and css.value_is_harmless(value)
    return True


def _clean(model: str, key: str, value: Any, bundles: Bundles) -> Any:
    if key == "value" and model in ("HTMLModel", "HTMLMathModel"):
        return _html(value)
    if key == "outputs" and model == "OutputModel":
        return list(_outputs(value, bundles))
    if key == "_dom_classes":
        return [name for name in _texts(value) if not re.match(r"(?:jp|lm|p|homie)-", name, re.IGNORECASE)]
    if key in ("description", "titles") or (key == "value" and model == "LabelModel"):
        return _without_commands(value)
    return value


def _without_commands(value: Any) -> Any:
    """Return texts that are searched for formulas, without what formulas could do."""
    from homie_jupyter.safe import tex

    if isinstance(value, list):
        return [_without_commands(each) for each in value]
    return tex.without_commands(value) if isinstance(value, str) else value


def _html(value: Any) -> str:
    from homie_jupyter.safe import html

    if not isinstance(value, str):
        return ""
    try:
        return html.sanitise(value)
    except html.TooComplex:
        return ""


def _outputs(value: Any, bundles: Bundles) -> Any:
    for output in value if isinstance(value, list) else ():
        match output:
            case {"output_type": "stream", "name": "stdout" | "stderr", "text": str(text)}:
                yield {"output_type": "stream", "name": output["name"], "text": values.plain(text)}
            case {"output_type": "error", "ename": str(), "evalue": str(), "traceback": list(lines)}:
                texts = {key: values.plain(output[key]) for key in ("ename", "evalue")}
                yield {
                    "output_type": "error",
                    **texts,
                    "traceback": [values.plain(line) for line in _texts(lines)],
                }
            case {"output_type": "display_data" | "execute_result", "data": dict(data)}:
                metadata = output.get("metadata")
                shown = bundles(data, metadata if isinstance(metadata, dict) else {})
                if shown.data:
                    yield {"output_type": "display_data", "data": shown.data, "metadata": shown.metadata}


def _links_numbers(state: dict[str, Any], models: dict[str, str]) -> bool:
    return all(_is_number(state.get(end), models) for end in ("source", "target"))


def _is_number(end: object, models: dict[str, str]) -> bool:
    match end:
        case [str(reference), str(name)] if found := _REFERENCE.match(reference):
            return name in _LINKED and bool(_NUMERIC.match(models.get(found[1], "")))
    return False


def _is_view_of(model: str, state: dict[str, Any]) -> bool:
    """Return whether the view is the model's own: another one would show a number's text as HTML."""
    module, view, version = (state.get(f"_view_{each}") for each in ("module", "name", "module_version"))
    if view is None:
        return module is None or module in MODULES
    kind = model.removesuffix("Model")
    own = {f"{kind}View", f"{kind.removeprefix('Bounded')}View", _OTHER_VIEWS.get(model, "")}
    if kind.endswith("Style"):
        own.add("StyleView")
    return isinstance(module, str) and module in MODULES and view in own and _is_known(module, version)


_OTHER_VIEWS = {
    "IntProgressModel": "ProgressView",
    "FloatProgressModel": "ProgressView",
    "NaiveDatetimeModel": "DatetimeView",
}


def _is_known(module: str, version: object) -> bool:
    found = _VERSION.match(version) if isinstance(version, str) else None
    return found is not None and int(found[1]) == MODULES[module]


def _texts(value: Any) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _is(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.match(value) is not None


def _word(value: object) -> str:
    return re.sub(r"[^\w@./-]", "?", str(value)[:60], flags=re.ASCII)
