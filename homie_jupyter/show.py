"""What a notebook shows of Homie: what is under way, a cell's footer, the table of peers."""

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from IPython.display import display

from homie_core.client import Client
from homie_core.model.peer import Peer, Standing
from homie_core.model.quantity import show_size

MARK = "homie"
"""Key of the metadata of what Homie itself shows in a cell."""


def short(folder: str) -> str:
    """Return the folder as a person here would write it."""
    path, here = Path(folder), Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def some_of(names: Sequence[str]) -> str:
    """Return the names of files, of many only the first."""
    return ", ".join(names) if len(names) <= 3 else f"{', '.join(names[:2])} and {len(names) - 2} more files"


def footer(parts: list[str]) -> dict[str, Any]:
    """Return the content of the message that shows, under a cell, where it ran."""
    return {"data": _muted(" · ".join(parts)), "metadata": {MARK: {"footer": True}}}


def under_way(text: str) -> dict[str, Any]:
    """Return the content of the message that shows, in a cell, what is under way."""
    return {"data": _muted(text), "metadata": {MARK: {"note": True}}}


def _muted(text: str) -> dict[str, str]:
    shown = f'<div style="opacity: 0.6; font-size: 85%">{html.escape(text)}</div>' if text else ""
    return {"text/plain": text, "text/html": shown}


def show_peers(client: Client) -> None:
    """Show who is there."""
    peers = client.peers()
    if not peers:
        print("Nobody else is there yet. Start `homie up` on another machine with the same secret.")  # noqa: T201
        return
    show_table(("name", "state", "address", "CPU", "free RAM", "GPU", "jobs"), [_row(peer) for peer in peers])


def show_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Show a table, as text too."""
    lines = [head, *rows]
    widths = [max(len(row[column]) for row in lines) for column in range(len(head))]
    text = "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in lines
    )
    cells = "".join(
        "<tr>" + "".join(f"<td style='text-align: left'>{html.escape(cell)}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    titles = "".join(f"<th style='text-align: left'>{html.escape(title)}</th>" for title in head)
    table = f"<table><thead><tr>{titles}</tr></thead><tbody>{cells}</tbody></table>"
    display({"text/plain": text, "text/html": table}, raw=True)


def _row(peer: Peer) -> tuple[str, ...]:
    has = peer.capacity
    online = peer.standing is Standing.ONLINE
    state = ("online" if has.sharing else "takes no jobs") if online else peer.standing.value
    if peer.trusted:
        state += ", trusted"
    return (
        peer.name,
        state,
        f"{peer.address}:{peer.port}",
        f"{has.cpu_percent:.0f} % of {has.cores}",
        f"{show_size(has.ram_free)} of {show_size(has.ram_total)}",
        ", ".join(gpu.name for gpu in has.gpus),
        str(has.running),
    )
