"""`%%homie --auto`: the variables that a cell needs go with it, and those that it makes come back.

What has not changed here since it went to the session or came from it is not sent again: over there it is what the
cells there have made of it.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

from homie_core.client.values import Packed
from homie_core.model.errors import CannotSend, HomieError
from homie_core.model.quantity import parse_size, show_size
from homie_jupyter.notebook import Notebook
from homie_jupyter.options import Options
from homie_jupyter.shared import UNSENDABLE, marks_of
from homie_jupyter.symbols import symbols
from homie_jupyter.variables import Remote

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_HISTORY = re.compile(r"_+|_i*\d*|_[iod]h|In|Out|exit|quit")
"""Names of IPython's own."""


def with_symbols(
    code: str, options: Options, shell: "InteractiveShell", notebook: Notebook, limit: str
) -> Options:
    """Return the options with the variables that this cell reads and makes; `limit`: how much goes unasked.

    Raises HomieError.
    """
    try:
        most = parse_size(limit)
    except ValueError as error:
        raise HomieError(f"`%config Homie.auto_limit`: {error}") from None
    found = symbols(code)
    hidden: dict[str, Any] = shell.user_ns_hidden
    mine = {name: value for name, value in notebook.variables.items() if not _is_hidden(name, hidden)}
    session = notebook.open_for(options)
    marks = marks_of(mine, (*options.inputs, *found.reads, *found.defines))
    sends = [name for name in found.reads if name in mine and not notebook.shared.has(session, name, marks[name])]
    for name in sends:
        if marks[name] == UNSENDABLE and not isinstance(mine[name], Remote):
            _refuse(name, mine[name])
    makes = [name for name in found.makes if not _is_hidden(name, hidden)]
    makes += [name for name in found.changes if name in mine and not isinstance(mine[name], ModuleType)]
    return replace(
        options,
        inputs=tuple(dict.fromkeys([*options.inputs, *sends])),
        offers=tuple(name for name in makes if name not in options.outputs),
        auto_limit=most,
        marks=marks,
    )


def confirm(packed: Packed, options: Options, notebook: Notebook, say: Callable[[str], None]) -> None:
    """Say what goes, and ask if it is much. Raises HomieError if it is not to go, or nobody can be asked."""
    if not packed.names or options.auto_limit is None:
        return
    sizes = {name: Packed({name: notebook.variables[name]}).size for name in packed.names}
    listed = ", ".join(f"{name} ({show_size(size)})" for name, size in sizes.items())
    if packed.size <= options.auto_limit:
        if not options.quiet:
            say(f"sends {listed}")
        return
    limit = f"more than the {show_size(options.auto_limit)} of `%config Homie.auto_limit`"
    if notebook.publisher.takes_input:
        answer = notebook.publisher.ask(f"This sends {listed}: {limit}. Send it? [y/n] ", False)
        if answer.strip().lower().startswith("y"):
            return
        raise HomieError("nothing was sent; `-i NAMES` instead of --auto sends only what it names")
    raise HomieError(f"--auto would send {listed}: {limit}. Raise that, or name what goes with `-i`")


def _refuse(name: str, value: object) -> None:
    try:
        Packed({name: value})
    except CannotSend as error:
        wanted = "make it there, or name what goes with `-i` instead of --auto"
        raise CannotSend(f"{error}. The cell reads it, as far as its text tells: {wanted}") from None


def _is_hidden(name: str, hidden: dict[str, Any]) -> bool:
    return name in hidden or _HISTORY.fullmatch(name) is not None
