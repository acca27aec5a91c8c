"""Whatever goes in, nothing comes out that the judge objects to, and Jupyter can send it on."""

import json
import string

from attacks import HTML
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from judge import dangers

from homie_jupyter.safe import Filter
from homie_jupyter.safe.allowed import words

TAGS = sorted(
    words("""script style iframe img svg math a p div table tr td caption select option template title textarea noscript xmp
plaintext form input button object embed base meta link body html head frameset details summary b i font nobr mtext
mglyph annotation-xml foreignObject desc use animate set image video audio source marquee li ul dl dt x-y""")
)
NAMES = sorted(
    words("""onload onerror onclick href xlink:href src srcdoc style class id name data-commandlinker-command action
formaction background poster title type http-equiv content target rel sandbox values attributeName""")
)
VALUES = [
    "javascript:run()", "java\tscript:run()", "&#106;avascript:run()", "data:text/html,<script>run()</script>",
    "//evil.test/x", "https://evil.test/", "url(//evil.test)", "background:url(//evil.test)", "position:fixed;inset:0",
    "x' onerror='run()", 'x" onerror="run()', "><img src=x onerror=run()>", "</style><img src=x onerror=run()>",
    "#x", "jp-Dialog", "$\\href{javascript:run()}{x}$", "--><img src=x onerror=run()>", "]]>", "refresh", "",
]  # fmt: skip
quoted = st.sampled_from(["'{}'", '"{}"', "{}", "`{}`"])
value = st.sampled_from(VALUES) | st.text(max_size=20)
attribute = st.builds(
    lambda name, form, text: f" {name}={form.format(text)}" if "{" not in text else f" {name}",
    st.sampled_from(NAMES) | st.text(string.ascii_letters + "-:/\x00\"'<>=", max_size=8),
    quoted,
    value,
)
opening = st.builds(
    lambda tag, attributes, end: f"<{tag}{''.join(attributes)}{end}",
    st.sampled_from(TAGS),
    st.lists(attribute, max_size=3),
    st.sampled_from([">", "/>", " >", "", "\x00>", "\n>"]),
)
closing = st.builds("</{}>".format, st.sampled_from(TAGS))
odd = st.sampled_from(
    ["<!--", "-->", "--!>", "<![CDATA[", "]]>", "<?x", "?>", "<!doctype html>", "</", "<", "&lt;", "&#60;", "\x00", "\ud800",
     "{}", "}", "@import '//evil.test';", "a{background:url(//evil.test)}", "\\3c", "$", "\\href{x}", "\\hr", "ef{x}", "<wbr>"]
)  # fmt: skip
soup = st.lists(
    opening | closing | odd | st.sampled_from(list(HTML.values())) | st.text(max_size=10), max_size=14
).map("".join)
slow = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@slow
@given(soup)
def test_html(html):
    assert not dangers(Filter().bundle({"text/html": html}, {}).data.get("text/html", ""))


@slow
@given(soup)
def test_sanitised_html_stays_as_it_is_when_parsed_again(html):
    """No mutation: what a browser makes of it is what was judged, also in a cell of a table."""
    shown = Filter().bundle({"text/html": html}, {}).data.get("text/html", "")
    assert not dangers(f"<table><tr><td>{shown}</td></tr></table>")


@slow
@given(
    st.lists(
        soup
        | st.sampled_from(["[x](", ")", "[x]: ", "![", "](", "`", "```\n", "$", "$$", "\n\n", "> ", "- ", "|"])
    )
)
def test_markdown(parts):
    data = Filter().bundle({"text/markdown": "".join(parts)}, {}).data
    assert not dangers(data.get("text/html", ""))
    assert "<" not in data.get("text/markdown", "")
    assert "](" not in data.get("text/markdown", "")


@slow
@given(st.lists(st.sampled_from(["p", ".x", "#x", " ", "{", "}", "(", ")", "[", "]", ";", ":", "url(", "//evil.test", "'", '"', "\\",
    "@import", "@media", "position", "fixed", "color", "red", "/*", "*/", "<", "</style>", ">", "+", "~", ",", ":root", "body",
    "&", "75", "\n", "--x", "var(", "!important", ":is("]) | st.text(max_size=3)).map("".join))  # fmt: skip
def test_css(sheet):
    html = f"<style>{sheet}</style><p class=x style='{sheet}'>x</p>"
    assert not dangers(Filter().bundle({"text/html": html}, {}).data.get("text/html", ""))


leaf = st.none() | st.booleans() | st.integers() | st.floats() | soup | st.binary(max_size=3) | st.text(max_size=5)
anything = st.recursive(
    leaf,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3)
    ),
)
mimes = st.sampled_from(
    ["text/plain", "text/html", "text/markdown", "text/latex", "image/png", "image/svg+xml", "application/json",
     "application/geo+json", "application/javascript", "application/vnd.plotly.v1+json", "application/vnd.bokehjs_exec.v0+json",
     "application/vnd.jupyter.widget-view+json"]
)  # fmt: skip


@slow
@given(
    st.dictionaries(mimes | st.text(max_size=8), anything, max_size=5), anything | st.dictionaries(mimes, anything)
)
def test_any_bundle(data, metadata):
    shown = Filter().bundle(data, metadata)
    json.dumps([shown.data, shown.metadata], allow_nan=False).encode()
    assert not dangers(shown.data.get("text/html", ""))
    assert set(shown.data) <= set(data) | {"text/html"}
    assert all("\n" not in notice and len(notice) < 300 for notice in shown.notices)


@slow
@given(st.dictionaries(st.sampled_from(["comm_id", "target_name", "data"]), anything), anything)
def test_any_comm(content, model):
    safe = Filter()
    assert safe.comm_open(content) is not None
    assert safe.comm_content("comm_msg", content) is None
    json.dumps(safe.comm_state(content, str(model)), allow_nan=False).encode()
