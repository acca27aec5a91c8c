"""`%load_ext homie_jupyter`: cells that run on a friend's machine.

magics.py  %homie and %%homie: parse, delegate, show     cell.py     one cell, from its text to its end
show.py    what a notebook shows of it
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def load_ipython_extension(shell: "InteractiveShell") -> None:
    """Called by `%load_ext homie_jupyter`."""
    from homie_jupyter.magics import HomieMagics

    shell.register_magics(HomieMagics)


def unload_ipython_extension(shell: "InteractiveShell") -> None:
    """Called by `%unload_ext homie_jupyter`."""
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("homie", None)
    shell.magics_manager.registry.pop("HomieMagics", None)
