"""python -m benchmarks [--json] [--repeat N] [NAME ...]"""

import argparse
import json
import sys
from importlib import import_module
from pathlib import Path

from benchmarks.pairs import Result, table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # for pair.py

REPEAT = {
    "startup": 20,
    "jobs": 15,
    "cells": 10,
    "transfer": 3,
    "values": 3,
    "functions": 10,
    "idle": 1,
    "admission": 3,
    "soak": 1,
}
"""Which there are, and how often each is repeated by default."""


def main() -> None:
    """Measure, show progress on standard error and the results on standard output."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure Homie beside known tools.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(REPEAT)} (default: all)")
    parser.add_argument("--json", action="store_true", help="every value, for programs")
    parser.add_argument("--repeat", type=int, help="repetitions (default: according to what it takes)")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - REPEAT.keys():
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(REPEAT)}")
    if arguments.repeat is not None and arguments.repeat < 1:
        parser.error("--repeat: at least 1")
    results: list[Result] = []
    for name in arguments.names or REPEAT:
        print(f"measuring {name} ...", file=sys.stderr)
        results += import_module(f"benchmarks.{name}").measure(arguments.repeat or REPEAT[name])
    if arguments.json:
        print(json.dumps([result.as_json() for result in results], indent=1))
    else:
        print(table(results))


if __name__ == "__main__":
    main()
