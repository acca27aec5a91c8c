"""What real libraries send looks as it does at home: `reprs.json` holds their outputs, `capture.py` made it."""

import base64
import json
import re
from pathlib import Path

import html5lib
import pytest
from judge import dangers, frame_content

from homie_jupyter.safe import Filter, libraries, scripts

OUTPUTS = json.loads(Path(__file__).with_name("reprs.json").read_text())["outputs"]
AS_IT_IS = [
    "matplotlib", "matplotlib png", "plotly", "sympy", "markdown", "geojson", "json", "latex", "html",
]  # fmt: skip
SANITISED = ["pandas", "styler", "sklearn", "xarray", "rich", "code", "progress", "audio"]


def shown(name, at=-1):
    output = OUTPUTS[name][at]
    return Filter().bundle(output["data"], output["metadata"])


def text(html):
    """What a reader sees, wherever it is."""
    root = html5lib.parse(html, namespaceHTMLElements=False)
    for element in list(root.iter()):
        for child in list(element):
            if isinstance(child.tag, str) and re.search(r"(?:script|style|title)$", child.tag):
                child.text = ""
    return " ".join("".join(root.itertext()).split())


SEEN = {"table", "tr", "td", "th", "input", "details", "label", "use", "path", "pre", "span", "progress", "source"}


def tags(html):
    names = [str(element.tag).rpartition("}")[2] for element in html5lib.parse(html).iter()]
    return {name: names.count(name) for name in set(names) & SEEN}


@pytest.mark.parametrize("name", AS_IT_IS)
def test_stays_as_it_is(name):
    filtered = shown(name)
    assert filtered.data == OUTPUTS[name][-1]["data"]
    assert filtered.notices == ()


@pytest.mark.parametrize("name", SANITISED)
def test_stays_the_same_to_its_reader(name):
    before, filtered = OUTPUTS[name][-1]["data"]["text/html"], shown(name)
    after = filtered.data["text/html"]
    assert text(after) == text(before)
    assert tags(after) == tags(before)
    assert filtered.notices == ()
    assert not dangers(after)


@pytest.mark.parametrize("name", OUTPUTS)
def test_nothing_is_left_to_object_to(name):
    for at, _ in enumerate(OUTPUTS[name]):
        assert not dangers(shown(name, at).data.get("text/html", ""))


def test_a_styler_table_keeps_its_colours_and_bars():
    html = shown("styler").data["text/html"]
    ids = set(re.findall(r'\bid="([^"]+)"', html))
    styled = dict(re.findall(r"#(homie-\S+_row0_col0) \{ ([^}]*)\}", html))
    assert set(styled) <= ids
    assert "linear-gradient(90deg" in next(iter(styled.values()))


def test_diagrams_open_and_close_by_their_labels():
    for name in ("xarray", "sklearn"):
        html = shown(name).data["text/html"]
        targets = re.findall(r'<label[^>]* for="([^"]+)"', html)
        assert targets
        assert set(targets) <= set(re.findall(r'<input[^>]* id="([^"]+)"', html))
        assert ":checked" in html


def test_icons_find_their_symbols():
    html = shown("xarray").data["text/html"]
    assert set(re.findall(r'use xlink:href="#([^"]+)"', html)) <= set(
        re.findall(r'<symbol[^>]* id="([^"]+)"', html)
    )
    assert "<use" in html


def test_dark_and_light_are_told_apart_and_stay_below():
    html = shown("xarray").data["text/html"]
    assert re.search(r'html\[theme="dark"\] \.homie-\w+, .*body\.vscode-dark \.homie-\w+ \{', html)


def test_svg_stays_sharp():
    html = shown("matplotlib svg").data["text/html"]
    assert base64.b64decode(html.split("base64,")[1].split('"')[0]).startswith(b"<?xml")


def test_markdown_with_html_is_rendered():
    html = shown("markdown html").data["text/html"]
    for part in (
        "<h1>A title</h1>",
        "<details>",
        "<strong>b</strong>",
        'href="https://example.org"',
        "<td>1</td>",
    ):
        assert part in html
    assert "$a_1 &lt; b_1$" in html


@pytest.mark.parametrize("name", ["plotly library", "plotly connected", "bokeh library"])
def test_a_library_alone_is_not_shown_and_not_missed(name):
    assert shown(name, 0).data == {}
    assert shown(name, 0).notices == ()


@pytest.mark.parametrize(
    ("name", "library", "part"),
    [
        ("plotly library", libraries.plotly, "Plotly.newPlot("),
        ("plotly connected", libraries.plotly, "Plotly.newPlot("),
        ("altair", libraries.vega, "vegaEmbed(outputDiv, spec, embedOpt)"),
        ("altair mimetype", libraries.vega, "vegaEmbed("),
        ("bokeh", libraries.bokeh, "embed_items_notebook(docs_json, render_items)"),
    ],
)
def test_a_chart_is_framed_with_the_library_of_this_machine(name, library, part):
    filtered = shown(name)
    assert filtered.notices == ()
    inside = frame_content(filtered.data["text/html"])
    assert part in inside
    assert library()[:10_000] in inside


@pytest.mark.parametrize(
    ("name", "library", "package"),
    [
        ("plotly connected", "plotly", "plotly"),
        ("altair", "vega", "vl-convert-python"),
        ("bokeh", "bokeh", "bokeh"),
    ],
)
def test_without_the_library_its_name_is_told(monkeypatch, name, library, package):
    monkeypatch.setattr(libraries, library, lambda: None)
    filtered = shown(name)
    assert "text/html" not in filtered.data
    assert filtered.notices == (
        f"a chart of {{peer}} needs the package {package} here too: pip install {package}",
    )


def test_another_version_of_bokeh_is_told(monkeypatch):
    monkeypatch.setattr(libraries, "bokeh_version", lambda: "2.4.3")
    assert "was made by bokeh 3." in shown("bokeh").notices[0]


def test_a_package_that_is_not_installed_has_no_library(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for library in (libraries.plotly, libraries.bokeh, libraries.vega):
        assert library.__wrapped__() is None


def test_a_map_from_the_internet_says_what_it_wants():
    filtered = shown("folium")
    assert "wants scripts from cdn.jsdelivr.net" in filtered.notices[0]
    assert set(filtered.data) == {"text/plain"}


@pytest.mark.parametrize(
    ("name", "told"), [("frame", "a page"), ("image", "pictures"), ("javascript", "JavaScript")]
)
def test_what_is_not_shown_is_told_and_the_text_remains(name, told):
    filtered = shown(name)
    assert set(filtered.data) == {"text/plain"}
    assert filtered.notices[0].startswith(told)
    assert "`%homie trust {peer}`" in filtered.notices[0]


def test_a_script_of_ones_own_is_framed():
    html = (
        Filter()
        .bundle({"text/html": "<p id=a></p><script>document.getElementById('a')</script>"}, {})
        .data["text/html"]
    )
    assert not dangers(html)
    assert "<p id=a></p><script>document.getElementById('a')</script>" in frame_content(html)


def test_data_that_is_called_a_script_needs_no_frame():
    assert not scripts.needed('<b>x</b><script type="application/json">{}</script>')


def test_two_equal_outputs_are_filtered_equally():
    assert shown("pandas") == shown("pandas")


def test_a_chart_cannot_end_the_script_that_it_stands_in():
    data = dict(OUTPUTS["bokeh"][-1]["data"])
    data["application/javascript"] += '"</script><img src=x><!--"'
    inside = frame_content(Filter().bundle(data, {}).data["text/html"])
    assert "<\\/script><img src=x>" in inside
    assert "</script><img" not in inside
