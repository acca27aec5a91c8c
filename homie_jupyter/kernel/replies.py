"""What front ends get of a peer's replies: the fields of Jupyter's protocol, of the right types and filtered."""

from collections.abc import Callable
from typing import Any

from homie_jupyter.safe import Filter

Object = dict[str, Any]
Clean = Callable[[str], str]
"""Makes a text harmless."""

PAYLOADS = ("set_next_input", "page", "ask_exit")


def nothing(kind: str, asked: Object) -> Object:
    """Return the reply to a request of this kind where no session is that could know better."""
    match kind:
        case "complete_request":
            at = asked.get("cursor_pos")
            return {"status": "ok", "matches": [], "cursor_start": at, "cursor_end": at, "metadata": {}}
        case "inspect_request":
            return {"status": "ok", "found": False, "data": {}, "metadata": {}}
        case "is_complete_request":
            return {"status": "unknown"}
        case "history_request":
            return {"status": "ok", "history": []}
    return failure("NotSupported", f"this kernel knows no {kind[:60]}")


def failure(name: str, text: str) -> Object:
    """Return the reply that says that something failed."""
    return {"status": "error", "ename": name, "evalue": text, "traceback": [f"{name}: {text}"]}


def reply_to(kind: str, asked: Object, reply: Object, filter: Filter, clean: Clean) -> Object:
    """Return what of a peer's reply to a request of this kind (its content is `asked`) a front end gets."""
    if kind == "is_complete_request":
        return _is_complete(reply)
    if reply.get("status") == "ok":
        match kind:
            case "execute_request":
                return _executed(reply, filter, clean)
            case "complete_request":
                return _completed(asked, reply)
            case "inspect_request":
                found = _bundle(reply, filter)
                return {"status": "ok", "found": reply.get("found") is True, **found}
            case "history_request":
                entries = reply.get("history")
                kept = [list(each) for each in entries if _is_entry(each)] if isinstance(entries, list) else []
                return {"status": "ok", "history": kept}
    if reply.get("status") == "aborted":
        return {"status": "aborted"}
    failed = {**_error(reply, clean), "status": "error"}
    if kind == "execute_request":
        failed |= {**_executed(reply, filter, clean), "status": "error"}
    return failed


def _executed(reply: Object, filter: Filter, clean: Clean) -> Object:
    count, wished = reply.get("execution_count"), reply.get("user_expressions")
    payloads = reply.get("payload")
    return {
        "status": "ok",
        "execution_count": count if isinstance(count, int) else 0,
        "user_expressions": {
            str(name)[:200]: {**_bundle(value, filter), "status": "ok"}
            if value.get("status") == "ok"
            else {**_error(value, clean), "status": "error"}
            for name, value in (wished.items() if isinstance(wished, dict) else ())
            if isinstance(value, dict)
        },
        "payload": [
            kept
            for payload in (payloads if isinstance(payloads, list) else ())
            if isinstance(payload, dict) and (kept := _payload(payload, clean))
        ],
    }


def _payload(payload: Object, clean: Clean) -> Object | None:
    """Return what a kernel may ask of its front end: propose the next cell, show a page of text, end a console."""
    text, data, start = payload.get("text"), payload.get("data"), payload.get("start")
    match payload.get("source"):
        case "set_next_input" if isinstance(text, str):
            return {"source": "set_next_input", "text": text, "replace": payload.get("replace") is True}
        case "page" if isinstance(data, dict) and isinstance(data.get("text/plain"), str):
            page = {"text/plain": clean(data["text/plain"])}
            return {"source": "page", "data": page, "start": start if isinstance(start, int) else 0}
        case "ask_exit":
            return {"source": "ask_exit", "keepkernel": payload.get("keepkernel") is True}
    return None


def _completed(asked: Object, reply: Object) -> Object:
    matches, at = reply.get("matches"), asked.get("cursor_pos")
    start, end = reply.get("cursor_start"), reply.get("cursor_end")
    metadata = reply.get("metadata")
    types = metadata.get("_jupyter_types_experimental") if isinstance(metadata, dict) else None
    return {
        "status": "ok",
        "matches": [str(match) for match in matches] if isinstance(matches, list) else [],
        "cursor_start": start if isinstance(start, int) else at,
        "cursor_end": end if isinstance(end, int) else at,
        "metadata": {
            "_jupyter_types_experimental": [
                {key: value for key, value in each.items() if key in _TYPES and isinstance(value, _TYPES[key])}
                for each in (types if isinstance(types, list) else ())
                if isinstance(each, dict)
            ]
        },
    }


_TYPES = {"start": int, "end": int, "text": str, "type": str, "signature": str}


def _is_complete(reply: Object) -> Object:
    status, indent = reply.get("status"), reply.get("indent")
    if status == "incomplete":
        blank = isinstance(indent, str) and len(indent) < 200 and not indent.strip(" \t")
        return {"status": status, "indent": indent if blank else ""}
    return {"status": status if status in ("complete", "invalid") else "unknown"}


def _is_entry(entry: object) -> bool:
    """Whether this is session, line, and either input or input and output."""
    match entry:
        case [int(), int(), str()] | [int(), int(), [str(), None | str()]]:
            return True
    return False


def _bundle(content: Object, filter: Filter) -> Object:
    data, metadata = content.get("data"), content.get("metadata")
    filtered = filter.bundle(
        data if isinstance(data, dict) else {}, metadata if isinstance(metadata, dict) else {}
    )
    return {"data": filtered.data, "metadata": filtered.metadata}


def _error(content: Object, clean: Clean) -> Object:
    lines = content.get("traceback")
    return {
        "ename": clean(str(content.get("ename") or "Error")),
        "evalue": clean(str(content.get("evalue") or "")),
        "traceback": [clean(str(line)) for line in lines] if isinstance(lines, list) else [],
    }
