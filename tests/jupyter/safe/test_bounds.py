"""Hostile sizes and depths take bounded time and memory."""

import time

import pytest
from judge import dangers

from homie_jupyter.safe import Filter

SECONDS = 10.0
"""Of a core, per message, on a slow machine; most take some milliseconds."""

HUGE = {
    "deep": "<div>" * 200_000,
    "deep, closed": "<div>" * 100_000 + "</div>" * 100_000,
    "deep, small": "<div>" * 5_000,
    "deep, odd": "<b><p>" * 20_000,
    "attributes": "<b " + " ".join(f"a{i}" for i in range(100_000)) + ">",
    "attributes without spaces": "<b " + "/".join(f"a{i}" for i in range(100_000)) + ">",
    "attributes behind a quote": "<b x=\"/\" \"=" + "/".join(f"a{i}" for i in range(100_000)) + ">",
    "attributes of the body": "".join(f"<body a{i}>" for i in range(50_000)),
    "formatting again and again": "".join(f"<p><b title={i}{'x' * 900}></p>" for i in range(2_000)),
    "tables": "<table><b>" * 50_000,
    "links": "<a href=https://x.test/>" * 50_000,
    "lists": "<ul><li>" * 50_000,
    "entities": "&" * 1_000_000,
    "brackets": "<" * 1_000_000,
    "open tags": "<a" * 500_000,
    "open quotes": '<a x="' * 300_000,
    "comments": "<!--" * 300_000,
    "style sheets": "<style>" * 100_000,
    "style sheets, closed": "<style></style>" * 50_000,
    "style sheet, deep": "<style>" + "a{b:(" * 40_000 + "</style>",
    "style sheet, rules": "<style>" + "a,b,c:not(d){color:red}" * 10_000 + "</style>",
    "style sheet, media": "<style>" + "@media x{" * 20_000 + "</style>",
    "style, long": "<p style='" + "color:red;" * 100_000 + "'>",
    "styles, many": "".join(f"<p style='color:red;width:{i}px;{'margin:calc(1px + 2px);' * 99}'>x</p>" for i in range(3_000)),
    "fills, many": "<svg>" + "".join(f"<rect fill='rgb({i},{'(' * 500}'/>" for i in range(9_000)) + "</svg>",
    "style, deep": "<p style='a:" + "(" * 9_000 + "'>",
    "text": "x" * 20_000_000,
    "scripts": "<script>" * 300_000,
    "scripts, closed": "<script></script>" * 100_000,
    "formulas": "$" * 400_000 + "\\href" * 1000,
    "surrogates": "\ud800" * 1_000_000,
}  # fmt: skip


@pytest.mark.parametrize("html", HUGE.values(), ids=HUGE.keys())
def test_html(html):
    began = time.thread_time()
    data = Filter().bundle({"text/html": html}, {}).data
    assert time.thread_time() - began < SECONDS
    shown = data.get("text/html", "")
    assert len(shown) < 50_000_000
    if len(shown) < 2_000_000:
        assert not dangers(shown)


MARKDOWN = {
    "brackets": "[" * 150_000,
    "links": "[a](" * 40_000,
    "emphasis": "*a_" * 60_000,
    "quotes": ">" * 150_000 + "<b>",
    "lists": "\n".join(" " * i + "- x" for i in range(500)) + "<b>",
    "ticks": "".join("`" * i + " " for i in range(500)) + "<b>",
    "formulas": "$$" * 90_000 + "<b>",
    "dollars": "$a" * 90_000 + "<b>",
    "definitions": "[a]: b\n" * 20_000,
    "tables": "|a" * 5_000 + "\n" + "|-" * 5_000 + "\n" + "|b" * 5_000 + "<b>",
    "long": "x <b>" * 1_000_000,
}


@pytest.mark.parametrize("text", MARKDOWN.values(), ids=MARKDOWN.keys())
def test_markdown(text):
    began = time.thread_time()
    data = Filter().bundle({"text/markdown": text, "text/plain": "x"}, {}).data
    assert time.thread_time() - began < SECONDS
    assert not dangers(data.get("text/html", "")[:2_000_000])


def nested(depth, make):
    value = 1
    for _ in range(depth):
        value = make(value)
    return value


@pytest.mark.parametrize("mime", ["application/json", "application/geo+json", "application/vnd.plotly.v1+json"])
@pytest.mark.parametrize(
    "value",
    [
        nested(100_000, lambda inner: [inner]),
        nested(100_000, lambda inner: {"data": [inner]}),
        {"data": [], "layout": {"k" * 2000: 1}},
        {"data": [{7: 1}]},
        {"data": [10**5000]},
        {"data": [b"bytes"]},
        {"data": [{1, 2}]},
        [[]] * 3_000_000,
    ],
    ids=["deep list", "deep object", "long key", "odd key", "long number", "bytes", "set", "many"],
)
def test_json(mime, value):
    began = time.thread_time()
    shown = Filter().bundle({mime: value}, {})
    assert time.thread_time() - began < SECONDS
    assert shown.data == {}
    assert shown.notices == (f"{mime} of {{peer}} is malformed",)


def test_a_number_that_is_none_becomes_null():
    assert Filter().bundle({"application/json": [float("nan"), float("inf"), 1.5]}, {}).data == {
        "application/json": [None, None, 1.5]
    }


def test_very_many_forms():
    shown = Filter().bundle({f"application/x-{i}": "x" for i in range(100_000)}, {})
    assert shown.data == {}
    assert len(shown.notices) <= 4
