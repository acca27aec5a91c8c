"""Fit a line to the points of data.csv by gradient descent, and keep it in model.json."""
# ruff: noqa: T201

import csv
import json
import sys
import time
from pathlib import Path

epochs = int(sys.argv[1])
with Path("data.csv").open(newline="") as file:
    points = [(float(row["x"]), float(row["y"])) for row in csv.DictReader(file)]

print(f"{len(points)} points, {epochs} epochs, Python {sys.version.split()[0]}")
slope = offset = 0.0
for epoch in range(1, epochs + 1):
    errors = [(slope * x + offset - y, x) for x, y in points]
    slope -= 0.05 * sum(error * x for error, x in errors) / len(points)
    offset -= 0.05 * sum(error for error, _ in errors) / len(points)
    if epoch % (epochs // 5) == 0:
        loss = sum(error * error for error, _ in errors) / len(points)
        print(f"epoch {epoch:>4}  loss {loss:.5f}  y = {slope:.3f} x + {offset:.3f}")
        time.sleep(0.2)  # so that a person sees the lines arrive one by one

Path("model.json").write_text(json.dumps({"slope": slope, "offset": offset}) + "\n")
