"""What a notebook shows of Homie: a cell's streams, its footer, the table of peers."""

import html
import sys

from IPython.display import display

from homie_core.client import ensure_daemon, wait_for_peers
from homie_core.client.safe_text import SafeText
from homie_core.home import home
from homie_core.model.peer import Peer, Standing
from homie_core.model.quantity import show_size


class Streams:
    """Writes a job's bytes to this cell's stdout and stderr as they come, made harmless for terminals.

    Characters and colours that were cut between two pieces come out whole.
    """

    def __init__(self) -> None:
        self._safe = {stream: SafeText() for stream in (1, 2)}

    def write(self, stream: int, data: bytes) -> None:
        """Show what the job wrote to its standard output (1) or error (2)."""
        self._show(stream, self._safe[stream].feed(data))

    def say(self, line: str) -> None:
        """Show a line of Homie's own."""
        self._show(2, f"homie: {''.join(c if c.isprintable() else '?' for c in line)}\n")

    def _show(self, stream: int, text: str) -> None:
        if text:
            # Looked up each time: whoever captures the output of a cell replaces them.
            target = sys.stdout if stream == 1 else sys.stderr
            target.write(text)
            target.flush()


def show_footer(parts: list[str]) -> None:
    """Show the line under a cell that says where it ran."""
    text = " · ".join(parts)
    muted = '<div style="opacity: 0.6; font-size: 85%">' + html.escape(text) + "</div>"
    display({"text/plain": text, "text/html": muted}, raw=True)


def show_peers() -> None:
    """Show who is there."""
    client, started = ensure_daemon(home())
    if started:
        wait_for_peers(client)
    peers = client.peers()
    if not peers:
        print("Nobody else is there yet. Start `homie up` on another machine with the same secret.")  # noqa: T201
        return
    head = ("name", "state", "address", "CPU", "free RAM", "GPU", "jobs")
    rows = [head, *(_row(peer) for peer in peers)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    text = "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
    cells = "".join(
        "<tr>" + "".join(f"<td style='text-align: left'>{html.escape(cell)}</td>" for cell in row) + "</tr>"
        for row in rows[1:]
    )
    titles = "".join(f"<th style='text-align: left'>{title}</th>" for title in head)
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
