"""The cells of the README, as they stand, in their order."""

import re
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.docker,
    # jupyter_client on its way to a new event loop policy; nothing of ours
    pytest.mark.filterwarnings("ignore::DeprecationWarning:jupyter_client"),
]

README = Path(__file__).parents[2] / "README.md"


def test_the_cells_of_the_readme_run_as_they_stand(kernel, folder):
    cells = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    (folder / "numbers.csv").write_text("1\n2.5\n4\n")
    (folder / "data").mkdir()
    for name, data in (("may.csv", "1\n2"), ("june.csv", "2.5"), ("other.txt", "no number")):
        (folder / "data" / name).write_text(data)
    results = [result for cell in cells for result in kernel.run(cell).results]
    assert results == ["7.5", "3.0"]
    assert kernel.run("scaled").results == ["[2.5, 6.25, 10.0]"]
    assert kernel.run("numbers").results[0].startswith("<numbers on desk: list, ")
    totals = folder / "homie-results" / "main-1" / "totals"
    assert {path.name: path.read_text() for path in totals.iterdir()} == {"may.txt": "3.0", "june.txt": "2.5"}
