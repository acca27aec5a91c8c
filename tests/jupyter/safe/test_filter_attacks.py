"""What a peer may try with an output, one test per attack."""

import base64
import json

import pytest
from attacks import HTML
from judge import dangers, frame_content

from homie_jupyter.safe import Filter

BAD_LINK = "<a href='javascript:run()'>x</a>"
RICH = "application/vnd.plotly.v1+json"


def shown(mime, value, metadata=None):
    return Filter().bundle({mime: value}, metadata or {})


@pytest.mark.parametrize("attack", HTML.values(), ids=HTML.keys())
def test_html(attack):
    assert not dangers(shown("text/html", attack).data.get("text/html", ""))


@pytest.mark.parametrize("attack", HTML.values(), ids=HTML.keys())
def test_html_in_good_company(attack):
    """The same between other things, in a table cell, and as an attribute's value."""
    around = f"<table><tr><td class=x>{attack}</td></tr></table><p style='color: red' title=\"{attack}\">{attack}"
    assert not dangers(shown("text/html", around).data.get("text/html", ""))


@pytest.mark.parametrize("attack", HTML.values(), ids=HTML.keys())
def test_html_in_markdown(attack):
    data = shown("text/markdown", f"# x\n\n{attack}\n\n- {attack}\n").data
    assert "text/markdown" not in data or "<" not in attack
    assert not dangers(data.get("text/html", ""))


@pytest.mark.parametrize(
    "attack",
    [
        "[x](javascript:run())",
        "[x](JaVaScRiPt:run())",
        "[x](java&#115;cript:run())",
        "[x](<javascript:run()>)",
        "![x](https://evil.test/x.png)",
        "![x](x.png \"' onerror='run()\")",
        "[x][y]\n\n[y]: javascript:run()",
        "<javascript:run()>",
        "[x](data:text/html;base64,PHNjcmlwdD4=)",
        "$\\href{javascript:run()}{x}$",
        "`$` $\\href{javascript:run()}{x}$",
        "$$\n\\style{position:fixed}{x}\n$$",
        "\\\\(\\href{javascript:run()}{x}\\\\)",
        "$<img src=x onerror=run()>$",
        "$x$ HomieFormula0End <b title='HomieFormula0End'>$\"><img src=x onerror=run()>$</b>",
    ],
)
def test_markdown(attack):
    data = shown("text/markdown", attack).data
    assert "text/markdown" not in data
    assert not dangers(data["text/html"])


@pytest.mark.parametrize("start", ["", "- ", "> "])
def test_a_mermaid_diagram_in_markdown_is_shown_as_its_source(start):
    data = shown("text/markdown", f"{start}```mermaid\ngraph TD; a-->b\n```").data
    assert "text/markdown" not in data
    assert "graph TD" in data["text/html"]


@pytest.mark.parametrize(
    "attack",
    [
        r"$\href{javascript:run()}{x}$",
        r"\url{x}",
        r"\def\a{\href}",
        r"\mmlToken{mi}[href=x]{y}",
        r"\class{jp-Dialog}{x}",
    ],
)
def test_latex_makes_no_links(attack):
    latex = shown("text/latex", attack).data["text/latex"]
    for command in ("href", "url", "mmlToken", "class"):
        assert f"\\{command}" not in latex


def test_svg_becomes_a_picture():
    svg = "<svg xmlns='http://www.w3.org/2000/svg' onload='run()'><script>run()</script></svg>"
    data = shown("image/svg+xml", svg, {"image/svg+xml": {"width": 20, "height": '"><script>run()</script>'}}).data
    assert set(data) == {"text/html"}
    assert not dangers(data["text/html"])
    assert base64.b64decode(data["text/html"].split("base64,")[1].split('"')[0]).decode() == svg
    assert 'width="20"' in data["text/html"]
    assert "height" not in data["text/html"]


@pytest.mark.parametrize(
    "mime",
    [
        "application/javascript",
        "text/javascript",
        "application/x-javascript",
        "application/pdf",
        "application/vnd.jupyter.es6-rich-output",
        "application/vnd.bokehjs_load.v0+json",
        "application/vnd.holoviews_exec.v0+json",
        "application/vnd.code.notebook.error",
        "application/vnd.jupyterlab.evil",
        "text/vnd.mermaid",
        "TEXT/HTML",
        "text/html; charset=utf-8",
        " text/html",
        "application/vnd.vega.v5+json\n",
        "",
    ],
)
def test_unknown_forms_are_not_shown(mime):
    shown_ = Filter().bundle({mime: "run()", "text/plain": "x"}, {mime: {"isolated": True}})
    assert shown_.data == {"text/plain": "x"}
    assert shown_.metadata == {}


def test_javascript_is_told_of_with_the_way_out():
    assert shown("application/javascript", "run()").notices == (
        "JavaScript of {peer} was not run; `%homie trust {peer}` allows it",
    )


def test_a_notice_says_nothing_of_the_peers_own():
    shown_ = shown("application/x-<script>run()</script>{peer.__class__}\n\x1b[31m", "x")
    assert "<" not in shown_.notices[0]
    assert "\x1b" not in shown_.notices[0]
    assert "{peer.__class__}" not in shown_.notices[0]


def test_plotly_loads_nothing_and_links_nowhere():
    evil = "https://evil.test/x"
    figure = {
        "data": [
            {"type": "image", "source": evil},
            {"type": "image", "source": "data:image/png;base64,AAAA"},
            {"type": "scatter", "x": [1], "text": [BAD_LINK, '<a href="https://x.test/">y</a>']},
            {"type": "scatter", "hovertemplate": "<a HREF=java&#115;cript:run() style='fill:url(//evil)'>x</a>"},
            {"type": "choroplethmap", "geojson": evil},
            {"type": "sankey", "link": {"source": [0, 1], "target": [1, 2]}},
        ],
        "layout": {
            "images": [{"source": evil}],
            "title": {"text": "$\\href{javascript:run()}{x}$"},
            "map": {"style": {"sources": {"a": {"tiles": [evil]}}}, "layers": [{"source": evil}]},
            "mapbox": {"style": "mapbox://styles/evil/x", "accesstoken": "pk"},
            "map2": {"style": "open-street-map"},
            "updatemenus": [
                {"buttons": [{"method": "relayout", "args": ["images[0].source", evil]}]},
                {"buttons": [{"method": "relayout", "args": [{"images[0].source": evil, "title.text": "new"}]}]},
                {"buttons": [{"method": "restyle", "args": [{"source": [[evil]]}], "args2": ["map.style", evil]}]},
            ],
            "template": {"layout": {"images": [{"source": evil}]}},
        },
        "config": {"plotlyServerURL": evil, "topojsonURL": evil, "responsive": True},
        "evil": evil,
    }  # fmt: skip
    clean = shown(RICH, figure).data[RICH]
    text = json.dumps(clean)
    assert "evil" not in text
    assert "javascript" not in text.replace("$href{javascript:run()}{x}$", "")
    assert "java&#115;cript" not in text
    assert "\\href" not in clean["layout"]["title"]["text"]
    assert clean["data"][1]["source"].startswith("data:image/png")
    assert clean["data"][2]["text"][1] == '<a href="https://x.test/">y</a>'
    assert clean["data"][5]["link"] == {"source": [0, 1], "target": [1, 2]}
    assert clean["layout"]["map2"] == {"style": "open-street-map"}
    assert clean["config"] == {"responsive": True}
    assert clean["layout"]["updatemenus"][1]["buttons"][0]["args"] == [{"title.text": "new"}]


def test_geojson_has_no_markup_for_maps_that_show_html():
    feature = {"type": "Feature", "properties": {"<img src=x onerror=run()>": "<script>run()</script>"}}
    metadata = {"application/geo+json": {"url_template": "//evil.test/{x}", "expanded": True}}
    shown_ = shown("application/geo+json", feature, metadata)
    assert "<" not in json.dumps(shown_.data)
    assert shown_.metadata == {"application/geo+json": {"expanded": True}}


@pytest.mark.parametrize("mime", ["application/vnd.vegalite.v5+json", "application/vnd.vega.v6.1+json"])
def test_vega_is_drawn_in_a_frame_only(mime):
    """In the page it would load any address with the user's cookies."""
    spec = {"data": {"url": "/api/contents/secret.ipynb"}, "description": "</script><script>run()"}
    data = shown(mime, spec).data
    assert set(data) == {"text/html"}
    assert not dangers(data["text/html"])
    inside = frame_content(data["text/html"])
    assert "/api/contents/secret.ipynb" in inside
    assert "</script><script>run()" not in inside


def test_a_bundle_with_a_script_and_a_figure_shows_the_figure():
    data = {RICH: {"data": [], "layout": {}}, "text/html": "<script>Plotly.newPlot()</script>"}
    assert set(Filter().bundle(data, {}).data) == {RICH}


@pytest.mark.parametrize("mime", ["image/png", "image/jpeg", "image/gif", "image/webp"])
@pytest.mark.parametrize(
    "value",
    ["", "x", "PHN2Zy8+", '"><script>run()</script>', 7, None, ["iVBORw0KGgo="], {"a": 1}, "iVBORw0KGgo=\u2028é"],
)
def test_what_is_no_picture_is_not_shown(mime, value):
    shown_ = shown(mime, value)
    assert shown_.data == {}
    assert shown_.notices == (f"{mime} of {{peer}} is malformed",)


def test_text_moves_no_terminal():
    assert shown("text/plain", "a\x1b]0;title\x07b\x1b[2Jc\x1b[31md\ud800").data == {"text/plain": "abc\x1b[31md?"}


def test_streams_move_no_terminal_either():
    assert Filter().text("a\x1b]0;title\x07b\x1b[31mc") == "ab\x1b[31mc"
    assert Filter().text(7) == ""
    assert Filter(trusted=True).text("\x1b]0;title\x07") == "\x1b]0;title\x07"


@pytest.mark.parametrize("value", [7, None, [], {}, ["<script>"], True, float("nan")])
@pytest.mark.parametrize("mime", ["text/plain", "text/html", "text/markdown", "text/latex", "image/svg+xml"])
def test_text_of_another_type_is_not_shown(mime, value):
    assert shown(mime, value).data == {}


@pytest.mark.parametrize("bundle", [None, [], "x", 7, {7: "x"}, {None: "<script>"}])
def test_a_bundle_that_is_none(bundle):
    assert Filter().bundle(bundle, bundle).data == {}


def test_metadata_is_sizes_and_wishes_only():
    given = {
        "needs_background": "dark",
        "isolated": True,
        "text/html": {"isolated": True},
        "image/png": {"width": 10, "height": -3, "unconfined": True, "onload": "run()"},
        "application/json": {"expanded": "yes", "root": "<script>"},
        "evil": {"x": 1},
    }
    assert shown("text/plain", "x", given).metadata == {
        "needs_background": "dark",
        "image/png": {"width": 10, "unconfined": True},
    }


def test_a_widget_view_is_an_id_and_nothing_else():
    mime = "application/vnd.jupyter.widget-view+json"
    view = {"model_id": "a1", "version_major": 9, "evil": "x"}
    assert shown(mime, view).data == {mime: {"version_major": 2, "version_minor": 0, "model_id": "a1"}}
    assert shown(mime, {"model_id": "<script>"}).data == {}


def test_a_trusted_peer_is_not_filtered():
    data, metadata = {"text/html": "<script>run()</script>", "application/javascript": "x"}, {"isolated": True}
    shown_ = Filter(trusted=True).bundle(data, metadata)
    assert (shown_.data, shown_.metadata, shown_.notices) == (data, metadata, ())
