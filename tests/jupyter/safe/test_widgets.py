"""Widgets: the standard ones work as at home, the rest is not opened, and no field of them becomes code."""

import itertools
import json

import ipywidgets
import pytest
from judge import dangers

from homie_jupyter.safe import Filter

EVIL = "<img src=x onerror=run()><b data-commandlinker-command=x>b</b>"
CONTROLS, BASE = "@jupyter-widgets/controls", "@jupyter-widgets/base"
counter = itertools.count()


def opening(model, view="", module=CONTROLS, id="", **state):
    """A `comm_open` of one widget."""
    kind = model.removesuffix("Model")
    named = {"_model_name": model, "_model_module": module, "_model_module_version": "2.0.0"}
    named |= {"_view_name": view or f"{kind}View", "_view_module": module, "_view_module_version": "2.0.0"}
    data = {"state": named | state, "buffer_paths": []}
    return {"comm_id": id or f"w{next(counter)}", "target_name": "jupyter.widget", "data": data}


def update(comm_id, **state):
    return {"comm_id": comm_id, "data": {"method": "update", "state": state, "buffer_paths": []}}


def opened(safe, content):
    assert safe.comm_open(content) is None
    return safe.comm_content("comm_open", content)["data"]["state"]


def every_widget():
    kinds = {value for value in vars(ipywidgets).values() if isinstance(value, type)}
    for kind in sorted(kinds, key=lambda kind: kind.__name__):
        if issubclass(kind, ipywidgets.Widget) and kind.__module__.startswith("ipywidgets"):
            yield kind


NONE_OF_ITS_OWN = {"Link", "DirectionalLink", "interactive", "GridspecLayout"}
"""Tested below, or made of others."""
NEED_OPTIONS = {"SelectionRangeSlider", "SelectionSlider"}


@pytest.mark.parametrize("kind", [kind for kind in every_widget() if kind.__name__ not in NONE_OF_ITS_OWN])
def test_every_standard_widget_is_let_through_as_it_is(kind):
    widget = kind(options=["a", "b"]) if kind.__name__ in NEED_OPTIONS else kind()
    state = json.loads(json.dumps(widget.get_state(), default=lambda _: None))
    content = {"comm_id": "a1", "target_name": "jupyter.widget", "data": {"state": state, "buffer_paths": []}}
    if state["_view_module"] is None:
        assert state["_view_name"] is None
    cleaned = opened(Filter(), content)
    assert cleaned == state


@pytest.mark.parametrize(
    "content",
    [
        None,
        [],
        {},
        {"comm_id": 7},
        opening("HTMLModel") | {"target_name": "jupyter.evil"},
        opening("HTMLModel") | {"target_module": "https://evil.test/x.js"},
        opening("HTMLModel") | {"comm_id": "<script>"},
        opening("HTMLModel") | {"data": None},
        opening("HTMLModel") | {"data": {"state": []}},
        opening("AnyModel", module="anywidget"),
        opening("HTMLModel", module="https://evil.test/x.js"),
        opening("HTMLModel", module=["@jupyter-widgets/controls"]),
        opening("HTMLModel", _model_module_version="*"),
        opening("HTMLModel", _model_module_version="1.5.0"),
        opening("HTMLModel", _model_module_version="2.0.0 || 9.9.9"),
        opening("HTMLModel", _view_module="anywidget"),
        opening("HTMLModel", _view_module_version="latest"),
        opening("../x"),
        opening("HTMLModel", _model_name=["HTMLModel"]),
        opening("IntSliderModel", view="HTMLView", value=EVIL),
        opening("TextModel", view="HTMLMathView", value=EVIL),
        opening("TextModel", view="OutputView", outputs=[{"data": {"text/html": EVIL}}]),
        opening("LayoutModel", view="HTMLView", module=BASE, value=EVIL),
        opening("ButtonStyleModel", view="LabelView"),
    ],
)
def test_what_is_no_standard_widget_is_not_opened(content):
    safe = Filter()
    assert "{peer}" in safe.comm_open(content)
    assert safe.comm_content("comm_open", content) is None
    assert safe.comm_content("comm_msg", content) is None


@pytest.mark.parametrize("model", ["HTMLModel", "HTMLMathModel"])
def test_html_is_sanitised_when_it_opens_and_when_it_changes(model):
    safe = Filter()
    content = opening(model, id="h1", value=EVIL + "<i>i</i>")
    first = opened(safe, content)["value"]
    later = safe.comm_content("comm_msg", update("h1", value=EVIL + "<u>u</u>"))["data"]["state"]["value"]
    assert "<i>i</i>" in first
    assert "<u>u</u>" in later
    assert not dangers(first)
    assert not dangers(later)
    for value in (None, 7, ["<script>"], {"a": EVIL}):
        assert safe.comm_content("comm_msg", update("h1", value=value))["data"]["state"]["value"] == ""


def test_a_description_is_text():
    state = opened(Filter(), opening("IntSliderModel", description="a < b", description_allow_html=True, value=3))
    assert state["description"] == "a < b"
    assert "description_allow_html" not in state
    assert state["value"] == 3


def test_formulas_of_labels_make_no_links():
    safe = Filter()
    label = opened(safe, opening("LabelModel", id="l1", value="$\\href{javascript:run()}{x}$ $\\alpha$"))
    assert label["value"] == "$href{javascript:run()}{x}$ $\\alpha$"
    changed = safe.comm_content("comm_msg", update("l1", description="$\\href{javascript:run()}{x}$"))
    assert "\\href" not in changed["data"]["state"]["description"]
    assert opened(safe, opening("TextModel", value="C:\\data"))["value"] == "C:\\data"


def test_outputs_of_an_output_widget_are_filtered():
    outputs = [
        {"output_type": "stream", "name": "stdout", "text": "a\x1b]0;x\x07b"},
        {
            "output_type": "display_data",
            "data": {"text/html": EVIL, "application/javascript": "run()"},
            "metadata": {},
        },
        {"output_type": "execute_result", "data": {"application/javascript": "run()"}, "metadata": {}},
        {"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["t\x1b[2J", 7]},
        {"output_type": "evil", "data": {"text/html": EVIL}},
        EVIL,
    ]
    version = {"_model_module_version": "1.0.0", "_view_module_version": "1.0.0"}
    state = opened(Filter(), opening("OutputModel", module="@jupyter-widgets/output", outputs=outputs, **version))
    stream, display, error = state["outputs"]
    assert stream == {"output_type": "stream", "name": "stdout", "text": "ab"}
    assert set(display["data"]) == {"text/html"}
    assert not dangers(display["data"]["text/html"])
    assert error["traceback"] == ["t"]


def test_an_update_changes_neither_what_a_widget_is_nor_how_it_is_seen():
    safe = Filter()
    opened(safe, opening("TextModel", id="t1", value="x"))
    changed = {"_view_name": "HTMLView", "_view_module": "evil", "_model_name": "HTMLModel", "value": EVIL}
    assert safe.comm_content("comm_msg", update("t1", **changed))["data"]["state"] == {"value": EVIL}


def test_text_is_not_linked_into_html():
    safe = Filter()
    opened(safe, opening("TextModel", id="t1", value=EVIL))
    opened(safe, opening("HTMLModel", id="h1", value=""))
    opened(safe, opening("IntSliderModel", id="i1", value=1))
    opened(safe, opening("PlayModel", id="p1", value=1))
    text, html = ["IPY_MODEL_t1", "value"], ["IPY_MODEL_h1", "value"]
    number, play = ["IPY_MODEL_i1", "value"], ["IPY_MODEL_p1", "value"]
    unseen = {"_view_name": None, "_view_module": CONTROLS}
    for source, target in [
        (text, html),
        (html, text),
        (number, html),
        (number, text),
        (text, number),
        (number, ["IPY_MODEL_other", "value"]),
        (number, ["IPY_MODEL_i1", "_view_name"]),
        (number, ["IPY_MODEL_i1", "description"]),
        (None, number),
        ("IPY_MODEL_t1", number),
    ]:
        for model in ("LinkModel", "DirectionalLinkModel"):
            link = opening(model, source=source, target=target, **unseen)
            assert "not linked" in safe.comm_open(link)
    link = opening("LinkModel", id="k1", source=play, target=number, **unseen)
    assert opened(safe, link)["target"] == number
    assert safe.comm_content("comm_msg", update("k1", target=html, source=text))["data"]["state"] == {}


def test_pictures_and_sounds_are_not_loaded_from_elsewhere():
    for model in ("ImageModel", "AudioModel", "VideoModel"):
        assert "format" not in opened(Filter(), opening(model, format="url"))
        assert opened(Filter(), opening(model, format="png"))["format"] == "png"


def test_styles_load_nothing():
    style = {"_view_name": "StyleView", "_view_module": BASE}
    state = opened(Filter(), opening("LabelStyleModel", background="url(//evil.test)", text_color="red", **style))
    assert state["text_color"] == "red"
    assert "background" not in state
    layout = opened(Filter(), opening("LayoutModel", module=BASE, width="50%", border_top="url(x)"))
    assert layout["width"] == "50%"
    assert "border_top" not in layout


def test_classes_and_icons_are_ordinary_ones():
    state = opened(
        Filter(), opening("ButtonModel", icon='x" onclick=run()', _dom_classes=["mine", "jp-Dialog", 7])
    )
    assert state["_dom_classes"] == ["mine"]
    assert "icon" not in state


def test_only_messages_of_opened_widgets_pass_and_in_their_form_only():
    safe = Filter()
    assert safe.comm_content("comm_msg", update("w", value=1)) is None
    opened(safe, opening("ButtonModel", id="w"))
    custom = {"comm_id": "w", "data": {"method": "custom", "content": {"do": "focus"}}, "evil": 1}
    assert safe.comm_content("comm_msg", custom) == {k: custom[k] for k in ("comm_id", "data")}
    assert safe.comm_content("comm_msg", {"comm_id": "w", "data": {"method": "evil"}}) is None
    assert safe.comm_content("comm_msg", {"comm_id": "w", "data": None}) is None
    assert safe.comm_content("comm_msg", update("w") | {"data": {"method": "update", "state": [EVIL]}}) is None
    assert safe.comm_content("evil", custom) is None
    assert safe.comm_content("comm_close", {"comm_id": "w", "data": {"x": 1}}) == {"comm_id": "w", "data": {}}
    assert safe.comm_content("comm_msg", custom) is None


def test_no_widget_is_opened_again_as_another():
    safe = Filter()
    opened(safe, opening("HTMLModel", id="w", value=""))
    assert "opened twice" in safe.comm_open(opening("IntSliderModel", id="w", value=1))
    assert not dangers(safe.comm_content("comm_msg", update("w", value=EVIL))["data"]["state"]["value"])
    safe.comm_content("comm_close", {"comm_id": "w", "data": {}})
    assert "opened twice" in safe.comm_open(opening("IntSliderModel", id="w", value=1))
    assert safe.comm_content("comm_msg", update("w", value=EVIL)) is None


@pytest.mark.parametrize("paths", [None, "x", [[]], [["_view_module"]], [[["x"]]], [["a"] * 30], [[{}]]])
def test_buffers_go_where_they_may(paths):
    safe = Filter()
    opened(safe, opening("ImageModel", id="w"))
    message = update("w")
    message["data"]["buffer_paths"] = paths
    assert safe.comm_content("comm_msg", message) is None
    message["data"]["buffer_paths"] = [["value"]]
    assert safe.comm_content("comm_msg", message)["data"]["buffer_paths"] == [["value"]]


def test_a_flood_of_widgets_ends(monkeypatch):
    monkeypatch.setattr("homie_jupyter.safe.widgets.MAX_MODELS", 2)
    safe = Filter()
    opened(safe, opening("ButtonModel"))
    opened(safe, opening("ButtonModel"))
    assert "too many" in safe.comm_open(opening("ButtonModel"))


def test_state_alone_is_sanitised_too():
    assert not dangers(Filter().comm_state({"value": EVIL}, "HTMLModel")["value"])
    assert Filter().comm_state("x", "HTMLModel") == {}
    assert Filter().comm_state({"value": {1: 2}}, "HTMLModel") == {}


def test_a_trusted_peer_opens_what_it_likes():
    safe = Filter(trusted=True)
    content = opening("AnyModel", module="anywidget")
    assert safe.comm_open(content) is None
    assert safe.comm_content("comm_open", content) is content
    assert safe.comm_state({"value": EVIL}, "HTMLModel") == {"value": EVIL}
