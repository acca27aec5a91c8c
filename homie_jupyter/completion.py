"""Completion behind `%homie` and `%%homie`: options, machines, sessions, variables. Cells' bodies are not ours."""

import re
from collections.abc import Callable, Iterable
from typing import Any

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher

from homie_core.client import Client
from homie_core.home import home
from homie_core.model.errors import HomieError
from homie_jupyter.lines import VERBS
from homie_jupyter.notebook import Notebook

_OURS = re.compile(r"(?:.*=\s*)?%homie[ \t]+|%%homie[ \t]+")
PATIENCE = 2.0
"""Seconds to wait for the daemon."""


class Completion:
    """Completes in one shell; `options` are those of `%%homie`."""

    def __init__(self, shell: Any, notebook: Notebook, options: Iterable[str]) -> None:
        self._shell, self._notebook, self._options = shell, notebook, tuple(options)
        self._after: dict[str, Callable[[], Iterable[str]]] = {
            **dict.fromkeys(("-n", "--node", "trust", "untrust"), _peers),
            **dict.fromkeys(("-s", "--session", "use", "end", "attach"), self._sessions),
            **dict.fromkeys(("logs", "get", "cancel"), self._jobs),
            **dict.fromkeys(("-i", "-o", "--keep", "push", "pull"), self._variables),
        }

        @context_matcher(identifier="homie")
        def matcher(context: CompletionContext) -> SimpleMatcherResult:
            return self._matches(context)

        self._matcher = matcher

    def install(self) -> None:
        """Complete from now on."""
        self._shell.Completer.custom_matchers.append(self._matcher)

    def remove(self) -> None:
        """Complete no more."""
        self._shell.Completer.custom_matchers.remove(self._matcher)

    def _matches(self, context: CompletionContext) -> SimpleMatcherResult:
        ours = _OURS.match(context.text_until_cursor)
        is_top = not "".join(context.full_text.split("\n")[: context.cursor_line]).strip()
        if not ours or not is_top:
            return {"completions": []}
        is_cell = ours[0].startswith("%%")
        *words, begun = context.text_until_cursor[ours.end() :].split(" ")
        possible = self._possible([word for word in words if word], begun, is_cell)
        if possible is None:
            return {"completions": []}
        begun = begun.rpartition(",")[2]
        found = [SimpleCompletion(text, type="homie") for text in possible if text.startswith(begun)]
        return {"completions": found, "suppress": True, "matched_fragment": begun}

    def _possible(self, words: list[str], begun: str, is_cell: bool) -> Iterable[str] | None:
        """Return what may follow these words; None: what is none of ours, such as an expression."""
        before = words[-1] if words else ""
        if before in self._after and (is_cell or len(words) == 1):
            return sorted(self._after[before]())
        if is_cell or words[:1] == ["why"]:
            return self._options
        return VERBS if not words else None

    def _sessions(self) -> Iterable[str]:
        return [session.name for session in self._notebook.sessions()]

    def _jobs(self) -> Iterable[str]:
        return [*self._notebook.jobs, *_ids()]

    def _variables(self) -> Iterable[str]:
        mine = self._notebook.variables
        hidden = self._shell.user_ns_hidden
        return [name for name in mine if not name.startswith("_") and name not in hidden]


def _ids() -> Iterable[str]:
    try:
        return [view.id for view in Client(home(), timeout=PATIENCE).jobs(ended=True) if view.mine]
    except HomieError:
        return []


def _peers() -> Iterable[str]:
    try:
        return [peer.name for peer in Client(home(), timeout=PATIENCE).peers()]
    except HomieError:
        return []
