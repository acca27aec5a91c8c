"""Run simulated LANs: `python tests/simulation/simulate.py --seed 7` replays one, `--seeds 20000` tries many."""

import argparse
import logging
import sys
import time
from contextlib import AbstractContextManager
from typing import Any

from planted import PLANTED, planted
from world import Violated, world_of


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, help="replay this one, and tell what happens")
    parser.add_argument("--seeds", type=int, default=200, help="how many to try")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--bug", choices=PLANTED, help="with this bug in the code")
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)
    if asked.seed is not None:
        return replay(asked.seed, *([planted(asked.bug)] if asked.bug else ()))
    began, bad = time.perf_counter(), []
    for seed in range(asked.first, asked.first + asked.seeds):
        if why := violation(seed):
            bad.append(seed)
            print(f"seed {seed}: {why}\n  python tests/simulation/simulate.py --seed {seed}")
    print(f"{asked.seeds} seeds in {time.perf_counter() - began:.1f} s, {len(bad)} bad")
    return 1 if bad else 0


def violation(seed: int, *bugs: AbstractContextManager[Any]) -> str:
    """Return what is wrong in this world; empty if nothing is."""
    with world_of(seed, *bugs) as world:
        try:
            world.run()
        except Violated as error:
            return str(error)
    return ""


def replay(seed: int, *bugs: AbstractContextManager[Any]) -> int:
    """Tell what happens in this world."""
    with world_of(seed, *bugs) as world:
        world.lines = type(world.lines)()
        why = ""
        try:
            world.run()
        except Violated as error:
            why = str(error)
        print("\n".join(world.lines))
        print(f"{world.loop.steps} steps, {world.loop.now:.0f} s, trace {world.digest}")
    print(f"seed {seed}: {why or 'all well'}")
    return 1 if why else 0


if __name__ == "__main__":
    sys.exit(main())
