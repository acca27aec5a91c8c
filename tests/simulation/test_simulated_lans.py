"""Whole jobs on whole LANs, from one seed each, with crashes at any effect: see world.py for what must be true.

200 seeds here; `python tests/simulation/simulate.py --seeds 20000` for a night, `--seed N` to see one again.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from planted import PLANTED, planted
from simulate import violation

SIMULATE = Path(__file__).with_name("simulate.py")
SEEDS, PARTS = 200, 10


@pytest.mark.parametrize("part", range(PARTS))
def test_all_is_well_from_every_seed(part: int) -> None:
    bad = {seed: why for seed in range(part, SEEDS, PARTS) if (why := violation(seed))}
    assert not bad, "\n".join(f"python {SIMULATE} --seed {seed}\n{why}" for seed, why in bad.items())


@pytest.mark.parametrize("seed", [3, 57])
def test_a_seed_happens_again_exactly_in_any_process(seed: int) -> None:
    told = [
        subprocess.run(
            [sys.executable, SIMULATE, "--seed", str(seed)],
            env={**os.environ, "PYTHONHASHSEED": salt},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout
        for salt in ("1", "2")
    ]
    assert told[0] == told[1]
    assert len(told[0].splitlines()) > 20


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_found(bug: str) -> None:
    assert any(violation(seed, planted(bug)) for seed in range(SEEDS))
