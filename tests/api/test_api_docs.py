"""The examples of docs/api.md, as they stand, as one script."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pair import Node, Pair

import homie_core as homie

pytestmark = pytest.mark.docker
DOCS = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
SCRIPT = "\n".join(re.findall(r"^```python\n(.*?)^```", DOCS, re.MULTILINE | re.DOTALL))


def test_the_examples_print_what_stands_beside_them(pair: Pair, shelf: Node, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "data.txt").write_text("from here")
    env = {**os.environ, "HOMIE_HOME": str(pair.laptop.home)}
    ran = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env=env,
        text=True,
        capture_output=True,
        timeout=120,
        check=False,
    )
    promised = [line for comment in re.findall(r"print\(.*\)  # (.*)", SCRIPT) for line in comment.split(" | ")]
    printed = [re.sub("^(desk|shelf): ", "", line) for line in ran.stdout.splitlines()]
    printed = [re.sub("ZeroDivisionError on shelf", "ZeroDivisionError on desk", line) for line in printed]
    assert (printed, ran.returncode) == (promised, 0), ran.stderr
    assert "homie: anywhere runs on this machine, as or_local allows: no peer is called attic." in ran.stderr
    assert "homie: 2 of 2\n" in ran.stderr


def test_every_name_of_the_api_is_in_an_example():
    missing = [name for name in homie.__all__ if not re.search(rf"homie\.{name}\b", SCRIPT)]
    assert missing == [], "docs/api.md needs an example"
