"""The API is typed: what a type checker says of code that uses it."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

USES = """\
from typing import assert_type

import homie_core as homie


def mean(numbers: list[float], digits: int = 2) -> float:
    return round(sum(numbers) / len(numbers), digits)


@homie.remote(gpu="24G", ram="4g")
def train(rate: float) -> dict[str, float]:
    return {"loss": rate}


assert_type(homie.run(mean, [1.0]), float)
assert_type(homie.submit(mean, [1.0]), homie.Job[float])
assert_type(train(0.1), dict[str, float])
assert_type(train.local(0.1), dict[str, float])
assert_type(train.submit(0.1).result(), dict[str, float])
assert_type(homie.remote(mean)([1.0], digits=1), float)
for value in homie.map(train.local, [0.1, 0.2], ordered=False):
    assert_type(value, dict[str, float])


async def waits() -> None:
    assert_type(await homie.submit(mean, [1.0]), float)
    async for value in homie.map(str, [1, 2]):
        assert_type(value, str)


train("fast")
homie.run(mean, [1.0], cores=2)
"""


def test_a_type_checker_knows_values_and_mistakes(tmp_path: Path):
    (tmp_path / "uses.py").write_text(USES)
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--no-error-summary",
        "--cache-dir",
        str(ROOT / ".mypy_cache"),
    ]
    said = subprocess.run([*command, "uses.py"], cwd=tmp_path, capture_output=True, text=True, check=False).stdout
    assert [line.partition(": ")[2] for line in said.splitlines() if "error:" in line] == [
        'error: Argument 1 to "__call__" of "Remote" has incompatible type "str"; expected "float"  [arg-type]',
        'error: Unexpected keyword argument "cores" for "run"  [call-arg]',
    ]
