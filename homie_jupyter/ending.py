"""What a notebook does when a cell has ended over there: its footer, what its kernel asks for, a hint."""

import re
from collections.abc import Container
from typing import Any

from IPython import get_ipython

from homie_core.client.session import Session
from homie_core.client.values import Given
from homie_core.model.control import Delivered
from homie_core.model.quantity import show_duration
from homie_jupyter.options import Options
from homie_jupyter.show import short, some_of

_MISSING = re.compile(r"name '([^']+)' is not defined")


def footer_of(
    session: Session, options: Options, seconds: float, first: bool, came: Given, fetched: Delivered | None
) -> tuple[list[str], list[str]]:
    """Return what the footer says, and what did not come and why; `first`: the cell has opened the session."""
    parts = [session.peer, *session.gpus, show_duration(seconds)]
    notes = list(came.notes)
    if options.fresh:
        parts.append(f"job {session.job}")
    elif first and session.limits:
        kept = f"kept until nobody has used it for {show_duration(session.limits.idle)}"
        parts.append(f"session {session.name}, {kept}")
    if options.capture:
        parts.append(f"output in {options.capture}")
    if came.values:
        parts.append(", ".join(came.values))
    if fetched:
        parts.append(f"{some_of(fetched.files)} in {short(fetched.folder)}")
    if session.delivered and session.delivered.files:
        count = len(session.delivered.files)
        parts.append(f"{count} file{'s' * (count > 1)} in {short(session.delivered.folder)}")
        notes += session.delivered.notes
    return parts, notes


def hint(error: dict[str, Any], peer: str, variables: Container[str]) -> str:
    """Return how a variable that exists here, and was missing there, gets there; empty for other errors."""
    missing = _MISSING.match(str(error.get("evalue"))) if error.get("ename") == "NameError" else None
    if missing and missing[1] in variables:
        return f"`{missing[1]}` is here, not on {peer}: add `-i {missing[1]}` to send it"
    return ""


def obey(reply: dict[str, Any]) -> None:
    """Do what a kernel may ask of its front end: propose the next cell, show a page of text."""
    shell = get_ipython()
    payloads = reply.get("payload")
    for payload in payloads if isinstance(payloads, list) else ():
        if not isinstance(payload, dict) or shell is None:
            continue
        if payload.get("source") == "set_next_input" and isinstance(text := payload.get("text"), str):
            shell.set_next_input(text, replace=payload.get("replace") is True)
        elif payload.get("source") == "page" and isinstance(data := payload.get("data"), dict):
            text = data.get("text/plain")
            if isinstance(text, str):
                print(text)  # noqa: T201
