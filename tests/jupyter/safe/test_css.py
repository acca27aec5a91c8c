"""Style sheets: each rule stays below its scope, whatever its selector says."""

import pytest

from homie_jupyter.safe import css


@pytest.mark.parametrize(
    ("selector", "scoped"),
    [
        ("p", ".s p"),
        ("#a.b > td:first-child", ".s #i-a.b > td:first-child"),
        ("a, b:not(#c)", ".s a, .s b:not(#i-c)"),
        (":root", ".s"),
        (":root p", ".s p"),
        ("body", "body .s"),
        ("html[theme='dark'] body p", 'html[theme="dark"] body .s p'),
        ("a + b ~ c", ".s a + b ~ c"),
        ("*", ".s *"),
        ("::before", ".s ::before"),
    ],
)
def test_a_selector_is_put_below_its_scope(selector, scoped):
    assert css.stylesheet(f"{selector} {{ color: red }}", "s", "i-") == f"{scoped} {{ color: red }}"


@pytest.mark.parametrize(
    "selector",
    [
        "+ p", "~ p", "> p", "& + p", ":root + p", ":root ~ p", "body + p", "html > body ~ p", ":host(p)", "a:evil(p)", "|p", "", " ",
        "a { } b",
    ],
)  # fmt: skip
def test_a_selector_that_could_mean_others_is_dropped(selector):
    sheet = css.stylesheet(f"{selector} {{ color: red }}", "s", "i-")
    assert sheet in ("", ".s b { color: red }")


def test_known_properties_with_harmless_values_stay():
    kept = 'color: red; --x: var(--y, 3px); width: calc(1px + 2em) !important; content: "\\3c b"'
    assert css.declarations(kept) == kept.replace("\\3c b", "\\3c b")


@pytest.mark.parametrize(
    "text",
    [
        "background: url(x)", "background: u\\72l(x)", "--x: url(x)", "--x: image-set('x')", "behavior: x", "all: unset", "contain: none",
        "position: fixed", "position: STICKY", "position: var(--p)", "width: expression(1)", "color: red}", "view-transition-name: x",
        "color: {}", "color: @x", "width: ((((((((((((((((((((((((((((1))))))))))))))))))))))))))))",
    ],
)  # fmt: skip
def test_other_declarations_are_dropped(text):
    assert css.declarations(text) == ""
