"""`%%homie --auto`: the variables that a cell needs go with it, and those that it makes come back."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from IPython.core.inputtransformer2 import TransformerManager

from homie_core.client.values import Packed
from homie_core.model.errors import HomieError
from homie_core.model.quantity import parse_size, show_size
from homie_jupyter.notebook import Notebook
from homie_jupyter.options import Options
from homie_jupyter.symbols import symbols

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_HISTORY = re.compile(r"_+|_i*\d*|_[iod]h|In|Out|exit|quit")
"""Names of IPython's own."""


def with_symbols(code: str, options: Options, shell: "InteractiveShell", limit: str) -> Options:
    """Return the options with the variables that this cell reads and makes; `limit`: how much goes unasked.

    Raises HomieError.
    """
    try:
        most = parse_size(limit)
    except ValueError as error:
        raise HomieError(f"`%config Homie.auto_limit`: {error}") from None
    found = symbols(TransformerManager().transform_cell(code))  # the shell's own may send the cell to a peer
    hidden: dict[str, Any] = shell.user_ns_hidden
    reads = [name for name in found.reads if name in shell.user_ns and not _is_hidden(name, hidden)]
    makes = [name for name in found.makes if name not in options.outputs and not _is_hidden(name, hidden)]
    inputs = tuple(dict.fromkeys([*options.inputs, *reads]))
    return replace(options, inputs=inputs, offers=tuple(makes), auto_limit=most)


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


def _is_hidden(name: str, hidden: dict[str, Any]) -> bool:
    return name in hidden or _HISTORY.fullmatch(name) is not None
