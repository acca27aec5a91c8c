"""What a node's daemon sends to its peers, written down where it leaves: see recorder/sitecustomize.py."""

import json
from pathlib import Path
from typing import Any

from pair import Node

RECORDER = Path(__file__).parent / "recorder"


class Recording:
    """Give it a node before its daemon starts."""

    def __init__(self, node: Node, folder: Path) -> None:
        self._file = folder / "sent"
        node.env |= {"PYTHONPATH": str(RECORDER), "RECORD_TO": str(self._file)}

    def clear(self) -> None:
        """Forget what was sent so far."""
        self._file.unlink(missing_ok=True)

    def sent(self) -> list[dict[str, Any]]:
        """Return all that was sent since, but for hellos, which tell only who and how busy one is."""
        lines = self._file.read_text().splitlines() if self._file.exists() else []
        return [line for line in map(json.loads, lines) if line["path"] != "/hello"]
