"""What reaches a pipe is exact; what reaches a terminal is marked, safe, and never in the middle of a line."""

import fcntl
import os
import threading
import tty
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from homie_core.cli.screen import Screen, write_all


class Terminal:
    """A pseudo terminal; `shown` is what it got since it was last looked at."""

    def __init__(self) -> None:
        self.master, self.fd = os.openpty()
        tty.setraw(self.fd)  # else \n becomes \r\n

    def shown(self) -> str:
        os.write(self.fd, b"\x04")  # what was written before it has arrived when it has
        data = b""
        while not data.endswith(b"\x04"):
            data += os.read(self.master, 65536)
        return data[:-1].decode()

    def close(self) -> None:
        os.close(self.master)
        os.close(self.fd)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = Terminal()
    yield terminal
    terminal.close()


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Callable[[], tuple[int, Path]]]:
    handles = []

    def make() -> tuple[int, Path]:
        path = tmp_path / str(len(handles))
        handles.append(os.open(path, os.O_WRONLY | os.O_CREAT))
        return handles[-1], path

    yield make
    for handle in handles:
        os.close(handle)


def test_piped_bytes_are_exact(file: Callable[[], tuple[int, Path]]) -> None:
    (out, out_path), (err, err_path) = file(), file()
    screen = Screen(out, err)
    screen.belongs_to("desk")
    everything = bytes(range(256)) + b"\x1b]0;title\x07 no newline"
    screen.output(1, everything)
    screen.output(2, everything[::-1])
    screen.hint("nobody watches")
    screen.progress("nobody watches")
    screen.close()
    assert out_path.read_bytes() == everything
    assert err_path.read_bytes() == everything[::-1]


def test_what_must_be_seen_is_written_without_a_terminal_too(file: Callable[[], tuple[int, Path]]) -> None:
    err, path = file()
    Screen(err, err).say("results in x/\x1b[2J: a.txt")
    assert path.read_text() == "homie: results in x/?[2J: a.txt\n"


def test_both_streams_share_the_terminal_line_by_line(terminal: Terminal) -> None:
    screen = Screen(terminal.fd, terminal.fd)
    screen.belongs_to("desk")
    screen.output(1, b"start")
    screen.output(2, b"error\n")
    screen.output(1, b"rest\n")
    screen.output(1, b"open")
    screen.say("done")
    assert terminal.shown() == "desk | start\ndesk | error\ndesk | rest\ndesk | open\nhomie: done\n"


def test_progress_is_one_line_that_goes_away(terminal: Terminal) -> None:
    screen = Screen(terminal.fd, terminal.fd)
    screen.progress("1 MB of 2 MB")
    screen.progress("2 MB of 2 MB")
    screen.output(1, b"x\n")
    screen.hint("end")
    clear = "\r\x1b[K"
    assert terminal.shown() == (
        f"{clear}homie: 1 MB of 2 MB{clear}homie: 2 MB of 2 MB{clear}job | x\nhomie: end\n"
    )


def test_one_stream_piped_the_other_on_the_terminal(
    terminal: Terminal, file: Callable[[], tuple[int, Path]]
) -> None:
    out, path = file()
    screen = Screen(out, terminal.fd)
    screen.belongs_to("desk")
    screen.output(1, b"\x1b[2Jdata")
    screen.output(2, b"\x1b[2Jwarning")
    screen.close()
    assert path.read_bytes() == b"\x1b[2Jdata"
    assert terminal.shown() == "desk | warning\n"


def test_colours_of_the_job_end_with_it(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "xterm")
    screen = Screen(terminal.fd, terminal.fd)
    screen.belongs_to("desk")
    screen.output(1, b"\x1b[31mred")
    screen.close()
    assert terminal.shown() == "\x1b[2mdesk |\x1b[0m \x1b[31mred\x1b[0m\n"


def test_a_full_pipe_that_does_not_block_gets_everything() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    data = bytes(range(256)) * 4096
    thread = threading.Thread(target=lambda: (write_all(writer, data), os.close(writer)))
    thread.start()
    with open(reader, "rb") as stream:  # noqa: PTH123 - a descriptor, no path
        assert stream.read() == data
    thread.join()
