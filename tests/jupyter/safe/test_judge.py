"""The judge of the other tests is no pushover: it objects to the attacks themselves."""

import pytest
from attacks import HTML
from judge import dangers

from homie_jupyter.safe.frame import framed

HARMLESS_IN_BROWSERS = {
    "inline url, split by a comment",
    "sheet ends itself, escaped",
    "cdata in svg",
    "mutation: entities",
    "mutation: nested tables",
    "attribute doubled",
}


@pytest.mark.parametrize("name", [name for name in HTML if name not in HARMLESS_IN_BROWSERS])
def test_it_objects_to_the_attack_itself(name):
    assert dangers(HTML[name])


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ('sandbox="allow-scripts"', 'sandbox="allow-scripts allow-same-origin"'),
        ('sandbox="allow-scripts"', ""),
        ("frame-src &#x27;none&#x27;", "frame-src *"),
        ("connect-src &#x27;none&#x27;", "connect-src *"),
        ("srcdoc=", 'src="//evil.test" srcdoc='),
    ],
)
def test_it_objects_to_a_frame_that_is_less_than_closed(was, becomes):
    frame = framed("<p>x</p>")
    assert not dangers(frame)
    assert was in frame
    assert dangers(frame.replace(was, becomes))


def test_it_objects_to_what_leaves_its_place():
    assert dangers("<p>x</p></div><p>y</p>")


def test_it_has_no_objection_to_plain_things():
    assert not dangers("<table class='dataframe'><tr><td style='color: red'>1</td></tr></table>")
