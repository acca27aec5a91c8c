"""The filter of one session: each message of the peer that the notebook would show goes through it."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Filtered:
    """What may be published; publish nothing if `data` is empty.

    Each notice is a line for the cell in which `{peer}` stands for the peer's name: use `str.replace`, because
    a notice may hold other braces.
    """

    data: dict[str, Any]
    metadata: dict[str, Any]
    notices: tuple[str, ...] = ()


class Filter:
    """Keep one per session: it remembers the session's widgets. `trusted` may change and lets all through."""

    def __init__(self, trusted: bool = False) -> None:
        self.trusted = trusted
        self._models: dict[str, str] = {}
        """Widgets that were let through, with the names of their models; empty names for those that are closed."""

    def bundle(self, data: dict[str, Any], metadata: dict[str, Any]) -> Filtered:
        """Return what of a `display_data`, `update_display_data` or `execute_result` may be published."""
        if self.trusted:
            return Filtered(data, metadata)
        from homie_jupyter.safe import bundle

        return bundle.filtered(data, metadata)

    def text(self, text: str) -> str:
        """Return a line of a stream, traceback or prompt that may colour itself, no more."""
        if self.trusted:
            return text
        from homie_jupyter.safe import values

        return values.plain(text) if isinstance(text, str) else ""

    def comm_open(self, content: dict[str, Any]) -> str | None:
        """Return why a `comm_open` must not be published, as a notice; None: publish `comm_content` of it."""
        if self.trusted:
            return None
        from homie_jupyter.safe import widgets

        why = widgets.refusal(content, self._models)
        if why is None:
            self._models[content["comm_id"]] = content["data"]["state"]["_model_name"]
        return why

    def comm_state(self, state: dict[str, Any], model_name: str) -> dict[str, Any]:
        """Return the state of a widget of this model, made harmless (`{}` if it is none)."""
        if self.trusted:
            return state
        from homie_jupyter.safe import values, widgets

        try:
            return widgets.clean_state(state, model_name, self.bundle)
        except values.Malformed:
            return {}

    def comm_content(self, kind: str, content: dict[str, Any]) -> dict[str, Any] | None:
        """Return the content of a `comm_open`, `comm_msg` or `comm_close` to publish, or None for none.

        Buffers go along as they are.
        """
        if self.trusted:
            return content
        from homie_jupyter.safe import values, widgets

        try:
            cleaned = widgets.clean_message(kind, content, self._models, self.bundle)
        except values.Malformed:
            return None
        if kind == "comm_close" and cleaned:
            self._models[cleaned["comm_id"]] = ""
        return cleaned
