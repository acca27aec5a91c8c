"""`%load_ext homie_jupyter` and a filter that has nothing to do yet load none of the filter's libraries."""

import json
import subprocess
import sys

LATER = [
    "nh3",
    "tinycss2",
    "markdown_it",
    "homie_jupyter.safe.html",
    "homie_jupyter.safe.bundle",
    "plotly",
    "bokeh",
]
PROGRAM = """
import json, sys
import homie_jupyter, homie_jupyter.magics
from homie_jupyter.safe import Filter
before = set(sys.modules)
safe = Filter()
safe.bundle({"text/html": "<b>x</b>"}, {})
print(json.dumps([sorted(before), sorted(sys.modules)]))
"""


def test_the_filters_libraries_are_loaded_when_a_message_needs_them():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    before, after = map(set, json.loads(done.stdout))
    assert not before & set(LATER)
    assert {"nh3", "tinycss2"} <= after
    assert not after & {"plotly", "bokeh", "vl_convert", "markdown_it"}
