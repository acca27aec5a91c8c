"""What a peer's job wrote, made safe for my terminal: it may colour its text and redraw its line, no more.

A terminal obeys escape sequences: they set titles, move the cursor over other output, answer questions as if
I had typed. `SafeText` lets only three things through: printable text with tab and line ends, colours (SGR),
and "erase to the end of the line". Sequences are built here, never copied, so whatever a job sends, nothing
else comes out. `Lines` then says on each line whose it is.
"""

import codecs
import re
from collections.abc import Callable

_ACTIVE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
"""Controls of the C0 and C1 sets, without tab, line feed and carriage return."""
_END_OF_STRING = re.compile("[\x07\x18\x1a\x1b\x9c\r\n]")
"""A string (title, link, image) that is never closed must not hide what follows: a line end ends it too."""
_PARAMETERS = re.compile(r"[0-9;:]{0,64}\Z")
_COLOUR = re.compile(r"\x1b\[([0-9;:]*)m")
_FIRST_COLOURS = re.compile(r"\A(?:\x1b\[[0-9;:]*m)*")
_RESET = "\x1b[0m"


class SafeText:
    """Bytes in, safe text out; sequences and characters may be cut anywhere between two calls."""

    def __init__(self, colours: bool = True) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._colours = colours
        self._state: Callable[[str, int], int] = self._in_text
        self._parameters = ""
        self._out: list[str] = []

    def feed(self, data: bytes) -> str:
        """Return what of these bytes may be shown."""
        text = self._decoder.decode(data)
        at = 0
        while at < len(text):
            at = self._state(text, at)
        shown = "".join(self._out)
        self._out.clear()
        return shown

    # Each state takes what is at `at`, or leaves it to another state, and returns where to go on.

    def _in_text(self, text: str, at: int) -> int:
        match = _ACTIVE.search(text, at)
        if match is None:
            self._out.append(text[at:])
            return len(text)
        self._out.append(text[at : match.start()])
        match match[0]:
            case "\x1b":
                self._state = self._after_escape
            case "\x9b":
                self._begin_sequence()
            case "\x90" | "\x98" | "\x9d" | "\x9e" | "\x9f":
                self._state = self._in_string
            case _:
                pass
        return match.end()

    def _after_escape(self, text: str, at: int) -> int:
        character = text[at]
        if character == "[":
            self._begin_sequence()
        elif character in "]PX^_":
            self._state = self._in_string
        elif " " <= character <= "/":
            self._state = self._in_charset
        elif "0" <= character <= "~":
            self._state = self._in_text
        else:
            self._state = self._in_text
            return at
        return at + 1

    def _in_charset(self, text: str, at: int) -> int:
        if " " <= text[at] <= "/":
            return at + 1
        self._state = self._in_text
        return at + 1 if "0" <= text[at] <= "~" else at

    def _begin_sequence(self) -> None:
        self._state = self._in_sequence
        self._parameters = ""

    def _in_sequence(self, text: str, at: int) -> int:
        character = text[at]
        if " " <= character <= "?":
            if len(self._parameters) <= 64:  # one more than a colour may have: then it is none
                self._parameters += character
            return at + 1
        self._state = self._in_text
        if not "@" <= character <= "~":
            return at
        if character == "m" and self._colours and _PARAMETERS.match(self._parameters):
            self._out.append(f"\x1b[{self._parameters}m")
        elif character == "K" and self._parameters in ("", "0"):
            self._out.append("\x1b[K")
        return at + 1

    def _in_string(self, text: str, at: int) -> int:
        match = _END_OF_STRING.search(text, at)
        if match is None:
            return len(text)
        if match[0] in "\r\n":
            self._state = self._in_text
            return match.start()
        self._state = self._after_escape if match[0] == "\x1b" else self._in_text
        return match.end()


class Lines:
    """Puts a prefix before each line, also before one that is redrawn after a carriage return.

    The prefix is never drawn in the job's colours, and these end with the output: at the start of a line the
    terminal always has its own.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._drawn = False
        """The line on the screen has something on it."""
        self._at_start = True
        self._colours = ""

    def feed(self, text: str) -> str:
        """Return the text as it is to be shown."""
        out: list[str] = []
        for piece in re.split(r"([\r\n])", text):
            if piece == "\r":
                out.append(self._leave() + piece if not self._at_start else "")
            elif piece == "\n":
                out.append(self._leave() + piece if self._drawn else self._prefix + piece)
                self._drawn = False
            else:
                self._add(piece, out)
        return "".join(out)

    def close(self) -> str:
        """Return what leaves the terminal at the start of a fresh line, in its own colours."""
        return self.feed("\n") if self._drawn else ""

    def _add(self, piece: str, out: list[str]) -> None:
        if self._at_start:
            rest = _FIRST_COLOURS.sub("", piece)
            self._remember_colours(piece[: len(piece) - len(rest)])
            piece = rest
            if not piece:  # a mere change of colours begins no line
                return
            out.append(self._prefix + self._colours)
            self._at_start, self._drawn = False, True
        out.append(piece)
        self._remember_colours(piece)

    def _leave(self) -> str:
        reset = _RESET if self._colours and not self._at_start else ""
        self._at_start = True
        return reset

    def _remember_colours(self, piece: str) -> None:
        for parameters in _COLOUR.findall(piece):
            if not parameters.strip("0"):
                self._colours = ""
            elif len(self._colours) < 256:
                self._colours += f"\x1b[{parameters}m"
