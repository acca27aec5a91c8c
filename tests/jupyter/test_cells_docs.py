"""The cells of docs/cells.md, as they stand, in their order; and that no option is without an example."""

import re
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from local_kernel import Ran

from homie_jupyter.magics import HomieMagics

pytestmark = [
    pytest.mark.docker,
    # jupyter_client on its way to a new event loop policy; nothing of ours
    pytest.mark.filterwarnings("ignore::DeprecationWarning:jupyter_client"),
]

DOCS = (Path(__file__).parents[2] / "docs" / "cells.md").read_text()
BLOCKS = re.findall(r"^```(python|text)\n(.*?)^```", DOCS, re.MULTILINE | re.DOTALL)
LINES = [line for kind, text in BLOCKS if kind == "python" for line in text.splitlines() if "%homie" in line]


def test_the_cells_run_as_they_stand_and_show_what_stands_below_them(kernel, folder):
    (folder / "data").mkdir()
    for name in ("one", "two"):
        (folder / "data" / f"{name}.csv").write_text("1\n2.5\n")
    kernel.run("%unload_ext homie_jupyter")
    for (kind, source), (after, promised) in zip(BLOCKS, [*BLOCKS[1:], ("", "")], strict=True):
        if kind == "python":
            ran = kernel.run(source.rstrip("\n"), fine=False)
            shown = all_shown(ran)
            for line in promised.splitlines() if after == "text" else ():
                assert line in shown, f"{source}\n{shown}"
            assert ran.status == "ok" or after == "text", shown


def all_shown(ran: Ran) -> str:
    texts = [content["text"] for content in ran.contents("stream")] + ran.results
    return "\n".join(texts + [content["data"]["text/plain"] for content in ran.contents("display_data")])


def options() -> list[tuple[str, ...]]:
    actions = HomieMagics(InteractiveShell()).homie.parser._actions
    return [tuple(action.option_strings) for action in actions if action.option_strings]


def test_no_option_is_without_an_example():
    words = {word.partition("=")[0] for line in LINES for word in line.split()}
    missing = [names for names in options() if not words & set(names)]
    assert missing == [], "docs/cells.md needs a cell that uses it"
