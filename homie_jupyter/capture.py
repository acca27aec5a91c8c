"""What a cell puts out, kept instead of shown."""

import io
from typing import Any


class Capture:
    """What a cell has put out, as `%%capture` keeps it."""

    def __init__(self) -> None:
        self._texts = {"stdout": io.StringIO(), "stderr": io.StringIO()}
        self._shown: list[dict[str, Any]] = []

    def takes(self, kind: str, content: dict[str, Any]) -> bool:
        """Keep a message of this type; return whether it is one to be kept."""
        if kind == "stream":
            self._texts[content["name"]].write(content["text"])
        elif kind in ("display_data", "execute_result"):
            self._shown.append({"data": content["data"], "metadata": content["metadata"]})
        elif kind == "clear_output":
            self._shown.clear()
            for text in self._texts.values():
                text.seek(0)
                text.truncate()
        return kind in ("stream", "display_data", "execute_result", "update_display_data", "clear_output")

    def result(self) -> Any:
        """Return it as IPython's CapturedIO: .stdout, .stderr, .outputs, .show()."""
        from IPython.utils.capture import CapturedIO

        return CapturedIO(self._texts["stdout"], self._texts["stderr"], self._shown)
